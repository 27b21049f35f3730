//! An endpoint of OpenTelemetry's log protocol: every event arrives in each form, and what the endpoint answers is heeded
//! as the specification wants it.

mod connect;
pub(super) mod destination;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use super::protobuf::{self, all, one};
use super::python;
use crate::rejected::rejected;
use crate::support::books::of_output;
use crate::support::endpoint::{Answer, Endpoint, body};
use crate::support::http1::Recorded;
use crate::support::shipper::{POISON, Rejected, Shipper, poisoned, wait_until_settled};
use crate::support::workdir::{large_events, real_events, sensitive_events};

fn shipper(endpoint: &Endpoint, fields: &str) -> Shipper {
    let url = format!("http://{}", endpoint.address());
    Shipper::new(endpoint).sink("otlp", &format!("url: \"{url}\", {fields}"))
}

/// The lines of the log that a request in Protocol Buffers carries as strings.
fn lines(request: &Recorded) -> Vec<String> {
    let body = body(request);
    let records = all(one(one(&body, 1), 2), 2).into_iter();
    records.map(|record| protobuf::text(one(record, 5), 1) + "\n").collect()
}

/// The attributes in the fields of this number, as far as they are texts.
fn attributes(message: &[u8], number: u64) -> Vec<(String, String)> {
    let attribute = |pair| {
        let text = *all(one(pair, 2), 1).first()?;
        Some((protobuf::text(pair, 1), String::from_utf8(text.to_vec()).unwrap()))
    };
    all(message, number).into_iter().filter_map(attribute).collect()
}

/// The same of a request in JSON.
fn lines_of_json(request: &Recorded) -> Vec<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        resource_logs: [ResourceLogs; 1],
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ResourceLogs {
        scope_logs: [ScopeLogs; 1],
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ScopeLogs {
        log_records: Vec<LogRecord>,
    }
    #[derive(Deserialize)]
    struct LogRecord {
        body: Body,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        string_value: String,
    }
    let Request { resource_logs: [ResourceLogs { scope_logs: [scope] }] } =
        serde_json::from_slice(&body(request)).unwrap();
    scope.log_records.into_iter().map(|record| record.body.string_value + "\n").collect()
}

/// `ExportLogsServiceResponse` with a partial success.
fn partial_success(rejected: u8, message: &str) -> String {
    let length = u8::try_from(message.len()).unwrap();
    let bytes = [&[10, length + 4, 8, rejected, 18, length], message.as_bytes()].concat();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn every_line_arrives_in_each_form() {
    let events = [real_events(1250), large_events(), sensitive_events()].concat();
    let cases = [
        ("compression: none", "application/x-protobuf", None),
        ("encoding: protobuf", "application/x-protobuf", Some("gzip")),
        ("encoding: json, compression: zstd", "application/json", Some("zstd")),
    ];
    for (fields, content_type, coding) in cases {
        let endpoint = Endpoint::start(|_, _| Answer::with_body(200, ""));
        let shipper = shipper(&endpoint, fields).log(&events);
        let daemon = shipper.start();
        wait_until_settled(&daemon, events.len());
        let requests = endpoint.requests();
        let lines = if content_type.ends_with("json") { lines_of_json } else { lines };
        let arrived: Vec<String> = requests.iter().flat_map(lines).collect();
        assert_eq!(arrived.len(), events.len(), "none came twice");
        assert!(arrived.iter().collect::<BTreeSet<_>>() == events.iter().collect());
        for request in &requests {
            assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/logs"));
            assert_eq!(request.header("content-type"), Some(content_type));
            assert_eq!(request.header("content-encoding"), coding);
            // One event may be larger than a request may be.
            assert!(body(request).len() <= 4 << 20 || lines(request).len() == 1);
        }
    }
}

#[test]
fn others_read_what_is_sent() {
    let events = [real_events(400), large_events(), sensitive_events()].concat();
    for (fields, ending) in [
        ("body: string", "pb"),
        ("body: kvlist", "pb"),
        ("encoding: json", "json"),
        ("encoding: json, body: kvlist", "json"),
    ] {
        let endpoint = Endpoint::start(|_, _| Answer::with_body(200, ""));
        let shipper = shipper(&endpoint, fields).log(&events);
        let daemon = shipper.start();
        wait_until_settled(&daemon, events.len());
        let path = |number: usize| shipper.workdir.path(&format!("{number}.{ending}"));
        let requests = endpoint.requests();
        let paths: Vec<_> = (0..requests.len()).map(path).collect();
        requests.iter().zip(&paths).for_each(|(request, path)| std::fs::write(path, body(request)).unwrap());
        python::check("otlp/decode.py", &shipper.workdir.log(), &paths);
    }
}

/// They are what the encoder's own tests compare with.
#[test]
fn others_read_the_goldens() {
    let data = format!("{}/tests/data/sinks/otlp", env!("CARGO_MANIFEST_DIR"));
    for name in ["string.pb", "string.json", "kvlist.pb", "kvlist.json"] {
        python::check(
            "otlp/decode.py",
            format!("{data}/events.ndjson").as_ref(),
            &[format!("{data}/{name}")],
        );
    }
}

/// A client must not send it again: what was refused is counted, and since nobody knows which it was, all events of the
/// request are kept, unless the letter is wanted.
#[test]
fn a_partial_success_is_the_end_of_a_request() {
    let events = real_events(100);
    let cases = [
        ("encoding: protobuf", "application/x-protobuf", partial_success(3, "too old")),
        (
            "encoding: json",
            "application/json",
            r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}"#.to_owned(),
        ),
    ];
    for (fields, content_type, body) in cases {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        let endpoint = Endpoint::start(move |_, n| match n {
            1 => Answer::Status { code: 200, headers: headers.clone(), body: body.clone() },
            _ => Answer::with_body(200, ""),
        });
        for (strict, kept) in [(false, &events[20..40]), (true, &[])] {
            endpoint.forget();
            let fields = format!("{fields}, strictSpec: {strict}");
            let shipper = shipper(&endpoint, &fields).log(&events).batches_of(20).one_at_a_time();
            let daemon = shipper.start();
            let metrics = wait_until_settled(&daemon, events.len());
            assert_eq!(of_output(&metrics, "refused_by_endpoint"), 3);
            assert_eq!(of_output(&metrics, "delivered"), 97);
            assert_eq!(of_output(&metrics, "set_aside"), 0);
            assert_eq!(endpoint.requests().len(), 5);
            let aside = shipper.rejected();
            assert!(aside.iter().map(Rejected::line).eq(kept.iter().cloned()));
            let expect = Some("3 of 20 events, one of them this: too old".to_owned());
            assert!(aside.iter().all(|entry| entry.answer == expect && entry.status == Some(200)));
        }
    }
}

/// The collector does not say which it was, so all events of the request are in the file, and `rejected retry` finds out:
/// what was taken with others is sent again.
#[test]
fn what_a_partial_success_leaves_in_doubt_is_sent_once_more() {
    let mut events = real_events(60);
    for place in [20, 29, 39] {
        events[place] = poisoned(&events[place]);
    }
    let (is_healed, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
    let endpoint = Endpoint::start({
        let (is_healed, taken) = (Arc::clone(&is_healed), Arc::clone(&taken));
        move |request, _| {
            let is_healed = is_healed.load(Ordering::SeqCst);
            let (good, bad): (Vec<String>, Vec<String>) =
                lines(request).into_iter().partition(|line| is_healed || !line.contains(POISON));
            taken.lock().unwrap().extend(good);
            let rejected = u8::try_from(bad.len()).unwrap();
            Answer::with_body(
                200,
                if rejected == 0 { String::new() } else { partial_success(rejected, "no") },
            )
        }
    });
    let shipper = shipper(&endpoint, "encoding: protobuf").log(&events).batches_of(20).one_at_a_time();
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    assert_eq!(of_output(&metrics, "refused_by_endpoint"), 3);
    let left = || shipper.rejected().iter().map(Rejected::line).collect::<Vec<_>>();
    assert_eq!(left(), events[20..40]);

    let ended = rejected(&shipper, &["retry"]);
    assert_eq!(ended.stdout, "siem: 17 taken by the endpoint, 3 refused again, 0 not tried\n");
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.ends_with("siem: the endpoint refuses events with status 200\n"),
        "{}",
        ended.stderr
    );
    assert_eq!(left(), [20, 29, 39].map(|place: usize| events[place].clone()));

    is_healed.store(true, Ordering::SeqCst);
    let said = rejected(&shipper, &["retry"]).succeeded();
    assert_eq!(said, "siem: 3 taken by the endpoint, 0 refused again, 0 not tried\n");
    assert_eq!(left(), [""; 0]);
    assert!(*taken.lock().unwrap() == events.into_iter().collect());
}

/// If all of a request are refused it is known which, and an endpoint that does so must not empty the log.
#[test]
fn an_endpoint_that_refuses_every_record_loses_none() {
    let events = real_events(100);
    let endpoint = Endpoint::start(|request, n| {
        let rejected = u8::try_from(lines(request).len()).unwrap();
        let body = if (1..4).contains(&n) { partial_success(rejected, "no") } else { String::new() };
        Answer::with_body(200, body)
    });
    let shipper = shipper(&endpoint, "encoding: protobuf").log(&events).batches_of(20).one_at_a_time();
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    assert_eq!(of_output(&metrics, "refused_by_endpoint"), 0);
    assert_eq!(of_output(&metrics, "delivered"), 100);
    assert!(shipper.rejected().is_empty());
}

#[test]
fn no_request_is_larger_than_it_may_be() {
    let events = real_events(200);
    let endpoint = Endpoint::start(|_, _| Answer::with_body(200, ""));
    let shipper = shipper(&endpoint, "maxRequestSize: 50000").log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    assert_eq!(of_output(&metrics, "delivered"), 200);
    assert!(endpoint.requests().iter().all(|request| body(request).len() <= 50_000));
}

/// Where the specification has a client drop what it has, we wait until somebody has changed something, unless we are told
/// to keep to the letter.
#[test]
fn what_a_client_should_drop_is_kept_unless_the_letter_is_wanted() {
    let events = real_events(60);
    for status in [401, 404, 500] {
        for (fields, dropped) in [("timeout: 5s", 0), ("strictSpec: true", 20)] {
            let endpoint = Endpoint::start(move |_, n| Answer::status(if n == 0 { status } else { 200 }));
            let shipper = shipper(&endpoint, fields).log(&events).batches_of(20).one_at_a_time();
            let daemon = shipper.start();
            let metrics = wait_until_settled(&daemon, events.len());
            assert_eq!(of_output(&metrics, "refused_by_endpoint"), dropped, "{status}");
            assert_eq!(of_output(&metrics, "delivered"), 60 - dropped);
            let again = endpoint
                .requests()
                .iter()
                .filter(|request| request.body == endpoint.requests()[0].body)
                .count();
            assert_eq!(again > 1, dropped == 0, "{status}");
        }
    }
}

#[test]
fn the_configuration_says_what_the_resource_is() {
    let events = real_events(3);
    let endpoint = Endpoint::start(|_, _| Answer::with_body(200, ""));
    let url = format!("http://{}/base/v1/logs", endpoint.address());
    let fields = format!("url: \"{url}\", resource: {{ k8s.cluster.name: c1, service.name: api }}");
    let shipper = Shipper::new(&endpoint).sink("otlp", &fields).log(&events);
    let daemon = shipper.start();
    wait_until_settled(&daemon, events.len());
    let request = endpoint.requests().remove(0);
    assert_eq!(request.target, "/base/v1/logs");
    let body = body(&request);
    let attributes: BTreeMap<_, _> = attributes(one(one(&body, 1), 1), 1).into_iter().collect();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let expect = [
        ("host.name", host.trim()),
        ("k8s.cluster.name", "c1"),
        ("k8s.container.name", "kube-apiserver"),
        ("k8s.namespace.name", "kube-system"),
        ("k8s.node.name", host.trim()),
        ("service.name", "api"),
    ];
    assert_eq!(attributes, expect.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}
