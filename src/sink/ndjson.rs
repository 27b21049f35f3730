//! Any HTTP endpoint: events byte for byte as they stand in the log, each on a line of its own or as a JSON list.
//!
//! An event is not re-encoded, and nothing is copied: what stands between the items' bytes comes from static text. Each
//! request carries an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), which is a hash of the lines that it
//! carries: the same for the same events, and so for each try of a request, and another for its halves.

use std::borrow::Cow;
use std::iter::once;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::probe::by_status;
use super::{
    Answer, EventVerdict, Events, HttpSink, Probe, Request, Verdict, excerpt, identity, verdict_by_status,
};
use crate::body::Body;
use crate::config::{self, Format, Identity};
use crate::fingerprint::hex_of;
use crate::json;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const BATCH_ID: HeaderName = HeaderName::from_static("x-audit-batch-id");
const COUNT: HeaderName = HeaderName::from_static("x-audit-count");
/// Of the hash in a key: 128 bits.
const KEY_BYTES: usize = 16;

/// Encodes lines or a list.
#[derive(Debug, Clone)]
pub struct Ndjson {
    format: Format,
    identity: Vec<(HeaderName, HeaderValue)>,
}

/// What an endpoint may say of single events.
#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    rejected: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Rejection<'a> {
    index: usize,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
}

impl Ndjson {
    /// As it is configured, for events of `log`, which come from `identity`.
    #[must_use]
    pub fn new(config: &config::Ndjson, identity: &Identity, log: &Path) -> Self {
        Self { format: config.format, identity: identity::headers(identity, log, &config.server.headers) }
    }

    /// Those that all requests have.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let content_type = match self.format {
            Format::Lines => "application/x-ndjson",
            Format::Array => "application/json",
        };
        let content_type = (CONTENT_TYPE, HeaderValue::from_static(content_type));
        once(content_type).chain(self.identity.iter().cloned()).collect()
    }
}

impl HttpSink for Ndjson {
    fn request(&self, events: &Events, _: SystemTime) -> Request {
        let body = match self.format {
            Format::Lines => body(events, b"", b"\n", b"\n"),
            Format::Array => body(events, b"[", b",", b"]\n"),
        };
        let key = key(events);
        let mut headers = self.headers();
        headers.extend(HeaderValue::from_str(&format!("\"{key}\"")).map(|value| (IDEMPOTENCY_KEY, value)));
        headers.extend(HeaderValue::from_str(&key).map(|value| (BATCH_ID, value)));
        headers.push((COUNT, HeaderValue::from(events.len())));
        Request { target: Cow::Borrowed(""), headers, body }
    }

    /// No lines, or a list of none, posted as events are: `HEAD` and `OPTIONS` are answered by what is in front of an
    /// endpoint, and often without a look at the credentials. There is no key: nothing is to be remembered.
    fn probes(&self) -> Vec<Probe<'_>> {
        let (nothing, taken): (&[u8], _) = match self.format {
            Format::Lines => (b"", "a request without lines is taken"),
            Format::Array => (b"[]\n", "an empty list is taken"),
        };
        let mut headers = self.headers();
        headers.push((COUNT, HeaderValue::from(0)));
        let body = once(Bytes::from_static(nothing)).collect();
        let request = Request { target: Cow::Borrowed(""), headers, body };
        vec![Probe::new(Method::POST, request, move |answer| by_status(answer, taken))]
    }

    fn verdict(&self, events: usize, answer: &Answer) -> Verdict {
        match answer.status {
            200..=299 => match serde_json::from_slice::<Reply<'_>>(&answer.body) {
                Ok(Reply { rejected: Some(rejected) }) => taken_but(events, rejected),
                // Whatever else it says: it has taken them.
                _ => Verdict::Accepted,
            },
            // With this key: the try before is still being worked on.
            409 => Verdict::Retry { after: answer.retry_after },
            431 => Verdict::Hold { reread_credentials: false },
            _ => verdict_by_status(answer),
        }
    }
}

/// All are taken but those that are named. Where it is not clear which are meant, nothing may be taken for granted: it
/// comes out when they are halved.
fn taken_but(events: usize, rejected: &RawValue) -> Verdict {
    let unclear = Verdict::Refused { too_large: false };
    let Ok(rejected) = serde_json::from_str::<Vec<&RawValue>>(rejected.get()) else {
        let said = rejected.get();
        let is_none = matches!(said, "false" | "{}" | "\"\"")
            || said.trim_matches('"').parse::<f64>().is_ok_and(|count| count <= 0.0);
        return if is_none { Verdict::Accepted } else { unclear };
    };
    if rejected.is_empty() {
        return Verdict::Accepted;
    }
    let mut verdicts = vec![EventVerdict::Accepted; events];
    for rejection in rejected {
        let named = serde_json::from_str::<Rejection<'_>>(rejection.get()).ok();
        match named.and_then(|named| Some((verdicts.get_mut(named.index)?, named.reason))) {
            Some((verdict, reason)) => *verdict = EventVerdict::Refused { reason: in_words(reason) },
            None => return unclear,
        }
    }
    Verdict::Each(verdicts)
}

/// A reason that is no text is shown as it stands.
fn in_words(reason: Option<&RawValue>) -> String {
    let said = reason.map_or("", RawValue::get).as_bytes();
    excerpt(json::unescaped(said).as_deref().map_or(said, str::as_bytes))
}

/// The lines with `between` them.
fn body(events: &Events, head: &'static [u8], between: &'static [u8], tail: &'static [u8]) -> Body {
    let mut pieces = vec![Bytes::from_static(head)];
    for (index, line) in events.lines().enumerate() {
        if index > 0 {
            pieces.push(Bytes::from_static(between));
        }
        pieces.extend(line);
    }
    pieces.push(Bytes::from_static(tail));
    pieces.into_iter().collect()
}

/// A hash of the lines, each with its newline.
fn key(events: &Events) -> String {
    let mut hash = Sha256::new();
    for event in events.iter() {
        event.line().into_iter().chain([&b"\n"[..]]).for_each(|piece| hash.update(piece));
    }
    hex_of(&hash.finalize()[..KEY_BYTES])
}

#[cfg(test)]
pub(crate) mod tests;
