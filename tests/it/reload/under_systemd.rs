//! Somebody asks for everything to be read again, and systemd is told when it has been.

use std::fs;

use super::Files;
use crate::support::books::count;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::systemd::Systemd;
use crate::support::wait_until;
use crate::support::workdir::replace;

/// A daemon with this output that is ready.
fn started(files: &Files, output: &str) -> (Systemd, Daemon) {
    files.write(&[output]);
    let systemd = Systemd::new();
    let daemon = Daemon::spawn(systemd.command(files.args()));
    systemd.wait_for("READY=1");
    (systemd, daemon)
}

/// How often systemd was told this.
fn times(systemd: &Systemd, what: &str) -> usize {
    systemd.said().iter().filter(|said| *said == what).count()
}

/// Whoever asks by a signal is told when it has begun and when it is done.
#[test]
fn systemd_is_told_of_a_reload() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let files = Files::new();
    let policy = files.workdir.path("policy.yaml");
    let level = |level: &str| {
        replace(
            &policy,
            &format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{{ level: {level} }}]\n"),
        );
    };
    level("Metadata");
    let output = files.output("siem", &endpoint, &format!("policyFile: \"{}\"", policy.display()));
    let (systemd, daemon) = started(&files, &output);
    for (round, outputs, policy, is_right) in [
        (1, vec![&*output], "Request", 1),
        (2, vec![&*output, "  maxInFlight: 0\n"], "Secret", 0),
        (3, vec![&*output, "  maxInFlight: 2\n"], "None", 1),
    ] {
        files.write(&outputs);
        level(policy);
        daemon.hang_up();
        wait_until("the end of the reload", || (times(&systemd, "READY=1") == 1 + round).then_some(()));
        assert_eq!(times(&systemd, "RELOADING=1"), round);
        let metrics = daemon.metrics();
        assert_eq!(count(&metrics, "audit_shipper_policy_last_reload_successful", &[]), is_right, "{policy}");
    }
    let said = systemd.said();
    let of = |what: &str| said.iter().filter(|said| said.starts_with(what)).count();
    assert_eq!(of("MONOTONIC_USEC="), 3, "{said:?}");
    wait_until("the last one", || daemon.log().contains("taken over").then_some(()));
    let state: Vec<&String> =
        said.iter().filter(|said| said.starts_with("READY") || said.starts_with("RELOADING")).collect();
    assert!(state.chunks(2).all(|pair| pair[0] == "READY=1"), "{said:?}");
}

/// The configuration is right as a text. That it cannot be taken over is said once; it is when somebody has done something
/// about it and asks.
#[test]
fn a_key_that_cannot_be_had_is_said_once() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let files = Files::new();
    let output = files.output("siem", &endpoint, "");
    let (systemd, daemon) = started(&files, &output);
    let in_the_way = files.workdir.state().join("redact.key");
    fs::create_dir(&in_the_way).unwrap();
    let ask = || {
        let before = times(&systemd, "READY=1");
        daemon.hang_up();
        wait_until("the end of the reload", || (times(&systemd, "READY=1") > before).then_some(()));
    };
    files.write(&[&output.replace("enabled: false", "enabled: true")]);
    daemon.wait_for_line("the configuration is wrong");
    (0..3).for_each(|_| ask());
    assert_eq!(daemon.log().matches("the configuration is wrong").count(), 1, "{}", daemon.log());
    assert!(!daemon.log().contains("taken over"), "{}", daemon.log());
    fs::remove_dir(in_the_way).unwrap();
    ask();
    assert!(daemon.log().contains("taken over"), "{}", daemon.log());
}
