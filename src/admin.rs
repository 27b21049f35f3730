//! `/metrics`, `/healthz`, `/livez` and `/readyz`.
//!
//! Health and liveness say that no loop of ours hangs; they never fail because of an endpoint, or a supervisor would
//! restart what works. Readiness says whether events get through, and if not, why.
//!
//! On an address that only this machine can reach the live view is there too.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::live::View;
use crate::metrics::Metrics;
use crate::supervisor::Outputs;
use crate::{serve, supervisor};

const PROMETHEUS_TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Answers from what the routes tell.
#[derive(Debug, Clone)]
pub struct Admin {
    metrics: Metrics,
    outputs: Outputs,
    view: Option<View>,
}

impl Admin {
    /// An admin server for `outputs`, which may be others after a change of the configuration.
    #[must_use]
    pub fn new(metrics: Metrics, outputs: Outputs, view: Option<View>) -> Self {
        Self { metrics, outputs, view }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let reasons: Vec<String> =
            self.outputs.borrow().iter().filter_map(|health| health.not_ready()).collect();
        ok_unless(&reasons, StatusCode::SERVICE_UNAVAILABLE)
    }

    fn alive(&self) -> Response<Full<Bytes>> {
        ok_unless(&supervisor::stalled(&self.outputs.borrow()), StatusCode::INTERNAL_SERVER_ERROR)
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
            "/healthz" | "/livez" => self.alive(),
            "/readyz" => self.ready(),
            path => match &self.view {
                Some(view) if View::has(path) => view.answer(request).await,
                Some(_) => not_found("/ /api/v1/status /metrics /healthz /livez /readyz\n"),
                None => not_found("/metrics /healthz /livez /readyz\n"),
            },
        }
    }
}

fn ok_unless(reasons: &[String], status: StatusCode) -> Response<Full<Bytes>> {
    if reasons.is_empty() {
        return text(StatusCode::OK, PLAIN_TEXT, "ok\n".into());
    }
    text(status, PLAIN_TEXT, reasons.join("\n") + "\n")
}

fn not_found(what_there_is: &str) -> Response<Full<Bytes>> {
    text(StatusCode::NOT_FOUND, PLAIN_TEXT, what_there_is.to_owned())
}

fn text(status: StatusCode, content_type: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::watch;

    use super::*;
    use crate::health::Health;

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_not_alive_and_what_has_no_endpoint_is() {
        let metrics = Metrics::new();
        let health = Arc::new(Health::new("siem", Duration::ZERO, Arc::new(metrics.route("siem"))));
        let (_outputs, shown) = watch::channel([Arc::clone(&health)].into());
        let admin = Admin::new(metrics, shown, None);
        health.misconfigured("status 401");
        assert_eq!(
            (admin.alive().status(), admin.ready().status()),
            (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE)
        );
        let mut read = Box::pin(health.pulse().reading(pending::<()>()));
        assert!(futures_util::poll!(&mut read).is_pending());
        tokio::time::advance(Duration::from_secs(601)).await;
        assert_eq!(admin.alive().status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
