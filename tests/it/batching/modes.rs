//! The blocking modes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::sizes;
use crate::support::books::{assert_books_balance, count};
use crate::support::endpoint::{Answer, Endpoint, Gate, lines};
use crate::support::http1::Recorded;
use crate::support::shipper::{POISON, Shipper, poisoned, wait_until_settled};
use crate::support::wait_until;
use crate::support::workdir::real_events;

#[test]
fn blocking_sends_one_event_a_request_and_the_next_when_it_is_answered() {
    let delay = Duration::from_millis(5);
    let endpoint = Endpoint::start(move |_, n| {
        let answer = if n % 4 == 1 { Answer::status(503) } else { Answer::ok() };
        Answer::Delay(delay, Box::new(answer))
    });
    let shipper = Shipper::new(&endpoint).log(&real_events(12)).batches_of(5).output("maxInFlight: 4");
    let shipper = shipper.flag("audit-webhook-mode", "blocking");
    let daemon = shipper.start();
    wait_until_settled(&daemon, 12);
    assert_eq!(endpoint.items(), real_events(12));
    assert!(sizes(&endpoint).iter().all(|size| *size == 1));
    assert_eq!(endpoint.most_at_once(), 1);
}

#[test]
fn blocking_strict_stays_on_an_event_that_is_refused_until_it_is_taken() {
    let mut events = real_events(6);
    events[2] = poisoned(&events[2]);
    let gate = Gate::closed();
    let endpoint = Endpoint::start({
        let gate = gate.clone();
        move |request: &Recorded, _| {
            let refuse = request.holds(POISON) && !gate.is_open();
            if refuse { Answer::status(400) } else { Answer::ok() }
        }
    });
    let shipper = Shipper::new(&endpoint).log(&events).flag("audit-webhook-mode", "blocking-strict");
    let daemon = shipper.start();
    let reason = wait_until("an output that is not ready", || {
        let (status, reason) = daemon.get("/readyz");
        (status == 503).then_some(reason)
    });
    assert!(reason.starts_with("siem: the endpoint refuses an event: status 400"), "{reason}");
    endpoint.wait_for("the event again and again", |requests| requests.len() >= 6);
    assert!(endpoint.requests()[2..].iter().all(|request| request.holds(POISON)));
    assert_eq!(endpoint.items(), events[..2]);
    let metrics = daemon.metrics();
    assert_eq!(count(&metrics, "audit_shipper_misconfigured", &[]), 1);
    assert_eq!(count(&metrics, "audit_shipper_set_aside_events_total", &[]), 0);
    assert_books_balance(&daemon);

    gate.open();
    let metrics = wait_until_settled(&daemon, 6);
    assert_eq!(endpoint.items(), events);
    assert_eq!(count(&metrics, "audit_shipper_misconfigured", &[]), 0);
    assert_eq!(daemon.get("/readyz").0, 200);
    assert!(!shipper.rejected_file().exists());
}

/// Everything that may happen to a request but a refusal, to one event after the other.
fn through_trouble(mode: &str) {
    let answers = |n: usize| match n {
        1 => Answer::status(503),
        3 => Answer::with_header(429, "Retry-After", "1"),
        5 => Answer::Close,
        7 => Answer::CutOff,
        9 => Answer::status(401),
        11 => Answer::status(404),
        13 => Answer::Hang,
        _ => Answer::ok(),
    };
    let endpoint = Endpoint::start(move |_, n| answers(n));
    let events = real_events(12);
    let shipper = Shipper::new(&endpoint).log(&events).output("maxInFlight: 4");
    // Long enough for every answer but the one that never comes, on a busy machine too.
    let shipper = shipper.webhook("maxBackoff: 50ms, timeout: 5s").flag("audit-webhook-mode", mode);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 12);
    assert_eq!(endpoint.items(), events, "{mode}");
    assert!(sizes(&endpoint).iter().all(|size| *size == 1));
    let sent: Vec<Vec<String>> = endpoint.requests().iter().map(lines).collect();
    let places: Vec<usize> =
        sent.iter().map(|lines| events.iter().position(|event| *event == lines[0]).unwrap()).collect();
    assert!(places.is_sorted(), "{mode}: {places:?}");
    assert_eq!(count(&metrics, "audit_shipper_window_requests", &[]), 1);
    assert!(!shipper.rejected_file().exists());
}

#[test]
fn blocking_goes_through_trouble_one_event_after_the_other() {
    through_trouble("blocking");
}

#[test]
fn blocking_strict_goes_through_trouble_one_event_after_the_other() {
    through_trouble("blocking-strict");
}

/// Only to find out who is at fault are events sent that come later, and those one after the other too.
#[test]
fn blocking_has_one_request_under_way_though_the_endpoint_refuses_everything() {
    let fixed = Gate::closed();
    let endpoint = Endpoint::start({
        let fixed = fixed.clone();
        move |_, _| {
            let answer = if fixed.is_open() { Answer::ok() } else { Answer::status(400) };
            Answer::Delay(Duration::from_millis(5), Box::new(answer))
        }
    });
    let shipper = Shipper::new(&endpoint).log(&real_events(40)).flag("audit-webhook-mode", "blocking");
    let daemon = shipper.start();
    endpoint.wait_for("events from elsewhere", |requests| {
        requests.iter().map(|request| lines(request)[0].clone()).collect::<BTreeSet<_>>().len() > 8
    });
    fixed.open();
    wait_until_settled(&daemon, 40);
    assert_eq!(endpoint.most_at_once(), 1);
    assert!(shipper.rejected().len() <= 1);
}

#[test]
fn blocking_strict_does_not_set_aside_what_is_too_large_either() {
    let mut events = real_events(4);
    events[1] = poisoned(&events[1]);
    let gate = Gate::closed();
    let endpoint = Endpoint::start({
        let gate = gate.clone();
        move |request: &Recorded, _| {
            let refuse = request.holds(POISON) && !gate.is_open();
            if refuse { Answer::status(413) } else { Answer::ok() }
        }
    });
    let shipper = Shipper::new(&endpoint).log(&events).flag("audit-webhook-mode", "blocking-strict");
    let daemon = shipper.start();
    endpoint.wait_for("the event again and again", |requests| requests.len() >= 6);
    assert_eq!(endpoint.items(), events[..1]);
    assert_eq!(daemon.get("/readyz").0, 503);
    gate.open();
    wait_until_settled(&daemon, 4);
    assert_eq!(endpoint.items().len(), 4);
    assert!(!shipper.rejected_file().exists());
}
