//! The log as it really is: rotated, compressed, late.

use std::ffi::OsString;

use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::Shipper;
use crate::support::wait_until;
use crate::support::workdir::{Workdir, real_events};
use crate::support::writer::{Writer, assert_each_once};

/// Larger than any line of the replay, so that lumberjack takes each of them.
const FILE_BYTES: u64 = 400_000;

/// `run` with the throttle off, and batches that do not wait for long.
fn arguments(workdir: &Workdir, endpoint: &Endpoint) -> Vec<OsString> {
    let flag = |name: &str, value: &std::path::Path| {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value);
        flag
    };
    vec![
        "run".into(),
        flag("audit-log-path", &workdir.log()),
        flag("audit-webhook-config-file", &workdir.kubeconfig(&endpoint.url())),
        flag("state-dir", &workdir.state()),
        "--bind-address=127.0.0.1:0".into(),
        "--audit-webhook-batch-max-wait=20ms".into(),
        "--audit-webhook-batch-throttle-enable=false".into(),
    ]
}

fn taking_everything() -> Endpoint {
    Endpoint::start(|_, _| Answer::ok())
}

#[test]
fn backups_first_then_the_live_file_then_across_rotations_each_event_once() {
    let endpoint = taking_everything();
    // Of several requests at a time, any may arrive first.
    let shipper = Shipper::new(&endpoint).one_at_a_time().flag("audit-webhook-batch-throttle-enable", false);
    let mut writer = Writer::new(shipper.workdir.log(), FILE_BYTES);
    writer.write(1000);
    assert!(writer.rotations() > 2);
    let mut daemon = shipper.start();
    endpoint.wait_for_items(1000);
    let backlog = endpoint.items();
    assert_eq!(backlog[..100], writer.lines()[..100], "oldest first");
    for _ in 0..10 {
        writer.write(200);
        writer.rotate();
        writer.write(10);
    }
    let arrived = endpoint.wait_for_items(3100);
    assert_each_once(writer.lines(), arrived);
    let metrics = daemon.wait_for_metrics("a level log", |metrics| {
        metrics.value("audit_shipper_lag_bytes", &[]) == 0.0
            && metrics.value("audit_shipper_buffered_events", &[]) == 0.0
    });
    assert!(metrics.value("audit_shipper_rotations_total", &[]) >= 10.0);
    assert_eq!(metrics.value("audit_shipper_gaps_total", &[]), 0.0);
    writer.finish();
    daemon.terminate();
    assert!(daemon.wait().success());
}

#[test]
fn a_clean_stop_and_a_restart_double_nothing_though_all_was_compressed_meanwhile() {
    let (workdir, endpoint) = (Workdir::new(), taking_everything());
    let mut writer = Writer::new(workdir.log(), FILE_BYTES);
    for round in 1..=4 {
        writer.write(700);
        let mut daemon = Daemon::start(arguments(&workdir, &endpoint));
        // The stop comes while it ships, except in the last round.
        let wanted = if round < 4 { round * 700 - 300 } else { round * 700 };
        endpoint.wait_for_items(wanted);
        daemon.terminate();
        assert!(daemon.wait().success());
        writer.rotate();
    }
    let lines = writer.lines();
    assert_each_once(lines, endpoint.items());
    writer.finish();
}

#[test]
fn the_log_and_its_directory_may_come_later_under_any_name() {
    let (workdir, endpoint) = (Workdir::new(), taking_everything());
    let log = workdir.path("var/log/kubernetes/kubernetes.audit");
    let mut arguments = arguments(&workdir, &endpoint);
    let mut flag = OsString::from("--audit-log-path=");
    flag.push(&log);
    arguments.push(flag);
    let mut daemon = Daemon::start(arguments);
    daemon.wait_for_line("does not exist yet");
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    let mut writer = Writer::new(&log, FILE_BYTES);
    writer.write(500);
    assert_each_once(writer.lines(), endpoint.wait_for_items(500));
    writer.finish();
    daemon.terminate();
    assert!(daemon.wait().success());
    assert_eq!(daemon.log().matches("does not exist yet").count(), 1, "said once:\n{}", daemon.log());
}

#[test]
fn a_spoiled_cursor_costs_duplicates_not_events() {
    let (workdir, endpoint) = (Workdir::new(), taking_everything());
    let events = real_events(300);
    workdir.append(&events[..200]);
    let mut daemon = Daemon::start(arguments(&workdir, &endpoint));
    endpoint.wait_for_items(200);
    daemon.terminate();
    assert!(daemon.wait().success());
    std::fs::write(workdir.state().join("webhook.cursor.json"), "\0\0\0").unwrap();
    workdir.append(&events[200..]);
    let mut daemon = Daemon::start(arguments(&workdir, &endpoint));
    daemon.wait_for_line("the cursor cannot be read");
    assert_eq!(endpoint.wait_for_items(500)[200..], events);
    daemon.terminate();
    assert!(daemon.wait().success());
}

#[test]
fn a_log_that_cannot_be_read_is_tried_again_and_said_once() {
    let (workdir, endpoint) = (Workdir::new(), taking_everything());
    // A directory under the log's name cannot be read as a file by anybody, not even by root.
    std::fs::create_dir(workdir.log()).unwrap();
    let daemon = Daemon::start(arguments(&workdir, &endpoint));
    daemon.wait_for_line("the log cannot be read");
    std::fs::remove_dir(workdir.log()).unwrap();
    let events = real_events(50);
    workdir.append(&events);
    // Several batches may be under way at a time.
    assert_each_once(events, endpoint.wait_for_items(50));
    daemon.wait_for_line("the log can be read again");
    assert_eq!(daemon.log().matches("cannot be read;").count(), 1, "{}", daemon.log());
    wait_until("readiness", || (daemon.get("/readyz").0 == 200).then_some(()));
}
