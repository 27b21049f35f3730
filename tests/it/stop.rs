//! How the daemon ends, and how little it does while there is nothing to do.

use std::time::{Duration, Instant};

use crate::support::cli::flags;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::wait_until;
use crate::support::workdir::{Workdir, real_events};

/// A daemon that has sent what there was to an endpoint, which may not have answered.
fn daemon(script: fn() -> Answer, more: &[&str]) -> (Workdir, Endpoint, Daemon) {
    let workdir = Workdir::new();
    let endpoint = Endpoint::start(move |_, _| script());
    workdir.kubeconfig(&endpoint.url());
    workdir.append(&real_events(3));
    let more = more.iter().map(|flag| (*flag).to_owned());
    let daemon = Daemon::start(flags("run", &workdir).into_iter().chain(more));
    endpoint.wait_for("a request", |requests| !requests.is_empty());
    (workdir, endpoint, daemon)
}

#[test]
fn with_nothing_to_do_it_ends_at_once() {
    let (_workdir, endpoint, mut daemon) = daemon(Answer::ok, &[]);
    endpoint.wait_for_items(3);
    daemon.wait_for_metrics("everything to be settled", |metrics| {
        metrics.value("audit_shipper_delivered_events_total", &[]) >= 3.0
    });
    let asked = Instant::now();
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (_workdir, _endpoint, mut daemon) = daemon(|| Answer::Hang, &["--shutdown-grace=1h"]);
    daemon.terminate();
    daemon.wait_for_line("stopping");
    // It waits for the answer, and says so to whoever routes by readiness.
    wait_until("readiness to turn false", || {
        (daemon.get("/readyz") == (503, "webhook: stopping\n".into())).then_some(())
    });
    assert_eq!(daemon.get("/livez").0, 200);
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(1));
    assert!(daemon.log().contains("a second signal: stopping at once"), "{}", daemon.log());
}

#[test]
fn the_grace_bounds_the_wait_and_the_next_start_sends_again() {
    let (workdir, endpoint, mut first) = daemon(|| Answer::Hang, &["--shutdown-grace=100ms"]);
    first.terminate();
    assert_eq!(first.wait().code(), Some(0));
    assert!(first.log().contains("the grace is over; these events were not acknowledged"), "{}", first.log());
    assert!(endpoint.items().is_empty());

    let healthy = Endpoint::start(|_, _| Answer::ok());
    workdir.kubeconfig(&healthy.url());
    let _daemon = Daemon::start(flags("run", &workdir));
    assert_eq!(healthy.wait_for_items(3), real_events(3));
}

/// Clock ticks that the process has used so far, in user mode and in the kernel.
fn ticks(daemon: &Daemon) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn an_idle_daemon_uses_next_to_no_cpu() {
    let (_workdir, endpoint, daemon) = daemon(Answer::ok, &[]);
    endpoint.wait_for_items(3);
    daemon.wait_for_metrics("everything to be settled", |metrics| {
        metrics.value("audit_shipper_delivered_events_total", &[]) >= 3.0
            && metrics.value("audit_shipper_buffered_events", &[]) == 0.0
    });
    // Not to be in step with it: this is the time that is measured.
    let before = ticks(&daemon);
    std::thread::sleep(Duration::from_secs(3));
    let used = ticks(&daemon) - before;
    assert!(used <= 10, "{used} ticks in 3 s");
}
