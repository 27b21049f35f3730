//! kill -9 at any instant costs duplicates, never events; and memory does not grow with the backlog.
//!
//! With `AUDIT_SHIPPER_SOAK` set, the long versions run too: 1 GB drained, and hundreds of kills.

use std::collections::HashMap;
use std::ffi::OsString;

use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::wait_until;
use crate::support::workdir::Workdir;
use crate::support::writer::Writer;

const BATCH: usize = 40;
/// `maxInFlight` by default.
const IN_FLIGHT: usize = 4;

fn arguments(workdir: &Workdir, url: &str, more: &[&str]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "run".into(),
        "--audit-log-path".into(),
        workdir.log().into(),
        "--audit-webhook-config-file".into(),
        workdir.kubeconfig(url).into(),
        "--state-dir".into(),
        workdir.state().into(),
        "--bind-address=127.0.0.1:0".into(),
        "--audit-webhook-batch-throttle-enable=false".into(),
        "--audit-webhook-batch-max-wait=20ms".into(),
    ];
    arguments.extend(more.iter().map(OsString::from));
    arguments
}

fn soak() -> bool {
    std::env::var_os("AUDIT_SHIPPER_SOAK").is_some()
}

/// Kills the daemon `kills` times while a log is written, rotated and compressed; then lets it finish.
fn kill_again_and_again(kills: usize) {
    let workdir = Workdir::new();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let batch = format!("--audit-webhook-batch-max-size={BATCH}");
    let mut writer = Writer::new(workdir.log(), 400_000);
    for _ in 0..kills {
        writer.write(150);
        let mut daemon = Daemon::start(arguments(&workdir, &endpoint.url(), &[&batch]));
        // Somewhere in the work of this life, which begins with what the last one left.
        let requests = endpoint.requests().len() + fastrand::usize(0..3);
        wait_until("some progress", || (endpoint.requests().len() > requests).then_some(()));
        if fastrand::bool() {
            writer.rotate();
        }
        daemon.kill9();
    }
    let mut daemon = Daemon::start(arguments(&workdir, &endpoint.url(), &[&batch]));
    let written = writer.lines();
    let arrived = wait_until("all events", || {
        let mut arrived: HashMap<String, usize> = HashMap::new();
        for line in endpoint.items() {
            *arrived.entry(line).or_default() += 1;
        }
        (arrived.len() >= written.len()).then_some(arrived)
    });
    assert!(written.iter().all(|line| arrived.contains_key(line)), "every written event has arrived");
    let duplicates = arrived.values().sum::<usize>() - written.len();
    assert!(duplicates <= kills * IN_FLIGHT * BATCH, "{duplicates} duplicates of {kills} kills");
    daemon.terminate();
    assert!(daemon.wait().success());
    assert!(!daemon.log().contains("events may be missing"), "{}", daemon.log());
    writer.finish();
    eprintln!("{kills} kills, {} events, 0 missing, {duplicates} duplicates", written.len());
}

#[test]
fn kill_9_loses_nothing_and_doubles_no_more_than_what_was_in_flight() {
    kill_again_and_again(12);
}

#[test]
fn soak_kill_9_hundreds_of_times() {
    if soak() {
        kill_again_and_again(300);
    }
}

/// Drains a backlog of `bytes` into `receive` and returns the peak memory of the daemon.
fn drain(bytes: u64) -> u64 {
    let workdir = Workdir::new();
    let mut writer = Writer::new(workdir.log(), bytes * 2);
    let mut events = 0;
    while std::fs::metadata(workdir.log()).map_or(0, |log| log.len()) < bytes {
        writer.write(2000);
        events += 2000;
    }
    let receiver = Daemon::start(["receive", "--bind-address=127.0.0.1:0", "--output=/dev/null"]);
    let url = format!("http://{}/audit", receiver.address());
    let mut daemon = Daemon::start(arguments(&workdir, &url, &[]));
    let mut seen = 0.0;
    while seen < f64::from(events) {
        // Each step has its own deadline: a large backlog takes as long as it takes.
        let metrics = daemon.wait_for_metrics("progress", |metrics| {
            metrics.value("audit_shipper_delivered_events_total", &[]) > seen
        });
        seen = metrics.value("audit_shipper_delivered_events_total", &[]);
    }
    let peak = daemon.peak_rss();
    eprintln!("{events} events of {bytes} bytes drained, peak RSS {} KiB", peak >> 10);
    daemon.terminate();
    assert!(daemon.wait().success());
    assert_eq!(receiver.metrics().value("audit_shipper_receiver_duplicate_events_total", &[]), 0.0);
    peak
}

#[test]
fn memory_does_not_grow_with_the_backlog() {
    assert!(drain(60 << 20) < 64 << 20);
}

#[test]
fn soak_drain_1_gb_within_64_mib() {
    if soak() {
        assert!(drain(1_000_000_000) < 64 << 20);
    }
}

#[test]
fn what_an_outage_holds_up_is_bounded_and_arrives_after_it() {
    let workdir = Workdir::new();
    let open = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let endpoint = Endpoint::start({
        let open = open.clone();
        move |_, _| {
            if open.load(std::sync::atomic::Ordering::Relaxed) { Answer::ok() } else { Answer::status(503) }
        }
    });
    let mut writer = Writer::new(workdir.log(), 1 << 30);
    writer.write(3000);
    let more = [
        "--audit-webhook-batch-buffer-size=500",
        "--audit-webhook-batch-max-size=100",
        "--audit-webhook-initial-backoff=30ms",
    ];
    let daemon = Daemon::start(arguments(&workdir, &endpoint.url(), &more));
    let metrics = daemon.wait_for_metrics("tries", |metrics| {
        metrics.value_or_zero("audit_shipper_requests_total", &[("outcome", "retry")]) > 20.0
    });
    assert!(metrics.value("audit_shipper_buffered_events", &[]) <= 500.0);
    assert!(metrics.value("audit_shipper_lag_bytes", &[]) > 0.0);
    assert!(metrics.value("audit_shipper_lag_seconds", &[]) > 0.0);
    let lag = metrics.value("audit_shipper_lag_bytes", &[]);
    writer.write(2000);
    daemon.wait_for_metrics("a growing lag", |metrics| metrics.value("audit_shipper_lag_bytes", &[]) > lag);
    open.store(true, std::sync::atomic::Ordering::Relaxed);
    crate::support::writer::assert_each_once(writer.lines(), endpoint.wait_for_items(5000));
    daemon.wait_for_line("the endpoint takes events again");
    writer.finish();
}
