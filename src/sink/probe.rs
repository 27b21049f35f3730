//! Requests that store nothing, and what their answers show: `check --connect` asks each destination what it can be asked
//! without an event.
//!
//! A protocol says how much can be shown that way. What cannot is said as well, so that nobody takes for proven what is
//! not: an answer is a *finding*, of which there are three kinds.

use std::fmt;

use reqwest::Method;

use super::{Answer, Request, Verdict, verdict_by_status};

/// One request, and how its answer is read.
pub struct Probe<'a> {
    /// What it is sent with.
    pub method: Method,
    /// Signed and sent as any other.
    pub request: Request,
    /// What stays open whatever is shown.
    pub leaves_open: Option<String>,
    read: Reader<'a>,
}

type Reader<'a> = Box<dyn Fn(&Answer) -> Finding + Send + Sync + 'a>;

/// What an answer shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// This is good, in words for people.
    Shown(String),
    /// This may be good or not.
    NotShown(String),
    /// Events would not get there.
    Wrong(Wrong),
    /// Something of ours was wrong and is right by now, as a clock: to be asked once more.
    Again,
}

/// Why events would not get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// In words for people.
    pub what: String,
    /// Where it can be put right.
    pub place: Place,
}

/// Where something can be put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The credentials, or what they are allowed to do.
    Credentials,
    /// The URL.
    Address,
    /// The endpoint; events wait until it takes them.
    Endpoint,
    /// What these words say.
    Told(String),
}

impl fmt::Debug for Probe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("method", &self.method).field("request", &self.request).finish()
    }
}

impl<'a> Probe<'a> {
    /// `request`, whose answer `read` reads.
    pub(super) fn new(
        method: Method,
        request: Request,
        read: impl Fn(&Answer) -> Finding + Send + Sync + 'a,
    ) -> Self {
        Self { method, request, leaves_open: None, read: Box::new(read) }
    }

    /// The same, which cannot show this.
    pub(super) fn leaving_open(self, what: Option<String>) -> Self {
        Self { leaves_open: what, ..self }
    }

    /// What `answer` shows.
    #[must_use]
    pub fn read(&self, answer: &Answer) -> Finding {
        (self.read)(answer)
    }
}

impl Finding {
    pub(super) fn shown(what: impl Into<String>) -> Self {
        Self::Shown(what.into())
    }

    pub(super) fn not_shown(what: impl Into<String>) -> Self {
        Self::NotShown(what.into())
    }

    pub(super) fn wrong(what: impl Into<String>, place: Place) -> Self {
        Self::Wrong(Wrong { what: what.into(), place })
    }

    /// Something that a field of the destination's section can put right.
    pub(super) fn misconfigured(what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self::wrong(what, Place::Told(what_to_do.into()))
    }
}

/// What an answer shows of which nothing is known but its status: a success shows `taken`.
pub(super) fn by_status(answer: &Answer, taken: &str) -> Finding {
    let status = answer.status;
    match (verdict_by_status(answer), status) {
        (Verdict::Accepted, _) if answer.is_web_page() => Finding::not_shown(format!(
            "whether events are taken: the answer (status {status}) is a page for people; perhaps a web interface or a \
             login answers at this address"
        )),
        (Verdict::Accepted, _) => Finding::shown(taken),
        (Verdict::Retry { .. }, _) => {
            Finding::wrong(format!("status {status}: it takes nothing now"), Place::Endpoint)
        }
        (_, 401) => {
            Finding::wrong(format!("status {status}: it does not accept the credentials"), Place::Credentials)
        }
        (_, 403) => {
            let what = "the credentials are not known, or do not allow this";
            Finding::wrong(format!("status {status}: {what}"), Place::Credentials)
        }
        (_, 404 | 410) => {
            Finding::wrong(format!("status {status}: there is nothing at this address"), Place::Address)
        }
        (_, 407) => Finding::misconfigured(
            format!("status {status}: the proxy wants credentials, or others than those in its URL"),
            "look at the proxy's URL",
        ),
        (_, 405 | 501) => Finding::wrong(
            format!("status {status}: what is at this address takes no such request"),
            Place::Address,
        ),
        (_, 300..=399) => Finding::wrong(format!("status {status}: it sends us elsewhere"), Place::Address),
        (Verdict::Refused { too_large: false }, _) => Finding::not_shown(format!(
            "whether events are taken: a request without any is refused (status {status}), as some endpoints do"
        )),
        _ => Finding::wrong(format!("status {status}: it does not take this"), Place::Endpoint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::tests::answer;

    #[test]
    fn no_answer_but_a_success_shows_success() {
        for status in 100..=999 {
            let finding = by_status(&answer(status, ""), "taken");
            let is_success = (200..=299).contains(&status);
            assert_eq!(finding == Finding::shown("taken"), is_success, "{status}");
        }
    }

    #[test]
    fn a_page_is_no_success() {
        let page = by_status(&answer(200, "\n<!doctype html>"), "taken");
        assert!(matches!(page, Finding::NotShown(_)), "{page:?}");
    }

    #[test]
    fn what_is_wrong_is_to_be_put_right_where_it_can_be() {
        let place = |status| match by_status(&answer(status, ""), "") {
            Finding::Wrong(Wrong { place, .. }) => Some(place),
            _ => None,
        };
        for (statuses, expect) in [
            (&[401, 403][..], Some(Place::Credentials)),
            (&[301, 302, 404, 405, 410, 501], Some(Place::Address)),
            (&[408, 413, 415, 418, 429, 500, 503], Some(Place::Endpoint)),
            (&[200, 204, 400, 409, 422], None),
        ] {
            assert!(statuses.iter().all(|status| place(*status) == expect), "{statuses:?}");
        }
    }
}
