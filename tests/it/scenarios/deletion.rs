//! Group C: files that lose their name before they were read, and what becomes of them when they are too many to be held.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use audit_shipper::demo::lumberjack::Options;

use super::{arrived, assert_in_order, blocked_by, shipper, taking_everything};
use crate::support::books::{assert_books_balance, count};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Endpoint, Gate};
use crate::support::rotators::{appending, numbered, write_lines};
use crate::support::shipper::Shipper;
use crate::support::wait_until;
use crate::support::workdir::real_events;
use crate::support::writer::Writer;

pub(super) const TWO_BACKUPS: Options =
    Options { max_bytes: 400_000, max_backups: 2, compress: true, avoid_name_clash: true };

/// A daemon that keeps next to nothing in memory.
pub(super) fn holding_little(endpoint: &Endpoint) -> Shipper {
    shipper(endpoint).batches_of(20).flag("audit-webhook-batch-buffer-size", 20)
}

/// Writes `generations` files, each of which the daemon has opened before it is rotated; all but the last two and the
/// live one are deleted by then.
pub(super) fn write_seen_generations(
    daemon: &Daemon,
    shipper: &Shipper,
    writer: &mut Writer,
    generations: u32,
) {
    let log = shipper.workdir.log();
    for _ in 0..generations {
        writer.write(30);
        daemon.wait_until_holds(&log);
        writer.rotate();
    }
    writer.write(30);
    daemon.wait_until_holds(&log);
    let backups = || {
        let names = fs::read_dir(shipper.workdir.log_dir()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("audit-")).count()
    };
    wait_until("retention", || (backups() == 2).then_some(()));
}

#[test]
fn delete_before_read_fd_held() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = holding_little(&endpoint);
    let mut writer = Writer::with(shipper.workdir.log(), TWO_BACKUPS);
    writer.write(1);
    let daemon = shipper.start();
    write_seen_generations(&daemon, &shipper, &mut writer, 12);
    assert!(daemon.nameless_files_of(&shipper.workdir.log_dir()).len() >= 10, "of 12 backups 2 have a name");
    daemon.wait_for_metrics("nameless files", |metrics| {
        count(metrics, "audit_shipper_pinned_files", &[]) > 0
            && count(metrics, "audit_shipper_pinned_bytes", &[]) > 0
    });
    gate.open();
    assert_in_order(&daemon, &endpoint, &writer.lines());
    writer.finish();
}

#[test]
fn delete_after_read_frees_fd() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = holding_little(&endpoint);
    let mut writer = Writer::with(shipper.workdir.log(), TWO_BACKUPS);
    writer.write(1);
    let daemon = shipper.start();
    write_seen_generations(&daemon, &shipper, &mut writer, 6);
    let log_dir = shipper.workdir.log_dir();
    assert!(!daemon.nameless_files_of(&log_dir).is_empty());
    gate.open();
    assert_in_order(&daemon, &endpoint, &writer.lines());
    wait_until("no handle of a deleted file", || daemon.nameless_files_of(&log_dir).is_empty().then_some(()));
    daemon.wait_for_metrics("no pins", |metrics| {
        count(metrics, "audit_shipper_pinned_files", &[]) == 0
            && count(metrics, "audit_shipper_pinned_bytes", &[]) == 0
    });
    writer.finish();
}

/// With a limit on what is held, the oldest nameless files are given up; the loss is told to the byte.
fn give_up(source: &str) {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = holding_little(&endpoint).source(source);
    let mut writer = Writer::with(shipper.workdir.log(), Options { compress: false, ..TWO_BACKUPS });
    // The endpoint is asked for the first lines again and again; they are not lost, whatever else is.
    writer.write(20);
    let daemon = shipper.start();
    endpoint.wait_for("a try", |requests| !requests.is_empty());
    write_seen_generations(&daemon, &shipper, &mut writer, 12);
    let lost = daemon.wait_for_line(" missing: ");
    assert!(lost.contains("ERROR") && lost.contains("audit-") && lost.contains(" to "), "{lost}");
    gate.open();
    let written = writer.lines();
    wait_until("the last line", || endpoint.items().contains(written.last().unwrap()).then_some(()));
    let (arrived, metrics) = arrived(&daemon, &endpoint, 0);
    assert!(arrived.len() < written.len(), "the limit did not count");
    let mut rest = arrived.iter().peekable();
    let missing: Vec<&String> =
        written.iter().filter(|line| rest.next_if(|arrived| arrived == line).is_none()).collect();
    assert_eq!(rest.len(), 0, "what arrived is what was written, in order, without what is missing");
    let bytes: usize = missing.iter().map(|line| line.len()).sum();
    assert_eq!(count(&metrics, "audit_shipper_lost_bytes_total", &[]), bytes as u64);
    assert!(count(&metrics, "audit_shipper_gaps_total", &[("certainty", "certain")]) >= 1);
    assert_eq!(count(&metrics, "audit_shipper_gaps_total", &[("certainty", "possible")]), 0);
    assert!(count(&metrics, "error_total", &[("reason", "lost")]) >= 1);
    assert_books_balance(&daemon);
    writer.finish();
}

#[test]
fn more_nameless_bytes_than_pin_limit_are_given_up_and_told() {
    give_up("pinLimit: 300KB");
}

#[test]
fn more_nameless_files_than_pin_max_files_are_given_up_and_told() {
    give_up("pinMaxFiles: 2");
}

#[test]
fn delete_and_recreate_same_path() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(200));
    let daemon = shipper.start();
    for (round, lines) in events.chunks(20).enumerate() {
        write_lines(&mut appending(&log), lines);
        endpoint.wait_for_items(20 * (round + 1));
        fs::remove_file(&log).unwrap();
    }
    write_lines(&mut appending(&log), &real_events(210)[200..]);
    assert_in_order(&daemon, &endpoint, &real_events(210));
}

/// Another file under the same name and the same inode, and longer than what was read of the first.
#[test]
fn inode_reuse() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(300));
    write_lines(&mut appending(&log), &events[..50]);
    let mut daemon = shipper.start();
    endpoint.wait_for_items(50);
    daemon.terminate();
    assert!(daemon.wait().success());
    let inode = fs::metadata(&log).unwrap().ino();
    let reused = (0..1000).any(|_| {
        fs::remove_file(&log).unwrap();
        fs::write(&log, "").unwrap();
        fs::metadata(&log).unwrap().ino() == inode
    });
    if !reused {
        eprintln!("skipped: this filesystem does not use an inode again");
        return;
    }
    write_lines(&mut appending(&log), &events[50..]);
    let daemon = shipper.start();
    let (arrived, _) = arrived(&daemon, &endpoint, 300);
    assert!(arrived == events, "{} lines", arrived.len());
}

#[test]
fn rotated_then_removed() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = holding_little(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(300));
    write_lines(&mut appending(&log), &events[..200]);
    let daemon = shipper.start();
    daemon.wait_until_holds(&log);
    fs::rename(&log, numbered(&log, 1)).unwrap();
    write_lines(&mut appending(&log), &events[200..]);
    fs::remove_file(numbered(&log, 1)).unwrap();
    gate.open();
    assert_in_order(&daemon, &endpoint, &events);
}

#[test]
fn rotated_then_new_removed() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = holding_little(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(300));
    write_lines(&mut appending(&log), &events[..100]);
    let daemon = shipper.start();
    daemon.wait_until_holds(&log);
    fs::rename(&log, numbered(&log, 1)).unwrap();
    write_lines(&mut appending(&log), &events[100..200]);
    daemon.wait_until_holds(&log);
    fs::remove_file(&log).unwrap();
    write_lines(&mut appending(&log), &events[200..]);
    daemon.wait_until_holds(&log);
    gate.open();
    assert_in_order(&daemon, &endpoint, &events);
}
