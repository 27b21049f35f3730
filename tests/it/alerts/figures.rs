//! What is shown for alerts alone: limits, and what tells waiting from having nothing to do.

use std::fs;

use crate::support::certificates::Authority;
use crate::support::daemon::Metrics;
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::real_events;

const OF: [(&str, &str); 1] = [("output", "siem")];

fn of_siem(metrics: &Metrics, name: &str) -> f64 {
    metrics.value(&format!("audit_shipper_{name}"), &OF)
}

fn throttled() -> (Endpoint, Shipper) {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint)
        .source("pinLimit: 3MiB, pinMaxFiles: 7")
        .output("rejected: { maxSize: 32KiB }")
        .flag("audit-webhook-batch-throttle-qps", 2.5)
        .batches_of(40);
    (endpoint, shipper)
}

#[test]
fn limits_are_those_of_the_configuration() {
    let (_endpoint, shipper) = throttled();
    let lines = [real_events(3), vec!["no event\n".to_owned()]].concat();
    let shipper = shipper.log(&lines);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, lines.len());
    assert_eq!(of_siem(&metrics, "throttle_limit_events_per_second"), 100.0);
    assert_eq!(of_siem(&metrics, "rejected_file_limit_bytes"), 32768.0);
    let size = shipper.rejected_file().metadata().unwrap().len();
    assert!(size > 0);
    assert_eq!(of_siem(&metrics, "rejected_file_bytes").to_string(), size.to_string());
    assert_eq!(metrics.value("audit_shipper_pin_limit_bytes", &[]), 3_145_728.0);
    assert_eq!(metrics.value("audit_shipper_pin_limit_files", &[]), 7.0);
    // An operator took it away.
    fs::remove_file(shipper.rejected_file()).unwrap();
    assert_eq!(of_siem(&daemon.metrics(), "rejected_file_bytes"), 0.0);
}

#[test]
fn without_a_throttle_there_is_no_limit() {
    let (_endpoint, shipper) = throttled();
    for name in ["audit-webhook-batch-throttle-enable", "audit-webhook-mode"] {
        let value = if name.ends_with("enable") { "false" } else { "blocking" };
        let (_, shipper) = (&shipper, throttled().1.flag(name, value));
        let limit = of_siem(&shipper.start().metrics(), "throttle_limit_events_per_second");
        assert_eq!(limit, f64::INFINITY, "{name}");
    }
}

#[test]
fn what_waits_is_told_from_what_is_level() {
    let gate = Gate::closed();
    let at = gate.clone();
    let endpoint = Endpoint::start(move |_, _| if at.is_open() { Answer::ok() } else { Answer::status(503) });
    let shipper = Shipper::new(&endpoint);
    let daemon = shipper.start();
    daemon.wait_for_line("shipping");
    assert_eq!(of_siem(&daemon.metrics(), "waiting_seconds"), 0.0);
    shipper.workdir.append(&real_events(3));
    daemon.wait_for_metrics("waiting", |metrics| of_siem(metrics, "waiting_seconds") > 0.5);
    gate.open();
    daemon.wait_for_metrics("an end of it", |metrics| of_siem(metrics, "waiting_seconds") == 0.0);
    wait_until_settled(&daemon, 3);
}

#[test]
fn the_certificate_that_the_server_shows_is_known_by_its_end() {
    let authority = Authority::new();
    let leaf = authority.sign_for(&["localhost"], 2024..2051);
    let endpoint = Endpoint::start_tls(leaf.server(), |_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&real_events(3));
    fs::write(shipper.workdir.path("ca.pem"), authority.pem()).unwrap();
    shipper.workdir.kubeconfig_with(&endpoint.url(), "certificate-authority: ca.pem", "");
    let daemon = shipper.start();
    endpoint.wait_for_items(3);
    let of_server = [("output", "siem"), ("certificate", "server")];
    let name = "audit_shipper_certificate_expiry_timestamp_seconds";
    // It is shown with what is known of the files, at the next look.
    daemon.hang_up();
    let metrics = daemon.wait_for_metrics("the server's certificate", |metrics| {
        metrics.value_or_zero(name, &of_server) > 0.0
    });
    // 2051-01-01
    assert_eq!(metrics.value(name, &of_server), 2_556_144_000.0);
}
