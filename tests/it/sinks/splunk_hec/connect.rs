//! `check --connect` of a collector: the token shows without an event, the index does not.

use super::fake::{Collector, Rules};
use super::shipper;
use crate::connect::{assert_failed, connect, good, reached};
use crate::support::shipper::Shipper;

/// As `shipper`, without an index.
fn of_any_index(collector: &Collector, fields: &str) -> Shipper {
    let shipper = Shipper::to("http://unused.test");
    let token = shipper.workdir.path("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let fields = format!("url: \"{}\", tokenFile: \"{}\", {fields}", collector.url(), token.display());
    shipper.sink("splunkHec", &fields)
}

fn assert_nothing_is_there(collector: &Collector) {
    assert_eq!((collector.received(), collector.indexed()), (Vec::new(), Vec::new()));
}

#[test]
fn the_token_is_shown_and_the_index_is_not() {
    for acknowledges in [None, Some(false)] {
        let collector = Collector::start(Rules { acknowledges, ..Rules::default() });
        let said = reached(connect(&shipper(&collector, "compression: gzip")));
        assert!(said.contains("shown        the collector knows the token\n"), "{said}");
        assert!(said.contains("not shown    whether the token may write to index k8s_audit"), "{said}");
        assert!(said.contains("POST /services/collector/event: status 400, "), "{said}");
        assert!(said.contains("shown        the collector is healthy\n"), "{said}");
        good(connect(&of_any_index(&collector, "ack: auto")));
        assert_nothing_is_there(&collector);
    }
}

#[test]
fn a_token_that_the_collector_does_not_know_is_told() {
    let collector = Collector::start(Rules { token: Some("another".to_owned()), ..Rules::default() });
    let ended = connect(&shipper(&collector, "compression: none"));
    assert_failed(&ended, "status 403, code 4: the collector does not know the token", "look at tokenFile (");
    assert_eq!(collector.requests().len(), 1);
}

#[test]
fn acknowledgement_fits_the_token_or_is_told() {
    let with = Collector::start(Rules { acknowledges: Some(true), ..Rules::default() });
    let said = good(connect(&of_any_index(&with, "ack: 'on'")));
    assert!(said.contains("the collector tells what the indexers have acknowledged"), "{said}");
    assert_failed(&connect(&of_any_index(&with, "ack: 'off'")), "code 10: ", "set `ack: auto`");
    assert_nothing_is_there(&with);
    let without = Collector::start(Rules::default());
    assert_failed(&connect(&of_any_index(&without, "ack: 'on'")), "code 14: ", "set `ack: auto`");
}

#[test]
fn full_queues_are_told() {
    let collector = Collector::start(Rules { are_queues_full: true, ..Rules::default() });
    assert_failed(&connect(&of_any_index(&collector, "ack: auto")), "status 503: ", "nothing here");
}
