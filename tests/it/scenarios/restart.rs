//! Group E: what a restart remembers.

use std::fs;
use std::path::Path;

use super::{assert_in_order, assert_once, blocked_after, blocked_by, shipper, stamped, taking_everything};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::rotators::{
    appending, copytruncate, dated, gzip, numbered, rotate_numbered, write_lines,
};
use crate::support::shipper::Shipper;
use crate::support::wait_until;
use crate::support::workdir::real_events;

fn stop(mut daemon: Daemon) {
    daemon.terminate();
    assert!(daemon.wait().success());
}

#[test]
fn restart_resumes_offset() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(300));
    for (round, lines) in events.chunks(50).enumerate() {
        // Written while down.
        write_lines(&mut appending(&log), &lines[..25]);
        let daemon = shipper.start();
        write_lines(&mut appending(&log), &lines[25..]);
        assert_in_order(&daemon, &endpoint, &events[..50 * (round + 1)]);
        stop(daemon);
    }
}

/// The endpoint stored what it never answered; it is sent again.
#[test]
fn restart_unacked_redelivers() {
    let endpoint = Endpoint::start(|_, n| if n == 2 { Answer::Hang } else { Answer::ok() });
    let shipper = shipper(&endpoint).batches_of(20);
    let events = real_events(100);
    write_lines(&mut appending(&shipper.workdir.log()), &events);
    let mut daemon = shipper.start();
    endpoint.wait_for("a request without an answer", |requests| requests.len() == 3);
    daemon.kill9();
    let daemon = shipper.start();
    wait_until("the last line", || endpoint.items().contains(&events[99]).then_some(()));
    let arrived = endpoint.items();
    assert!(events.iter().all(|line| arrived.contains(line)));
    let bodies = |n: usize| endpoint.requests()[n].body.clone();
    assert!(endpoint.requests()[3..].iter().any(|request| request.body == bodies(2)), "sent again as it was");
    drop(daemon);
}

#[test]
fn restart_no_duplicates_after_clean_stop() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint).batches_of(5);
    let events = real_events(1000);
    write_lines(&mut appending(&shipper.workdir.log()), &events);
    for _ in 0..5 {
        let before = endpoint.requests().len();
        let daemon = shipper.start();
        // In the midst of work, unless it is done already.
        endpoint.wait_for("some requests", |requests| requests.len() >= (before + 15).min(1000 / 5));
        daemon.address();
        stop(daemon);
    }
    assert_in_order(&shipper.start(), &endpoint, &events);
}

/// Half of the live file is read, then the daemon is down while `rotate` does its work.
fn rotated_while_down(rotate: impl Fn(&Path, u32)) {
    let gate = Gate::closed();
    let endpoint = blocked_after(5, &gate);
    let shipper = shipper(&endpoint).batches_of(20).flag("shutdown-grace", "100ms");
    let (log, events) = (shipper.workdir.log(), real_events(400));
    write_lines(&mut appending(&log), &events[..200]);
    let mut daemon = shipper.start();
    // Sent when all before it was settled.
    endpoint.wait_for("a refused batch", |requests| requests.len() > 5);
    daemon.terminate();
    daemon.wait();
    rotate(&log, 0);
    write_lines(&mut appending(&log), &events[200..300]);
    rotate(&log, 1);
    write_lines(&mut appending(&log), &events[300..]);
    gate.open();
    let daemon = shipper.start();
    assert_in_order(&daemon, &endpoint, &events);
    stop(daemon);
    rotate(&log, 2);
    assert_in_order(&shipper.start(), &endpoint, &events);
}

#[test]
fn restart_with_rotation_in_between_stamped() {
    rotated_while_down(|log, n| fs::rename(log, stamped(log, n)).unwrap());
}

#[test]
fn restart_with_rotation_in_between_numbered() {
    rotated_while_down(|log, n| {
        rotate_numbered(log);
        if n > 0 {
            gzip(&numbered(log, 2));
        }
    });
}

#[test]
fn restart_with_rotation_in_between_dated_and_compressed() {
    rotated_while_down(|log, n| {
        fs::rename(log, dated(log, n)).unwrap();
        gzip(&dated(log, n));
    });
}

#[test]
fn restart_after_copytruncate() {
    rotated_while_down(|log, n| copytruncate(log, &dated(log, n)));
}

#[test]
fn restart_after_copytruncate_and_compression() {
    rotated_while_down(|log, n| {
        copytruncate(log, &dated(log, n));
        gzip(&dated(log, n));
    });
}

#[test]
fn partial_line_across_restart_once() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(12));
    let mut writer = appending(&log);
    write_lines(&mut writer, &events[..10]);
    let (begin, end) = events[10].split_at(events[10].len() / 2);
    write_lines(&mut writer, &[begin.to_owned()]);
    let daemon = shipper.start();
    endpoint.wait_for_items(10);
    stop(daemon);
    let daemon = shipper.start();
    daemon.wait_until_holds(&log);
    write_lines(&mut writer, &[end.to_owned()]);
    endpoint.wait_for_items(11);
    stop(daemon);
    rotate_numbered(&log);
    write_lines(&mut appending(&log), &events[11..]);
    assert_in_order(&shipper.start(), &endpoint, &events);
}

/// A torn line that its writer never finished: it is no event, and it is not glued to the next file's first line.
#[test]
fn partial_line_at_the_end_of_a_backup_is_set_aside() {
    let endpoint = taking_everything();
    let shipper: Shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(30));
    write_lines(&mut appending(&log), &events[..10]);
    write_lines(&mut appending(&log), &[events[29][..200].to_owned()]);
    let daemon = shipper.start();
    endpoint.wait_for_items(10);
    rotate_numbered(&log);
    write_lines(&mut appending(&log), &events[10..20]);
    assert_in_order(&daemon, &endpoint, &events[..20]);
    daemon.wait_for_metrics("the torn line set aside", |metrics| {
        metrics.value_or_zero("error_total", &[("reason", "malformed")]) == 1.0
    });
}

#[test]
fn checkpoint_of_vanished_files() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(140));
    for (n, lines) in (0..).zip(events[..80].chunks(20)) {
        write_lines(&mut appending(&stamped(&log, n)), lines);
    }
    write_lines(&mut appending(&log), &events[80..100]);
    let daemon = shipper.start();
    assert_in_order(&daemon, &endpoint, &events[..100]);
    fs::remove_file(stamped(&log, 0)).unwrap();
    stop(daemon);
    fs::remove_file(stamped(&log, 1)).unwrap();
    let daemon = shipper.start();
    let knows = |n: u32| {
        let name = stamped(&log, n).file_name().unwrap().to_string_lossy().into_owned();
        fs::read_to_string(shipper.workdir.state().join("siem.cursor.json")).unwrap().contains(&name)
    };
    // A mark outlives its file for a while, and goes with one of the next commits.
    let mut lines = events[100..].iter().cycle();
    wait_until("the vanished files to be forgotten", || {
        write_lines(&mut appending(&log), std::slice::from_ref(lines.next().unwrap()));
        (!knows(0) && !knows(1)).then_some(())
    });
    assert!(knows(2) && knows(3));
    stop(daemon);
}

/// Whatever was blocked at the stop is sent after the start, from files that were rotated meanwhile.
#[test]
fn restart_while_sink_blocked() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = shipper(&endpoint).batches_of(20).flag("shutdown-grace", "100ms");
    let (log, events) = (shipper.workdir.log(), real_events(300));
    for (n, lines) in (0..).zip(events.chunks(50)) {
        write_lines(&mut appending(&log), lines);
        let tries = endpoint.requests().len();
        let mut daemon = shipper.start();
        endpoint.wait_for("a try", |requests| requests.len() > tries);
        daemon.terminate();
        daemon.wait();
        fs::rename(&log, stamped(&log, n)).unwrap();
    }
    gate.open();
    assert_once(&shipper.start(), &endpoint, &events);
}
