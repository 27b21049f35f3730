//! Group C: the log is a symlink.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{assert_in_order, blocked_by, shipper, taking_everything};
use crate::support::endpoint::Gate;
use crate::support::rotators::{
    appending, copytruncate, dated, gzip, numbered, rotate_numbered, write_lines,
};
use crate::support::shipper::Shipper;
use crate::support::workdir::real_events;

const TARGETS: usize = 30;
const LINES: usize = 10;

/// A directory with the targets of the link.
fn data(shipper: &Shipper) -> PathBuf {
    let data = shipper.workdir.path("data");
    fs::create_dir(&data).unwrap();
    data
}

/// Lets the link lead elsewhere, without an instant in which it leads nowhere.
fn retarget(link: &Path, target: &Path) {
    let new = link.with_file_name("new-link");
    symlink(target, &new).unwrap();
    fs::rename(new, link).unwrap();
}

#[test]
fn symlink_retarget() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, data, events) = (shipper.workdir.log(), data(&shipper), real_events(TARGETS * LINES));
    let daemon = shipper.start();
    for (n, lines) in events.chunks(LINES).enumerate() {
        let target = data.join(format!("{n}.log"));
        write_lines(&mut appending(&target), &lines[..LINES / 2]);
        retarget(&log, &target);
        write_lines(&mut appending(&target), &lines[LINES / 2..]);
        endpoint.wait_for_items(LINES * (n + 1));
    }
    assert_in_order(&daemon, &endpoint, &events);
}

/// Nothing is taken meanwhile; each target was opened before the next.
#[test]
fn symlink_retarget_while_sink_blocked() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = shipper(&endpoint).batches_of(5).flag("audit-webhook-batch-buffer-size", 5);
    let (log, data, events) = (shipper.workdir.log(), data(&shipper), real_events(TARGETS * LINES));
    let daemon = shipper.start();
    for (n, lines) in events.chunks(LINES).enumerate() {
        let target = data.join(format!("{n}.log"));
        write_lines(&mut appending(&target), lines);
        retarget(&log, &target);
        daemon.wait_until_holds(&target);
    }
    gate.open();
    assert_in_order(&daemon, &endpoint, &events);
}

/// logrotate works on the real path, so the backups lie beside the target and not beside the link.
#[test]
fn symlink_to_a_rotated_log() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = shipper(&endpoint).batches_of(20).flag("audit-webhook-batch-buffer-size", 20);
    let (log, data, events) = (shipper.workdir.log(), data(&shipper), real_events(300));
    let real = data.join("audit.log");
    write_lines(&mut appending(&real), &events[..100]);
    symlink(&real, &log).unwrap();
    let mut daemon = shipper.start();
    daemon.wait_until_holds(&real);
    rotate_numbered(&real);
    write_lines(&mut appending(&real), &events[100..150]);
    rotate_numbered(&real);
    gzip(&numbered(&real, 2));
    write_lines(&mut appending(&real), &events[150..200]);
    gate.open();
    assert_in_order(&daemon, &endpoint, &events[..200]);
    daemon.terminate();
    assert!(daemon.wait().success());
    write_lines(&mut appending(&real), &events[200..250]);
    rotate_numbered(&real);
    write_lines(&mut appending(&real), &events[250..]);
    assert_in_order(&shipper.start(), &endpoint, &events);
}

#[test]
fn symlink_removed() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, data, events) = (shipper.workdir.log(), data(&shipper), real_events(60));
    let target = data.join("audit.log");
    symlink(&target, &log).unwrap();
    write_lines(&mut appending(&target), &events[..20]);
    let daemon = shipper.start();
    endpoint.wait_for_items(20);
    fs::remove_file(&log).unwrap();
    write_lines(&mut appending(&target), &events[20..40]);
    symlink(&target, &log).unwrap();
    endpoint.wait_for_items(40);
    write_lines(&mut appending(&target), &events[40..]);
    assert_in_order(&daemon, &endpoint, &events);
}

#[test]
fn truncate_via_symlink() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, data, events) = (shipper.workdir.log(), data(&shipper), real_events(100));
    let target = data.join("audit.log");
    symlink(&target, &log).unwrap();
    let mut writer = appending(&target);
    let daemon = shipper.start();
    for (round, lines) in (0..).zip(events.chunks(20)) {
        write_lines(&mut writer, lines);
        endpoint.wait_for_items(20 * (round as usize + 1));
        copytruncate(&log, &dated(&log, round));
    }
    assert_in_order(&daemon, &endpoint, &events);
}

/// A link to nowhere is a log that does not exist yet.
#[test]
fn symlink_before_its_target() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, data, events) = (shipper.workdir.log(), data(&shipper), real_events(20));
    let target = data.join("audit.log");
    symlink(&target, &log).unwrap();
    let daemon = shipper.start();
    daemon.wait_for_metrics("a daemon that runs", |_| true);
    write_lines(&mut appending(&target), &events);
    assert_in_order(&daemon, &endpoint, &events);
}
