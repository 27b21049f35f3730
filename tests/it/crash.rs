//! kill -9 at any instant costs duplicates, never events; and memory does not grow with the backlog.
//!
//! With `AUDIT_SHIPPER_SOAK` set, the long versions run too: 1 GB drained, and hundreds of kills.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};

use audit_shipper::demo::lumberjack::Options;
use flate2::read::GzDecoder;

use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::wait_until;
use crate::support::workdir::Workdir;
use crate::support::writer::Writer;

const BATCH: usize = 40;
/// `maxInFlight` by default.
const IN_FLIGHT: usize = 4;

fn arguments(workdir: &Workdir, url: &str, more: &[&str]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "run".into(),
        "--audit-log-path".into(),
        workdir.log().into(),
        "--audit-webhook-config-file".into(),
        workdir.kubeconfig(url).into(),
        "--state-dir".into(),
        workdir.state().into(),
        "--bind-address=127.0.0.1:0".into(),
        "--audit-webhook-batch-throttle-enable=false".into(),
        "--audit-webhook-batch-max-wait=20ms".into(),
    ];
    arguments.extend(more.iter().map(OsString::from));
    arguments
}

fn soak() -> bool {
    std::env::var_os("AUDIT_SHIPPER_SOAK").is_some()
}

/// Kills the daemon `kills` times while a log is written, rotated and compressed; then lets it finish.
fn kill_again_and_again(kills: usize) {
    let workdir = Workdir::new();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let batch = format!("--audit-webhook-batch-max-size={BATCH}");
    let mut writer = Writer::new(workdir.log(), 400_000);
    for _ in 0..kills {
        writer.write(150);
        let mut daemon = Daemon::start(arguments(&workdir, &endpoint.url(), &[&batch]));
        // Somewhere in the work of this life, which begins with what the last one left.
        let requests = endpoint.requests().len() + fastrand::usize(0..3);
        wait_until("some progress", || (endpoint.requests().len() > requests).then_some(()));
        if fastrand::bool() {
            writer.rotate();
        }
        daemon.kill9();
    }
    let mut daemon = Daemon::start(arguments(&workdir, &endpoint.url(), &[&batch]));
    let written = writer.lines();
    daemon.address();
    let arrived = wait_until("all events", || {
        let mut arrived: HashMap<String, usize> = HashMap::new();
        for line in endpoint.items() {
            *arrived.entry(line).or_default() += 1;
        }
        (arrived.len() >= written.len()).then_some(arrived)
    });
    assert!(written.iter().all(|line| arrived.contains_key(line)), "every written event has arrived");
    let duplicates = arrived.values().sum::<usize>() - written.len();
    assert!(duplicates <= kills * IN_FLIGHT * BATCH, "{duplicates} duplicates of {kills} kills");
    daemon.terminate();
    assert!(daemon.wait().success());
    assert!(!daemon.log().contains(" missing: "), "{}", daemon.log());
    writer.finish();
    eprintln!("{kills} kills, {} events, 0 missing, {duplicates} duplicates", written.len());
}

#[test]
fn kill_9_loses_nothing_and_doubles_no_more_than_what_was_in_flight() {
    kill_again_and_again(12);
}

#[test]
fn soak_kill_9_hundreds_of_times() {
    if soak() {
        kill_again_and_again(300);
    }
}

/// Retention that deletes while the daemon is dead: what is missing in the end was told in the life after that death.
fn kill_under_short_retention(kills: usize) {
    let workdir = Workdir::new();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let more = [&*format!("--audit-webhook-batch-max-size={BATCH}"), "--audit-webhook-batch-buffer-size=40"];
    let options = Options { max_bytes: 400_000, max_backups: 2, compress: true, avoid_name_clash: true };
    let mut writer = Writer::with(workdir.log(), options);
    // What was there when each life began: the number of its oldest line.
    let (mut oldest, mut told, mut gaps) = (vec![0], Vec::new(), 0);
    for _ in 0..kills {
        for _ in 0..fastrand::u8(0..6) {
            writer.write(40);
            writer.rotate();
        }
        writer.write(120);
        oldest.push(wait_until("retention", || oldest_line(&workdir, &writer)));
        let accepted = endpoint.items().len();
        let mut daemon = Daemon::start(arguments(&workdir, &endpoint.url(), &more));
        let cursor = workdir.state().join("webhook.cursor.json");
        wait_until("some batches of this life, and a cursor", || {
            (endpoint.items().len() > accepted + BATCH && cursor.exists()).then_some(())
        });
        daemon.kill9();
        told.push(daemon.log().contains(" missing: "));
        gaps += usize::from(*told.last().unwrap());
    }
    let mut daemon = Daemon::start(arguments(&workdir, &endpoint.url(), &more));
    let written = writer.lines();
    // All of it may have arrived in the life before, and a signal that comes before it listens ends it at once.
    daemon.address();
    wait_until("the last line", || endpoint.items().contains(written.last().unwrap()).then_some(()));
    daemon.terminate();
    assert!(daemon.wait().success());
    let arrived: HashSet<String> = endpoint.items().into_iter().collect();
    let missing: Vec<usize> = (0..written.len()).filter(|line| !arrived.contains(&written[*line])).collect();
    // The first life has no cursor: what was gone before it is nothing that it could know of.
    for (life, told) in told.iter().enumerate().skip(1) {
        let vanished = oldest[life]..oldest[life + 1];
        let lost = missing.iter().filter(|line| vanished.contains(line)).count();
        assert!(lost == 0 || *told, "{lost} lines went missing before life {life}, which said nothing");
    }
    assert!(missing.last().is_none_or(|line| line < oldest.last().unwrap()), "missing though it was there");
    writer.finish();
    eprintln!("{kills} kills, {} events, {} missing, {gaps} lives told of it", written.len(), missing.len());
}

/// The number of the oldest line on disk, once there are no more than two backups and no work of the mill under way.
fn oldest_line(workdir: &Workdir, writer: &Writer) -> Option<usize> {
    let files = std::fs::read_dir(workdir.log_dir()).ok()?.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path != &workdir.log()).collect();
    files.sort();
    let at_rest =
        files.len() <= 2 && files.iter().all(|path| path.extension().is_some_and(|end| end == "gz"));
    if !at_rest {
        return None;
    }
    let oldest = files.into_iter().next().unwrap_or_else(|| workdir.log());
    let file = std::fs::File::open(&oldest).ok()?;
    let mut line = String::new();
    if oldest == workdir.log() {
        BufReader::new(file).read_line(&mut line).ok()?;
    } else {
        BufReader::new(GzDecoder::new(file)).read_line(&mut line).ok()?;
    }
    writer.lines().iter().position(|written| *written == line)
}

#[test]
fn kill_9_while_backups_are_deleted_loses_nothing_in_silence() {
    kill_under_short_retention(12);
}

#[test]
fn soak_kill_9_hundreds_of_times_while_backups_are_deleted() {
    if soak() {
        kill_under_short_retention(300);
    }
}

/// Drains a backlog of `bytes` into `receive` and returns the peak memory of the daemon.
fn drain(bytes: u64) -> u64 {
    let workdir = Workdir::new();
    let mut writer = Writer::new(workdir.log(), bytes * 2);
    let mut events = 0;
    while std::fs::metadata(workdir.log()).map_or(0, |log| log.len()) < bytes {
        writer.write(2000);
        events += 2000;
    }
    let receiver = Daemon::start(["receive", "--bind-address=127.0.0.1:0", "--output=/dev/null"]);
    let url = format!("http://{}/audit", receiver.address());
    let mut daemon = Daemon::start(arguments(&workdir, &url, &[]));
    let mut seen = 0.0;
    while seen < f64::from(events) {
        // Each step has its own deadline: a large backlog takes as long as it takes.
        let metrics = daemon.wait_for_metrics("progress", |metrics| {
            metrics.value("audit_shipper_delivered_events_total", &[]) > seen
        });
        seen = metrics.value("audit_shipper_delivered_events_total", &[]);
    }
    let peak = daemon.peak_rss();
    eprintln!("{events} events of {bytes} bytes drained, peak RSS {} KiB", peak >> 10);
    daemon.terminate();
    assert!(daemon.wait().success());
    assert_eq!(receiver.metrics().value("audit_shipper_receiver_duplicate_events_total", &[]), 0.0);
    peak
}

#[test]
fn memory_does_not_grow_with_the_backlog() {
    assert!(drain(60 << 20) < 64 << 20);
}

#[test]
fn soak_drain_1_gb_within_64_mib() {
    if soak() {
        assert!(drain(1_000_000_000) < 64 << 20);
    }
}

#[test]
fn what_an_outage_holds_up_is_bounded_and_arrives_after_it() {
    let workdir = Workdir::new();
    let open = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let endpoint = Endpoint::start({
        let open = open.clone();
        move |_, _| {
            if open.load(std::sync::atomic::Ordering::Relaxed) { Answer::ok() } else { Answer::status(503) }
        }
    });
    let mut writer = Writer::new(workdir.log(), 1 << 30);
    writer.write(3000);
    let more = [
        "--audit-webhook-batch-buffer-size=500",
        "--audit-webhook-batch-max-size=100",
        "--audit-webhook-initial-backoff=30ms",
    ];
    let daemon = Daemon::start(arguments(&workdir, &endpoint.url(), &more));
    let metrics = daemon.wait_for_metrics("tries", |metrics| {
        metrics.value_or_zero("audit_shipper_requests_total", &[("outcome", "retry")]) > 20.0
    });
    assert!(metrics.value("audit_shipper_buffered_events", &[]) <= 500.0);
    assert!(metrics.value("audit_shipper_lag_bytes", &[]) > 0.0);
    assert!(metrics.value("audit_shipper_lag_seconds", &[]) > 0.0);
    let lag = metrics.value("audit_shipper_lag_bytes", &[]);
    writer.write(2000);
    daemon.wait_for_metrics("a growing lag", |metrics| metrics.value("audit_shipper_lag_bytes", &[]) > lag);
    open.store(true, std::sync::atomic::Ordering::Relaxed);
    crate::support::writer::assert_each_once(writer.lines(), endpoint.wait_for_items(5000));
    daemon.wait_for_line("the endpoint takes events again");
    writer.finish();
}
