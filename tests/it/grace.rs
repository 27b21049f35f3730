//! How much grace an output has, with files that a rotator keeps and deletes.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::rotators::bytes_of;
use crate::support::shipper::Shipper;
use crate::support::workdir::{Workdir, lines_of, real_events, replace};

const GRACE: &str = "audit_shipper_retention_grace_seconds";
const FILE_BYTES: u64 = 200_000;
const BACKUPS: u64 = 3;
/// Between two of the first rotations.
const BETWEEN: Duration = Duration::from_secs(1000);

/// Makes a backup of the live file as lumberjack does, and deletes what is too much. It ended so long ago.
fn rotate(workdir: &Workdir, number: u64, ago: Duration) -> PathBuf {
    let name = |number| workdir.log_dir().join(format!("audit-2026-07-18T04-24-{number:02}.000.log"));
    let backup = name(number);
    std::fs::rename(workdir.log(), &backup).unwrap();
    File::create(workdir.log()).unwrap();
    let file = File::options().append(true).open(&backup).unwrap();
    file.set_modified(SystemTime::now() - ago).unwrap();
    if let Some(oldest) = number.checked_sub(BACKUPS) {
        let _ = std::fs::remove_file(name(oldest));
    }
    backup
}

/// Backups 0 and 1, a live file, and the rate in bytes a second: the higher of those of the last minutes and of the last hour.
fn log(workdir: &Workdir) -> (Vec<String>, f64) {
    let events = real_events(90);
    let (first, rest) = events.split_at(30);
    let (second, live) = rest.split_at(30);
    workdir.append(first);
    rotate(workdir, 0, 2 * BETWEEN);
    workdir.append(second);
    rotate(workdir, 1, BETWEEN);
    workdir.append(live);
    let rate = |lines: &[&[String]], time: Duration| {
        let bytes: usize = lines.iter().map(|lines| bytes_of(lines)).sum();
        f64::from(u32::try_from(bytes).unwrap()) / time.as_secs_f64()
    };
    // All that is known to have been written since the first backup; and the live file alone.
    let rate = rate(&[second, live], 2 * BETWEEN).max(rate(&[live], BETWEEN));
    (events.clone(), rate)
}

fn room(workdir: &Workdir) -> f64 {
    let live = std::fs::metadata(workdir.log()).unwrap().len();
    f64::from(u32::try_from(FILE_BYTES.saturating_sub(live)).unwrap())
}

fn rotated_as_told() -> String {
    format!("rotation: {{ maxSize: {FILE_BYTES}, maxBackups: {BACKUPS} }}")
}

/// The rate falls a little while nothing is written, and what is told apart here differs by far more.
fn is_near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 0.2 * expected
}

#[test]
fn a_level_output_has_the_whole_of_it() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).source(&rotated_as_told());
    let (events, rate) = log(&shipper.workdir);
    let daemon = shipper.start();
    endpoint.wait_for_items(events.len());
    // The live file is to be full, and three more after it.
    let whole = (room(&shipper.workdir) + 3.0 * 200_000.0) / rate;
    daemon.wait_for_metrics(&format!("a grace of {whole} s"), |metrics| {
        metrics.value("audit_shipper_lag_bytes", &[]) == 0.0 && is_near(metrics.value(GRACE, &[]), whole)
    });
}

/// As somebody does who was told that it is short.
#[test]
fn more_backups_count_without_a_restart() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).source(&rotated_as_told());
    let (_, rate) = log(&shipper.workdir);
    let daemon = shipper.start();
    let whole = |backups: f64| (room(&shipper.workdir) + backups * 200_000.0) / rate;
    let wait_for = |grace: f64| {
        daemon.wait_for_metrics(&format!("a grace of {grace} s"), |metrics| {
            is_near(metrics.value(GRACE, &[]), grace)
        });
    };
    wait_for(whole(3.0));
    let config = shipper.workdir.path("audit-shipper.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    replace(&config, &text.replace("maxBackups: 3", "maxBackups: 30"));
    wait_for(whole(30.0));
}

#[test]
fn an_output_that_is_behind_has_less_until_its_oldest_file_is_deleted() {
    let shipper = Shipper::to("http://127.0.0.1:1").source(&rotated_as_told());
    let (_, rate) = log(&shipper.workdir);
    let daemon = shipper.start();
    let workdir = &shipper.workdir;
    let wait_for = |what: &str, is: &dyn Fn(f64) -> bool| {
        daemon.wait_for_metrics(what, |metrics| is(metrics.value(GRACE, &[])));
    };
    // One backup is newer, so there is room for one more: of three rotations the second deletes it.
    let two = (room(workdir) + 200_000.0) / rate;
    wait_for(&format!("two rotations: {two} s"), &|grace| is_near(grace, two));
    // What was written was so already.
    rotate(workdir, 2, Duration::ZERO);
    let one = room(workdir) / rate;
    wait_for(&format!("one rotation: {one} s"), &|grace| is_near(grace, one));
    let oldest = workdir.log_dir().join("audit-2026-07-18T04-24-00.000.log");
    assert!(oldest.exists());
    workdir.append(&real_events(1));
    rotate(workdir, 3, Duration::ZERO);
    assert!(!oldest.exists());
    wait_for("none", &|grace| grace == 0.0);
    // It is still held.
    daemon
        .wait_for_metrics("a pinned file", |metrics| metrics.value("audit_shipper_pinned_files", &[]) == 1.0);
}

#[test]
fn an_output_gets_its_grace_back_when_the_endpoint_does() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let endpoint =
        Endpoint::start(move |_, _| if gate.is_open() { Answer::ok() } else { Answer::status(503) });
    let shipper = Shipper::new(&endpoint).source("rotation: { maxSize: 200000, maxBackups: 2 }");
    let (events, _) = log(&shipper.workdir);
    let daemon = shipper.start();
    daemon.wait_for_metrics("some grace", |metrics| metrics.value(GRACE, &[]).is_finite());
    rotate(&shipper.workdir, 2, Duration::ZERO);
    std::fs::remove_file(shipper.workdir.log_dir().join("audit-2026-07-18T04-24-00.000.log")).unwrap();
    daemon.wait_for_metrics("no grace", |metrics| metrics.value(GRACE, &[]) == 0.0);
    opened.open();
    endpoint.wait_for_items(events.len());
    daemon.wait_for_metrics("some grace", |metrics| metrics.value(GRACE, &[]) > 100.0);
    assert_eq!(lines_of(&shipper.workdir.log()).len(), 0);
}
