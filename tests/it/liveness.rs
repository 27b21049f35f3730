//! That the daemon lives, as it tells it to probes and to systemd's watchdog. No endpoint is a reason to be restarted.

use std::time::Duration;

use crate::support::books::assert_books_balance;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::systemd::Systemd;
use crate::support::wait_until;
use crate::support::workdir::real_events;

/// Waits until the watchdog was fed three times from now on.
fn wait_for_food(systemd: &Systemd) {
    let fed = || systemd.said().iter().filter(|said| *said == "WATCHDOG=1").count();
    let before = fed();
    wait_until("three times WATCHDOG=1", || (fed() >= before + 3).then_some(()));
}

fn assert_alive(daemon: &Daemon) {
    for page in ["/healthz", "/livez"] {
        assert_eq!(daemon.get(page), (200, "ok\n".to_owned()));
    }
}

#[test]
fn the_watchdog_is_fed_while_the_endpoint_is_down_and_while_the_daemon_stops() {
    let systemd = Systemd::new();
    let shipper = Shipper::to("http://127.0.0.1:1/audit").output("readyAfter: 100ms").log(&real_events(3));
    let shipper = shipper.flag("shutdown-grace", "1h");
    let mut command = systemd.command(shipper.args());
    command.env("WATCHDOG_USEC", "100000");
    let mut daemon = Daemon::spawn(command);
    systemd.wait_for("READY=1");
    wait_until("readiness to fail", || (daemon.get("/readyz").0 == 503).then_some(()));
    wait_for_food(&systemd);
    assert_alive(&daemon);
    assert_books_balance(&daemon);
    daemon.terminate();
    systemd.wait_for("STOPPING=1");
    wait_for_food(&systemd);
    assert_alive(&daemon);
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(1));
}

#[test]
fn nobody_is_told_where_nobody_watches() {
    let systemd = Systemd::new();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&real_events(3));
    let mut daemon = Daemon::spawn(systemd.command(shipper.args()));
    wait_until_settled(&daemon, 3);
    assert_alive(&daemon);
    daemon.terminate();
    assert!(daemon.wait().success());
    systemd.wait_for("STOPPING=1");
    assert!(!systemd.said().contains(&"WATCHDOG=1".to_owned()));
}

#[test]
fn the_watchdog_of_another_process_is_not_fed() {
    let systemd = Systemd::new();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&real_events(3));
    let mut command = systemd.command(shipper.args());
    command.env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    let mut daemon = Daemon::spawn(command);
    wait_until_settled(&daemon, 3);
    // Not to be in step with it: the time in which it would be fed a hundred times.
    std::thread::sleep(Duration::from_millis(50));
    daemon.terminate();
    assert!(daemon.wait().success());
    assert!(!systemd.said().contains(&"WATCHDOG=1".to_owned()));
}
