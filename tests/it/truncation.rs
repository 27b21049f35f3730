//! Truncation: kube-apiserver's form where it has one, and a shorter event where it would drop the event.

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::support::books::count;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::{large_events, real_events};

const LIMIT: usize = 4096;
const TRUNCATED: &str = r#""audit.k8s.io/truncated":"true""#;

fn shipper(endpoint: &Endpoint) -> Shipper {
    Shipper::new(endpoint)
        .one_at_a_time()
        .flag("audit-webhook-truncate-enabled", true)
        .flag("audit-webhook-truncate-max-event-size", LIMIT)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    level: &'a str,
    #[serde(rename = "auditID")]
    audit_id: &'a str,
    stage: &'a str,
    verb: &'a str,
    #[serde(borrow)]
    user: User<'a>,
    #[serde(borrow)]
    object_ref: Option<&'a RawValue>,
    #[serde(borrow)]
    request_object: Option<&'a RawValue>,
    #[serde(borrow)]
    response_object: Option<&'a RawValue>,
    request_received_timestamp: &'a str,
    stage_timestamp: &'a str,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Deserialize)]
struct User<'a> {
    username: Option<&'a str>,
}

#[derive(Deserialize, Default)]
struct Annotations {
    #[serde(rename = "audit.k8s.io/truncated")]
    truncated: Option<String>,
    #[serde(rename = "audit-shipper.io/original-size")]
    size: Option<String>,
    #[serde(rename = "audit-shipper.io/original-sha256")]
    sha256: Option<String>,
}

impl<'a> Event<'a> {
    fn of(line: &'a str) -> Self {
        serde_json::from_str(line).unwrap()
    }
}

/// What kube-apiserver would send for a line that is too large; deliberately not the code under test.
fn as_kube_apiserver_would(line: &str) -> Option<String> {
    let event = Event::of(line);
    if !matches!(event.level, "Request" | "RequestResponse") {
        return None;
    }
    let mut form = line.to_owned();
    for (key, object) in [("requestObject", event.request_object), ("responseObject", event.response_object)]
    {
        if let Some(object) = object {
            form = form.replacen(&format!(",\"{key}\":{object}"), "", 1);
        }
    }
    let form = match form.rsplit_once("\"annotations\":{") {
        Some((head, tail)) => format!("{head}\"annotations\":{{{TRUNCATED},{tail}"),
        None => format!("{},\"annotations\":{{{TRUNCATED}}}}}\n", form.strip_suffix("}\n").unwrap()),
    };
    (form.len() <= LIMIT).then_some(form)
}

/// Asserts that `cut` is what we make of a line that kube-apiserver would drop.
fn assert_cut(line: &str, cut: &str) {
    assert!(cut.len() <= LIMIT, "{} bytes", cut.len());
    let (before, after) = (Event::of(line), Event::of(cut));
    let identity = |event: &Event<'_>| {
        let texts = [event.level, event.audit_id, event.stage, event.verb].map(str::to_owned);
        let times = [event.request_received_timestamp, event.stage_timestamp].map(str::to_owned);
        (texts, times, event.user.username.map(str::to_owned), event.object_ref.map(ToString::to_string))
    };
    assert_eq!(identity(&before), identity(&after));
    assert_eq!(after.annotations.truncated.as_deref(), Some("true"));
    let line = line.trim_end();
    assert_eq!(after.annotations.size, Some(line.len().to_string()));
    let sum: Vec<String> = Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(after.annotations.sha256, Some(sum.concat()));
}

#[test]
fn large_events_go_out_as_kube_apiserver_would_send_them() {
    let events = large_events();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint).log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());

    let items = endpoint.items();
    assert_eq!(items.len(), events.len());
    let mut cut = 0;
    for (event, item) in events.iter().zip(&items) {
        if event.len() <= LIMIT {
            assert!(item == event);
            continue;
        }
        cut += 1;
        match as_kube_apiserver_would(event) {
            Some(form) => assert_eq!(*item, form),
            None => assert_cut(event, item),
        }
    }
    assert!(cut > 10, "{cut} are too few to prove anything");
    assert_eq!(count(&metrics, "audit_shipper_truncated_events_total", &[]), cut);
    assert!(!shipper.rejected_file().exists());
}

/// `line` as an event of level Metadata with a user agent of `length` bytes.
fn with_user_agent(line: &str, length: usize) -> String {
    let (head, tail) = line.split_once("\"userAgent\":\"").unwrap();
    let level = Event::of(line).level;
    let head = head.replacen(&format!("\"level\":\"{level}\""), "\"level\":\"Metadata\"", 1);
    format!("{head}\"userAgent\":\"{}{tail}", "é".repeat(length / 2))
}

#[test]
fn an_event_without_objects_is_cut_and_not_dropped() {
    let mut events = real_events(4);
    events[1] = with_user_agent(&events[1], 20_000);
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint).log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 4);
    let items = endpoint.items();
    assert_eq!([&items[0], &items[2], &items[3]], [&events[0], &events[2], &events[3]]);
    assert_cut(&events[1], &items[1]);
    assert_eq!(count(&metrics, "audit_shipper_truncated_events_total", &[]), 1);
    assert!(!shipper.rejected_file().exists());
}

#[test]
fn an_event_whose_identity_alone_is_too_large_is_set_aside() {
    let mut events = real_events(4);
    let event = Event::of(&events[1]);
    let name = format!("{{\"name\":\"{}\",", "n".repeat(LIMIT));
    let object_ref = event.object_ref.unwrap().get();
    events[1] = events[1].replacen(object_ref, &object_ref.replacen('{', &name, 1), 1);
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint).log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 4);
    assert_eq!(endpoint.items(), [events[0].clone(), events[2].clone(), events[3].clone()]);
    assert_eq!(count(&metrics, "error_total", &[("reason", "too_large")]), 1);
    assert_eq!(count(&metrics, "audit_shipper_truncated_events_total", &[]), 0);
    let [entry] = shipper.rejected().try_into().unwrap();
    assert_eq!((entry.reason.as_str(), entry.status), ("too_large", None));
    assert_eq!(entry.line(), events[1]);
}

#[test]
fn without_the_flag_nothing_is_cut() {
    let events = large_events();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&events).one_at_a_time();
    let shipper = shipper.flag("audit-webhook-truncate-max-event-size", LIMIT);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    assert!(endpoint.items() == events);
    assert_eq!(count(&metrics, "audit_shipper_truncated_events_total", &[]), 0);
}
