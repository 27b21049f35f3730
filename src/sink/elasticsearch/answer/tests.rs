//! Every row of the protocol's table of answers.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::properties::{cases, mutated, mutations};
use crate::sink::tests::answer;

const ACCEPTED: EventVerdict = EventVerdict::Accepted;
const RETRY: EventVerdict = EventVerdict::Retry;
const HOLD: EventVerdict = EventVerdict::Hold;

fn refused(reason: &str) -> EventVerdict {
    EventVerdict::Refused { reason: reason.to_owned() }
}

fn item(status: u16, kind: &str) -> String {
    match kind {
        "" => format!(r#"{{"create":{{"status":{status}}}}}"#),
        kind => format!(r#"{{"create":{{"status":{status},"error":{{"type":"{kind}","reason":"why"}}}}}}"#),
    }
}

fn bulk(items: &[String]) -> Answer {
    answer(200, &format!(r#"{{"errors":true,"items":[{}]}}"#, items.join(",")))
}

#[test]
fn each_item_means_what_the_table_says() {
    let cases: [(&[u16], &str, EventVerdict); 15] = [
        (&[200, 201], "", ACCEPTED),
        (&[409], "version_conflict_engine_exception", ACCEPTED),
        (&[409], "", ACCEPTED),
        (&[409], "resource_conflict", RETRY),
        (&[429], "es_rejected_execution_exception", RETRY),
        (&[429], "circuit_breaking_exception", RETRY),
        (&[408, 425, 500, 502, 503, 504, 507], "unavailable_shards_exception", RETRY),
        (&[403, 429], "cluster_block_exception", HOLD),
        (&[400], "index_closed_exception", HOLD),
        (&[400], "validation_exception", HOLD),
        (&[401, 403], "security_exception", HOLD),
        (&[404], "index_not_found_exception", HOLD),
        (&[0, 100, 302, 405, 410, 600], "", HOLD),
        (&[400, 413, 422], "document_parsing_exception", refused("document_parsing_exception: why")),
        (&[400], "", refused("no reason was given")),
    ];
    for (statuses, kind, expect) in cases {
        for status in statuses {
            // The other two make sure that this one is not all there is.
            let answer = bulk(&[item(400, "x"), item(*status, kind), item(503, "x")]);
            let each = vec![refused("x: why"), expect.clone(), RETRY];
            assert_eq!(verdict(3, &answer), Verdict::Each(each), "{status} {kind}");
        }
    }
}

#[test]
fn what_is_so_of_all_is_so_of_the_request() {
    let after = Some(Duration::from_secs(3));
    let of = |status, kind| {
        let items = [item(status, kind), item(status, kind)];
        verdict(2, &Answer { retry_after: after, ..bulk(&items) })
    };
    assert_eq!(of(201, ""), Verdict::Accepted);
    assert_eq!(of(409, "version_conflict_engine_exception"), Verdict::Accepted);
    assert_eq!(of(429, "es_rejected_execution_exception"), Verdict::Retry { after });
    assert_eq!(of(404, "index_not_found_exception"), Verdict::Hold { reread_credentials: false });
    assert_eq!(of(403, "cluster_block_exception"), Verdict::Hold { reread_credentials: false });
    assert_eq!(of(403, "security_exception"), Verdict::Hold { reread_credentials: true });
    assert_eq!(of(400, "x"), Verdict::Each(vec![refused("x: why"), refused("x: why")]));
}

#[test]
fn an_answer_without_errors_needs_no_items() {
    assert_eq!(verdict(5, &answer(200, r#"{"errors":false}"#)), Verdict::Accepted);
    assert_eq!(
        verdict(
            1,
            &answer(200, r#"{"took":3,"errors":false,"items":[{"create":{"_id":"1","status":201}}]}"#)
        ),
        Verdict::Accepted
    );
    let failure_store = r#"{"errors":false,"items":[{"create":{"status":201,"failure_store":"used"}}]}"#;
    assert_eq!(verdict(1, &answer(200, failure_store)), Verdict::Accepted);
}

/// Stored all the same, but not where people look.
#[test]
fn what_the_failure_store_took_is_counted() {
    let of = |items: &[&str]| {
        diverted(&answer(200, &format!(r#"{{"errors":true,"items":[{}]}}"#, items.join(","))))
    };
    let used = r#"{"create":{"status":201,"failure_store":"used"}}"#;
    let refused = r#"{"create":{"status":400,"failure_store":"failed","error":{"type":"x"}}}"#;
    let not_enabled = r#"{"create":{"status":400,"failure_store":"not_enabled"}}"#;
    let odd = r#"{"create":{"status":201,"failure_store":{"used":1}}}"#;
    assert_eq!(of(&[used, refused, used, not_enabled, odd, r#"{"create":{"status":201}}"#]), 2);
    assert_eq!(of(&[refused]), 0);
    let odd = bulk(&[odd.to_owned()]);
    assert_eq!(verdict(1, &odd), Verdict::Accepted);
    assert_eq!(diverted(&answer(200, "\"failure_store\":\"used\"")), 0);
}

#[test]
fn an_answer_that_does_not_tell_of_all_tells_nothing() {
    let after = Some(Duration::from_secs(9));
    let two = r#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":400}}]}"#;
    let unusable = [
        two,
        "",
        "<html>",
        "{}",
        "[]",
        "null",
        r#"{"errors":true}"#,
        r#"{"errors":false,"items":[]}"#,
        &two[..two.len() - 1],
        &two[..two.len() / 2],
        r#"{"errors":true,"items":[{},{"create":{"status":201}},{"create":{"status":201}}]}"#,
        r#"{"errors":true,"items":[{"create":{"error":{}}},{"create":{"status":201}},{"create":{"status":201}}]}"#,
        r#"{"errors":true,"items":[{"a":{"status":201},"b":{"status":400}},{"create":{"status":201}},{"create":{"status":1}}]}"#,
        r#"{"errors":true,"items":[{"create":{"status":99999}},{"create":{"status":201}},{"create":{"status":201}}]}"#,
    ];
    for body in unusable {
        let answer = Answer { retry_after: after, ..answer(200, body) };
        assert_eq!(verdict(3, &answer), Verdict::Retry { after }, "{body}");
        assert_eq!(verdict(1, &answer), Verdict::Retry { after }, "{body}");
    }
}

#[test]
fn other_answers_mean_what_the_contract_says() {
    let of = |status| verdict(2, &answer(status, r#"{"error":{"type":"x"},"status":1}"#));
    for status in [408, 429, 502, 503, 504] {
        assert_eq!(of(status), Verdict::Retry { after: None });
    }
    for status in [401, 403] {
        assert_eq!(of(status), Verdict::Hold { reread_credentials: true });
    }
    assert_eq!(of(413), Verdict::Refused { too_large: true });
    assert_eq!(of(400), Verdict::Refused { too_large: false });
    assert_eq!(of(404), Verdict::Hold { reread_credentials: false });
}

#[test]
fn a_reason_holds_every_cause_in_one_short_line() {
    let of = |error: &str| {
        let body = format!(r#"{{"errors":true,"items":[{{"create":{{"status":400,"error":{error}}}}}]}}"#);
        match verdict(1, &answer(200, &body)) {
            Verdict::Each(each) => match &each[..] {
                [EventVerdict::Refused { reason }] => reason.clone(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    };
    let deep =
        r#"{"type":"a","reason":"b\nc","caused_by":{"type":"d","reason":"e","caused_by":{"type":"f"}}}"#;
    assert_eq!(of(deep), "a: b c; caused by d: e; caused by f");
    assert_eq!(of(r#""MapperParsingException[x]""#), "\"MapperParsingException[x]\"");
    assert_eq!(of(r#"{"type":7}"#), r#"{"type":7}"#);
    assert_eq!(of("null"), "no reason was given");
    assert_eq!(of("{}"), "{}");
    assert_eq!(of(&format!(r#"{{"type":"a","reason":"{}"}}"#, "é".repeat(9999))).chars().count(), 300);
}

#[test]
fn what_a_failed_request_says_is_its_error() {
    let body = r#"{"error":{"root_cause":[],"type":"a","reason":"b"},"status":400}"#;
    assert_eq!(said(body.as_bytes()), "a: b");
    assert_eq!(said(br#"{"error":"no handler found","status":405}"#), r#""no handler found""#);
    assert_eq!(said(b"<html>\n<h1>no"), "<html> <h1>no");
    assert_eq!(said(b""), "");
}

proptest! {
    #![proptest_config(cases(300))]

    /// No answer makes a panic, and none that is not understood settles an event: what is told of a request with n events
    /// is told of n, and an event is only accepted on a status that says so.
    #[test]
    fn no_answer_settles_what_it_does_not_tell_of(
        statuses in prop::collection::vec(prop::sample::select(&[200_u16, 201, 400, 403, 404, 409, 429, 503][..]), 1..8),
        mutations in mutations(),
        events in 1_usize..8,
    ) {
        let items: Vec<_> = statuses.iter().map(|status| item(*status, "x_exception")).collect();
        let whole = bulk(&items);
        match verdict(events, &whole) {
            Verdict::Each(each) => prop_assert_eq!(each.len(), events),
            Verdict::Accepted => prop_assert!(events == statuses.len() && statuses.iter().all(|s| *s < 300)),
            _ => {}
        }
        if let Verdict::Each(each) = verdict(statuses.len(), &whole) {
            for (event, status) in each.iter().zip(&statuses) {
                prop_assert_eq!(*event == ACCEPTED, *status < 300);
            }
        }
        let body = mutated(&whole.body, &mutations);
        if let Verdict::Each(each) = verdict(events, &Answer { body: body.into(), ..whole }) {
            prop_assert_eq!(each.len(), events);
        }
    }
}
