//! The live view: `/`, a page, and `/api/v1/status`, the document that it shows (docs/status.md).
//!
//! What it says names users, files and endpoints. So it is seen on this machine, at the admin address if that is loopback or
//! at a listener of its own, and elsewhere only with a bearer token and over TLS (`config::LiveView`). The page itself holds
//! nothing, and asks for the token that the document wants.
//!
//! In reading order: `status` is the document; `board` makes it of the `story` of each output and its `place` in the log;
//! `guard` tells who may see it.

mod board;
mod guard;
mod place;
pub mod status;
mod story;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Listen};
use crate::metrics::Metrics;
use crate::serve::{self, Answer, Listener};
use crate::supervisor::Outputs;
use board::Board;

pub use guard::Guard;

/// The page: one file, which asks nobody but us for anything.
const PAGE: &str = include_str!("live/page.html");

/// The paths that there are.
const STATUS: &str = "/api/v1/status";
const ROOT: &str = "/";

/// Nothing but the script and the style of the page itself, which are known by their hashes, and the document.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |tag| BASE64.encode(Sha256::digest(inside(PAGE, tag)));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style"),
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// What stands between the tags of the only element of this name.
fn inside<'a>(page: &'a str, tag: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("<{tag}>")).unwrap_or_default();
    rest.split_once(&format!("</{tag}>")).unwrap_or_default().0
}

/// Why there is no live view, though it is wanted.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The files that it needs are not what they were a moment ago.
    #[error("{}", .0.join("\n"))]
    Files(Vec<String>),
    /// It cannot listen there.
    #[error("liveView.bindAddress: cannot listen on {0}")]
    Bind(Listen, #[source] std::io::Error),
}

/// What is seen, and the listener that it has to itself, if it has one.
pub struct Live {
    board: Board,
    keeping: JoinHandle<()>,
    stop: CancellationToken,
    listening: Option<JoinHandle<bool>>,
    socket: Option<PathBuf>,
}

impl Live {
    /// Begins to keep what is to be seen, and listens where the configuration says.
    ///
    /// # Errors
    /// It cannot listen there.
    pub fn start(config: &Config, metrics: &Metrics, outputs: &Outputs) -> Result<Self, Unavailable> {
        let board = Board::new(metrics.clone(), outputs.clone(), config.state_dir.clone());
        let mut live = Self {
            keeping: tokio::spawn(board.clone().keep()),
            board,
            stop: CancellationToken::new(),
            listening: None,
            socket: None,
        };
        let Some(view) = &config.live_view else { return Ok(live) };
        let guard = Guard::load(view).map_err(Unavailable::Files)?;
        let listener =
            listen(&view.listen).map_err(|source| Unavailable::Bind(view.listen.clone(), source))?;
        let at = match &listener {
            Listener::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| String::new(), |at| at.to_string())
            }
            Listener::Unix(_) => view.listen.to_string(),
        };
        tracing::info!(at, tls = guard.tls().is_some(), "serving the live view");
        if let Listen::Socket(path) = &view.listen {
            live.socket = Some(path.clone());
        }
        let (tls, stop) = (guard.tls(), live.stop.clone().cancelled_owned());
        let view = View { board: live.board.clone(), guard };
        live.listening = Some(tokio::spawn(serve::serve(listener, tls, view, stop)));
        Ok(live)
    }

    /// What the admin server may show at `address`.
    #[must_use]
    pub fn at_admin(&self, address: SocketAddr) -> Option<View> {
        let guard = Guard::of_this_machine();
        address.ip().is_loopback().then(|| View { board: self.board.clone(), guard })
    }

    /// Ends its listener in order.
    pub async fn end(self) {
        self.keeping.abort();
        // While we listen there it is ours; later it may be that of whoever comes next.
        if let Some(socket) = self.socket {
            let _ = std::fs::remove_file(socket);
        }
        self.stop.cancel();
        if let Some(listening) = self.listening {
            let _ = listening.await;
        }
    }
}

fn listen(at: &Listen) -> std::io::Result<Listener> {
    match at {
        Listen::Address(address) => {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(TcpListener::from_std(listener)?.into())
        }
        Listen::Socket(path) => Ok(serve::bind_socket(path)?.into()),
    }
}

/// Answers with the page and the document, to those who may see them.
#[derive(Debug, Clone)]
pub struct View {
    board: Board,
    guard: Guard,
}

impl View {
    /// Whether there is something at `path`.
    #[must_use]
    pub fn has(path: &str) -> bool {
        matches!(path, ROOT | STATUS)
    }

    async fn document(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.guard.knows(request.headers()) {
            let mut refused = plain(StatusCode::UNAUTHORIZED, "a bearer token is needed\n");
            refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return refused;
        }
        match self.board.json().await {
            Ok(json) => answer(StatusCode::OK, "application/json", json),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }
}

impl Answer for View {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.guard.is_meant(&request) {
            let what = "this is seen under the name localhost or a loopback address only\n";
            return plain(StatusCode::MISDIRECTED_REQUEST, what);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            ROOT => answer(StatusCode::OK, "text/html; charset=utf-8", Bytes::from_static(PAGE.as_bytes())),
            STATUS => self.document(&request).await,
            _ => plain(StatusCode::NOT_FOUND, "/ /api/v1/status\n"),
        }
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", Bytes::copy_from_slice(text.as_bytes()))
}

fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
    const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (OPENER_POLICY, "same-origin"),
        (RESOURCE_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_its_script_the_page_says_what_it_needs_and_promises_nothing() {
        let (before, _) = PAGE.split_once("<script>").unwrap();
        let (seen, said) = before.split_once("<noscript>").unwrap();
        assert!(said.contains(STATUS) && said.contains("`audit-shipper status`"), "{said}");
        assert!(seen.contains("id=\"summary\" aria-live=\"polite\"></h2>"), "{seen}");
    }

    #[test]
    fn the_page_is_one_file_and_names_nobody_else() {
        for tag in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "{tag}");
            assert!(inside(PAGE, tag).len() > 500, "{tag}");
        }
        let others = PAGE.replace("http://www.w3.org/2000/svg", "");
        for part in [
            "http://",
            "https://",
            "src=",
            "@import",
            "url(",
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "eval(",
            "style=",
        ] {
            assert!(!others.contains(part), "{part}");
        }
        // No handler stands in an attribute.
        let is_handler = |tail: &str| {
            let word = tail.find(|c: char| !c.is_ascii_lowercase()).unwrap_or_default();
            word > 0 && tail[word..].starts_with("=\"")
        };
        assert!(!PAGE.split(" on").skip(1).any(is_handler));
        let policy = POLICY.to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"));
    }
}
