//! Group C, first half: files that shrink in place, and files that begin alike.

use std::fs;

use super::{arrived, assert_in_order, assert_no_gaps, assert_once, blocked_by, shipper, taking_everything};
use crate::support::books::count;
use crate::support::endpoint::{Endpoint, Gate};
use crate::support::rotators::{
    appending, at_own_offset, bytes_of, copytruncate, dated, gzip, rotate_numbered, truncate, write_lines,
};
use crate::support::wait_until;
use crate::support::workdir::real_events;
use crate::support::writer::assert_each_once;

fn assert_no_nul(endpoint: &Endpoint) {
    assert!(endpoint.requests().iter().all(|request| !request.body.contains(&0)), "a NUL was delivered");
}

/// The writer's own offset outlives the truncation, so that each file after it begins with a hole.
#[test]
fn copytruncate_stale_writer() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(250));
    let mut writer = at_own_offset(&log);
    let daemon = shipper.start();
    for (round, lines) in (0..).zip(events.chunks(50)) {
        write_lines(&mut writer, lines);
        endpoint.wait_for_items(50 * (round as usize + 1));
        copytruncate(&log, &dated(&log, round));
    }
    write_lines(&mut writer, &real_events(260)[250..]);
    assert_in_order(&daemon, &endpoint, &real_events(260));
    assert_no_nul(&endpoint);
}

#[test]
fn copytruncate_stale_writer_whose_hole_is_all_there_is() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(40));
    let mut writer = at_own_offset(&log);
    write_lines(&mut writer, &events[..20]);
    truncate(&log);
    write_lines(&mut writer, &events[20..]);
    let daemon = shipper.start();
    assert_in_order(&daemon, &endpoint, &events[20..]);
    assert_no_nul(&endpoint);
    let skipped = count(&daemon.metrics(), "audit_shipper_skipped_nul_bytes_total", &[]);
    assert_eq!(skipped, bytes_of(&events[..20]) as u64);
}

#[test]
fn copytruncate_write_both() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = shipper(&endpoint).batches_of(20).flag("audit-webhook-batch-buffer-size", 20);
    let (log, events) = (shipper.workdir.log(), real_events(700));
    let mut writer = appending(&log);
    write_lines(&mut writer, &events[..600]);
    let daemon = shipper.start();
    endpoint.wait_for("a try", |requests| !requests.is_empty());
    daemon.wait_until_holds(&log);
    copytruncate(&log, &dated(&log, 0));
    write_lines(&mut writer, &events[600..]);
    gzip(&dated(&log, 0));
    gate.open();
    assert_in_order(&daemon, &endpoint, &events);
}

/// What the daemon has read is in the copy too.
#[test]
fn copytruncate_read_lines_once() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(600));
    let mut writer = appending(&log);
    let daemon = shipper.start();
    for (round, lines) in (0..).zip(events.chunks(30)) {
        write_lines(&mut writer, lines);
        endpoint.wait_for_items(30 * (round as usize + 1));
        copytruncate(&log, &dated(&log, round));
        if let Some(before) = round.checked_sub(1) {
            gzip(&dated(&log, before));
        }
    }
    assert_in_order(&daemon, &endpoint, &events);
}

/// The writer never waits for the daemon: some lines are read from the log, the others from a copy.
#[test]
fn copytruncate_under_load() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(1250));
    let mut writer = appending(&log);
    let daemon = shipper.start();
    for (round, lines) in (0..).zip(events.chunks(50)) {
        write_lines(&mut writer, lines);
        copytruncate(&log, &dated(&log, round));
    }
    assert_once(&daemon, &endpoint, &events);
}

/// Nobody copies here: what was read before is what there was. What was not would be lost, so a possible gap may be told.
fn truncate_then_write(before: usize, after: usize) {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(before + after));
    let mut writer = appending(&log);
    write_lines(&mut writer, &events[..before]);
    let daemon = shipper.start();
    endpoint.wait_for_items(before);
    daemon.pause();
    truncate(&log);
    write_lines(&mut writer, &events[before..]);
    daemon.resume();
    let (arrived, _) = arrived(&daemon, &endpoint, before + after);
    assert!(arrived == events, "{} of {} lines, or in another order", arrived.len(), events.len());
}

#[test]
fn truncate_then_write_smaller() {
    truncate_then_write(100, 20);
}

#[test]
fn truncate_then_write_larger() {
    truncate_then_write(100, 300);
}

#[test]
fn truncate_then_write_equal() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let log = shipper.workdir.log();
    let before = real_events(30);
    let after: Vec<String> = before.iter().map(|line| same_length(line)).collect();
    let mut writer = appending(&log);
    write_lines(&mut writer, &before);
    let daemon = shipper.start();
    endpoint.wait_for_items(30);
    daemon.pause();
    truncate(&log);
    write_lines(&mut writer, &after);
    daemon.resume();
    let (arrived, _) = arrived(&daemon, &endpoint, 60);
    assert!(arrived == [before, after].concat(), "{} lines", arrived.len());
}

/// Another line, as long as this one.
fn same_length(line: &str) -> String {
    let other = line.replace("\"requestURI\":\"/", "\"requestURI\":\"x");
    assert!(other != line && other.len() == line.len());
    other
}

/// The worst case: nothing but the content in the middle tells that it is another file.
#[test]
fn truncated_same_size_same_first_line() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(4));
    let other = same_length(&events[3]);
    let mut writer = appending(&log);
    write_lines(&mut writer, &events);
    let daemon = shipper.start();
    endpoint.wait_for_items(4);
    daemon.pause();
    truncate(&log);
    write_lines(&mut writer, &[&events[..3], std::slice::from_ref(&other)].concat());
    daemon.resume();
    wait_until("the other line, or a report", || {
        let reported = count(&daemon.metrics(), "audit_shipper_gaps_total", &[]) > 0;
        (reported || endpoint.items().contains(&other)).then_some(())
    });
}

#[test]
fn empty_file() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(60));
    fs::write(&log, "").unwrap();
    let daemon = shipper.start();
    daemon.wait_until_holds(&log);
    // Empty ones come and go, with and without a line after them.
    for (round, lines) in events.chunks(20).enumerate() {
        rotate_numbered(&log);
        fs::write(&log, "").unwrap();
        rotate_numbered(&log);
        write_lines(&mut appending(&log), lines);
        endpoint.wait_for_items(20 * (round + 1));
    }
    assert_in_order(&daemon, &endpoint, &events);
}

/// Each generation is one line, shorter than what identifies a file.
#[test]
fn file_smaller_than_fingerprint() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let log = shipper.workdir.log();
    let line = |n: usize| {
        format!(
            "{{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"None\",\"auditID\":\"{n}\"}}\n"
        )
    };
    let events: Vec<String> = (0..40).map(line).collect();
    let daemon = shipper.start();
    for (n, event) in events.iter().enumerate() {
        write_lines(&mut appending(&log), std::slice::from_ref(event));
        if n % 2 == 0 {
            endpoint.wait_for_items(n + 1);
        }
        rotate_numbered(&log);
    }
    assert_in_order(&daemon, &endpoint, &events);
}

/// A static pod that restarts in a loop begins each log alike; only what follows differs.
#[test]
fn same_prefix_two_files() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(100));
    let generation = |n: usize| [&events[..20], &events[20 + 20 * n..40 + 20 * n]].concat();
    for n in 0..2 {
        write_lines(&mut appending(&super::stamped(&log, u32::try_from(n).unwrap())), &generation(n));
    }
    write_lines(&mut appending(&log), &generation(2));
    let mut daemon = shipper.start();
    let written: Vec<String> = (0..3).flat_map(generation).collect();
    assert_in_order(&daemon, &endpoint, &written);
    daemon.terminate();
    assert!(daemon.wait().success());
    rename_live(&log, 2);
    write_lines(&mut appending(&log), &generation(3));
    let daemon = shipper.start();
    let written: Vec<String> = (0..4).flat_map(generation).collect();
    let (arrived, metrics) = arrived(&daemon, &endpoint, written.len());
    assert_each_once(written, arrived);
    assert_no_gaps(&metrics);
}

fn rename_live(log: &std::path::Path, n: u32) {
    fs::rename(log, super::stamped(log, n)).unwrap();
}
