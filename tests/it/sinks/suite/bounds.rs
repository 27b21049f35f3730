//! What is under way, what is held in memory, and how often something is sent is bounded.

use std::sync::{Arc, Mutex};

use super::site::Fate;
use super::{Destination, Protocol, Site};
use crate::support::books::{assert_books_balance, count};
use crate::support::endpoint::Gate;
use crate::support::shipper::wait_until_settled;
use crate::support::wait_until;
use crate::support::workdir::real_events;

/// How many events and bytes each request had.
type Sizes = Arc<Mutex<Vec<[usize; 2]>>>;

/// A site that answers once the gate is open.
fn held<P: Protocol>(gate: &Gate) -> (Site<P>, Sizes) {
    let (gate, sizes) = (gate.clone(), Sizes::default());
    let noted = Arc::clone(&sizes);
    let site = Site::with(move |_, events, _| {
        let bytes = events.iter().map(String::len).sum();
        noted.lock().unwrap().push([events.len(), bytes]);
        Fate::Held(gate.clone())
    });
    (site, sizes)
}

pub(super) fn in_flight<P: Protocol>() {
    const BATCH: usize = 7;
    let gate = Gate::closed();
    let (site, sizes) = held::<P>(&gate);
    let events = real_events(100);
    let shipper = site
        .shipper()
        .batches_of(BATCH)
        .output("maxInFlight: 3")
        .flag("audit-webhook-batch-buffer-size", 60)
        .log(&events);
    let daemon = shipper.start();
    wait_until("three requests", || (sizes.lock().unwrap().len() == 3).then_some(()));
    let metrics = daemon.metrics();
    assert!((21..=60).contains(&count(&metrics, "audit_shipper_buffered_events", &[])), "{}", metrics.text());
    assert_books_balance(&daemon);
    gate.open();
    wait_until_settled(&daemon, events.len());
    assert_eq!(site.endpoint.most_at_once(), 3);
    assert!(sizes.lock().unwrap().iter().all(|[events, _]| *events <= BATCH));
    site.assert_has(&shipper, &events, 0);
}

pub(super) fn memory<P: Protocol>() {
    const MEMORY: usize = 128 << 10;
    /// A buffer is full when this little is free at its end.
    const REST: usize = 16 << 10;
    let gate = Gate::closed();
    let (site, sizes) = held::<P>(&gate);
    let events = real_events(300);
    let shipper = site
        .shipper()
        .source("maxLineBytes: 64KiB")
        .output("maxMemory: 128KiB")
        .output("maxInFlight: 50")
        .flag("audit-webhook-truncate-max-event-size", REST)
        .flag("audit-webhook-truncate-max-batch-size", REST)
        .log(&events);
    let daemon = shipper.start();
    let bytes = || sizes.lock().unwrap().iter().map(|[_, bytes]| bytes).sum::<usize>();
    wait_until("a full memory", || (bytes() >= MEMORY - 3 * REST).then_some(()));
    for _ in 0..5 {
        assert_books_balance(&daemon);
        // A line is a little more than the item that is kept of it.
        assert!(bytes() <= MEMORY + 8192, "{} bytes", bytes());
    }
    gate.open();
    wait_until_settled(&daemon, events.len());
    site.assert_has(&shipper, &events, 0);
}

pub(super) fn throttle<D: Destination>() {
    const BATCH: usize = 5;
    const BURST: usize = 3;
    let place = D::new();
    let events = real_events(60);
    let shipper = place
        .shipper()
        .batches_of(BATCH)
        .flag("audit-webhook-batch-throttle-enable", true)
        .flag("audit-webhook-batch-throttle-qps", 0.001)
        .flag("audit-webhook-batch-throttle-burst", BURST)
        .log(&events);
    let daemon = place.start(&shipper);
    daemon.wait_for_metrics("a wait after the burst", |metrics| {
        let delivered = count(metrics, "audit_shipper_delivered_events_total", &[]);
        let waited = metrics.value_or_zero("audit_shipper_throttle_wait_seconds_total", &[]);
        delivered == (BURST * BATCH) as u64 && waited >= 0.3
    });
    place.assert_has(&shipper, &events[..BURST * BATCH], 0);
    assert_books_balance(&daemon);
}
