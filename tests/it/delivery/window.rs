//! How many requests are under way, and how large they are, while the endpoint has enough.

use super::{assert_delivered_once, assert_ready_again, requests, wait_until_misconfigured};
use crate::support::books::count;
use crate::support::endpoint::{Answer, Endpoint, Gate, lines};
use crate::support::http1::Recorded;
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::real_events;
use crate::weather::without_duplicates;

#[test]
fn the_window_shrinks_to_one_request_and_grows_again() {
    for status in [429, 503] {
        let better = Gate::closed();
        let endpoint = Endpoint::start({
            let better = better.clone();
            move |_, _| if better.is_open() { Answer::ok() } else { Answer::status(status) }
        });
        let events = real_events(120);
        let shipper = Shipper::new(&endpoint).log(&events).batches_of(2).output("maxInFlight: 8");
        let shipper = shipper.flag("audit-webhook-batch-throttle-enable", false);
        let daemon = shipper.start();
        daemon.wait_for_metrics("a window of one", |metrics| window(metrics) == 1);
        better.open();
        wait_until_settled(&daemon, 120);
        daemon.wait_for_metrics("the whole window", |metrics| window(metrics) == 8);
        assert_delivered_once(&endpoint, &events);
        assert!(endpoint.most_at_once() <= 8);
        assert!(!shipper.rejected_file().exists());
    }
}

fn window(metrics: &crate::support::daemon::Metrics) -> u64 {
    count(metrics, "audit_shipper_window_requests", &[("output", "siem")])
}

/// In doubt further batches are sent, to see whether any is taken. They too wait for their turn.
#[test]
fn probes_do_not_widen_the_window() {
    let fixed = Gate::closed();
    let endpoint = Endpoint::start({
        let fixed = fixed.clone();
        move |_, _| {
            let answer = if fixed.is_open() { Answer::ok() } else { Answer::status(400) };
            Answer::Delay(std::time::Duration::from_millis(5), Box::new(answer))
        }
    });
    let events = real_events(60);
    let shipper = Shipper::new(&endpoint).log(&events).batches_of(2).output("maxInFlight: 2");
    let daemon = shipper.start();
    wait_until_misconfigured(&daemon);
    let first_of = |request: &Recorded| lines(request)[0].clone();
    endpoint.wait_for("many batches", |requests| {
        requests.iter().map(first_of).collect::<std::collections::BTreeSet<_>>().len() > 8
    });
    fixed.open();
    wait_until_settled(&daemon, 60);
    assert_eq!(endpoint.most_at_once(), 2);
    assert!(shipper.rejected().len() <= 1);
    assert_ready_again(&daemon);
}

#[test]
fn what_takes_too_long_together_arrives_in_parts() {
    let endpoint = Endpoint::start(
        |request: &Recorded, _| {
            if lines(request).len() > 3 { Answer::Hang } else { Answer::ok() }
        },
    );
    let events = real_events(12);
    let shipper = Shipper::new(&endpoint).log(&events).one_at_a_time();
    let shipper = shipper.webhook("timeout: 200ms, maxBackoff: 20ms");
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 12);
    // On a busy machine a part may take too long as well, and be sent again.
    assert_eq!(without_duplicates(endpoint.items()), events);
    let [_, retried, held, refused] = requests(&metrics);
    assert!(retried >= 9 && [held, refused] == [0, 0]);
    assert_eq!(count(&metrics, "error_total", &[]), 0);
    assert!(!shipper.rejected_file().exists());
    assert_ready_again(&daemon);
}
