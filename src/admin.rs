//! `/metrics`, `/healthz`, `/livez` and `/readyz`.
//!
//! Health and liveness say that the process answers; they never fail because of an endpoint, or a supervisor would
//! restart what works. Readiness says whether events get through, and if not, why.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::health::Health;
use crate::metrics::Metrics;
use crate::serve;

const PROMETHEUS_TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Answers from what the routes tell.
#[derive(Debug, Clone)]
pub struct Admin {
    metrics: Metrics,
    outputs: Arc<[Arc<Health>]>,
}

impl Admin {
    /// An admin server for `outputs`.
    #[must_use]
    pub fn new(metrics: Metrics, outputs: Arc<[Arc<Health>]>) -> Self {
        Self { metrics, outputs }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let reasons: Vec<String> = self.outputs.iter().filter_map(|health| health.not_ready()).collect();
        if reasons.is_empty() {
            return text(StatusCode::OK, PLAIN_TEXT, "ok\n".into());
        }
        text(StatusCode::SERVICE_UNAVAILABLE, PLAIN_TEXT, reasons.join("\n") + "\n")
    }
}

impl serve::Answer for Admin {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, PLAIN_TEXT, "only GET and HEAD\n".into());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/metrics" => text(StatusCode::OK, PROMETHEUS_TEXT, self.metrics.render()),
            "/healthz" | "/livez" => text(StatusCode::OK, PLAIN_TEXT, "ok\n".into()),
            "/readyz" => self.ready(),
            _ => text(StatusCode::NOT_FOUND, PLAIN_TEXT, "/metrics /healthz /livez /readyz\n".into()),
        }
    }
}

fn text(status: StatusCode, content_type: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
