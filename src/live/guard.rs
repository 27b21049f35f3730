//! Who may see the live view.
//!
//! On a loopback address that is whoever is on this machine. A page of somewhere else is not, though a browser here shows it:
//! its name may be made to lead to 127.0.0.1 (DNS rebinding), and then its script may ask us. It would ask under that name,
//! so only names of this machine are answered. A token tells its own, and no page of somewhere else has it.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use hyper::Request;
use hyper::header::{HOST, HeaderMap};

use crate::config::{Listen, LiveView};
use crate::serve::tls::{Files, Named, Tls};
use crate::serve::token::TokenFile;

/// Tells who may see it.
#[derive(Clone)]
pub struct Guard {
    token: Option<Arc<TokenFile>>,
    tls: Option<Arc<Tls>>,
    /// Whether only names of this machine are answered.
    local_names: bool,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (token, tls) = (self.token.is_some(), self.tls.is_some());
        f.debug_struct("Guard").field("token", &token).field("tls", &tls).finish_non_exhaustive()
    }
}

impl Guard {
    /// Of what only this machine can reach.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self { token: None, tls: None, local_names: true }
    }

    /// As it is configured.
    ///
    /// # Errors
    /// Every mistake in the files that are named.
    pub fn load(view: &LiveView) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let token = view.bearer_token_file.as_deref().and_then(|path| load_token(path, &mut mistakes));
        let tls = view.tls.as_ref().and_then(|(cert, key)| {
            let cert = Named { by: "liveView.tls.certFile", path: cert.clone() };
            let key = Named { by: "liveView.tls.keyFile", path: key.clone() };
            let files = Files { cert, key, client_ca: None };
            Tls::load(files).map(Arc::new).map_err(|mut found| mistakes.append(&mut found)).ok()
        });
        let local_names = token.is_none() && matches!(view.listen, Listen::Address(_));
        if mistakes.is_empty() { Ok(Self { token, tls, local_names }) } else { Err(mistakes) }
    }

    /// What connections are encrypted with.
    pub(super) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// Whether a request is meant for this machine by whoever made it.
    pub(super) fn is_meant<B>(&self, request: &Request<B>) -> bool {
        // Over HTTP/2 the name is in the URI.
        let header = || request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let name = request.uri().authority().map(hyper::http::uri::Authority::as_str).or_else(header);
        !self.local_names || name.is_some_and(is_of_this_machine)
    }

    /// Whether the request shows the token, if one is needed.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        self.token.as_ref().is_none_or(|token| token.admits(headers))
    }
}

fn load_token(path: &Path, mistakes: &mut Vec<String>) -> Option<Arc<TokenFile>> {
    let mistake = |error| format!("liveView.bearerTokenFile: {}: {error}", path.display());
    TokenFile::load(path).map(Arc::new).map_err(|error| mistakes.push(mistake(error))).ok()
}

/// Whether a name with or without a port can only be this machine's. The port is that of a tunnel, if there is one.
fn is_of_this_machine(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':').or(rest.is_empty().then_some("0"))),
        None => host.rsplit_once(':').map_or((host, Some("0")), |(name, port)| (name, Some(port))),
    };
    let is_port = port.is_some_and(|port| port.parse::<u16>().is_ok());
    let is_local = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_port && is_local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_can_lead_elsewhere_are_ours() {
        for ours in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.1.2.3:9465", "[::1]", "[::1]:1"] {
            assert!(is_of_this_machine(ours), "{ours}");
        }
        let others = [
            "",
            ":80",
            "localhost.",
            "localhost.evil.example:9465",
            "127.0.0.1.evil.example",
            "evil.example",
            "10.0.0.1:9465",
            "0.0.0.0",
            "[::]",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:",
            "localhost:",
            "localhost:80:80",
            "localhost:99999",
            "user@localhost",
            "127.1",
        ];
        for other in others {
            assert!(!is_of_this_machine(other), "{other}");
        }
    }

    #[test]
    fn a_token_stands_for_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "secret").unwrap();
        let view = |listen: &str, token: bool| LiveView {
            listen: listen.parse().map_or_else(|_| Listen::Socket(listen.into()), Listen::Address),
            bearer_token_file: token.then(|| path.clone()),
            tls: None,
        };
        let request = Request::builder().uri("/").header(HOST, "evil.example").body(()).unwrap();
        let admits = |listen, token| {
            let guard = Guard::load(&view(listen, token)).unwrap();
            (guard.is_meant(&request), guard.knows(request.headers()))
        };
        assert_eq!(admits("127.0.0.1:1", false), (false, true));
        assert_eq!(admits("127.0.0.1:1", true), (true, false));
        assert_eq!(admits("/run/view.sock", false), (true, true));
        let missing = LiveView {
            bearer_token_file: Some("/nonexistent".into()),
            tls: Some(("/nonexistent".into(), "/nonexistent".into())),
            ..view("127.0.0.1:1", false)
        };
        let mistakes = Guard::load(&missing).unwrap_err();
        let fields: Vec<_> = mistakes.iter().filter_map(|mistake| mistake.split(':').next()).collect();
        assert_eq!(fields, ["liveView.bearerTokenFile", "liveView.tls.certFile", "liveView.tls.keyFile"]);
    }
}
