//! What is tried again until it succeeds, and what counts as success.

use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use super::{assert_delivered_once, requests};
use crate::support::books::count;
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::real_events;

/// Answers the first two requests like this, and the others with 200.
fn retried(answer: &Answer) {
    retried_within("30s", answer);
}

/// The same, where an answer may take so long.
fn retried_within(timeout: &str, answer: &Answer) {
    let endpoint = Endpoint::start({
        let answer = answer.clone();
        move |_, n| if n < 2 { answer.clone() } else { Answer::ok() }
    });
    let events = real_events(8);
    let shipper = Shipper::new(&endpoint).log(&events).batches_of(5).one_at_a_time();
    let shipper = shipper.webhook(&format!("maxBackoff: 100ms, timeout: {timeout}"));
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 8);
    assert_eq!(requests(&metrics), [2, 2, 0, 0], "{answer:?}");
    assert_eq!(count(&metrics, "audit_shipper_delivered_events_total", &[]), 8);
    assert_eq!(count(&metrics, "audit_shipper_misconfigured", &[]), 0);

    let sent = endpoint.requests();
    assert_eq!(sent.len(), 4);
    assert!(sent[1].body == sent[0].body && sent[2].body == sent[0].body, "{answer:?}: another body");
    let accepted: Vec<String> = sent[2..].iter().flat_map(crate::support::endpoint::lines).collect();
    assert_eq!(accepted, events);
    assert_eq!(daemon.get("/readyz").0, 200);
    assert!(shipper.rejected().is_empty());
}

#[test]
fn statuses_that_pass() {
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        retried(&Answer::status(status));
    }
}

#[test]
fn a_connection_that_is_closed_without_an_answer() {
    retried(&Answer::Close);
}

#[test]
fn an_answer_that_is_cut_off() {
    retried(&Answer::CutOff);
}

#[test]
fn no_answer_within_the_timeout() {
    // On a busy machine the others take their time too.
    retried_within("5s", &Answer::Hang);
}

#[test]
fn an_answer_that_is_too_long_to_be_one() {
    retried(&Answer::with_body(200, "x".repeat(2 << 20)));
}

/// With a backoff of an hour, nothing but the header brings the next try.
fn retry_after(value: impl Fn() -> String + Send + Sync + 'static) {
    let endpoint = Endpoint::start(move |_, n| match n {
        0 => Answer::with_header(503, "Retry-After", &value()),
        1 => Answer::with_header(429, "Retry-After", "1"),
        _ => Answer::ok(),
    });
    let shipper = Shipper::new(&endpoint).log(&real_events(3)).webhook("maxBackoff: 1h");
    let shipper = shipper.flag("audit-webhook-initial-backoff", "1h");
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 3);
    assert_eq!(requests(&metrics), [1, 2, 0, 0]);
    assert_eq!(endpoint.items(), real_events(3));
}

#[test]
fn retry_after_in_seconds_wins_over_the_backoff() {
    retry_after(|| "1".to_owned());
}

#[test]
fn retry_after_as_a_date_wins_over_the_backoff() {
    // A date that has passed when the answer arrives asks for nothing.
    retry_after(|| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(6)));
}

#[test]
fn an_endpoint_that_is_not_there_yet() {
    // An address that no other test takes, so that it is free until we want it.
    let address = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let shipper = Shipper::to(&format!("http://{address}/audit")).log(&real_events(20)).batches_of(6);
    let daemon = shipper.start();
    assert!(daemon.wait_for_line("no connection").contains(" WARN "));
    daemon.wait_for_metrics("some tries", |metrics| requests(metrics)[1] >= 5);
    assert_eq!(daemon.get("/readyz").0, 200, "an outage is nothing that somebody must act on");

    let endpoint = Endpoint::start_at(address, |_, _| Answer::ok());
    wait_until_settled(&daemon, 20);
    assert_delivered_once(&endpoint, &real_events(20));
    assert_eq!(daemon.log().matches("no connection").count(), 1, "said once, not at each try");
}

/// Hundreds of tries, each with another of three reasons, within less than a minute.
#[test]
fn an_outage_is_told_when_it_begins_and_when_it_is_over() {
    let better = Gate::closed();
    let endpoint = Endpoint::start({
        let better = better.clone();
        // Which of the first answers, one to each of ten batches, comes first is open.
        move |_, n| match n % 3 {
            _ if better.is_open() => Answer::ok(),
            _ if n < 10 => Answer::status(503),
            0 => Answer::status(503),
            1 => Answer::Close,
            _ => Answer::with_body(500, format!("request {n}")),
        }
    });
    let events = real_events(20);
    let shipper = Shipper::new(&endpoint).log(&events).batches_of(2).webhook("maxBackoff: 20ms");
    let mut daemon = shipper.start();
    endpoint.wait_for("hundreds of tries", |requests| requests.len() >= 400);
    better.open();
    wait_until_settled(&daemon, 20);
    assert_delivered_once(&endpoint, &events);
    let tries = requests(&daemon.metrics())[1];
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    let log = daemon.log();
    let told: Vec<&str> =
        log.lines().filter(|line| [" WARN ", " ERROR "].iter().any(|level| line.contains(level))).collect();
    let [begins, ends] = told[..] else { panic!("{} lines: {told:#?}", told.len()) };
    assert!(
        begins.contains("the endpoint does not answer as it should")
            && begins.contains("reason=\"status 503\"")
    );
    assert!(ends.contains("the endpoint takes events again"), "{ends}");
    let figure = |name: &str| -> u64 {
        let (_, rest) = ends.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {ends}"));
        rest.split([' ', '.']).next().unwrap().parse().unwrap()
    };
    assert_eq!(figure("tries"), tries);
    // The first batch that was taken is not settled yet. The backlog is measured now and then, so that a batch may be
    // counted in it for a while after it was read.
    let behind = events.iter().map(|line| line.len() as u64).sum::<u64>();
    assert!((behind..2 * behind).contains(&figure("lag_bytes")), "{ends}");
    assert!(figure("lag_seconds") > 1 && figure("after_seconds") < 60, "{ends}");
}

#[test]
fn any_2xx_is_success() {
    let statuses = [200, 201, 202, 203, 204, 205, 206, 207];
    let endpoint = Endpoint::start(move |_, n| match statuses[n] {
        203 => Answer::with_body(203, "<html>not JSON</html>"),
        205 => Answer::with_body(205, ""),
        status => Answer::status(status),
    });
    let shipper = Shipper::new(&endpoint).log(&real_events(8)).batches_of(1).one_at_a_time();
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 8);
    assert_eq!(requests(&metrics), [8, 0, 0, 0]);
    assert_eq!(endpoint.items(), real_events(8));
}

/// The pace is the endpoint's, little is read ahead, and the lag is what was not acknowledged, byte for byte.
#[test]
fn a_slow_endpoint_sets_the_pace_and_the_lag_tells_the_truth() {
    let events = real_events(400);
    let gates: Vec<Gate> = (0..4).map(|_| Gate::closed()).collect();
    let endpoint = Endpoint::start({
        let gates = gates.clone();
        move |_, n| match gates.get(n / 10) {
            Some(gate) => Answer::After(gate.clone(), Box::new(Answer::ok())),
            None => Answer::ok(),
        }
    });
    let shipper = Shipper::new(&endpoint).one_at_a_time().batches_of(10).log(&events);
    let shipper = shipper.flag("audit-webhook-batch-buffer-size", 50);
    let shipper = shipper.flag("audit-webhook-batch-throttle-enable", false);
    let daemon = shipper.start();
    for (n, gate) in gates.iter().enumerate() {
        let unsettled: u64 = events[n * 100..].iter().map(|line| line.len() as u64).sum();
        daemon.wait_for_metrics(&format!("a lag of {unsettled} bytes"), |metrics| {
            assert!(count(metrics, "audit_shipper_buffered_events", &[]) <= 50);
            count(metrics, "audit_shipper_delivered_events_total", &[]) == n as u64 * 100
                && count(metrics, "audit_shipper_lag_bytes", &[]) == unsettled
        });
        gate.open();
    }
    let metrics = wait_until_settled(&daemon, events.len());
    assert_eq!(count(&metrics, "audit_shipper_lag_bytes", &[]), 0);
    assert_eq!(endpoint.items(), events);
}
