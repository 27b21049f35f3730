//! Grafana Loki: every event is stored, once, whatever its age and in whatever order requests come, and what Loki answers
//! is heeded.

mod connect;
pub(super) mod destination;
mod fake;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use fake::Loki;

use super::python;
use crate::support::books::of_output;
use crate::support::endpoint::{Answer, Endpoint, body};
use crate::support::shipper::{Rejected, Shipper, wait_until_settled};
use crate::support::workdir::{large_events, real_events, sensitive_events};

const TRUNCATED: &str = "truncate: { enabled: true, maxEventSize: 256KiB }";

fn shipper(endpoint: &Endpoint, fields: &str) -> Shipper {
    Shipper::new(endpoint).sink("loki", &format!("url: \"http://{}\", {fields}", endpoint.address()))
}

/// A Loki behind `script`, which may do something else with the n-th request.
fn endpoint(script: impl Fn(usize) -> Option<Answer> + Send + Sync + 'static) -> (Loki, Endpoint) {
    let loki = Loki::default();
    let store = loki.clone();
    (loki, Endpoint::start(move |request, n| script(n).unwrap_or_else(|| store.push(request))))
}

fn sorted(lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    lines.sort_unstable();
    lines
}

/// The line as if it were from so long before now.
fn aged(line: &str, age: Duration) -> String {
    let time = jiff::Timestamp::try_from(SystemTime::now() - age).unwrap();
    let (head, rest) = line.split_once("\"stageTimestamp\":\"").unwrap();
    let tail = rest.split_once('"').unwrap().1;
    format!("{head}\"stageTimestamp\":\"{time:.6}\"{tail}")
}

#[test]
fn every_line_is_stored_once_in_each_form() {
    let events = [real_events(1250), sensitive_events(), large_events()].concat();
    let events: Vec<String> = events.into_iter().filter(|line| line.len() < 256 << 10).collect();
    let cases = [
        ("encoding: protobuf", "application/x-protobuf", None),
        ("encoding: json", "application/json", None),
        ("encoding: json, compression: gzip", "application/json", Some("gzip")),
    ];
    for (fields, content_type, coding) in cases {
        let (loki, endpoint) = endpoint(|_| None);
        let shipper = shipper(&endpoint, fields).log(&events);
        let daemon = shipper.start();
        let metrics = wait_until_settled(&daemon, events.len());
        assert_eq!(of_output(&metrics, "delivered"), events.len() as u64);
        assert!(loki.lines() == sorted(&events), "{} of {}", loki.lines().len(), events.len());
        for request in endpoint.requests() {
            assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/loki/api/v1/push"));
            assert_eq!(request.header("content-type"), Some(content_type));
            assert_eq!(request.header("content-encoding"), coding);
            assert_eq!(request.header("x-scope-orgid"), None);
            assert!(
                snap::raw::decompress_len(&body(&request)).unwrap_or_default() <= 4_000_000
                    || coding.is_some()
            );
            let times: Vec<_> =
                fake::entries(&request).into_iter().map(|entry| (entry.labels, entry.nanoseconds)).collect();
            assert!(times.chunk_by(|a, b| a.0 == b.0).all(<[_]>::is_sorted));
        }
    }
}

#[test]
fn others_read_what_is_sent() {
    let events = [real_events(400), sensitive_events(), large_events()].concat();
    for (fields, ending) in [("encoding: protobuf", "snappy"), ("encoding: json", "json")] {
        let endpoint = Endpoint::start(|_, _| Answer::status(204));
        let shipper = shipper(&endpoint, fields).log(&events);
        let daemon = shipper.start();
        wait_until_settled(&daemon, events.len());
        let path = |number: usize| shipper.workdir.path(&format!("{number}.{ending}"));
        let requests = endpoint.requests();
        let paths: Vec<_> = (0..requests.len()).map(path).collect();
        requests.iter().zip(&paths).for_each(|(request, path)| std::fs::write(path, body(request)).unwrap());
        python::check("loki/decode.py", &shipper.workdir.log(), &paths);
    }
}

/// They are what the encoder's own tests compare with.
#[test]
fn others_read_the_goldens() {
    let data = format!("{}/tests/data/sinks", env!("CARGO_MANIFEST_DIR"));
    for name in ["push.snappy", "push.json"] {
        let golden = format!("{data}/loki/{name}");
        python::check("loki/decode.py", format!("{data}/otlp/events.ndjson").as_ref(), &[golden]);
    }
}

/// An outage of ten days, with requests of four batches under way together, whose answers come late or never.
#[test]
fn a_backlog_of_any_age_is_stored_once() {
    let events: Vec<String> = real_events(600)
        .iter()
        .zip(0_u32..)
        .map(|(line, n)| aged(line, Duration::from_secs(240 * 3600) * (600 - n) / 600))
        .collect();
    let loki = Loki::default();
    let store = loki.clone();
    let endpoint = Endpoint::start(move |request, n| match n % 7 {
        0 => Answer::status(503),
        1 => Answer::with_body(429, "Per stream rate limit exceeded (limit: 3MB/sec)"),
        2 => Answer::Close,
        // It is stored, and nobody hears of it.
        3 => {
            store.push(request);
            Answer::CutOff
        }
        4 => Answer::Delay(Duration::from_millis(30), Box::new(store.push(request))),
        _ => store.push(request),
    });
    let shipper = shipper(&endpoint, "timeout: 5s").log(&events).batches_of(20);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    assert_eq!(of_output(&metrics, "delivered"), 600);
    assert!(loki.lines() == sorted(&events), "{} entries", loki.lines().len());
    let streams = loki.streams();
    // One for each hour that Loki takes, and one for what is new.
    assert!((2..=170).contains(&streams.len()), "{streams:?}");
    let is_old = |labels: &&String| labels.contains("replay=");
    assert_eq!(streams.iter().filter(|labels| !is_old(labels)).count(), 1);
    assert!(
        fake::entries(&endpoint.requests()[0]).iter().any(|entry| entry.metadata.contains_key("restamped"))
    );
}

/// Loki keeps what is good, so what is sent again while the bad ones are looked for must be the same entries.
#[test]
fn what_is_too_long_is_cut_and_the_others_are_stored_once() {
    // No hour ends within the test that matters to these.
    let age = Duration::from_secs(3 * 3600);
    let events: Vec<String> = large_events().iter().map(|line| aged(line, age)).collect();
    let is_long = |line: &&String| line.len() > 256 << 10;
    assert_eq!(events.iter().filter(is_long).count(), 1);
    let (loki, endpoint) = endpoint(|_| None);
    let shipper = shipper(&endpoint, "tooOld: restamp").log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    assert_eq!((of_output(&metrics, "delivered"), of_output(&metrics, "truncated")), (658, 1));
    let (cut, stored): (Vec<String>, Vec<String>) =
        loki.lines().into_iter().partition(|line| line.contains("audit.k8s.io/truncated"));
    let short: Vec<String> = events.iter().filter(|line| !is_long(line)).cloned().collect();
    assert!(stored == sorted(&short), "{} entries", stored.len());
    assert_eq!(cut.len(), 1);
    assert!(shipper.rejected().is_empty());
    let lines = endpoint.requests().iter().map(|request| fake::entries(request).len()).sum::<usize>();
    assert!(lines > events.len(), "some were sent again");
}

#[test]
fn what_is_truncated_fits() {
    let events = large_events();
    let (loki, endpoint) = endpoint(|_| None);
    let shipper = shipper(&endpoint, "tooOld: restamp").output(TRUNCATED).log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    assert_eq!(of_output(&metrics, "truncated"), 1);
    assert_eq!(loki.lines().len(), events.len());
    assert!(shipper.rejected().is_empty());
}

/// A tenant that is blocked, or a label too many: somebody has to do something, and nothing is lost meanwhile.
#[test]
fn nothing_is_set_aside_for_what_somebody_has_to_change() {
    let events = real_events(60);
    let (loki, endpoint) = endpoint(|n| match n {
        0 => Some(Answer::with_body(260, "ingestion blocked for user fake until '2026-11-23T00:00:00Z'")),
        1 => Some(Answer::with_body(400, "entry for stream '{job=\"x\"}' has 16 label names; limit 15")),
        2 => Some(Answer::status(401)),
        _ => None,
    });
    let shipper =
        shipper(&endpoint, "tenant: \"audit-1\", labels: { cluster: \"c\\\"1\", node: m0 }").log(&events);
    let daemon = shipper.start();
    wait_until_settled(&daemon, events.len());
    assert!(loki.lines() == sorted(&events));
    assert!(shipper.rejected().is_empty());
    assert!(endpoint.requests().iter().all(|request| request.header("x-scope-orgid") == Some("audit-1")));
    let starts: BTreeSet<_> =
        loki.streams().iter().map(|labels| labels.split(", replay").next().unwrap().to_owned()).collect();
    assert_eq!(starts, [r#"{cluster="c\"1", job="kube-apiserver-audit", node="m0""#.to_owned()].into());
}

/// A backlog of nothing but too old events, with nothing to compare them with.
#[test]
fn who_wants_too_old_events_rejected_finds_them_in_the_file_and_the_others_in_loki() {
    let old: Vec<String> =
        real_events(60).iter().map(|line| aged(line, Duration::from_secs(200 * 3600))).collect();
    let new: Vec<String> =
        real_events(80)[60..].iter().map(|line| aged(line, Duration::from_secs(1))).collect();
    let (loki, endpoint) = endpoint(|_| None);
    let shipper = shipper(&endpoint, "tooOld: reject").log(&old).batches_of(20);
    let daemon = shipper.start();
    wait_until_settled(&daemon, old.len());
    let aside: Vec<String> = shipper.rejected().iter().map(Rejected::line).collect();
    assert!(sorted(&aside) == sorted(&old), "{} of {}", aside.len(), old.len());
    shipper.workdir.append(&new);
    let metrics = wait_until_settled(&daemon, old.len() + new.len());
    assert_eq!(of_output(&metrics, "delivered"), 20);
    assert!(loki.lines() == sorted(&new));
}

/// The node's clock is wrong, or Loki takes nothing that is older than a day: it says so, and gets what it takes.
#[test]
fn a_loki_with_another_time_or_another_limit_gets_every_event() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    for (ahead_by, oldest_taken, oldest) in
        [(-3600, 168, hours(2)), (3600, 168, hours(190)), (0, 24, hours(100)), (0, 1, hours(10))]
    {
        let events: Vec<String> = real_events(200)
            .iter()
            .zip(0_u32..)
            .map(|(line, n)| aged(line, oldest * (200 - n) / 200))
            .collect();
        let loki = Loki::with(ahead_by, oldest_taken);
        let store = loki.clone();
        let endpoint = Endpoint::start(move |request, _| store.push(request));
        let shipper = shipper(&endpoint, "tooOld: restamp").log(&events).batches_of(20);
        let daemon = shipper.start();
        let metrics = wait_until_settled(&daemon, events.len());
        assert_eq!(of_output(&metrics, "delivered"), 200, "{ahead_by} {oldest_taken}");
        let stored: BTreeSet<String> = loki.lines().into_iter().collect();
        assert!(stored == events.iter().cloned().collect(), "{ahead_by} {oldest_taken}");
        assert!(shipper.rejected().is_empty());
    }
}
