//! Splunk's HTTP Event Collector: every event arrives as it was, whatever the collector answers on the way, and with
//! indexer acknowledgement nothing is settled before the indexers have it.

use std::collections::BTreeSet;

use crate::support::books::count;
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::wait_until;
use crate::support::workdir::{large_events, real_events, sensitive_events};

mod connect;
pub(super) mod destination;
mod fake;

use fake::{Collector, Rules};

const DELIVERED: &str = "audit_shipper_delivered_events_total";

/// Ships to the collector with the token that it wants.
fn shipper(collector: &Collector, fields: &str) -> Shipper {
    let shipper = Shipper::to("http://unused.test");
    let token = shipper.workdir.path("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let fields = format!(
        "url: \"{}\", tokenFile: \"{}\", host: master-0, index: k8s_audit, fields: {{ cluster: c1 }}, {fields}",
        collector.url(),
        token.display()
    );
    shipper.sink("splunkHec", &fields)
}

fn assert_has(collector: &Collector, events: &[String]) {
    let found: BTreeSet<String> = collector.indexed().into_iter().collect();
    assert!(found == events.iter().cloned().collect(), "{} of {} arrived", found.len(), events.len());
}

#[test]
fn every_event_arrives_as_it_was() {
    let events = [real_events(1250), large_events(), sensitive_events()].concat();
    for (fields, coding) in [("ack: auto", Some("gzip")), ("ack: 'off', compression: none", None)] {
        let collector = Collector::start(Rules::default());
        let shipper = shipper(&collector, fields).log(&events);
        let daemon = shipper.start();
        wait_until_settled(&daemon, events.len());
        assert_has(&collector, &events);
        let requests = collector.requests();
        assert!(requests.iter().all(|request| request.header("content-encoding") == coding));
        let own = [("host", "master-0"), ("fields.cluster", "c1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let has_own = |request| own.iter().all(|pair| fake::told(request).contains(pair));
        assert!(requests.iter().filter(|request| !fake::is_question(request)).all(has_own));
        let has_channel = |request: &_| fake::channel(request).is_some();
        assert!(requests.iter().all(|request| has_channel(request) == (coding.is_some())));
        let log = daemon.log();
        assert!(!log.contains("s3cret"), "{log}");
    }
}

#[test]
fn a_wrong_index_or_token_holds_the_output_until_it_is_put_right() {
    let events = real_events(60);
    let rules = Rules { index: "another".to_owned(), token: Some("renewed".to_owned()), ..Rules::default() };
    let collector = Collector::start(rules);
    let shipper = shipper(&collector, "ack: auto").log(&events);
    let daemon = shipper.start();
    let misconfigured =
        |is_so: u64| move |metrics: &_| count(metrics, "audit_shipper_misconfigured", &[]) == is_so;
    daemon.wait_for_metrics("a wrong token", misconfigured(1));
    std::fs::write(shipper.workdir.path("token"), "renewed").unwrap();
    collector.wait_for("a wrong index", |statuses| statuses.contains(&400));
    assert_eq!(collector.indexed(), [""; 0]);
    collector.change(|rules| rules.index = "k8s_audit".to_owned());
    wait_until_settled(&daemon, events.len());
    assert_has(&collector, &events);
    assert_eq!(shipper.rejected().len(), 0);
    daemon.wait_for_metrics("all well", misconfigured(0));
}

#[test]
fn nothing_is_settled_before_the_indexers_have_it() {
    let events = real_events(120);
    let collector = Collector::start(Rules { acknowledges: Some(false), ..Rules::default() });
    let shipper = shipper(&collector, "ack: auto").log(&events).batches_of(30);
    let daemon = shipper.start();
    collector.wait_for_questions(2);
    // The first questions may be about the first batch alone.
    wait_until("all to be taken", || (collector.received().len() == events.len()).then_some(()));
    assert_eq!(count(&daemon.metrics(), DELIVERED, &[]), 0);
    collector.change(|rules| rules.acknowledges = Some(true));
    wait_until_settled(&daemon, events.len());
    assert_has(&collector, &events);
    assert_eq!(collector.received().len(), events.len(), "nothing was sent twice");
}

#[test]
fn what_was_not_acknowledged_is_sent_again_after_a_crash() {
    let events = real_events(120);
    let collector = Collector::start(Rules { acknowledges: Some(false), ..Rules::default() });
    let shipper = shipper(&collector, "ack: 'on'").log(&events).batches_of(30);
    let mut first = shipper.start();
    collector.wait_for_questions(1);
    first.kill9();
    // As an indexer that has crashed too: what it had in memory is gone.
    collector.forget();
    collector.change(|rules| rules.acknowledges = Some(true));
    let second = shipper.start();
    wait_until_settled(&second, events.len());
    assert_has(&collector, &events);
}

#[test]
fn a_token_without_acknowledgements_is_told_where_they_are_wanted() {
    let events = real_events(10);
    let collector = Collector::start(Rules::default());
    let shipper = shipper(&collector, "ack: 'on'").log(&events);
    let daemon = shipper.start();
    daemon.wait_for_metrics("the mistake", |metrics| count(metrics, "audit_shipper_misconfigured", &[]) == 1);
    assert_eq!(count(&daemon.metrics(), DELIVERED, &[]), 0);
    collector.change(|rules| rules.acknowledges = Some(true));
    wait_until_settled(&daemon, events.len());
}
