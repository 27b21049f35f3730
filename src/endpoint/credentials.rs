//! The `Authorization` header: an inline token, a token file, a name and password, or what a plugin prints.
//!
//! A **token file** is rotated under us by whoever issues tokens, so it wins over the inline token, as in client-go. At
//! the start a file that cannot be read gives way to the inline token; later the last good token stays in use, since a
//! rotation may be half done.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::exec::Plugin;
use super::report::{Report, Reported};
use super::source::{Source, User};

/// What identifies us in a header; a client certificate is part of the connection instead.
#[derive(Clone)]
pub(super) enum Credentials {
    /// No header.
    None,
    /// A header as it stands in the kubeconfig or in the token file.
    Fixed(SecretString),
    /// What a command prints: a header, a client certificate, or both.
    Plugin(Arc<Plugin>),
    /// No header of ours: the sink signs with it.
    Key(Arc<AccessKey>),
}

/// What requests are signed with.
#[derive(Clone)]
pub struct AccessKey {
    /// Names the secret.
    pub id: String,
    /// Never sent.
    pub secret: SecretString,
    /// Goes with temporary ones.
    pub security_token: Option<SecretString>,
}

/// Without the secrets.
impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PartialEq for AccessKey {
    fn eq(&self, other: &Self) -> bool {
        let texts = |key: &Self| {
            let token = key.security_token.as_ref().map(|token| token.expose_secret().to_owned());
            (key.id.clone(), key.secret.expose_secret().to_owned(), token)
        };
        texts(self) == texts(other)
    }
}

impl Credentials {
    pub(super) fn plugin(&self) -> Option<&Arc<Plugin>> {
        if let Credentials::Plugin(plugin) = self { Some(plugin) } else { None }
    }

    /// Whether these are no others than `other`. A plugin keeps what it has printed, so it is not to be replaced by one
    /// of the same command.
    pub(super) fn are(&self, other: &Credentials) -> bool {
        match (self, other) {
            (Credentials::None, Credentials::None) => true,
            (Credentials::Fixed(one), Credentials::Fixed(two)) => one.expose_secret() == two.expose_secret(),
            (Credentials::Plugin(one), Credentials::Plugin(two)) => one.is_command_of(two),
            (Credentials::Key(one), Credentials::Key(two)) => one == two,
            _ => false,
        }
    }
}

/// A header value that Debug does not print.
pub(super) fn header(text: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text.expose_secret()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Reads the credentials of a user.
pub(super) fn read(source: &Source, report: &mut Report<'_>) -> Result<Credentials, Reported> {
    let user = &source.user;
    if let Some(provider) = &user.auth_provider {
        let message = "not supported: use exec, token, tokenFile or a client certificate";
        return Err(report.error(provider.referenced.line(), "auth-provider", message));
    }
    let basic = user.username.get().or(user.password.get()).is_some();
    let token = user.token.get().or(user.token_file.get()).is_some();
    if basic && token {
        let line = user.username.line().max(user.password.line());
        let message = "username and password exclude token and tokenFile: remove one of the two";
        return Err(report.error(line, "username", message));
    }
    match &user.exec {
        Some(exec) if basic || token => {
            let message = "ignored: another credential of the user wins; remove one of the two";
            report.warn(exec.referenced.line(), "exec", message);
        }
        Some(exec) => {
            let plugin = Plugin::read(&exec.value, exec.referenced.line(), &source.cluster, report)?;
            return Ok(Credentials::Plugin(Arc::new(plugin)));
        }
        None => {}
    }
    if basic { read_basic(user, report) } else { read_token(user, report) }
}

fn read_basic(user: &User, report: &mut Report<'_>) -> Result<Credentials, Reported> {
    let name = user.username.or_empty();
    if name.contains(':') {
        let message = "must not hold a colon: it would end the name";
        return Err(report.error(user.username.line(), "username", message));
    }
    let pair = SecretString::from(format!("{name}:{}", user.password.or_empty()));
    Ok(Credentials::Fixed(SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret())))))
}

fn read_token(user: &User, report: &mut Report<'_>) -> Result<Credentials, Reported> {
    let inline = user.token.get().map(bearer).transpose();
    let inline = inline.map_err(|reason| report.error(user.token.line(), "token", reason))?;
    let Some(path) = user.token_file.get() else {
        return Ok(inline.map_or(Credentials::None, Credentials::Fixed));
    };
    let (line, path) = (user.token_file.line(), report.resolve(path));
    match (read_bearer(&path), inline.filter(|_| report.is_first)) {
        (Ok(header), _) => Ok(Credentials::Fixed(header)),
        (Err(reason), Some(inline)) => {
            report.warn(line, "tokenFile", format_args!("{reason}; `token` is used until it can be read"));
            Ok(Credentials::Fixed(inline))
        }
        (Err(reason), None) => Err(report.error(line, "tokenFile", reason)),
    }
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

/// The header of a token.
pub(super) fn bearer(token: &str) -> Result<SecretString, &'static str> {
    let token = token.trim();
    if token.is_empty() {
        return Err("empty: put one token in it");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("holds characters that no token has: put one token in it, without spaces or line breaks");
    }
    Ok(SecretString::from(format!("Bearer {token}")))
}
