//! One request, one complete answer.
//!
//! An answer that does not arrive, or not whole, is no answer. Redirects are followed where the body is sent again
//! (307, 308) and the host stays the same; a 302 would make a GET of it and lose the events.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT,
};
use reqwest::{Method, Response, Url};

use crate::endpoint::{Endpoint, Session};
use crate::sink::{Answer, HttpSink, Request, Sent};

mod line;
mod words;

pub use line::{Certificate, Line};
use words::in_words;

const AGENT: &str = concat!("audit-shipper/", env!("CARGO_PKG_VERSION"));
const MOST_REDIRECTS: usize = 5;
/// Why there is no complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    /// In words, without the URL.
    pub reason: String,
    /// Whether the endpoint was connected and took too long.
    pub timed_out: bool,
    /// Whether there is one, of more bytes than are read of any.
    pub too_long: bool,
}

/// The credentials of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials(pub(super) u64);

/// Sends requests to one endpoint.
#[derive(Clone)]
pub struct Exchange {
    endpoint: Arc<Endpoint>,
    sink: Arc<dyn HttpSink>,
    headers: HeaderMap,
}

impl Exchange {
    /// An exchange with `endpoint` of what `sink` makes.
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>, sink: Arc<dyn HttpSink>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        Self { endpoint, sink, headers }
    }

    /// Returns when credentials, or what else an endpoint is named with, have changed since this was called.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut changes = self.endpoint.changes();
        async move {
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    /// The endpoint has refused the credentials of a request: reads them again. True if there are others now.
    pub async fn refused(&self, credentials: Credentials) -> bool {
        self.endpoint.refused(credentials.0).await
    }

    /// Posts `request` once. Also tells with which credentials.
    ///
    /// # Errors
    /// There is no complete answer.
    pub async fn post(&self, request: Request) -> Result<(Answer, Credentials), NoAnswer> {
        self.send(Method::POST, request).await
    }

    /// The same with another method.
    ///
    /// # Errors
    /// There is no complete answer.
    pub async fn send(&self, method: Method, request: Request) -> Result<(Answer, Credentials), NoAnswer> {
        let session = self.session().await?;
        let answer = self.send_over(&session, &method, &request).await;
        if answer.as_ref().is_err_and(|no_answer| no_answer.timed_out) {
            self.endpoint.reconnect(&session);
        }
        let (answer, line) = answer?;
        self.endpoint.answered(line.certificate_bytes());
        Ok((answer, Credentials(session.generation())))
    }

    /// Sends `request` over `session`, and tells what the answer came over.
    ///
    /// # Errors
    /// There is no complete answer.
    pub async fn probe(
        &self,
        session: &Session,
        method: &Method,
        request: &Request,
    ) -> Result<(Answer, Line), NoAnswer> {
        self.send_over(session, method, request).await
    }

    /// What requests are made of now; runs a credential plugin if need be.
    ///
    /// # Errors
    /// There are no credentials.
    pub async fn session(&self) -> Result<Session, NoAnswer> {
        let session = self.endpoint.session().await;
        session.map_err(|reason| NoAnswer { reason, timed_out: false, too_long: false })
    }

    async fn send_over(
        &self,
        session: &Session,
        method: &Method,
        request: &Request,
    ) -> Result<(Answer, Line), NoAnswer> {
        let answered = self.respond(session, method, request).await;
        answered.map_err(|error| NoAnswer { reason: self.endpoint.in_its_words(&error.reason), ..error })
    }

    async fn respond(
        &self,
        session: &Session,
        method: &Method,
        request: &Request,
    ) -> Result<(Answer, Line), NoAnswer> {
        let mut url = with_target(session.url(), &request.target);
        for _ in 0..=MOST_REDIRECTS {
            let headers = self.headers(session, method, request, &url);
            let builder = session.client().request(method.clone(), url.clone()).headers(headers);
            let response = builder.body(reqwest::Body::wrap(request.body.clone())).send().await;
            let response = response.map_err(|error| in_words(&error))?;
            let line = Line::of(&response);
            match redirect(&url, &response) {
                Some(next) => url = next,
                None => return Ok((complete(response, self.sink.limits().answer_bytes).await?, line)),
            }
        }
        Err(NoAnswer {
            reason: format!("more than {MOST_REDIRECTS} redirects"),
            timed_out: false,
            too_long: false,
        })
    }

    /// All headers of one try. What the sink says comes last, since it may speak of the others.
    fn headers(&self, session: &Session, method: &Method, request: &Request, url: &Url) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.extend(session.headers().clone());
        headers.extend(request.headers.iter().cloned().map(|(name, value)| (Some(name), value)));
        if let Some(coding) = request.body.coding() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
        }
        if let Some(credentials) = session.authorization() {
            headers.insert(AUTHORIZATION, credentials.clone());
        }
        let sent = Sent {
            method,
            url,
            headers: &headers,
            body: &request.body,
            access_key: session.access_key(),
            now: SystemTime::now(),
        };
        let signed = self.sink.sign(&sent);
        headers.extend(signed.into_iter().map(|(name, value)| (Some(name), value)));
        headers
    }
}

/// The URL of a request: `target` is a path, a query, or both. A query of the endpoint's own may hold what lets us in.
fn with_target(base: &Url, target: &str) -> Url {
    let mut url = base.clone();
    if target.is_empty() {
        return url;
    }
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    if !path.is_empty() {
        url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    }
    match (base.query(), query) {
        (Some(own), Some(query)) => url.set_query(Some(&format!("{own}&{query}"))),
        (None, Some(_)) => url.set_query(query),
        _ => {}
    }
    url
}

/// Where the body is to be sent instead.
fn redirect(from: &Url, response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 307 | 308) {
        return None;
    }
    let next = from.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
    (next.origin() == from.origin()).then_some(next)
}

async fn complete(mut response: Response, longest: usize) -> Result<Answer, NoAnswer> {
    let status = response.status().as_u16();
    let received_at = SystemTime::now();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value, received_at));
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| in_words(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > longest {
            // A page of whatever length that says no is a no. What else says yes, and to how many, is not known.
            if !(200..=299).contains(&status) {
                body.truncate(longest);
                break;
            }
            let reason = format!("status {status}, and an answer of more than {longest} bytes");
            return Err(NoAnswer { reason, timed_out: false, too_long: true });
        }
    }
    Ok(Answer { status, retry_after, headers, body: Bytes::from(body), received_at })
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
    fn what_a_sink_asks_for_comes_behind_the_endpoints_path() {
        let url = |base: &str, target| with_target(&Url::parse(base).unwrap(), target).to_string();
        assert_eq!(url("https://h/audit?timeout=30s", ""), "https://h/audit?timeout=30s");
        assert_eq!(url("https://h", "/_bulk?a=b&c=%20"), "https://h/_bulk?a=b&c=%20");
        assert_eq!(url("https://h/loki/", "/api/v1/push"), "https://h/loki/api/v1/push");
        assert_eq!(url("https://h/x", "?a=1"), "https://h/x?a=1");
        assert_eq!(url("https://h/x?key=k", "/push"), "https://h/x/push?key=k");
        assert_eq!(url("https://h/?key=k", "/_bulk?a=1"), "https://h/_bulk?key=k&a=1");
    }
}
