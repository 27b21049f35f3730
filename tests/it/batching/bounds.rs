//! Bytes of a request, and what is held in memory while the endpoint is slow.

use crate::support::books::{assert_books_balance, count};
use crate::support::endpoint::{Answer, Endpoint, Gate, lines};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::wait_until;
use crate::support::workdir::{large_events, real_events};

#[test]
fn max_batch_size_bounds_every_body_and_a_larger_event_goes_alone() {
    let events = large_events();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint)
        .log(&events)
        .one_at_a_time()
        .flag("audit-webhook-truncate-max-event-size", 30_000)
        .flag("audit-webhook-truncate-max-batch-size", 30_000)
        .flag("audit-webhook-batch-throttle-enable", false);
    let daemon = shipper.start();
    wait_until_settled(&daemon, events.len());
    assert!(endpoint.items() == events);
    let requests = endpoint.requests();
    for request in &requests {
        assert!(request.body.len() <= 30_000 || lines(request).len() == 1, "{} bytes", request.body.len());
    }
    assert!(requests.iter().any(|request| request.body.len() > 1_000_000), "the largest goes too");
    assert!(requests.len() < events.len() / 2, "small events share their requests");
}

#[test]
fn buffer_size_bounds_what_is_read_ahead_while_the_endpoint_hangs() {
    let gate = Gate::closed();
    let endpoint = Endpoint::start({
        let gate = gate.clone();
        move |_, _| Answer::After(gate.clone(), Box::new(Answer::ok()))
    });
    let shipper = Shipper::new(&endpoint)
        .log(&real_events(100))
        .batches_of(3)
        .output("maxInFlight: 50")
        .flag("audit-webhook-batch-buffer-size", 10)
        .flag("audit-webhook-batch-throttle-enable", false);
    let daemon = shipper.start();
    let buffered = || {
        assert_books_balance(&daemon);
        let buffered = count(&daemon.metrics(), "audit_shipper_buffered_events", &[]);
        assert!(buffered <= 10, "{buffered} events are held in memory");
        buffered
    };
    wait_until("three batches that wait", || (buffered() == 9).then_some(()));
    endpoint.wait_for("their requests", |requests| requests.len() == 3);
    gate.open();
    wait_until("the last event", || {
        buffered();
        (endpoint.items().len() == 100).then_some(())
    });
    wait_until_settled(&daemon, 100);
    assert_eq!(endpoint.most_at_once(), 3);
}

#[test]
fn max_memory_bounds_what_is_read_ahead_while_the_endpoint_hangs() {
    let gate = Gate::closed();
    let endpoint = Endpoint::start({
        let gate = gate.clone();
        move |_, _| Answer::After(gate.clone(), Box::new(Answer::ok()))
    });
    let shipper = Shipper::new(&endpoint)
        .log(&real_events(400))
        .source("maxLineBytes: 64KiB")
        .output("maxMemory: 128KiB")
        .output("maxInFlight: 50")
        .flag("audit-webhook-truncate-max-event-size", 16 << 10)
        .flag("audit-webhook-truncate-max-batch-size", 16 << 10)
        .flag("audit-webhook-batch-throttle-enable", false);
    let daemon = shipper.start();
    // The buffers that events are read into are the bodies.
    let body_bytes = || endpoint.requests().iter().map(|request| request.body.len()).sum::<usize>();
    let free_at_the_end = 16 << 10;
    let enough = (128 << 10) - 2 * free_at_the_end;
    wait_until("a full memory", || (body_bytes() >= enough).then_some(()));
    for _ in 0..10 {
        assert_books_balance(&daemon);
        assert!(body_bytes() <= (128 << 10) + 4096, "{} bytes", body_bytes());
    }
    gate.open();
    wait_until_settled(&daemon, 400);
    assert_eq!(endpoint.items().len(), 400);
}
