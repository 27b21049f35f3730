//! The `Authorization` header: an inline token, a token file that is read again, or a name and password.
//!
//! A **token file** is rotated under us by whoever issues tokens. It is read again when the last look is 50 s
//! old (as in client-go: a minute less 10 s of leeway), when its time of modification changed, and after a
//! 401. A file that cannot be read or is empty changes nothing: the last good token stays, since a rotation
//! may be half done.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::file::User;
use super::{Report, Reported};

/// No token is trusted longer without another look at its file.
const TOKEN_FILE_PERIOD: Duration = Duration::from_secs(50);

/// What identifies us in a header; a client certificate is part of the connection instead.
pub(super) enum Credentials {
    /// No header.
    None,
    /// Always the same header.
    Fixed(SecretString),
    /// A bearer token from a file.
    TokenFile(TokenFile),
}

impl Credentials {
    /// The header of a request sent at `now`.
    pub(super) fn authorization(&self, now: Instant) -> Option<HeaderValue> {
        let header = match self {
            Credentials::None => return None,
            Credentials::Fixed(header) => header.clone(),
            Credentials::TokenFile(file) => file.header(now),
        };
        let mut value = HeaderValue::from_str(header.expose_secret()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    pub(super) fn forget_token(&self) {
        if let Credentials::TokenFile(file) = self {
            file.state().forgotten = true;
        }
    }
}

/// Reads the credentials of a user.
pub(super) fn read(user: &User, report: &mut Report<'_>) -> Result<Credentials, Reported> {
    if let Some(exec) = &user.exec {
        let message = "not available in this version yet: use token, tokenFile or a client certificate";
        return Err(report.error(exec.referenced.line(), "exec", message));
    }
    if let Some(provider) = &user.auth_provider {
        let message = "not supported: use token, tokenFile or a client certificate";
        return Err(report.error(provider.referenced.line(), "auth-provider", message));
    }
    let basic = user.username.get().or(user.password.get()).is_some();
    let token = user.token.get().or(user.token_file.get()).is_some();
    if basic && token {
        let line = user.username.line().max(user.password.line());
        let message = "username and password exclude token and tokenFile: remove one of the two";
        return Err(report.error(line, "username", message));
    }
    if basic { read_basic(user, report) } else { read_token(user, report) }
}

fn read_basic(user: &User, report: &mut Report<'_>) -> Result<Credentials, Reported> {
    let name = user.username.get().unwrap_or_default();
    if name.contains(':') {
        let message = "must not hold a colon: it would end the name";
        return Err(report.error(user.username.line(), "username", message));
    }
    let pair = SecretString::from(format!("{name}:{}", user.password.get().unwrap_or_default()));
    Ok(Credentials::Fixed(SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret())))))
}

fn read_token(user: &User, report: &mut Report<'_>) -> Result<Credentials, Reported> {
    let inline = user.token.get().map(bearer).transpose();
    let inline = inline.map_err(|reason| report.error(user.token.line(), "token", reason))?;
    let Some(path) = user.token_file.get() else {
        return Ok(inline.map_or(Credentials::None, Credentials::Fixed));
    };
    let path = report.resolve(path);
    let line = user.token_file.line();
    let modified = modification(&path);
    let (header, failing) = match (read_bearer(&path), inline) {
        (Ok(header), _) => (header, false),
        (Err(reason), Some(inline)) => {
            report.warn(line, "tokenFile", format_args!("{reason}; `token` is used until it can be read"));
            (inline, true)
        }
        (Err(reason), None) => return Err(report.error(line, "tokenFile", reason)),
    };
    let state = TokenState { header, read_at: Instant::now(), modified, forgotten: false, failing };
    Ok(Credentials::TokenFile(TokenFile { path, state: Mutex::new(state) }))
}

/// A token file and the token last read from it.
pub(super) struct TokenFile {
    path: PathBuf,
    state: Mutex<TokenState>,
}

struct TokenState {
    header: SecretString,
    read_at: Instant,
    /// The file's time of modification before it was last read; `None` if it was not there.
    modified: Option<SystemTime>,
    /// Set by a 401: the token is not worth keeping if there is another.
    forgotten: bool,
    /// The last read failed, and that has been said.
    failing: bool,
}

impl TokenFile {
    fn state(&self) -> MutexGuard<'_, TokenState> {
        // The state is whole between any two statements that change it, so a panic elsewhere cannot spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn header(&self, now: Instant) -> SecretString {
        let mut state = self.state();
        // Looked at before the file is read: a write in between is then seen next time.
        let modified = modification(&self.path);
        let old = now.saturating_duration_since(state.read_at) >= TOKEN_FILE_PERIOD;
        if old || state.forgotten || modified != state.modified {
            state.read_at = now;
            state.modified = modified;
            state.forgotten = false;
            self.refresh(&mut state);
        }
        state.header.clone()
    }

    fn refresh(&self, state: &mut TokenState) {
        match read_bearer(&self.path) {
            Ok(header) => {
                state.header = header;
                if state.failing {
                    tracing::info!(path = %self.path.display(), "the token file can be read again");
                }
                state.failing = false;
            }
            Err(reason) => {
                if !state.failing {
                    tracing::warn!(%reason, "the last good token stays in use");
                }
                state.failing = true;
            }
        }
    }
}

fn modification(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// The header that a token file stands for, or why there is none.
fn read_bearer(path: &Path) -> Result<SecretString, String> {
    let bytes = super::read_file(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let text = SecretString::from(
        String::from_utf8(bytes)
            .map_err(|_| format!("{} is not text: put one token in it", path.display()))?,
    );
    bearer(text.expose_secret()).map_err(|reason| format!("{}: {reason}", path.display()))
}

fn bearer(token: &str) -> Result<SecretString, &'static str> {
    let token = token.trim();
    if token.is_empty() {
        return Err("empty: put one token in it");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("holds characters that no token has: put one token in it, without spaces or line breaks");
    }
    Ok(SecretString::from(format!("Bearer {token}")))
}
