//! Group D: compressed backups, whole, growing and spoilt.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{
    arrived, assert_in_order, assert_once, blocked_after, blocked_by, shipper, stamped, taking_everything,
};
use crate::support::books::{assert_books_balance, count};
use crate::support::daemon::{Daemon, Metrics};
use crate::support::endpoint::{Endpoint, Gate};
use crate::support::rotators::{
    appending, gzip, gzipped, numbered, rotate_numbered, with_suffix, write_lines,
};
use crate::support::shipper::Shipper;
use crate::support::wait_until;
use crate::support::workdir::real_events;

fn compressed(lines: &[String]) -> Vec<u8> {
    gzipped(lines.concat().as_bytes())
}

/// The compressed backup of a test.
fn gz(shipper: &Shipper) -> std::path::PathBuf {
    with_suffix(&stamped(&shipper.workdir.log(), 0), ".gz")
}

#[test]
fn gz_static() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let events = real_events(200);
    fs::write(gz(&shipper), compressed(&events)).unwrap();
    let mut daemon = shipper.start();
    assert_in_order(&daemon, &endpoint, &events);
    daemon.terminate();
    assert!(daemon.wait().success());
    assert_in_order(&shipper.start(), &endpoint, &events);
}

/// The `.gz` stops growing after `part` of its bytes, until the daemon has gone past it; then it is completed.
fn gz_incomplete(part: impl Fn(usize) -> usize) {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(300));
    let whole = compressed(&events[..200]);
    let cut = part(whole.len());
    let mut file = File::create(gz(&shipper)).unwrap();
    file.write_all(&whole[..cut]).unwrap();
    write_lines(&mut appending(&log), &events[200..250]);
    let daemon = shipper.start();
    wait_until("the live file", || endpoint.items().contains(&events[249]).then_some(()));
    file.write_all(&whole[cut..]).unwrap();
    write_lines(&mut appending(&log), &events[250..]);
    assert_once(&daemon, &endpoint, &events);
}

#[test]
fn gz_incomplete_empty() {
    gz_incomplete(|_| 0);
}

#[test]
fn gz_incomplete_header() {
    gz_incomplete(|_| 5);
}

#[test]
fn gz_incomplete_data() {
    gz_incomplete(|whole| whole / 2);
}

#[test]
fn gz_incomplete_footer() {
    gz_incomplete(|whole| whole - 4);
}

#[test]
fn gz_stop_in_the_middle_resume() {
    let gate = Gate::closed();
    let endpoint = blocked_after(10, &gate);
    let shipper = shipper(&endpoint).batches_of(20).flag("shutdown-grace", "100ms");
    let events = real_events(1000);
    fs::write(gz(&shipper), compressed(&events)).unwrap();
    let mut daemon = shipper.start();
    endpoint.wait_for_items(200);
    endpoint.wait_for("a refused batch", |requests| requests.len() > 10);
    daemon.terminate();
    daemon.wait();
    gate.open();
    assert_in_order(&shipper.start(), &endpoint, &events);
}

#[test]
fn gz_concatenated_members() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let events = real_events(300);
    // A line may cross the border of two members.
    let text = events.concat();
    let (first, rest) = text.as_bytes().split_at(text.len() / 3);
    fs::write(gz(&shipper), [gzipped(first), gzipped(b""), gzipped(rest)].concat()).unwrap();
    let mut daemon = shipper.start();
    assert_in_order(&daemon, &endpoint, &events);
    daemon.terminate();
    assert!(daemon.wait().success());
    assert_in_order(&shipper.start(), &endpoint, &events);
}

/// Whatever else happens around a compressed backup that was read, and to its inode.
#[test]
fn gz_eof_not_reread() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(260));
    fs::write(gz(&shipper), compressed(&events[..200])).unwrap();
    let daemon = shipper.start();
    endpoint.wait_for_items(200);
    for (round, lines) in events[200..].chunks(20).enumerate() {
        File::options().append(true).open(gz(&shipper)).unwrap().set_modified(SystemTime::now()).unwrap();
        if round == 1 {
            let moved = log.with_file_name("restored");
            fs::copy(gz(&shipper), &moved).unwrap();
            fs::rename(moved, gz(&shipper)).unwrap();
        }
        write_lines(&mut appending(&log), lines);
        endpoint.wait_for_items(200 + 20 * (round + 1));
        rotate_numbered(&log);
    }
    assert_in_order(&daemon, &endpoint, &events);
}

#[test]
fn plain_and_gz_coexist() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(150));
    let (plain, compressed) = (stamped(&log, 0), compressed(&events[..100]));
    write_lines(&mut appending(&plain), &events[..100]);
    let mut growing = File::create(gz(&shipper)).unwrap();
    growing.write_all(&compressed[..compressed.len() / 2]).unwrap();
    write_lines(&mut appending(&log), &events[100..120]);
    let daemon = shipper.start();
    assert_in_order(&daemon, &endpoint, &events[..120]);
    growing.write_all(&compressed[compressed.len() / 2..]).unwrap();
    write_lines(&mut appending(&log), &events[120..130]);
    assert_in_order(&daemon, &endpoint, &events[..130]);
    fs::remove_file(plain).unwrap();
    write_lines(&mut appending(&log), &events[130..140]);
    assert_in_order(&daemon, &endpoint, &events[..140]);
    rotate_numbered(&log);
    gzip(&numbered(&log, 1));
    write_lines(&mut appending(&log), &events[140..]);
    assert_in_order(&daemon, &endpoint, &events);
}

/// lumberjack was killed while it compressed; its next life empties the `.gz` and begins anew.
#[test]
fn gz_rewritten_from_zero() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = shipper(&endpoint).batches_of(20).flag("audit-webhook-batch-buffer-size", 20);
    let (log, events) = (shipper.workdir.log(), real_events(300));
    let (plain, whole) = (stamped(&log, 0), compressed(&events[..200]));
    write_lines(&mut appending(&plain), &events[..200]);
    fs::write(gz(&shipper), &whole[..whole.len() / 2]).unwrap();
    write_lines(&mut appending(&log), &events[200..]);
    let daemon = shipper.start();
    endpoint.wait_for("a try", |requests| !requests.is_empty());
    let mut again = File::create(gz(&shipper)).unwrap();
    again.write_all(&whole[..whole.len() / 3]).unwrap();
    again.write_all(&whole[whole.len() / 3..]).unwrap();
    fs::remove_file(plain).unwrap();
    gate.open();
    assert_in_order(&daemon, &endpoint, &events);
}

/// Writes a backup that will never be better: nobody has touched it for an hour.
fn write_old(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    File::options().append(true).open(path).unwrap().set_modified(an_hour_ago).unwrap();
}

/// Ships a spoilt backup of `events[..200]` and a live log with the others; returns what arrived of the backup.
fn ship_spoilt(endpoint: &Endpoint, shipper: &Shipper, spoilt: &[u8], events: &[String]) -> Vec<String> {
    write_old(&gz(shipper), spoilt);
    write_lines(&mut appending(&shipper.workdir.log()), &events[200..]);
    let daemon = shipper.start();
    daemon.wait_for_line(" missing: ");
    wait_until("the live file", || endpoint.items().contains(events.last().unwrap()).then_some(()));
    let (mut arrived, metrics) = arrived(&daemon, endpoint, 0);
    assert!(count(&metrics, "audit_shipper_gaps_total", &[]) >= 1);
    assert!(count(&metrics, "error_total", &[("reason", "lost")]) >= 1);
    assert_books_balance(&daemon);
    let live = arrived.split_off(arrived.len() - (events.len() - 200));
    assert!(live == events[200..]);
    arrived
}

#[test]
fn gz_bad_crc() {
    let (endpoint, events) = (taking_everything(), real_events(250));
    let shipper = shipper(&endpoint);
    let mut spoilt = compressed(&events[..200]);
    let crc = spoilt.len() - 8;
    spoilt[crc] ^= 0xff;
    assert!(ship_spoilt(&endpoint, &shipper, &spoilt, &events) == events[..200]);
}

#[test]
fn gz_cut_short_for_ever() {
    let (endpoint, events) = (taking_everything(), real_events(250));
    let shipper = shipper(&endpoint);
    let whole = compressed(&events[..200]);
    let backup = ship_spoilt(&endpoint, &shipper, &whole[..whole.len() * 3 / 4], &events);
    assert!(backup.len() > 50 && backup == events[..backup.len()], "{} lines", backup.len());
}

/// 200 MB of events in a file of 200 KB: decompressed piece by piece, never as a whole.
#[test]
fn gz_bomb() {
    const LINES: u32 = 200;
    let receiver = Daemon::start(["receive", "--bind-address=127.0.0.1:0", "--output=/dev/null"]);
    let shipper = Shipper::to(&format!("http://{}/audit", receiver.address()))
        .flag("audit-webhook-batch-throttle-enable", false);
    let mut bomb = GzEncoder::new(File::create(gz(&shipper)).unwrap(), Compression::best());
    let filling = "x".repeat(1_000_000);
    for n in 0..LINES {
        let head = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":""#;
        writeln!(bomb, "{head}{n}\",\"requestObject\":\"{filling}\"}}").unwrap();
    }
    bomb.finish().unwrap();
    assert!(fs::metadata(gz(&shipper)).unwrap().len() < 300_000);
    let daemon = shipper.start();
    let delivered = |metrics: &Metrics| count(metrics, "audit_shipper_delivered_events_total", &[]);
    let mut seen = 0;
    while seen < u64::from(LINES) {
        // It takes as long as it takes: each step has its own deadline.
        seen = delivered(&daemon.wait_for_metrics("progress", |metrics| delivered(metrics) > seen));
    }
    assert_books_balance(&daemon);
    // Half of it: with a receiver that is slower than the daemon, `maxMemory` holds 32 MiB of it.
    assert!(daemon.peak_rss() < 100 << 20, "{} KiB", daemon.peak_rss() >> 10);
    let taken = receiver.metrics();
    assert_eq!(count(&taken, "audit_shipper_receiver_events_total", &[]), u64::from(LINES));
    assert_eq!(count(&taken, "audit_shipper_receiver_duplicate_events_total", &[]), 0);
}
