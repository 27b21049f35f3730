use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::sink::identity::tests::identity;
use crate::sink::otlp::tests::server;
use crate::sink::tests::{answer, recorded, sealed};

pub(crate) fn sink(format: Format) -> Ndjson {
    Ndjson { format, identity: Vec::new() }
}

/// Recorded events, and one whose line begins otherwise than kube-apiserver's.
fn lines() -> Vec<Vec<u8>> {
    let mut lines = recorded(0..20);
    lines.push(br#"{"apiVersion":"audit.k8s.io/v1","kind":"Event","auditID":"x"}"#.to_vec());
    lines
}

fn header(request: &Request, name: &HeaderName) -> String {
    let found = request.headers.iter().find(|(other, _)| other == name).unwrap();
    found.1.to_str().unwrap().to_owned()
}

#[test]
fn a_body_holds_the_lines_byte_for_byte() {
    let lines = lines();
    let events = Events::all(Arc::new(sealed(&lines)));
    let request = sink(Format::Lines).request(&events, SystemTime::UNIX_EPOCH);
    assert_eq!(request.body.concat(), [lines.join(&b'\n'), b"\n".to_vec()].concat());
    assert_eq!(header(&request, &CONTENT_TYPE), "application/x-ndjson");
    assert_eq!(header(&request, &COUNT), "21");
    let request = sink(Format::Array).request(&events, SystemTime::UNIX_EPOCH);
    assert_eq!(request.body.concat(), [b"[".to_vec(), lines.join(&b','), b"]\n".to_vec()].concat());
    assert_eq!(header(&request, &CONTENT_TYPE), "application/json");
}

#[test]
fn the_same_events_have_the_same_key_and_others_another() {
    let lines = lines();
    let events = Events::all(Arc::new(sealed(&lines)));
    let key = |events: &Events| {
        let request = sink(Format::Lines).request(events, SystemTime::UNIX_EPOCH);
        let (quoted, plain) = (header(&request, &IDEMPOTENCY_KEY), header(&request, &BATCH_ID));
        assert_eq!((quoted, plain.len()), (format!("\"{plain}\""), 32));
        plain
    };
    let (first, second) = events.halves();
    assert_eq!(key(&events), key(&Events::all(Arc::new(sealed(&lines)))));
    assert_eq!(first.places().chain(second.places()).collect::<Vec<_>>(), (0..21).collect::<Vec<_>>());
    let keys: std::collections::BTreeSet<_> =
        [&events, &first, &second, &events.at([3, 4]), &events.at([3]), &events.at([3]).cut(&lines[5])]
            .map(key)
            .into();
    assert_eq!(keys.len(), 6);
    let mut by_hand = Sha256::new();
    by_hand.update(&lines[3]);
    by_hand.update(b"\n");
    assert_eq!(key(&events.at([3])), hex_of(&by_hand.finalize()[..16]));
}

#[test]
fn every_request_says_where_events_come_from_and_its_key_does_not() {
    let given = (HeaderName::from_static("audit-shipper-node"), HeaderValue::from_static("mine"));
    let config = config::Ndjson {
        server: config::Server { headers: vec![given], ..server("http://h/audit") },
        format: Format::Lines,
    };
    let named = Ndjson::new(&config, &identity(), Path::new("/var/log/audit.log"));
    let events = Events::all(Arc::new(sealed(&lines())));
    let request = named.request(&events, SystemTime::UNIX_EPOCH);
    let plain = sink(Format::Lines).request(&events, SystemTime::UNIX_EPOCH);
    assert_eq!(request.body.concat(), plain.body.concat());
    assert_eq!(header(&request, &IDEMPOTENCY_KEY), header(&plain, &IDEMPOTENCY_KEY));
    let probe = named.probes().remove(0).request;
    for request in [&request, &probe] {
        let told = |name| request.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        assert_eq!(told("audit-shipper-cluster"), Some(&HeaderValue::from_static("c1")));
        assert_eq!(told("audit-shipper-node"), None, "the configuration has it");
        assert_eq!(told("audit-shipper-source"), Some(&HeaderValue::from_static("/var/log/audit.log")));
    }
}

#[test]
fn answers_mean_what_the_sheet_says() {
    let after = Some(Duration::from_secs(7));
    let verdict =
        |status| sink(Format::Lines).verdict(2, &Answer { retry_after: after, ..answer(status, "x") });
    for status in [200, 201, 202, 204, 299] {
        assert_eq!(verdict(status), Verdict::Accepted, "{status}");
    }
    for status in [408, 409, 425, 429, 500, 502, 503, 504, 507, 509, 520, 527, 529] {
        assert_eq!(verdict(status), Verdict::Retry { after }, "{status}");
    }
    for status in [301, 302, 303, 404, 405, 410, 411, 415, 431, 501] {
        assert_eq!(verdict(status), Verdict::Hold { reread_credentials: false }, "{status}");
    }
    assert_eq!(
        (verdict(401), verdict(403)),
        (Verdict::Hold { reread_credentials: true }, Verdict::Hold { reread_credentials: true })
    );
    assert_eq!(
        (verdict(400), verdict(422)),
        (Verdict::Refused { too_large: false }, Verdict::Refused { too_large: false })
    );
    assert_eq!(verdict(413), Verdict::Refused { too_large: true });
}

#[test]
fn an_endpoint_may_take_some_and_name_the_others() {
    let verdict = |body: &str| sink(Format::Lines).verdict(3, &answer(200, body));
    let refused = EventVerdict::Refused { reason: "no verb".to_owned() };
    assert_eq!(
        verdict(
            r#"{"accepted":2,"rejected":[{"index":1,"reason":"no\nverb"},{"index":1,"reason":"no verb"}]}"#
        ),
        Verdict::Each(vec![EventVerdict::Accepted, refused, EventVerdict::Accepted])
    );
    for (reason, said) in [("", ""), (r#","reason":null"#, ""), (r#","reason":{"a":1}"#, r#"{"a":1}"#)] {
        let refused = EventVerdict::Refused { reason: said.to_owned() };
        let each = vec![refused, EventVerdict::Accepted, EventVerdict::Accepted];
        assert_eq!(verdict(&format!(r#"{{"rejected":[{{"index":0{reason}}}]}}"#)), Verdict::Each(each));
    }
    for body in [
        "",
        "ok",
        "[]",
        "{}",
        r#"{"rejected":[]}"#,
        r#"{"rejected":null}"#,
        r#"{"rejected":0}"#,
        r#"{"rejected":false}"#,
        r#"{"rejected":"0"}"#,
        r#"{"rejected":{}}"#,
        r#"{"accepted":1}"#,
    ] {
        assert_eq!(verdict(body), Verdict::Accepted, "{body}");
    }
}

/// It has refused some, so not all of them may count as taken.
#[test]
fn an_endpoint_that_names_the_others_badly_is_asked_about_fewer() {
    for body in [
        r#"{"rejected":[{"index":3}]}"#,
        r#"{"rejected":[{"index":-1}]}"#,
        r#"{"rejected":[{"index":1},{"index":99999999999999999999}]}"#,
        r#"{"rejected":[{"index":"1"}]}"#,
        r#"{"rejected":[{"index":1.5}]}"#,
        r#"{"rejected":[{"reason":"no verb"}]}"#,
        r#"{"rejected":[1,2]}"#,
        r#"{"rejected":[null]}"#,
        r#"{"rejected":3}"#,
        r#"{"rejected":"3"}"#,
        r#"{"rejected":true}"#,
        r#"{"rejected":{"1":"no verb"}}"#,
    ] {
        let verdict = sink(Format::Lines).verdict(3, &answer(200, body));
        assert_eq!(verdict, Verdict::Refused { too_large: false }, "{body}");
    }
}
