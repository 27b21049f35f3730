//! Where batches go, one file per protocol. Pure: a batch becomes a request, an answer becomes a verdict.
//!
//! No clock, no I/O, no retry here (invariant I2); `deliver` does all of that once, for every sink. A sink says how events
//! are written for its protocol ([`HttpSink::request`]), how a request is signed ([`HttpSink::sign`]), what an answer
//! means ([`HttpSink::verdict`]), and what its endpoint can be asked without an event ([`HttpSink::probes`]).

pub mod elasticsearch;
mod events;
mod identity;
mod json_text;
pub mod loki;
pub mod ndjson;
pub mod otlp;
mod probe;
mod protobuf;
pub mod sls;
pub mod splunk_hec;
pub mod webhook;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use crate::body::Body;
use crate::config::{Destination, Output};
use crate::endpoint::AccessKey;

pub use events::{EventRef, Events};
pub use probe::{Finding, Place, Probe, Wrong};

/// Encodes events for one protocol and reads the endpoint's answers.
pub trait HttpSink: Send + Sync {
    /// The request that carries `events`, sent at `now` or somewhat later. The same arguments give the same bytes each
    /// time. Called off the async threads.
    fn request(&self, events: &Events, now: SystemTime) -> Request;

    /// Whether a request says when it was made, and is to be made anew for a try that comes later than this.
    fn good_for(&self) -> Option<Duration> {
        None
    }

    /// Whether [`HttpSink::request`] takes next to nothing, so that it need not leave the async threads.
    fn is_cheap(&self) -> bool {
        false
    }

    /// Headers that depend on the bytes as they are sent, or on the time: made anew for each try.
    fn sign(&self, _: &Sent<'_>) -> Vec<(HeaderName, HeaderValue)> {
        Vec::new()
    }

    /// What an answer to a request with so many `events` means. A protocol whose sheet says more than the contract's table
    /// overrides it.
    fn verdict(&self, events: usize, answer: &Answer) -> Verdict {
        let _ = events;
        verdict_by_status(answer)
    }

    /// How many of the events that an answer acknowledges are kept elsewhere than where they were sent.
    fn diverted(&self, _: &Answer) -> u64 {
        0
    }

    /// What a request may hold.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// What is added to a request that goes in this lane: the endpoint numbers the tickets of each lane for itself.
    fn lane(&self, _: u64) -> Option<(HeaderName, HeaderValue)> {
        None
    }

    /// The request that asks what became of the one that was `taken` with this ticket. Only for a sink that says
    /// [`Verdict::Poll`].
    fn poll(&self, _lane: u64, _ticket: u64, _taken: &Answer) -> Option<Request> {
        None
    }

    /// Whether it is settled, if an answer to [`HttpSink::poll`] says so.
    fn is_settled(&self, _ticket: u64, _answer: &Answer) -> Option<bool> {
        None
    }

    /// Requests that carry no event and store nothing, and together show as much as the protocol lets them: that the
    /// address is right, the credentials are good and allow to write, and what is written to is there. In their order.
    fn probes(&self) -> Vec<Probe<'_>>;
}

/// The sink of an output whose destination takes requests, for events of `log`.
#[must_use]
pub fn of(output: &Output, log: &Path) -> Option<Arc<dyn HttpSink>> {
    let identity = &output.identity;
    Some(match &output.destination {
        Destination::Webhook(_) => Arc::new(webhook::Webhook::new(identity, log)),
        Destination::Ndjson(ndjson) => Arc::new(ndjson::Ndjson::new(ndjson, identity, log)),
        Destination::Elasticsearch(to) => Arc::new(elasticsearch::Elasticsearch::new(to, identity, log)),
        Destination::SplunkHec(splunk) => Arc::new(splunk_hec::SplunkHec::new(splunk, identity)),
        Destination::Otlp(otlp) => Arc::new(otlp::Otlp::new(otlp, identity)),
        Destination::Loki(loki) => Arc::new(loki::Loki::new(loki, identity, log)),
        Destination::Sls(sls) => Arc::new(sls::Sls::new(sls.clone(), identity, log)),
        Destination::File(_) | Destination::Stdout => return None,
    })
}

/// What is posted.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What comes behind the endpoint's URL: a path that begins with `/`, a query that begins with `?`, both or nothing.
    pub target: Cow<'static, str>,
    /// Beside those of every request (`Host`, `User-Agent`, `Content-Length`, `Content-Encoding`, credentials).
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Before it is compressed as the output is configured to.
    pub body: Body,
}

/// One try of a request, as it is about to be sent.
#[derive(Debug)]
pub struct Sent<'a> {
    /// What is done there.
    pub method: &'a Method,
    /// Where it goes; with `tls-server-name` the host may be another than the `Host` header says.
    pub url: &'a Url,
    /// All headers but those that the HTTP client adds (`Host`, `Content-Length`).
    pub headers: &'a HeaderMap,
    /// Compressed, if it is.
    pub body: &'a Body,
    /// What requests are signed with, if the endpoint has one.
    pub access_key: Option<&'a AccessKey>,
    /// Now, by the node's clock.
    pub now: SystemTime,
}

/// What a request may hold; more is split before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body before it is compressed. One event that is larger goes alone.
    pub body_bytes: u64,
    /// Bytes of an answer.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: u64::MAX, answer_bytes: 1 << 20 }
    }
}

/// A complete answer of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, whether it was given in seconds or as a date.
    pub retry_after: Option<Duration>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// When it came, by the node's clock.
    pub received_at: SystemTime,
}

/// What an answer means for the events of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Settled.
    Accepted,
    /// Settled, but for so many events that the endpoint will not have, and nobody can tell which.
    AcceptedBut {
        /// How many.
        refused: u64,
        /// Whether all of them are to be kept in the file of rejected events, so that none is lost.
        keep: bool,
        /// Why, in the endpoint's words. They may quote an event, so they go to no log (invariant I11).
        reason: String,
    },
    /// Each event for itself, in their order.
    Each(Vec<EventVerdict>),
    /// The endpoint has it, and will say later whether it is settled.
    Poll {
        /// What it is to be asked about.
        ticket: u64,
    },
    /// The endpoint cannot take anything now.
    Retry {
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
    /// Something of ours was wrong and is right by now, as a clock: tried again at once, the second time in a row as
    /// `Retry`.
    Again,
    /// Somebody must change something first; until then the request is tried now and then.
    Hold {
        /// Whether credentials may have been renewed.
        reread_credentials: bool,
    },
    /// The endpoint does not want what is in the request: halved, to find out which event it is.
    Refused {
        /// Whether size is the reason.
        too_large: bool,
    },
}

/// What an answer means for one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventVerdict {
    /// Settled.
    Accepted,
    /// Not now.
    Retry,
    /// Nothing is said of it, since another one is refused: sent again without that.
    Again,
    /// Not before somebody changes something.
    Hold,
    /// Never.
    Refused {
        /// What the endpoint says of it, for people.
        reason: String,
    },
    /// Never, for its own sake: no look at whether the endpoint takes others is needed.
    Unfit {
        /// The same.
        reason: String,
    },
}

impl Answer {
    /// The beginning of the body for people, in one line.
    #[must_use]
    pub fn excerpt(&self) -> String {
        excerpt(&self.body)
    }

    /// Whether it is a page for people: a proxy, a portal or another service says so with any status, and has not taken
    /// anything.
    #[must_use]
    pub fn is_web_page(&self) -> bool {
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        self.body.trim_ascii_start().starts_with(b"<")
            || content_type.is_some_and(|content_type| content_type.starts_with("text/html"))
    }
}

/// The beginning of a text for people, in one line.
#[must_use]
pub fn excerpt(text: &[u8]) -> String {
    const CHARS: usize = 300;
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * CHARS)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(CHARS).collect()
}

/// contract.md, "What an answer means".
#[must_use]
pub fn verdict_by_status(answer: &Answer) -> Verdict {
    match answer.status {
        200..=299 => Verdict::Accepted,
        501 => Verdict::Hold { reread_credentials: false },
        408 | 425 | 429 | 500..=599 => Verdict::Retry { after: answer.retry_after },
        401 | 403 => Verdict::Hold { reread_credentials: true },
        400 | 409 | 422 => Verdict::Refused { too_large: false },
        413 | 431 => Verdict::Refused { too_large: true },
        _ => Verdict::Hold { reread_credentials: false },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::batch::{Batch, Offer, Origin};
    use crate::buffers::Buffers;
    use crate::demo::replay::Replay;

    /// An answer with this status and body.
    pub(crate) fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            retry_after: None,
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            received_at: SystemTime::UNIX_EPOCH,
        }
    }

    /// Recorded events by their numbers, without their newlines.
    pub(crate) fn recorded(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
        let replay = Replay::bundled();
        let line = |number| {
            let mut line = Vec::new();
            replay.line(number, &mut line);
            line.pop();
            line
        };
        numbers.map(line).collect()
    }

    /// A sealed batch of these lines, all of them events.
    pub(crate) fn sealed(lines: &[Vec<u8>]) -> Batch {
        let limits = crate::batch::Limits {
            max_lines: usize::MAX,
            max_bytes: usize::MAX,
            max_first_line_bytes: usize::MAX,
            max_event_size: None,
        };
        let mut batch = Batch::new(Buffers::default());
        for (index, line) in lines.iter().enumerate() {
            let origin = || Origin { file: "audit.log".into(), offset: index as u64 };
            assert_eq!(batch.offer(line, origin, &limits), Offer::Taken);
        }
        assert_eq!(batch.events(), lines.len());
        batch.seal();
        batch
    }

    #[test]
    fn answers_mean_what_the_contract_says() {
        let after = Some(Duration::from_secs(7));
        let hold = |reread_credentials| Verdict::Hold { reread_credentials };
        let cases: [(&[u16], Verdict); 7] = [
            (&[200, 201, 202, 204, 206, 207, 226, 299], Verdict::Accepted),
            (&[408, 425, 429, 500, 502, 503, 504, 507, 529, 599], Verdict::Retry { after }),
            (&[401, 403], hold(true)),
            (
                &[404, 405, 410, 415, 501, 300, 301, 302, 303, 304, 307, 308, 402, 406, 411, 418, 451],
                hold(false),
            ),
            (&[100, 101, 199, 600, 999], hold(false)),
            (&[400, 409, 422], Verdict::Refused { too_large: false }),
            (&[413, 431], Verdict::Refused { too_large: true }),
        ];
        for (statuses, expect) in cases {
            for status in statuses {
                let answer = Answer { retry_after: after, ..answer(*status, "") };
                assert_eq!(verdict_by_status(&answer), expect, "{status}");
            }
        }
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt(b"  {\n \"error\": \"no\"\r\n}\n"), "{ \"error\": \"no\" }");
        assert_eq!(excerpt("é".repeat(5000).as_bytes()).chars().count(), 300);
    }
}
