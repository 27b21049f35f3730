use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use prost::Message as _;
use reqwest::header::HeaderMap;

use super::*;
use crate::batch::{Batch, Limits as BatchLimits, Offer, Origin};
use crate::buffers::Buffers;
use crate::properties::{cases, mutated, mutations, real_line};
use crate::sink::EventVerdict;
use crate::sink::identity::tests::identity;
use crate::sink::tests::answer;
use crate::{fingerprint, json};
use decoded::Kind;

mod decoded;

const EVENTS: &[u8] = include_bytes!("../../../tests/data/sinks/otlp/events.ndjson");
/// 2026-11-22T03:00:00.5Z
const NOW: Duration = Duration::from_millis(1_795_316_400_500);

fn config(encoding: Encoding, body: BodyForm) -> config::Otlp {
    let resource = vec![("k8s.cluster.name".to_owned(), "c1 \"test\"".to_owned())];
    config::Otlp { encoding, body, resource, ..config::Otlp::new(server("http://h:4318")) }
}

fn sink(encoding: Encoding, body: BodyForm) -> Otlp {
    Otlp::new(&config(encoding, body), &identity())
}

/// An endpoint without anything but its URL.
pub(in crate::sink) fn server(url: &str) -> config::Server {
    config::Server {
        place: String::new(),
        url: url.parse().unwrap(),
        headers: Vec::new(),
        login: config::Login::None,
        tls: config::ServerTls::default(),
        proxy_url: None,
    }
}

/// A sealed batch of these lines, the n-th of them at offset 1000 n.
pub(in crate::sink) fn events<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Events {
    let most = usize::MAX / 4;
    let limits =
        BatchLimits { max_lines: most, max_bytes: most, max_first_line_bytes: most, max_event_size: None };
    let mut batch = Batch::new(Buffers::default());
    for (offset, line) in (0..).step_by(1000).zip(lines) {
        let origin = || Origin { file: "audit.log".into(), offset };
        assert_eq!(batch.offer(line, origin, &limits), Offer::Taken);
    }
    batch.seal();
    Events::all(Arc::new(batch))
}

pub(in crate::sink) fn golden_lines() -> impl Iterator<Item = &'static [u8]> {
    EVENTS.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn request(encoding: Encoding, body: BodyForm, events: &Events) -> Request {
    sink(encoding, body).request(events, UNIX_EPOCH + NOW)
}

fn decode(request: &Request) -> decoded::Request {
    decoded::Request::decode(&*request.body.concat()).unwrap()
}

/// The same requests are decoded by OpenTelemetry's own definitions in tests/it/sinks/otlp.
#[test]
fn the_goldens_come_out_byte_by_byte() {
    let golden = |name: &str| {
        let path = format!("{}/tests/data/sinks/otlp/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).unwrap()
    };
    let events = events(golden_lines());
    for (encoding, ending) in [(Encoding::Protobuf, "pb"), (Encoding::Json, "json")] {
        for (body, name) in [(BodyForm::String, "string"), (BodyForm::Kvlist, "kvlist")] {
            let found = request(encoding, body, &events).body.concat();
            assert!(found == golden(&format!("{name}.{ending}")), "{name}.{ending}");
        }
    }
}

#[test]
fn a_request_says_what_it_is() {
    let events = events(golden_lines());
    let protobuf = request(Encoding::Protobuf, BodyForm::String, &events);
    assert_eq!(protobuf.target, "/v1/logs");
    assert_eq!(protobuf.headers, [(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))]);
    let json = request(Encoding::Json, BodyForm::String, &events);
    assert_eq!(json.headers, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
}

#[test]
fn the_url_may_be_whole() {
    let target = |url, path: &str| {
        let config = config::Otlp { path: path.to_owned(), ..config::Otlp::new(server(url)) };
        Otlp::new(&config, &identity()).target.into_owned()
    };
    assert_eq!(target("http://h:4318", "/v1/logs"), "/v1/logs");
    assert_eq!(target("http://h:4318/otlp/", "/v1/logs"), "/v1/logs");
    assert_eq!(target("http://h:4318/v1/logs", "/v1/logs"), "");
    assert_eq!(target("http://h:4318/v1/logs/", "/v1/logs"), "");
    assert_eq!(target("http://h:4318/x", ""), "");
}

#[test]
fn kube_apiserver_is_the_resource_unless_the_configuration_says_otherwise() {
    let config = |resource: &[(&str, &str)]| config::Otlp {
        resource: resource.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..config::Otlp::new(server("http://h:4318"))
    };
    let of = |given: &[(&str, &str)], identity: &Identity| {
        let request = Otlp::new(&config(given), identity).request(&events(golden_lines()), UNIX_EPOCH);
        let logs = decode(&request).resource_logs.remove(0);
        let scope = logs.scope_logs[0].scope.clone().unwrap();
        assert_eq!((scope.name.as_str(), scope.version.as_str()), SCOPE);
        let attributes = logs.resource.unwrap().attributes;
        attributes.iter().map(|pair| format!("{}={}", pair.key, pair.text())).collect::<Vec<_>>()
    };
    let [service, namespace, container] = [
        "service.name=kube-apiserver",
        "k8s.namespace.name=kube-system",
        "k8s.container.name=kube-apiserver",
    ];
    assert_eq!(of(&[], &Identity::default()), [service, namespace, container]);
    let [cluster, node, host] = ["k8s.cluster.name=c1", "k8s.node.name=m0", "host.name=m0"];
    assert_eq!(of(&[], &identity()), [service, namespace, container, cluster, node, host]);
    let given = [("service.name", "api"), ("k8s.container.name", ""), ("k8s.cluster.name", "c2")];
    let expect = [namespace, node, host, "service.name=api", "k8s.cluster.name=c2"];
    assert_eq!(of(&given, &identity()), expect);
}

#[test]
fn every_real_event_is_there_as_it_stands_in_the_log() {
    let lines = crate::sink::tests::recorded(0..1000);
    let events = events(lines.iter().map(Vec::as_slice));
    let records = decode(&request(Encoding::Protobuf, BodyForm::String, &events)).records();
    assert_eq!(records.len(), lines.len());
    for (record, line) in records.iter().zip(&lines) {
        let body = record.body.as_ref().unwrap();
        assert_eq!(body.kind, Some(Kind::Text(String::from_utf8(line.clone()).unwrap())));
        let uid = format!("{:032x}", fingerprint::long(line));
        assert_eq!(record.attribute("log.record.uid"), Some(Kind::Text(uid)));
        let place = json::member(line, 0, "stageTimestamp").unwrap();
        let time: jiff::Timestamp = json::unescaped(&line[place]).unwrap().parse().unwrap();
        assert_eq!(i128::from(record.time_unix_nano), time.as_nanosecond());
        assert_eq!(u128::from(record.observed_time_unix_nano), NOW.as_nanos());
        assert_eq!(record.event_name, "k8s.audit.event");
        let keys: std::collections::HashSet<_> = record.attributes.iter().map(|pair| &pair.key).collect();
        assert_eq!(keys.len(), record.attributes.len());
    }
}

#[test]
fn a_map_says_what_the_line_says() {
    let line = br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","x":[1,-2.5,null,true,"a\n",{"b":{}}],"stage":"Panic"}"#;
    let body = |encoding| request(encoding, BodyForm::Kvlist, &events([&line[..]]));
    let record = decode(&body(Encoding::Protobuf)).records().remove(0);
    let expect = r#"{kind: "Event", apiVersion: "audit.k8s.io/v1", level: "Metadata", x: [1, -2.5, -, true, "a\n", {b: {}}], stage: "Panic"}"#;
    assert_eq!(record.body.unwrap().to_string(), expect);
    let text = String::from_utf8(body(Encoding::Json).body.concat()).unwrap();
    let expect = r#"{"key":"x","value":{"arrayValue":{"values":[{"intValue":"1"},{"doubleValue":-2.5e0},{},{"boolValue":true},{"stringValue":"a\n"},{"kvlistValue":{"values":[{"key":"b","value":{"kvlistValue":{"values":[]}}}]}}]}}}"#;
    assert!(text.contains(expect), "{text}");
}

#[test]
fn a_request_may_be_taken_and_some_of_it_refused() {
    let text = "application/json; charset=utf-8";
    let binary = "application/x-protobuf";
    let partial = |rejected, message: &str| {
        decoded::Response { partial: Some(decoded::Partial { rejected, message: message.into() }) }
            .encode_to_vec()
    };
    let but = |refused, reason: &str| Verdict::AcceptedBut { refused, keep: true, reason: reason.to_owned() };
    let none = |reason: &str| Verdict::Each(vec![EventVerdict::Refused { reason: reason.to_owned() }; 10]);
    let silent = "the endpoint does not say why";
    let cases: [(&str, Vec<u8>, Verdict); 17] = [
        (binary, vec![], Verdict::Accepted),
        (binary, partial(0, ""), Verdict::Accepted),
        (binary, partial(-1, ""), Verdict::Accepted),
        (binary, partial(3, "too\nold"), but(3, "too old")),
        (binary, partial(3, ""), but(3, silent)),
        (binary, partial(10, "no"), none("no")),
        (binary, partial(i64::MAX, ""), none(silent)),
        (binary, partial(0, "use another port"), but(0, "use another port")),
        (text, b"{}".to_vec(), Verdict::Accepted),
        (text, br#"{"partialSuccess":null}"#.to_vec(), Verdict::Accepted),
        (text, br#"{"partialSuccess":{}}"#.to_vec(), Verdict::Accepted),
        (
            text,
            br#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"no"}}"#.to_vec(),
            but(2, "no"),
        ),
        (text, br#"{"partialSuccess":{"rejectedLogRecords":2}}"#.to_vec(), but(2, silent)),
        // Who writes defaults writes them so; and this is how the fields are called in the .proto file.
        (
            text,
            br#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":null}}"#.to_vec(),
            but(2, silent),
        ),
        (
            text,
            br#"{"partialSuccess":{"rejectedLogRecords":null,"errorMessage":"slow"}}"#.to_vec(),
            but(0, "slow"),
        ),
        (
            text,
            br#"{"partial_success":{"rejected_log_records":2,"error_message":"no"}}"#.to_vec(),
            but(2, "no"),
        ),
        (text, b"[]".to_vec(), Verdict::Accepted),
    ];
    // Who says nothing of the form answers in the one that was asked in.
    for (content_type, body, expect) in cases {
        let asked_in = if content_type == text { Encoding::Json } else { Encoding::Protobuf };
        let named = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        for (headers, encodings) in
            [(named, vec![Encoding::Protobuf, Encoding::Json]), (HeaderMap::new(), vec![asked_in])]
        {
            let answer = Answer { headers, body: body.clone().into(), ..answer(200, "") };
            for encoding in encodings {
                let verdict = sink(encoding, BodyForm::String).verdict(10, &answer);
                assert_eq!(verdict, expect, "{content_type} {}", String::from_utf8_lossy(&body));
            }
        }
    }
}

/// A proxy, a portal, a wrong port: nobody there knows what an event is.
#[test]
fn a_web_page_is_no_answer_of_an_endpoint() {
    let html = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))]);
    for answer in [
        answer(200, "<html>"),
        answer(200, "\n <!DOCTYPE html>"),
        Answer { headers: html, ..answer(200, "Welcome") },
    ] {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let verdict = sink(encoding, BodyForm::String).verdict(10, &answer);
            assert_eq!(verdict, Verdict::Hold { reread_credentials: false });
        }
    }
}

#[test]
fn answers_mean_what_the_sheet_says() {
    let after = Some(Duration::from_secs(7));
    let hold = |reread_credentials| Verdict::Hold { reread_credentials };
    let cases: [(&[u16], Verdict); 7] = [
        (&[200, 202, 204], Verdict::Accepted),
        (&[429, 502, 503, 504, 408, 507], Verdict::Retry { after }),
        (&[401, 403], hold(true)),
        (&[500, 404, 405, 415, 501, 301, 304, 100], hold(false)),
        (&[400, 409, 422], Verdict::Refused { too_large: false }),
        (&[413], Verdict::Refused { too_large: true }),
        (&[431], Verdict::Refused { too_large: true }),
    ];
    let strict = Otlp { strict_spec: true, ..sink(Encoding::Protobuf, BodyForm::String) };
    for (statuses, expect) in cases {
        for status in statuses {
            let answer = Answer { retry_after: after, ..answer(*status, "") };
            assert_eq!(sink(Encoding::Protobuf, BodyForm::String).verdict(3, &answer), expect, "{status}");
            let is_final = *status >= 400 && ![413, 429, 502, 503, 504].contains(status);
            let reason = format!("status {status}: ");
            let dropped = Verdict::AcceptedBut { refused: 3, keep: false, reason };
            assert_eq!(
                strict.verdict(3, &answer),
                if is_final { dropped } else { expect.clone() },
                "{status}"
            );
        }
    }
}

#[test]
fn who_drops_by_the_letter_says_what_the_endpoint_says() {
    let status = decoded::Status { code: 3, message: "no tenant".to_owned() }.encode_to_vec();
    for (encoding, body) in [
        (Encoding::Protobuf, status),
        (Encoding::Json, br#"{"code":3,"message":"no tenant","details":[]}"#.to_vec()),
        (Encoding::Json, b"no tenant".to_vec()),
    ] {
        let strict = Otlp { strict_spec: true, ..sink(encoding, BodyForm::String) };
        let answer = Answer { body: body.into(), ..answer(401, "") };
        let reason = "status 401: no tenant".to_owned();
        let expect = Verdict::AcceptedBut { refused: 1, keep: false, reason };
        assert_eq!(strict.verdict(1, &answer), expect);
    }
}

#[test]
fn by_the_letter_a_partial_success_is_the_end_of_it() {
    let strict = Otlp { strict_spec: true, ..sink(Encoding::Json, BodyForm::String) };
    for (rejected, refused) in [(3, 3), (10, 10), (11, 10)] {
        let body =
            format!(r#"{{"partialSuccess":{{"rejectedLogRecords":"{rejected}","errorMessage":"no"}}}}"#);
        let expect = Verdict::AcceptedBut { refused, keep: false, reason: "no".to_owned() };
        assert_eq!(strict.verdict(10, &answer(200, &body)), expect);
    }
}

#[test]
fn limits_are_kept() {
    let limits = sink(Encoding::Protobuf, BodyForm::String).limits();
    assert_eq!(limits, Limits { body_bytes: 4 << 20, answer_bytes: 4 << 20 });
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever a line holds, it becomes a record that others can read, in each form.
    #[test]
    fn any_line_becomes_a_record(line in real_line(), changes in mutations(), file: Option<String>) {
        let line = mutated(&line, &changes);
        let record = Record::of(&line, file.as_deref());
        for body in [BodyForm::String, BodyForm::Kvlist] {
            let mut records = Vec::new();
            sink(Encoding::Protobuf, body).add_record(&mut records, &record, 1);
            let found = decoded::ScopeLogs::decode(&*records).unwrap().log_records;
            prop_assert_eq!(found.len(), 1);
            let mut text = Vec::new();
            sink(Encoding::Json, body).add_record(&mut text, &record, 1);
            let read: serde_json::Result<serde::de::IgnoredAny> = serde_json::from_slice(&text);
            prop_assert!(read.is_ok(), "{}", String::from_utf8_lossy(&text));
        }
    }

    /// Whatever an endpoint answers, there is a verdict that counts no more events than there were.
    #[test]
    fn any_answer_has_a_verdict(status: u16, body: Vec<u8>, events in 1..500_usize, is_json: bool, strict_spec: bool) {
        let encoding = if is_json { Encoding::Json } else { Encoding::Protobuf };
        let sink = Otlp { strict_spec, ..sink(encoding, BodyForm::String) };
        let answer = Answer { body: body.into(), ..answer(status, "") };
        if let Verdict::AcceptedBut { refused, .. } = sink.verdict(events, &answer) {
            prop_assert!(refused <= events as u64);
        }
    }
}
