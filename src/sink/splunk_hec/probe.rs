//! What a collector can be asked without an event: an empty request, which it refuses with a code of its own once it has
//! looked at the token; how its queues are; and with `ack: "on"`, what became of something that it was never given.
//!
//! Whether the token may write to `index` it tells of an event only.

use std::borrow::Cow;

use reqwest::Method;

use super::{EVENTS_PATH, JSON, Reply, SplunkHec};
use crate::config::Ack;
use crate::sink::probe::{Finding, Place, by_status};
use crate::sink::{Answer, HttpSink as _, Probe, Request};

const HEALTH_PATH: &str = "/services/collector/health";

pub(super) fn of(splunk: &SplunkHec) -> Vec<Probe<'_>> {
    let nothing = |target| Request {
        target: Cow::Borrowed(target),
        headers: [JSON].into_iter().chain(splunk.lane(0)).collect(),
        ..Request::default()
    };
    let index = splunk.index.as_ref();
    let open = index.map(|index| {
        format!("whether the token may write to index {index}: that shows with the first event")
    });
    let mut probes = vec![Probe::new(Method::POST, nothing(EVENTS_PATH), of_no_data).leaving_open(open)];
    if splunk.ack == Ack::On {
        probes
            .extend(splunk.question(0, 0, None).map(|question| Probe::new(Method::POST, question, of_acks)));
    }
    probes.push(Probe::new(Method::GET, nothing(HEALTH_PATH), of_health));
    probes
}

fn of_no_data(answer: &Answer) -> Finding {
    let code = Reply::of(answer).code;
    match (answer.status, code) {
        (400, Some(5)) => Finding::shown("the collector knows the token"),
        (_, Some(1)) => misconfigured(answer, 1, "the token is disabled", "enable it in Splunk"),
        (_, Some(2)) => misconfigured(
            answer,
            2,
            "the token did not arrive",
            "a proxy on the way takes `Authorization` away",
        ),
        (_, Some(code @ (3 | 4))) => {
            let what =
                format!("status {}, code {code}: the collector does not know the token", answer.status);
            Finding::wrong(what, Place::Credentials)
        }
        (400, Some(code @ (10 | 11))) => misconfigured(
            answer,
            code,
            "the token has indexer acknowledgement, and the collector misses a channel",
            "set `ack: auto`",
        ),
        (400, None) => {
            Finding::not_shown("that a collector answers: it is status 400 without a code of Splunk's")
        }
        _ => by_status(answer, "an empty request is taken"),
    }
}

fn of_acks(answer: &Answer) -> Finding {
    match (answer.status, Reply::of(answer).code) {
        (400, Some(code @ 14)) => misconfigured(
            answer,
            code,
            "the token has no indexer acknowledgement",
            "enable it for the token in Splunk, or set `ack: auto`",
        ),
        _ => by_status(answer, "the collector tells what the indexers have acknowledged"),
    }
}

fn of_health(answer: &Answer) -> Finding {
    match answer.status {
        200..=299 => by_status(answer, "the collector is healthy"),
        503 => Finding::wrong("status 503: the collector says that its queues are full", Place::Endpoint),
        status => {
            Finding::not_shown(format!("whether the collector has room: it does not say (status {status})"))
        }
    }
}

fn misconfigured(answer: &Answer, code: u64, what: &str, what_to_do: &str) -> Finding {
    Finding::misconfigured(format!("status {}, code {code}: {what}", answer.status), what_to_do)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::tests::answer;

    fn kind(finding: &Finding) -> Option<bool> {
        match finding {
            Finding::Shown(_) => Some(true),
            Finding::NotShown(_) => None,
            _ => Some(false),
        }
    }

    #[test]
    fn what_a_collector_says_of_nothing() {
        for (status, body, expect) in [
            (400, r#"{"text":"No data","code":5}"#, Some(true)),
            (200, r#"{"text":"Success","code":0}"#, Some(true)),
            (200, "<html>", None),
            (400, "Bad Request", None),
            (403, r#"{"text":"Invalid token","code":4}"#, Some(false)),
            (403, r#"{"text":"Token disabled","code":1}"#, Some(false)),
            (401, r#"{"text":"Token is required","code":2}"#, Some(false)),
            (400, r#"{"text":"Data channel is missing","code":10}"#, Some(false)),
            (503, r#"{"text":"Server is busy","code":9}"#, Some(false)),
            (404, r#"{"text":"The requested URL was not found on this server.","code":404}"#, Some(false)),
        ] {
            assert_eq!(kind(&of_no_data(&answer(status, body))), expect, "{status} {body}");
        }
    }

    #[test]
    fn acknowledgement_that_is_insisted_on_must_be_there() {
        assert_eq!(kind(&of_acks(&answer(200, r#"{"acks":{"0":false}}"#))), Some(true));
        assert_eq!(kind(&of_acks(&answer(400, r#"{"text":"ACK is disabled","code":14}"#))), Some(false));
    }

    #[test]
    fn a_collector_that_tells_nothing_of_its_health_may_be_well() {
        for (status, expect) in [(200, Some(true)), (503, Some(false)), (404, None), (400, None)] {
            assert_eq!(kind(&of_health(&answer(status, ""))), expect, "{status}");
        }
    }
}
