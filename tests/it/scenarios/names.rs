//! Group B: names that are no order, or not the last ones.

use std::fs;
use std::path::Path;

use audit_shipper::demo::lumberjack::Options;
use jiff::{SignedDuration, Timestamp};

use super::{KEEP_ALL, assert_in_order, assert_no_gaps, assert_once, blocked_by, shipper, taking_everything};
use crate::support::daemon::Daemon;
use crate::support::endpoint::Gate;
use crate::support::rotators::{gzip, with_suffix};
use crate::support::shipper::Shipper;
use crate::support::writer::Writer;

/// The second backup takes the name of the first, which lumberjack overwrites: only who holds it can still read it.
#[test]
fn same_millisecond_name() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = shipper(&endpoint).batches_of(10).flag("audit-webhook-batch-buffer-size", 10);
    let log = shipper.workdir.log();
    let daemon = shipper.start();
    let frozen = Timestamp::now();
    let faithful = Options { avoid_name_clash: false, ..KEEP_ALL };
    let mut writer = Writer::with_clock(&log, faithful, move || frozen);
    for _ in 0..4 {
        writer.write(40);
        daemon.wait_until_holds(&log);
        writer.rotate();
    }
    assert_eq!(fs::read_dir(shipper.workdir.log_dir()).unwrap().count(), 2, "one backup and the live file");
    gate.open();
    assert_in_order(&daemon, &endpoint, &writer.lines());
}

/// A clock that steps back by an hour with every other backup.
fn stepping_clock() -> impl FnMut() -> Timestamp + Send + 'static {
    let mut backups = 0;
    move || {
        backups += 1;
        let back = SignedDuration::from_hours(i64::from(backups / 2));
        Timestamp::now() - back + SignedDuration::from_millis(backups.into())
    }
}

fn write_with_stepping_clock(shipper: &Shipper, mut following: impl FnMut(usize)) -> Vec<String> {
    let mut writer = Writer::with_clock(shipper.workdir.log(), KEEP_ALL, stepping_clock());
    for round in 1..=6 {
        writer.write(20);
        following(20 * round);
        writer.rotate();
    }
    writer.write(20);
    writer.lines()
}

#[test]
fn clock_set_back() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let daemon = shipper.start();
    let written = write_with_stepping_clock(&shipper, |lines| drop(endpoint.wait_for_items(lines)));
    assert_in_order(&daemon, &endpoint, &written);
}

/// Nobody saw the files come, so their names are the only order.
#[test]
fn clock_set_back_while_down() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let written = write_with_stepping_clock(&shipper, |_| {});
    let mut daemon = shipper.start();
    assert_once(&daemon, &endpoint, &written);
    daemon.terminate();
    assert!(daemon.wait().success());
    assert_once(&shipper.start(), &endpoint, &written);
}

/// No name comes twice: lumberjack does not know of the names that its backups have got since.
fn running_clock() -> impl FnMut() -> Timestamp + Send + 'static {
    let mut now = Timestamp::now();
    move || {
        now += std::time::Duration::from_secs(1);
        now
    }
}

/// logrotate renames lumberjack's backup as if it were a log of its own.
fn rotate_backup_on_top(backup: &Path) {
    let first = with_suffix(backup, ".1");
    fs::rename(backup, &first).unwrap();
    let first = gzip(&first);
    let second = with_suffix(backup, ".2.gz");
    assert!(!second.exists(), "lumberjack used a name twice");
    fs::rename(first, second).unwrap();
}

/// The same for each backup that still has the name that lumberjack gave it.
fn rotate_backups_on_top(shipper: &Shipper) {
    for entry in fs::read_dir(shipper.workdir.log_dir()).unwrap() {
        let path = entry.unwrap().path();
        let is_live = path == shipper.workdir.log();
        if !is_live && path.extension().is_some_and(|extension| extension == "log") {
            rotate_backup_on_top(&path);
        }
    }
}

#[test]
fn two_rotators() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let mut writer = Writer::with_clock(shipper.workdir.log(), KEEP_ALL, running_clock());
    let daemon = shipper.start();
    for round in 1..=5 {
        writer.write(20);
        endpoint.wait_for_items(20 * round);
        writer.rotate();
        rotate_backups_on_top(&shipper);
    }
    writer.write(20);
    assert_in_order(&daemon, &endpoint, &writer.lines());
}

#[test]
fn two_rotators_while_blocked_and_while_down() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = shipper(&endpoint).batches_of(10).flag("audit-webhook-batch-buffer-size", 10);
    let mut writer = Writer::with_clock(shipper.workdir.log(), KEEP_ALL, running_clock());
    let write = |writer: &mut Writer| {
        for _ in 0..3 {
            writer.write(20);
            writer.rotate();
            rotate_backups_on_top(&shipper);
        }
    };
    writer.write(20);
    let mut daemon: Daemon = shipper.start();
    daemon.wait_until_holds(&shipper.workdir.log());
    write(&mut writer);
    gate.open();
    assert_once(&daemon, &endpoint, &writer.lines());
    daemon.terminate();
    assert!(daemon.wait().success());
    write(&mut writer);
    let daemon = shipper.start();
    assert_once(&daemon, &endpoint, &writer.lines());
    assert_no_gaps(&daemon.metrics());
}
