//! What the endpoint refuses for its size.

use serde::Deserialize;

use super::{assert_delivered_once, assert_ready_again};
use crate::support::books::count;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::http1::Recorded;
use crate::support::shipper::{POISON, Shipper, poisoned, wait_until_settled};
use crate::support::workdir::{large_events, real_events};

const LIMIT: usize = 30_000;

fn limited(status: u16) -> Endpoint {
    Endpoint::start(move |request: &Recorded, _| {
        let too_large = request.body.len() > LIMIT || request.holds(POISON);
        if too_large { Answer::status(status) } else { Answer::ok() }
    })
}

#[test]
fn a_batch_is_halved_until_it_is_taken() {
    for status in [413, 431] {
        let endpoint = limited(status);
        let shipper = Shipper::new(&endpoint).log(&real_events(200)).one_at_a_time();
        let daemon = shipper.start();
        let metrics = wait_until_settled(&daemon, 200);
        assert_delivered_once(&endpoint, &real_events(200));
        assert_eq!(count(&metrics, "audit_shipper_truncated_events_total", &[]), 0);
        assert!(!shipper.rejected_file().exists());
        assert_ready_again(&daemon);
    }
}

#[derive(Deserialize)]
struct Cut {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "audit.k8s.io/truncated")]
    truncated: String,
}

#[test]
fn an_event_that_is_too_large_alone_is_cut_and_the_others_are_not() {
    let mut events = real_events(12);
    let large = large_events().into_iter().find(|line| line.len() > LIMIT + 1000).unwrap();
    events.insert(5, large.clone());
    let endpoint = limited(413);
    let shipper = Shipper::new(&endpoint).log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 13);
    assert_eq!(count(&metrics, "audit_shipper_truncated_events_total", &[]), 1);
    assert_eq!(count(&metrics, "audit_shipper_delivered_events_total", &[]), 13);
    let (cut, whole): (Vec<String>, Vec<String>) =
        endpoint.items().into_iter().partition(|line| line.contains("audit.k8s.io/truncated"));
    assert_eq!(whole.len(), 12);
    assert!(whole.iter().all(|line| events.contains(line) && *line != large));
    let cut: Cut = serde_json::from_str(&cut[0]).unwrap();
    assert!(large.contains(&cut.audit_id) && large.contains(&cut.stage));
    assert_eq!(cut.annotations.truncated, "true");
    assert!(!shipper.rejected_file().exists());
    assert_ready_again(&daemon);
}

#[test]
fn an_event_that_is_too_large_even_when_cut_is_set_aside_as_it_was() {
    let mut events = real_events(12);
    events[7] = poisoned(&large_events().into_iter().find(|line| line.len() > LIMIT).unwrap());
    let endpoint = limited(413);
    let shipper = Shipper::new(&endpoint).log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 12);
    assert_eq!(count(&metrics, "error_total", &[("reason", "too_large")]), 1);
    assert_eq!(count(&metrics, "audit_shipper_truncated_events_total", &[]), 0);
    assert_delivered_once(&endpoint, events.iter().filter(|line| !line.contains(POISON)));
    let [entry] = shipper.rejected().try_into().unwrap();
    assert_eq!((entry.reason.as_str(), entry.status), ("too_large", Some(413)));
    assert!(entry.line() == events[7]);
    let alone = |request: &&Recorded| crate::support::endpoint::lines(request).len() == 1;
    let tries: Vec<usize> = endpoint
        .requests()
        .iter()
        .filter(|request| request.holds(POISON))
        .filter(alone)
        .map(|request| request.body.len())
        .collect();
    assert!(tries.len() == 2 && tries[1] <= tries[0] / 2 + 200, "once whole, once cut: {tries:?}");
    assert_ready_again(&daemon);
}
