//! Answers one request.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::body::{self, BodyError, Encoding};
use super::list::{self, ListError};
use super::metrics::Metrics;
use super::writer::{NotWritten, Writer};
use crate::serve;
use crate::serve::token::TokenFile;

/// Bytes of bodies in memory at a time. A request waits for its share before its body is read, so that many large
/// requests at once cost time and not memory.
const BODIES: usize = 4 * body::MAX_BYTES;

/// Told to whoever sends another Content-Encoding (RFC 9110, 15.5.16).
const UNDERSTOOD: &str = "gzip, zstd";

/// Answers requests.
#[derive(Clone)]
pub(super) struct Endpoint(Arc<Shared>);

/// Everything that requests share.
struct Shared {
    token: Option<TokenFile>,
    room: Arc<Semaphore>,
    writer: Writer,
    metrics: Arc<Metrics>,
}

/// An answer other than 200, and why.
struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Endpoint {
    pub(super) fn new(token: Option<TokenFile>, writer: Writer, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared { token, room: Arc::new(Semaphore::new(BODIES)), writer, metrics }))
    }
}

impl serve::Answer for Endpoint {
    /// Routes the request. Any path takes events; the two pages need no token, for they hold no event.
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Self(shared) = self;
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/healthz") => response(StatusCode::OK, "text/plain", "ok\n"),
            (&Method::GET, "/metrics") => {
                response(StatusCode::OK, "text/plain; version=0.0.4", shared.metrics.text())
            }
            _ => {
                let answer = match shared.take(request).await {
                    Ok(()) => response(StatusCode::OK, "application/json", "{}"),
                    Err(refusal) => refusal.response(),
                };
                shared.metrics.requests.with_label_values(&[answer.status().as_str()]).inc();
                answer
            }
        }
    }
}

impl Shared {
    /// Writes the request's events. `Ok` means that they are on disk.
    async fn take(&self, request: Request<Incoming>) -> Result<(), Refusal> {
        let (head, body) = request.into_parts();
        let encoding = match self.admit(&head) {
            Ok(encoding) => encoding,
            Err(refusal) => {
                body::discard(body).await;
                return Err(refusal);
            }
        };
        let Some(room) = body::room(&body, encoding) else {
            body::discard(body).await;
            return Err(BodyError::TooLarge.into());
        };
        let room =
            Arc::clone(&self.room).acquire_many_owned(room).await.expect("the semaphore is never closed");
        let raw = body::read(body).await?;
        // Parsing megabytes would hold up the other connections of this thread.
        let lines = spawn_blocking(move || parse(raw, encoding)).await.map_err(|panic| Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            reason: panic.to_string(),
        })??;
        Ok(self.writer.append(lines, room).await?)
    }

    /// What can be said before the body is read.
    fn admit(&self, head: &Parts) -> Result<Encoding, Refusal> {
        if head.method != Method::POST {
            let reason = "events are sent with POST".to_owned();
            return Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, reason });
        }
        if self.token.as_ref().is_some_and(|token| !token.admits(&head.headers)) {
            let reason = "the bearer token is missing or wrong".to_owned();
            return Err(Refusal { status: StatusCode::UNAUTHORIZED, reason });
        }
        Encoding::of(&head.headers).ok_or_else(|| Refusal {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            reason: format!("the Content-Encodings understood are {UNDERSTOOD}"),
        })
    }
}

fn parse(raw: Vec<u8>, encoding: Encoding) -> Result<list::Lines, Refusal> {
    let body = body::decode(raw, encoding)?;
    Ok(list::lines(&body)?)
}

impl Refusal {
    fn response(self) -> Response<Full<Bytes>> {
        let Self { status, reason } = self;
        warn!(status = status.as_u16(), reason, "a request is refused");
        let mut response = response(status, "text/plain; charset=utf-8", reason + "\n");
        let headers = response.headers_mut();
        match status {
            StatusCode::METHOD_NOT_ALLOWED => headers.insert(ALLOW, HeaderValue::from_static("POST")),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(UNDERSTOOD))
            }
            StatusCode::UNAUTHORIZED => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => None,
        };
        response
    }
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken(_) | BodyError::NotGzip(_) | BodyError::NotZstd(_) => StatusCode::BAD_REQUEST,
        };
        Self { status, reason: error.to_string() }
    }
}

impl From<ListError> for Refusal {
    fn from(error: ListError) -> Self {
        let status = match error {
            ListError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ListError::NotJson(_) | ListError::NotAList(_) | ListError::NotAnObject { .. } => {
                StatusCode::BAD_REQUEST
            }
        };
        Self { status, reason: error.to_string() }
    }
}

impl From<NotWritten> for Refusal {
    fn from(error: NotWritten) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, reason: error.to_string() }
    }
}
