//! One request, one complete answer.
//!
//! An answer that does not arrive, or not whole, is no answer. Redirects are followed where the body is sent again
//! (307, 308) and the host stays the same; a 302 would make a GET of it and lose the events.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
    USER_AGENT,
};
use reqwest::{Response, Url};

use crate::body::Body;
use crate::kubeconfig::{Endpoint, Session};
use crate::sink::Answer;

mod words;

use words::in_words;

const AGENT: &str = concat!("audit-shipper/", env!("CARGO_PKG_VERSION"));
const MOST_REDIRECTS: usize = 5;
/// An answer with a longer body is no answer of an audit webhook.
const LONGEST_ANSWER_BYTES: usize = 1 << 20;
/// What is kept of an answer for people.
const EXCERPT_CHARS: usize = 300;

/// Why there is no complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    /// In words, without the URL.
    pub reason: String,
    /// Whether the endpoint was connected and took too long.
    pub timed_out: bool,
}

/// The credentials of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials(pub(super) u64);

/// Sends requests to one endpoint.
#[derive(Debug, Clone)]
pub struct Exchange {
    endpoint: Arc<Endpoint>,
    headers: HeaderMap,
}

impl Exchange {
    /// An exchange with `endpoint`, with the headers of kube-apiserver's webhook.
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        Self { endpoint, headers }
    }

    /// Returns when credentials, or what else stands in the kubeconfig, have changed.
    pub async fn changed(&self) {
        // The sender lives as long as `self`.
        let _ = self.endpoint.changes().changed().await;
    }

    /// The endpoint has refused the credentials of a request: reads them again. True if there are others now.
    pub async fn refused(&self, credentials: Credentials) -> bool {
        self.endpoint.refused(credentials.0).await
    }

    /// Posts `body` once. Also tells with which credentials.
    ///
    /// # Errors
    /// There is no complete answer.
    pub async fn post(&self, body: Body) -> Result<(Answer, Credentials), NoAnswer> {
        let session = self.endpoint.session().await;
        let session = session.map_err(|reason| NoAnswer { reason, timed_out: false })?;
        let answer = self.post_over(&session, body).await;
        if answer.as_ref().is_err_and(|no_answer| no_answer.timed_out) {
            self.endpoint.reconnect(&session);
        }
        Ok((answer?, Credentials(session.generation())))
    }

    async fn post_over(&self, session: &Session, body: Body) -> Result<Answer, NoAnswer> {
        let mut url = session.url().clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut request = session
                .client()
                .post(url.clone())
                .headers(session.headers().clone())
                .headers(self.headers.clone())
                .body(reqwest::Body::wrap(body.clone()));
            if let Some(coding) = body.coding() {
                request = request.header(CONTENT_ENCODING, coding.as_str());
            }
            if let Some(credentials) = session.authorization() {
                request = request.header(AUTHORIZATION, credentials);
            }
            let response = request.send().await.map_err(|error| in_words(&error))?;
            match redirect(&url, &response) {
                Some(next) => url = next,
                None => return complete(response).await,
            }
        }
        Err(NoAnswer { reason: format!("more than {MOST_REDIRECTS} redirects"), timed_out: false })
    }
}

/// Where the body is to be sent instead.
fn redirect(from: &Url, response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 307 | 308) {
        return None;
    }
    let next = from.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
    (next.origin() == from.origin()).then_some(next)
}

async fn complete(mut response: Response) -> Result<Answer, NoAnswer> {
    let status = response.status().as_u16();
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value, SystemTime::now()));
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| in_words(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > LONGEST_ANSWER_BYTES {
            let reason = format!("status {status}, and an answer of more than {LONGEST_ANSWER_BYTES} bytes");
            return Err(NoAnswer { reason, timed_out: false });
        }
    }
    Ok(Answer { status, retry_after, excerpt: excerpt(&body) })
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT_CHARS)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(EXCERPT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (text, expect) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("1.5", None),
        ] {
            let found = retry_after(&HeaderValue::from_static(text), now);
            assert_eq!(found, expect.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt(b"  {\n \"error\": \"no\"\r\n}\n"), "{ \"error\": \"no\" }");
        assert_eq!(excerpt("é".repeat(5000).as_bytes()).chars().count(), EXCERPT_CHARS);
    }
}
