//! Any bytes in: torn, glued, empty, foreign, endless. Whatever is in the log, the next good event is shipped.
//!
//! Each test is named after its scenario in the trackers of other shippers.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, Write as _};

use crate::support::books::{assert_books_balance, count};
use crate::support::daemon::{Daemon, Metrics};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::real_events;

/// Bytes that the daemon asks for in one read.
const PIECE_BYTES: usize = 256 << 10;
/// No line and no run may take more.
const PEAK_BYTES: u64 = 64 << 20;

/// A daemon over a log that is yet to be written.
struct Scene {
    endpoint: Endpoint,
    shipper: Shipper,
    log: File,
}

impl Scene {
    fn new() -> Self {
        let endpoint = Endpoint::start(|_, _| Answer::ok());
        let shipper =
            Shipper::new(&endpoint).one_at_a_time().flag("audit-webhook-batch-throttle-enable", false);
        let log = OpenOptions::new().create(true).append(true).open(shipper.workdir.log()).unwrap();
        Self { endpoint, shipper, log }
    }

    fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.log.write_all(bytes.as_ref()).unwrap();
    }

    /// Asserts that exactly these lines arrive, in order, and that so many others are set aside as malformed.
    fn assert_arrive(&self, daemon: &Daemon, lines: &[String], malformed: usize) -> Metrics {
        let metrics = wait_until_settled(daemon, lines.len() + malformed);
        assert!(self.endpoint.items() == lines, "{} arrived", self.endpoint.items().len());
        assert_eq!(count(&metrics, "audit_event_total", &[]), lines.len() as u64);
        assert_eq!(count(&metrics, "error_total", &[("reason", "malformed")]), malformed as u64);
        assert_eq!(self.shipper.rejected().len(), malformed);
        metrics
    }
}

/// Asserts what becomes of a log with this content.
fn assert_becomes(content: impl AsRef<[u8]>, lines: &[String], malformed: usize) -> (Scene, Metrics) {
    let mut scene = Scene::new();
    scene.write(content);
    let daemon = scene.shipper.start();
    let metrics = scene.assert_arrive(&daemon, lines, malformed);
    (scene, metrics)
}

/// An event of `bytes` bytes with its newline, filled with `filling`.
fn padded(bytes: usize, filling: &str) -> String {
    let head = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","requestObject":""#;
    let room = bytes - head.len() - "\"}\n".len();
    let (times, rest) = (room / filling.len(), room % filling.len());
    format!("{head}{}{}\"}}\n", "x".repeat(rest), filling.repeat(times))
}

#[test]
fn split_write() {
    let (mut scene, events) = (Scene::new(), real_events(3));
    let (begin, end) = events[1].split_at(events[1].len() / 2);
    scene.write(format!("{}{begin}", events[0]));
    let daemon = scene.shipper.start();
    scene.endpoint.wait_for_items(1);
    scene.write(format!("{end}{}", events[2]));
    scene.assert_arrive(&daemon, &events, 0);
}

/// Nothing flushes as hard as a stop, so it stands for every timer.
#[test]
fn split_write_long_pause_and_no_final_newline_never_emitted() {
    let (mut scene, events) = (Scene::new(), real_events(2));
    let (begin, end) = events[1].split_at(events[1].len() - 1);
    assert_eq!(end, "\n", "what lacks the newline is no line, even if it is an event");
    scene.write(&events[0]);
    for piece in [&begin[..10], &begin[10..200], &begin[200..]] {
        scene.write(piece);
        let mut daemon = scene.shipper.start();
        scene.endpoint.wait_for_items(1);
        daemon.metrics();
        daemon.terminate();
        assert!(daemon.wait().success());
        assert_eq!(scene.endpoint.items(), events[..1]);
    }
    scene.write(end);
    let daemon = scene.shipper.start();
    wait_until_settled(&daemon, 1);
    assert_eq!(scene.endpoint.items(), events);
    assert!(scene.shipper.rejected().is_empty());
}

#[test]
fn empty_lines_and_leading_empty() {
    let events = real_events(2);
    assert_becomes(format!("\n\n \n{}\n\t\n\n{}\n", events[0], events[1]), &events, 0);
}

#[test]
fn only_empty_lines() {
    let (mut scene, events) = (Scene::new(), real_events(1));
    scene.write("\n".repeat(100_000));
    let daemon = scene.shipper.start();
    scene.write(&events[0]);
    scene.assert_arrive(&daemon, &events, 0);
}

#[test]
fn crlf() {
    let events = real_events(3);
    let content: String = events.iter().map(|line| line.trim_end().to_owned() + "\r\n\r\n").collect();
    assert_becomes(content, &events, 0);
}

#[test]
fn delimiter_on_buffer_boundary() {
    for bytes in PIECE_BYTES - 1..=PIECE_BYTES + 2 {
        let mut lines = vec![padded(bytes, "x")];
        lines.extend(real_events(3));
        assert_becomes(lines.concat(), &lines, 0);
    }
}

#[test]
fn multibyte_split_on_boundary() {
    for shift in 0..4 {
        let lines = [padded(1000 + shift, "x"), padded(2 * PIECE_BYTES, "\u{1f600}"), padded(200, "\u{e9}")];
        assert_becomes(lines.concat(), &lines, 0);
    }
}

#[test]
fn invalid_utf8() {
    let events = real_events(2);
    let spoilt = events[1].replace("\"verb\":\"", "\"verb\":\"?");
    let spoilt: Vec<u8> = spoilt.bytes().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
    let content = [events[0].as_bytes(), &spoilt, b"\xff\xfe\n", events[1].as_bytes()].concat();
    let (scene, _) = assert_becomes(content, &events, 2);
    let file = std::fs::read_to_string(scene.shipper.rejected_file()).unwrap();
    assert!(file.contains("\"base64\":\"//4=\""), "{file}");
}

#[test]
fn bom_at_start() {
    let events = real_events(2);
    assert_becomes(format!("\u{feff}{}\u{feff}\n\u{feff}{}", events[0], events[1]), &events, 0);
}

#[test]
fn nul_hole_left() {
    let (mut scene, events) = (Scene::new(), real_events(20));
    let hole = 1 << 30;
    scene.log.set_len(hole).unwrap();
    scene.write(events.concat());
    let daemon = scene.shipper.start();
    let metrics = scene.assert_arrive(&daemon, &events, 0);
    assert_eq!(count(&metrics, "audit_shipper_skipped_nul_bytes_total", &[]), hole);
    let warned = daemon.log();
    let warned: Vec<_> = warned.lines().filter(|line| line.contains("NUL bytes")).collect();
    assert!(warned.len() == 1 && warned[0].contains("WARN") && warned[0].contains("audit.log"), "{warned:?}");
    assert!(daemon.peak_rss() < PEAK_BYTES, "{}", daemon.peak_rss());
}

#[test]
fn nul_hole_middle() {
    let events = real_events(4);
    let torn = &events[2][..300];
    let nuls = "\0".repeat(700_000);
    let content = format!("{}{}{nuls}{torn}{nuls}\n{}{nuls}{}", events[0], events[1], events[2], events[3]);
    let (scene, metrics) = assert_becomes(content, &events, 1);
    assert_eq!(count(&metrics, "audit_shipper_skipped_nul_bytes_total", &[]), 2_100_000);
    assert_eq!(scene.shipper.rejected()[0].text.as_deref(), Some(torn));
}

#[test]
fn nul_hole_right() {
    let (mut scene, events) = (Scene::new(), real_events(3));
    scene.write(&events[0]);
    scene.write([0; 5000]);
    let mut daemon = scene.shipper.start();
    daemon.wait_for_metrics("the run", |metrics| {
        count(metrics, "audit_shipper_skipped_nul_bytes_total", &[]) == 5000
    });
    scene.write([0; 1]);
    scene.write(&events[1]);
    scene.assert_arrive(&daemon, &events[..2], 0);
    daemon.terminate();
    assert!(daemon.wait().success());
    scene.write(&events[2]);
    let daemon = scene.shipper.start();
    let metrics = wait_until_settled(&daemon, 1);
    assert_eq!(scene.endpoint.items(), events, "goes on behind the run");
    assert_eq!(count(&metrics, "audit_shipper_skipped_nul_bytes_total", &[]), 0);
}

/// The writer keeps its place, so a truncation leaves a hole before what it writes next.
#[test]
fn copytruncate_stale_writer() {
    let (scene, events) = (Scene::new(), real_events(40));
    let mut writer = OpenOptions::new().write(true).open(scene.shipper.workdir.log()).unwrap();
    writer.write_all(events[..20].concat().as_bytes()).unwrap();
    let daemon = scene.shipper.start();
    scene.endpoint.wait_for_items(20);
    let end = writer.stream_position().unwrap();
    scene.log.set_len(0).unwrap();
    writer.write_all(events[20..].concat().as_bytes()).unwrap();
    assert!(writer.metadata().unwrap().len() > end);
    wait_until_settled(&daemon, 40);
    assert_eq!(scene.endpoint.items(), events);
    assert!(scene.shipper.rejected().is_empty());
}

#[test]
fn line_grows_buffer() {
    let around = |bytes: usize| [bytes - 1, bytes, bytes + 1];
    let sizes = (0..5).flat_map(|doubling| around(PIECE_BYTES << doubling));
    let lines: Vec<String> = sizes.map(|bytes| padded(bytes, "x")).collect();
    assert_becomes(lines.concat(), &lines, 0);
}

#[test]
fn long_line_then_normal() {
    let (mut scene, limit) = (Scene::new(), 16 << 20);
    let lines =
        [10, 3 << 20, limit + 2, limit + 1, 12 << 20, 20].map(|bytes: usize| padded(bytes.max(200), "x"));
    scene.write(lines.concat());
    let daemon = scene.shipper.start();
    let metrics = wait_until_settled(&daemon, 6);
    let expected: Vec<_> = lines.iter().filter(|line| line.len() <= limit + 1).cloned().collect();
    assert!(scene.endpoint.items() == expected);
    assert_eq!(count(&metrics, "error_total", &[("reason", "too_large")]), 1);
    let aside = std::fs::read_to_string(scene.shipper.rejected_file()).unwrap();
    let length = format!("\"bytes\":{}", lines[2].len() - 1);
    assert!(aside.contains(&length) && aside.contains("\"beginning\":\"{") && aside.len() < 8192, "{length}");
}

#[test]
fn endless_line() {
    let (mut scene, events) = (Scene::new(), real_events(5));
    let block = vec![b'x'; 1 << 20];
    let blocks = if std::env::var_os("AUDIT_SHIPPER_SOAK").is_some() { 1024 } else { 256 };
    let daemon = scene.shipper.start();
    scene.write(&events[0]);
    scene.endpoint.wait_for_items(1);
    for _ in 0..blocks {
        scene.write(&block);
    }
    scene.write("\n");
    scene.write(events[1..].concat());
    let metrics = wait_until_settled(&daemon, 6);
    assert_eq!(scene.endpoint.items(), events);
    assert_eq!(count(&metrics, "error_total", &[("reason", "too_large")]), 1);
    let aside = &scene.shipper.rejected()[0];
    assert_eq!((aside.reason.as_str(), aside.bytes), ("too_large", blocks << 20));
    assert!(daemon.peak_rss() < PEAK_BYTES, "{}", daemon.peak_rss());
}

#[test]
fn many_lines_once() {
    let events = real_events(1250);
    assert_becomes(events.concat(), &events, 0);
}

#[test]
fn garbage_line() {
    let events = real_events(2);
    let garbage = [
        "I1122 02:16:11.462030 flags.go:59] FLAG",
        "null",
        "[]",
        "{}",
        r#"{"kind":"Pod"}"#,
        r#"{"kind":"Event","apiVersion":"v1"}"#,
        r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[]}"#,
        r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1"#,
    ];
    let content = format!("{}{}\n{}", events[0], garbage.join("\n"), events[1]);
    let (scene, _) = assert_becomes(content, &events, garbage.len());
    assert!(scene.shipper.rejected().iter().all(|entry| entry.reason == "malformed"));
    let file = std::fs::read_to_string(scene.shipper.rejected_file()).unwrap();
    assert!(file.contains("\"text\":\"I1122 02") && file.contains(r#""event":{"kind":"Pod"}"#), "{file}");
}

#[test]
fn glued_events() {
    let events = real_events(9);
    let bare: Vec<&str> = events.iter().map(|line| line.trim_end()).collect();
    let torn = &bare[8][..bare[8].len() / 3];
    // A torn one before it, garbage behind it, two of them, and all of that at once.
    let content = format!(
        "{torn}{}\n{}garbage\n{}{}\n{torn}{}{}{torn}{}\n{}",
        bare[0], bare[1], bare[2], bare[3], bare[4], bare[5], bare[6], events[7]
    );
    let (scene, _) = assert_becomes(content, &events[..8], 4);
    let rejected = scene.shipper.rejected();
    let texts: Vec<_> = rejected.iter().filter_map(|entry| entry.text.as_deref()).collect();
    assert_eq!(texts, [torn, "garbage", torn, torn]);
    assert_eq!(rejected[1].offset, Some((torn.len() + bare[0].len() + 1 + bare[1].len()) as u64));
}

/// Each piece is a batch of its own, and the daemon is stopped and started again between them.
#[test]
fn glued_events_one_at_a_time_over_restarts_and_without_a_final_newline() {
    let (scene, events) = (Scene::new(), real_events(40));
    let Scene { endpoint, shipper, mut log } = scene;
    let shipper = shipper.flag("audit-webhook-mode", "blocking");
    log.write_all(events.concat().replace('\n', "").as_bytes()).unwrap();
    std::fs::rename(shipper.workdir.log(), shipper.workdir.path("log/audit-2026-11-22T02-09-00.000.log"))
        .unwrap();
    File::create(shipper.workdir.log()).unwrap();
    let mut daemon = shipper.start();
    for wanted in [5, 17] {
        endpoint.wait_for_items(wanted);
        daemon.metrics();
        daemon.terminate();
        assert!(daemon.wait().success());
        daemon = shipper.start();
    }
    assert_eq!(endpoint.wait_for_items(40), events);
    assert_books_balance(&daemon);
    assert!(shipper.rejected().is_empty());
}

/// What a client wrote into a body that was torn may look like an event, and is none.
#[test]
fn a_forged_event_in_a_torn_line_is_not_shipped() {
    let events = real_events(2);
    let forged = padded(200, "x").trim_end().to_owned();
    let body = format!(r#""requestObject":{{"a":[{forged},{forged}],"b":{forged},"c""#);
    let torn = format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request",{body}"#);
    assert_becomes(format!("{torn}{}{torn}\n{}", events[0].trim_end(), events[1]), &events, 2);
}
