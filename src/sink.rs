//! Where batches go, one file per protocol. Pure: a batch becomes a request, an answer becomes a verdict.
//!
//! No clock, no I/O, no retry here (invariant I2); `deliver` does all of that once, for every sink.

pub mod webhook;

use std::time::Duration;

use bytes::Bytes;

use crate::body::Body;
use crate::event::ApiVersion;

/// Encodes events for one protocol and reads the endpoint's answers.
pub trait HttpSink: Send + Sync {
    /// The body of the request that carries `items`: the items of events of one version, with commas between them.
    fn body(&self, version: ApiVersion, items: Vec<Bytes>) -> Body;

    /// What an answer means. A protocol whose sheet says more than the contract's table overrides it.
    fn verdict(&self, answer: &Answer) -> Verdict {
        verdict_by_status(answer)
    }
}

/// A complete answer of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, whether it was given in seconds or as a date.
    pub retry_after: Option<Duration>,
    /// The beginning of the body, for people.
    pub excerpt: String,
}

/// What an answer means for the events of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Settled.
    Accepted,
    /// The endpoint cannot take anything now.
    Retry {
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
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
mod tests {
    use super::*;

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
                let answer = Answer { status: *status, retry_after: after, excerpt: String::new() };
                assert_eq!(verdict_by_status(&answer), expect, "{status}");
            }
        }
    }
}
