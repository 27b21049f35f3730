//! Group B: rotation under the daemon's eyes, and behind its back.

use std::fs;
use std::time::Duration;

use audit_shipper::demo::lumberjack::Options;

use super::{KEEP_ALL, assert_in_order, assert_once, blocked_by, shipper, stamped, taking_everything};
use crate::support::endpoint::Gate;
use crate::support::rotators::{
    appending, copytruncate, dated, gzip, numbered, rotate_numbered, with_suffix, write_lines,
};
use crate::support::wait_until;
use crate::support::workdir::real_events;
use crate::support::writer::Writer;

#[test]
fn rename_rotation_writes_to_both() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(200));
    let mut old = appending(&log);
    write_lines(&mut old, &events[..50]);
    let daemon = shipper.start();
    endpoint.wait_for_items(50);
    rotate_numbered(&log);
    write_lines(&mut old, &events[50..100]);
    let mut new = appending(&log);
    write_lines(&mut new, &events[100..150]);
    write_lines(&mut old, &events[150..]);
    assert_once(&daemon, &endpoint, &events);
}

#[test]
fn repeated_rename_same_path() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(200));
    let daemon = shipper.start();
    for (round, lines) in events.chunks(10).enumerate() {
        write_lines(&mut appending(&log), lines);
        endpoint.wait_for_items(10 * (round + 1));
        fs::rename(&log, numbered(&log, 1)).unwrap();
    }
    assert_in_order(&daemon, &endpoint, &events);
}

#[test]
fn several_rotations_between_two_looks() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let mut writer = Writer::with(shipper.workdir.log(), KEEP_ALL);
    writer.write(20);
    let daemon = shipper.start();
    endpoint.wait_for_items(20);
    for _ in 0..3 {
        daemon.pause();
        for _ in 0..5 {
            writer.write(20);
            writer.rotate();
        }
        writer.write(20);
        daemon.resume();
        assert_in_order(&daemon, &endpoint, &writer.lines());
    }
}

/// Loss is allowed here, and nowhere else; silence is not.
#[test]
fn ephemeral_lines() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(60));
    write_lines(&mut appending(&log), &events[..20]);
    let daemon = shipper.start();
    endpoint.wait_for_items(20);
    daemon.pause();
    fs::rename(&log, stamped(&log, 0)).unwrap();
    // The second generation comes and goes between two looks.
    write_lines(&mut appending(&log), &events[20..40]);
    fs::rename(&log, stamped(&log, 1)).unwrap();
    fs::remove_file(stamped(&log, 0)).unwrap();
    fs::remove_file(stamped(&log, 1)).unwrap();
    write_lines(&mut appending(&log), &events[40..]);
    daemon.resume();
    wait_until("the last generation", || endpoint.items().contains(events.last().unwrap()).then_some(()));
    if endpoint.items() != events {
        assert_eq!(endpoint.items(), [&events[..20], &events[40..]].concat(), "one generation at most");
        daemon.wait_for_metrics("a report of the loss", |metrics| {
            metrics.value("audit_shipper_gaps_total", &[]) >= 1.0
        });
        daemon.wait_for_line(" missing: ");
    }
}

#[test]
fn late_write_after_rotate_wait() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(30));
    let mut old = appending(&log);
    write_lines(&mut old, &events[..10]);
    let daemon = shipper.start();
    endpoint.wait_for_items(10);
    rotate_numbered(&log);
    write_lines(&mut appending(&log), &events[10..20]);
    endpoint.wait_for_items(20);
    // The daemon has long left the file.
    write_lines(&mut old, &events[20..]);
    assert_in_order(&daemon, &endpoint, &events);
}

#[test]
fn rotate_while_sink_blocked() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = shipper(&endpoint).flag("audit-webhook-batch-buffer-size", 50);
    let mut writer = Writer::new(shipper.workdir.log(), 400_000);
    writer.write(30);
    let daemon = shipper.start();
    endpoint.wait_for("a try", |requests| !requests.is_empty());
    for _ in 0..5 {
        writer.rotate();
        writer.write(100);
    }
    gate.open();
    assert_in_order(&daemon, &endpoint, &writer.lines());
    writer.finish();
}

#[test]
fn moved_out_of_directory() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = shipper(&endpoint).batches_of(20).flag("audit-webhook-batch-buffer-size", 20);
    let (log, events) = (shipper.workdir.log(), real_events(300));
    write_lines(&mut appending(&log), &events[..200]);
    let daemon = shipper.start();
    daemon.wait_until_holds(&log);
    fs::rename(&log, shipper.workdir.path("elsewhere.log")).unwrap();
    write_lines(&mut appending(&log), &events[200..]);
    daemon.wait_until_holds(&log);
    gate.open();
    assert_in_order(&daemon, &endpoint, &events);
}

#[test]
fn moved_not_reread() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(120));
    let mut daemon = shipper.start();
    for (round, lines) in events.chunks(20).enumerate() {
        write_lines(&mut appending(&log), lines);
        endpoint.wait_for_items(20 * (round + 1));
        rotate_numbered(&log);
        if round > 0 {
            gzip(&numbered(&log, 2));
        }
    }
    assert_in_order(&daemon, &endpoint, &events);
    daemon.terminate();
    assert!(daemon.wait().success());
    assert_in_order(&shipper.start(), &endpoint, &events);
}

/// Backups under every kind of name, and names beside them that are none of ours.
#[test]
fn glob_must_not_double() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(140));
    let names = [dated(&log, 0), stamped(&log, 1), stamped(&log, 2), numbered(&log, 2), numbered(&log, 1)];
    for (name, lines) in names.iter().chain([&log]).zip(events.chunks(20)) {
        write_lines(&mut appending(name), lines);
    }
    gzip(&names[0]);
    gzip(&names[3]);
    for foreign in [".bak", ".tmp", "-old", ".1.bak", ".gz.tmp"] {
        fs::copy(&log, with_suffix(&log, foreign)).unwrap();
    }
    fs::copy(&log, log.with_file_name("audit-policy.log")).unwrap();
    let daemon = shipper.start();
    assert_once(&daemon, &endpoint, &events[..120]);
    rotate_numbered(&log);
    write_lines(&mut appending(&log), &events[120..]);
    assert_once(&daemon, &endpoint, &events);
}

/// The pauses are the writer's pace; nothing waits for them.
#[test]
fn slow_writer_rotation_every_second() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let mut writer = Writer::new(shipper.workdir.log(), 400_000);
    let daemon = shipper.start();
    for _ in 0..3 {
        for _ in 0..10 {
            writer.write(1);
            std::thread::sleep(Duration::from_millis(100));
        }
        writer.rotate();
    }
    assert_in_order(&daemon, &endpoint, &writer.lines());
    writer.finish();
}

/// kube-apiserver's own rotation with two backups: deletion follows two rotations behind. Each rotation waits until the
/// daemon has seen the one before, which is all that a following daemon is owed.
fn lumberjack_with_two_backups(compress: bool, rotations: u64) {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let log = shipper.workdir.log();
    let options = Options { max_bytes: 1 << 20, max_backups: 2, compress, avoid_name_clash: true };
    let mut writer = Writer::with(&log, options);
    writer.write(1);
    let daemon = shipper.start();
    for rotation in 0..rotations {
        daemon.wait_until_holds(&log);
        while writer.rotations() <= rotation {
            writer.write(1);
        }
    }
    assert_in_order(&daemon, &endpoint, &writer.lines());
    writer.finish();
}

#[test]
fn lumberjack_real_compressed() {
    lumberjack_with_two_backups(true, 12);
}

#[test]
fn lumberjack_real_plain() {
    lumberjack_with_two_backups(false, 12);
}

#[test]
fn rotate_by_copy_while_sink_blocked() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = shipper(&endpoint).batches_of(20).flag("audit-webhook-batch-buffer-size", 20);
    let (log, events) = (shipper.workdir.log(), real_events(400));
    let mut writer = appending(&log);
    write_lines(&mut writer, &events[..100]);
    let daemon = shipper.start();
    endpoint.wait_for("a try", |requests| !requests.is_empty());
    for (round, lines) in (0..).zip(events[100..].chunks(100)) {
        copytruncate(&log, &dated(&log, round));
        write_lines(&mut writer, lines);
    }
    gate.open();
    assert_in_order(&daemon, &endpoint, &events);
}
