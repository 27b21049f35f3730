//! Events that the endpoint refuses, and endpoints that refuse events.

use super::{assert_delivered_once, assert_ready_again, requests, wait_until_misconfigured};
use crate::support::books::{assert_books_balance, count};
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::http1::Recorded;
use crate::support::shipper::{POISON, Rejected, Shipper, poisoned, wait_until_settled};
use crate::support::workdir::real_events;

fn refusing_poison(status: u16) -> Endpoint {
    Endpoint::start(move |request: &Recorded, _| {
        if request.holds(POISON) {
            Answer::with_body(status, "{ \"error\":\n \"poisoned\" }")
        } else {
            Answer::ok()
        }
    })
}

/// The first `n` events, those at `places` poisoned.
fn events(n: usize, places: impl Iterator<Item = usize>) -> Vec<String> {
    let mut events = real_events(n);
    for place in places {
        events[place] = poisoned(&events[place]);
    }
    events
}

/// Asserts that all of `events` but the poisoned ones were delivered once, and those set aside, each as it was.
fn assert_only_poison_is_set_aside(shipper: &Shipper, endpoint: &Endpoint, events: &[String], status: u16) {
    let (bad, good): (Vec<&String>, Vec<&String>) = events.iter().partition(|line| line.contains(POISON));
    assert_delivered_once(endpoint, good);
    let mut rejected = shipper.rejected();
    for entry in &rejected {
        assert_eq!((entry.reason.as_str(), entry.status), ("rejected", Some(status)));
        assert_eq!(entry.answer.as_deref(), Some("{ \"error\": \"poisoned\" }"));
    }
    rejected.sort_by_key(|entry| events.iter().position(|line| *line == entry.line()));
    assert!(rejected.iter().map(Rejected::line).eq(bad.into_iter().cloned()));
}

#[test]
fn one_event_in_the_middle_of_a_batch_is_found_and_set_aside() {
    for status in [400, 409, 422] {
        let events = events(20, [11].into_iter());
        let endpoint = refusing_poison(status);
        let shipper = Shipper::new(&endpoint).log(&events);
        let daemon = shipper.start();
        let metrics = wait_until_settled(&daemon, 20);
        assert_only_poison_is_set_aside(&shipper, &endpoint, &events, status);
        assert_eq!(count(&metrics, "error_total", &[("reason", "rejected")]), 1);
        assert_eq!(requests(&metrics)[1..3], [0, 0]);
        assert_ready_again(&daemon);
    }
}

#[test]
fn ten_in_a_row_at_the_head_of_the_log_do_not_stop_a_batch() {
    for max_size in [5, 16, 400] {
        let events = events(60, 0..10);
        let endpoint = refusing_poison(400);
        let shipper = Shipper::new(&endpoint).log(&events).batches_of(max_size);
        let daemon = shipper.start();
        wait_until_settled(&daemon, 60);
        assert_only_poison_is_set_aside(&shipper, &endpoint, &events, 400);
        assert_ready_again(&daemon);
    }
}

#[test]
fn ten_in_a_row_at_the_head_of_the_log_do_not_stop_the_blocking_mode() {
    let events = events(30, 0..10);
    let endpoint = refusing_poison(400);
    let shipper = Shipper::new(&endpoint).log(&events);
    let shipper = shipper.flag("audit-webhook-mode", "blocking");
    let daemon = shipper.start();
    wait_until_settled(&daemon, 30);
    assert_only_poison_is_set_aside(&shipper, &endpoint, &events, 400);
    assert_ready_again(&daemon);
}

#[test]
fn ten_in_a_row_at_the_end_of_the_log_do_not_wait_for_others() {
    let events = events(30, 20..30);
    let endpoint = refusing_poison(400);
    let shipper = Shipper::new(&endpoint).log(&events);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 30);
    assert_only_poison_is_set_aside(&shipper, &endpoint, &events, 400);
    assert_ready_again(&daemon);
}

/// Refuses everything after the first `before` requests, for longer than any event could wait alone.
fn refusing_everything(before: usize, configure: impl Fn(Shipper) -> Shipper) {
    let fixed = Gate::closed();
    let endpoint = Endpoint::start({
        let fixed = fixed.clone();
        move |_, n| if n < before || fixed.is_open() { Answer::ok() } else { Answer::status(400) }
    });
    let events = real_events(200);
    let shipper = configure(Shipper::new(&endpoint).log(&events));
    let daemon = shipper.start();
    let reason = wait_until_misconfigured(&daemon);
    assert!(reason.starts_with("siem: the endpoint refuses every event: status 400"), "{reason}");
    let told = requests(&daemon.metrics())[3];
    daemon.wait_for_metrics("many more refusals", |metrics| requests(metrics)[3] >= told + 100);
    assert!(shipper.rejected().len() <= 1, "{} events set aside", shipper.rejected().len());
    assert_books_balance(&daemon);

    fixed.open();
    wait_until_settled(&daemon, 200);
    let aside: Vec<String> = shipper.rejected().iter().map(Rejected::line).collect();
    assert!(aside.len() <= 1, "{} events set aside", aside.len());
    assert_delivered_once(&endpoint, events.iter().filter(|line| !aside.contains(line)));
    assert_ready_again(&daemon);
}

#[test]
fn an_endpoint_that_refuses_everything_costs_one_event_at_most() {
    refusing_everything(0, |shipper| shipper.batches_of(20));
    refusing_everything(0, |shipper| shipper.batches_of(1));
}

#[test]
fn an_endpoint_that_comes_to_refuse_everything_costs_one_event_at_most() {
    refusing_everything(3, |shipper| shipper.batches_of(20));
    refusing_everything(10, |shipper| shipper.batches_of(1));
}

/// The batch has its evidence already when the endpoint turns: that does not count for ever.
#[test]
fn an_endpoint_that_turns_while_a_batch_is_halved_does_not_cost_the_batch() {
    let (turned, fixed) = (Gate::closed(), Gate::closed());
    let endpoint = Endpoint::start({
        let fixed = fixed.clone();
        move |request: &Recorded, _| {
            let refuse = request.holds(POISON) || (turned.is_open() && !fixed.is_open());
            if refuse {
                return Answer::status(400);
            }
            turned.open();
            Answer::ok()
        }
    });
    let events = events(400, [399].into_iter());
    let shipper = Shipper::new(&endpoint).log(&events);
    let daemon = shipper.start();
    wait_until_misconfigured(&daemon);
    fixed.open();
    shipper.workdir.append(&real_events(401)[400..]);
    let metrics = wait_until_settled(&daemon, 401);
    let aside = count(&metrics, "error_total", &[("reason", "rejected")]);
    assert!((1..64).contains(&aside), "{aside} events set aside");
    let good: Vec<String> = real_events(401);
    assert!(endpoint.items().iter().all(|line| good.contains(line)));
    assert_eq!(endpoint.items().len() as u64 + aside, 401);
    assert_ready_again(&daemon);
}

#[test]
fn an_endpoint_that_refuses_everything_in_blocking_mode_costs_one_event_at_most() {
    refusing_everything(0, |shipper| shipper.flag("audit-webhook-mode", "blocking"));
    refusing_everything(10, |shipper| shipper.flag("audit-webhook-mode", "blocking"));
}
