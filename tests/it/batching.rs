//! How events are grouped, and what bounds them.

mod bounds;
mod modes;
mod throttle;

use crate::support::endpoint::{Answer, Endpoint, Gate, lines};
use crate::support::http1::Recorded;
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::real_events;

fn sizes(endpoint: &Endpoint) -> Vec<usize> {
    endpoint.requests().iter().map(|request| lines(request).len()).collect()
}

#[test]
fn a_batch_is_full_at_max_size() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&real_events(10)).batches_of(4).one_at_a_time();
    let daemon = shipper.start();
    wait_until_settled(&daemon, 10);
    assert_eq!(sizes(&endpoint), [4, 4, 2]);
    assert_eq!(endpoint.items(), real_events(10));
}

#[test]
fn a_lone_event_goes_although_no_other_follows() {
    let events = real_events(2);
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&events[..1]);
    let daemon = shipper.start();
    assert_eq!(endpoint.wait_for_items(1), events[..1]);
    shipper.workdir.append(&events[1..]);
    assert_eq!(endpoint.wait_for_items(2), events);
    wait_until_settled(&daemon, 2);
    assert_eq!(sizes(&endpoint), [1, 1]);
}

#[test]
fn a_full_batch_does_not_wait_and_the_rest_goes_when_the_daemon_stops() {
    let events = real_events(9);
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&events).batches_of(4).one_at_a_time();
    let shipper = shipper.flag("audit-webhook-batch-max-wait", "10m");
    let mut daemon = shipper.start();
    wait_until_settled(&daemon, 8);
    assert_eq!(endpoint.items(), events[..8]);
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(endpoint.items(), events);
    assert_eq!(sizes(&endpoint), [4, 4, 1]);
}

#[test]
fn requests_are_under_way_at_the_same_time_up_to_the_limit() {
    let gate = Gate::closed();
    let endpoint = Endpoint::start({
        let gate = gate.clone();
        move |_, n| {
            if n == 2 {
                gate.open();
            }
            // Without three at a time the first two would wait for ever.
            Answer::After(gate.clone(), Box::new(Answer::ok()))
        }
    });
    let shipper = Shipper::new(&endpoint).log(&real_events(60)).batches_of(2).output("maxInFlight: 3");
    let daemon = shipper.start();
    wait_until_settled(&daemon, 60);
    assert_eq!(endpoint.most_at_once(), 3);
    let (mut items, mut events) = (endpoint.items(), real_events(60));
    items.sort();
    events.sort();
    assert!(items == events);
}

#[test]
fn what_was_answered_before_its_elders_is_sent_again_with_them_after_a_crash() {
    let events = real_events(12);
    let first = events[0].clone();
    let gate = Gate::closed();
    let endpoint = Endpoint::start({
        let gate = gate.clone();
        move |request: &Recorded, _| {
            let hold = lines(request)[0] == first && !gate.is_open();
            if hold { Answer::Hang } else { Answer::ok() }
        }
    });
    let shipper = Shipper::new(&endpoint).log(&events).batches_of(2).output("maxInFlight: 4");
    let mut daemon = shipper.start();
    let mut later = endpoint.wait_for_items(6);
    later.sort();
    let mut expect = events[2..8].to_vec();
    expect.sort();
    assert_eq!(later, expect);
    let metrics = daemon.metrics();
    assert!(metrics.value("audit_shipper_delivered_events_total", &[]).abs() < f64::EPSILON);
    crate::support::books::assert_books_balance(&daemon);
    daemon.kill9();

    gate.open();
    let daemon = shipper.start();
    wait_until_settled(&daemon, 12);
    let mut after = endpoint.items().split_off(6);
    after.sort();
    let mut expect = events;
    expect.sort();
    assert_eq!(after, expect);
}
