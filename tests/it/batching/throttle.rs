//! The throttle.

use super::sizes;
use crate::support::books::{assert_books_balance, count};
use crate::support::daemon::{Daemon, Metrics};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::{Workdir, real_events};

/// The proof that nothing more comes is another output, which reads the same log and is not held back.
#[test]
fn after_the_burst_batches_wait_for_their_turn() {
    let events = real_events(10);
    let (slow, fast) = (Endpoint::start(|_, _| Answer::ok()), Endpoint::start(|_, _| Answer::ok()));
    let workdir = Workdir::new();
    let output = |name: &str, endpoint: &Endpoint, throttle: &str| {
        let kubeconfig = workdir.path(&format!("{name}.kubeconfig"));
        std::fs::rename(workdir.kubeconfig(&endpoint.url()), &kubeconfig).unwrap();
        format!(
            "  - {{ name: {name}, webhook: {{ kubeconfig: {kubeconfig:?} }}, maxInFlight: 1,\n      \
             batch: {{ maxSize: 2, maxWait: 50ms, throttle: {{ {throttle} }} }},\n      \
             redact: {{ enabled: false }}, gapRecords: false }}\n"
        )
    };
    let config = format!(
        "source: {{ path: {:?} }}\nstateDir: {:?}\nbindAddress: 127.0.0.1:0\noutputs:\n{}{}",
        workdir.log(),
        workdir.state(),
        output("slow", &slow, "qps: 0.001, burst: 3"),
        output("fast", &fast, "enable: false"),
    );
    std::fs::write(workdir.path("config.yaml"), config).unwrap();
    workdir.append(&events[..8]);
    let daemon = Daemon::start(["run", &format!("--config={}", workdir.path("config.yaml").display())]);
    assert_eq!(fast.wait_for_items(8), events[..8]);
    assert_eq!(slow.wait_for_items(6), events[..6]);
    workdir.append(&events[8..]);
    assert_eq!(fast.wait_for_items(10), events);
    assert_eq!(sizes(&slow), [2, 2, 2]);
    assert_books_balance(&daemon);
}

#[test]
fn without_the_throttle_nothing_waits() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&real_events(10)).batches_of(1).one_at_a_time();
    let shipper = shipper
        .flag("audit-webhook-batch-throttle-enable", false)
        .flag("audit-webhook-batch-throttle-qps", 0.001)
        .flag("audit-webhook-batch-throttle-burst", 1);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 10);
    assert_eq!(endpoint.items(), real_events(10));
}

#[test]
fn what_is_held_back_shows_while_it_is() {
    let events = real_events(12);
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&events[..6]).batches_of(2);
    let shipper = shipper.flag("audit-webhook-batch-throttle-qps", 0.01);
    let shipper = shipper.flag("audit-webhook-batch-throttle-burst", 1);
    let daemon = shipper.start();
    endpoint.wait_for_items(2);
    let behind = |lines: &[String]| lines.iter().map(|line| line.len() as u64).sum::<u64>();
    let lag = |metrics: &Metrics| count(metrics, "audit_shipper_lag_bytes", &[]);
    daemon.wait_for_metrics("the lag", |metrics| lag(metrics) == behind(&events[2..6]));
    shipper.workdir.append(&events[6..]);
    daemon.wait_for_metrics("the lag as it grows", |metrics| lag(metrics) == behind(&events[2..]));
    let waited = |metrics: &Metrics| metrics.value("audit_shipper_throttle_wait_seconds_total", &[]);
    let first = waited(&daemon.wait_for_metrics("some wait", |metrics| waited(metrics) >= 1.0));
    daemon.wait_for_metrics("more of it", |metrics| waited(metrics) > first);
    assert_eq!(endpoint.items(), events[..2]);
    assert_books_balance(&daemon);
}
