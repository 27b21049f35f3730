//! How the daemon ends, and how little it does while there is nothing to do.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::books::assert_books_balance;
use crate::support::cli::flags;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::{Rejected, Shipper};
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
    let (_workdir, endpoint, mut daemon) = daemon(Answer::ok, &["--shutdown-grace=1h"]);
    endpoint.wait_for_items(3);
    daemon.wait_for_metrics("everything to be settled", |metrics| {
        metrics.value("audit_shipper_delivered_events_total", &[]) >= 3.0
    });
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
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

/// An endpoint that takes a byte of its answer for each 20 ms, and never gets to the end of it.
fn trickling() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/audit", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
                while stream.write_all(b" ").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    url
}

/// Stops a daemon while this endpoint has all that it may have; what it did not take arrives after the next start.
fn stop_under_load(server: &str, busy: impl Fn(&Daemon)) -> Vec<String> {
    let events = real_events(60);
    let shipper = Shipper::to(server).log(&events).batches_of(2).flag("shutdown-grace", "200ms");
    let shipper = shipper.flag("audit-webhook-batch-throttle-enable", false);
    let mut first = shipper.start();
    busy(&first);
    assert_books_balance(&first);
    let asked = Instant::now();
    first.terminate();
    assert_eq!(first.wait().code(), Some(0));
    // Less than the timeout of a request.
    assert!(asked.elapsed() < Duration::from_secs(25), "{:?}", asked.elapsed());
    assert!(first.log().contains("the grace is over"), "{}", first.log());

    let healthy = Endpoint::start(|_, _| Answer::ok());
    shipper.workdir.kubeconfig(&healthy.url());
    let daemon = shipper.start();
    let aside: Vec<String> = shipper.rejected().iter().map(Rejected::line).collect();
    let mut arrived = healthy.wait_for_items(events.len() - aside.len());
    arrived.extend(aside.iter().cloned());
    arrived.sort();
    let mut expect = events;
    expect.sort();
    assert_eq!(arrived, expect, "each once, as nothing was acknowledged before");
    assert_books_balance(&daemon);
    aside
}

fn requests(daemon: &Daemon) -> f64 {
    daemon.metrics().value("audit_shipper_requests_total", &[])
}

#[test]
fn all_of_the_window_hangs() {
    let endpoint = Endpoint::start(|_, _| Answer::Hang);
    let aside = stop_under_load(&endpoint.url(), |_| endpoint.wait_for("all", |all| all.len() == 4));
    assert!(aside.is_empty());
}

#[test]
fn all_of_the_window_trickles() {
    let aside = stop_under_load(&trickling(), |daemon| {
        daemon.wait_for_metrics("a full memory", |metrics| {
            metrics.value("audit_shipper_buffered_events", &[]) >= 8.0
        });
    });
    assert!(aside.is_empty());
}

#[test]
fn the_endpoint_asks_for_ten_minutes() {
    let endpoint = Endpoint::start(|_, n| match n {
        0 => Answer::with_header(503, "Retry-After", "86400"),
        // As long as the first is not answered, three more may begin.
        _ => Answer::status(503),
    });
    let aside = stop_under_load(&endpoint.url(), |daemon| {
        daemon.wait_for_line("status 503");
        daemon.wait_for_metrics("memory to fill", |metrics| {
            metrics.value("audit_shipper_buffered_events", &[]) >= 10.0
        });
    });
    assert!(aside.is_empty());
    assert!(endpoint.requests().len() <= 4, "{} requests", endpoint.requests().len());
}

#[test]
fn the_endpoint_refuses_everything() {
    for (status, most) in [(400, 1), (413, 1), (401, 0), (404, 0), (500, 0)] {
        let endpoint = Endpoint::start(move |_, _| Answer::status(status));
        let aside = stop_under_load(&endpoint.url(), |daemon| {
            wait_until("many tries", || (requests(daemon) >= 40.0).then_some(()));
        });
        assert!(aside.len() <= most, "{status}: {} events set aside", aside.len());
    }
}

#[test]
fn there_is_no_endpoint() {
    let nobody = TcpListener::bind("127.0.0.3:0").unwrap().local_addr().unwrap();
    let aside = stop_under_load(&format!("http://{nobody}/audit"), |daemon| {
        wait_until("many tries", || (requests(daemon) >= 20.0).then_some(()));
    });
    assert!(aside.is_empty());
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
