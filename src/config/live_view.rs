//! `liveView`: a listener for the live view alone, beside the admin address.
//!
//! What it shows names users and files, so nobody else's machine sees it in the clear: without a token and TLS it listens on
//! this machine only.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::report::Located;
use super::section::Section;

/// How an address begins that is a socket.
const SOCKET: &str = "unix://";
/// What the kernel takes as the path of a socket at most.
const LONGEST_SOCKET_PATH: usize = 107;

/// A listener for the live view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveView {
    /// Where it listens.
    pub listen: Listen,
    /// Holds the token that a client must show; read again when it changes.
    pub bearer_token_file: Option<PathBuf>,
    /// Our certificate and its chain, and its key; PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// Where something listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// At an address; port 0 takes any.
    Address(SocketAddr),
    /// At a socket with an absolute path.
    Socket(PathBuf),
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Socket(path) => write!(f, "{SOCKET}{}", path.display()),
        }
    }
}

/// Reads the section; `None` if there is to be no such listener.
pub(super) fn read(mut section: Section<'_>) -> Option<LiveView> {
    let report = section.sources.report;
    let address = section.value("bindAddress", None).line();
    let token = section.value("bearerTokenFile", None).line();
    let mut tls = section.section("tls");
    let cert = tls.value("certFile", None).line();
    let key = tls.value("keyFile", None).line();
    tls.finish();
    for (has, lacks, name) in [(&cert, &key, "keyFile"), (&key, &cert, "certFile")] {
        if has.value.is_some() && lacks.is_default() {
            report.mistake(&has.origin, format_args!("needs {name} beside it"));
        }
    }
    if address.is_default() && [&token, &cert, &key].iter().any(|other| other.value.is_some()) {
        section.missing("bindAddress", None);
    }
    section.finish();
    let listen = listen(report, &address)?;
    let has_tls = !cert.is_default() || !key.is_default();
    let is_guarded = has_tls && !token.is_default();
    let problem = match &listen {
        Listen::Address(address) if !address.ip().is_loopback() && !is_guarded => Some(
            "is no loopback address: others may only see it with bearerTokenFile and tls. Give both, or listen at such as \
             127.0.0.1:9466 or unix:///run/audit-shipper/view.sock",
        ),
        Listen::Socket(_) if cert.value.is_some() => Some("is a socket, which speaks no TLS; remove tls"),
        _ => None,
    };
    if let Some(problem) = problem {
        report.mistake(&address.origin, problem);
    }
    Some(LiveView {
        listen,
        bearer_token_file: token.value.map(PathBuf::from),
        tls: cert.value.zip(key.value).map(|(cert, key)| (cert.into(), key.into())),
    })
}

fn listen(report: &super::report::Report, given: &Located<Option<String>>) -> Option<Listen> {
    let text = given.value.as_deref()?;
    let mistake = match text.strip_prefix(SOCKET) {
        Some(path) if !path.starts_with('/') || path.ends_with('/') => {
            "must name a file with an absolute path, such as unix:///run/audit-shipper/view.sock".to_owned()
        }
        Some(path) if path.len() > LONGEST_SOCKET_PATH => {
            format!("has a path of more than {LONGEST_SOCKET_PATH} bytes, which no socket can have")
        }
        Some(path) => return Some(Listen::Socket(Path::new(path).to_owned())),
        None => match text.parse() {
            Ok(address) => return Some(Listen::Address(address)),
            Err(_) => format!(
                "{text:?} is not an address; legal are such as 127.0.0.1:9466, [::1]:0 or \
                 unix:///run/audit-shipper/view.sock"
            ),
        },
    };
    report.mistake(&given.origin, mistake);
    None
}
