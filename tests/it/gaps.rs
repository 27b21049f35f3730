//! Gaps in the log: told in our own log, in the metrics and, with `gapRecords`, in the stream.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::books::{assert_books_balance, count};
use crate::support::cli::{audit_shipper, flags};
use crate::support::daemon::{Daemon, Metrics};
use crate::support::endpoint::{Answer, Endpoint, Gate, lines};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::{Workdir, real_events};

/// What only a gap record holds.
const GAP: &str = "\"audit-shipper.io/gap\":";

/// Refuses gap records with `status` until the gate is open, and takes everything else.
fn refusing_records(status: u16, open: &Gate) -> Endpoint {
    let open = open.clone();
    Endpoint::start(move |request, _| {
        let refuse = request.holds(GAP) && !open.is_open();
        if refuse { Answer::status(status) } else { Answer::ok() }
    })
}

/// Every gap record that was sent, taken or not.
fn records(endpoint: &Endpoint) -> Vec<String> {
    endpoint.requests().iter().flat_map(lines).filter(|line| line.contains(GAP)).collect()
}

fn stop(mut daemon: Daemon) -> String {
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    daemon.log()
}

/// The first ten events were shipped before, the next ten are deleted unread, and ten more follow.
fn lose_ten(workdir: &Workdir, events: &[String]) {
    workdir.append(&events[10..20]);
    let backup = workdir.log_dir().join("audit-2026-11-22T01-02-03.456.log");
    fs::rename(workdir.log(), &backup).unwrap();
    fs::remove_file(backup).unwrap();
    workdir.append(&events[20..30]);
}

fn ship_ten_and_lose_ten(shipper: &Shipper, events: &[String]) {
    shipper.workdir.append(&events[..10]);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 10);
    stop(daemon);
    lose_ten(&shipper.workdir, events);
}

/// The value of a field or annotation of a line.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_once(&format!("\"{key}\":\""))?.1.split('"').next()
}

fn time(line: &str) -> &str {
    value(line, "stageTimestamp").unwrap()
}

/// One possible gap, which is in no book of events.
fn assert_one_gap_is_counted(metrics: &Metrics, events: u64) {
    assert_eq!(count(metrics, "audit_shipper_gaps_total", &[("certainty", "possible")]), 1);
    assert_eq!(count(metrics, "audit_shipper_gaps_total", &[]), 1);
    let found_at =
        |certainty| count(metrics, "audit_shipper_last_gap_timestamp_seconds", &[("certainty", certainty)]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!((now - 300..=now + 1).contains(&found_at("possible")) && found_at("certain") == 0);
    assert_eq!(count(metrics, "error_total", &[("reason", "lost")]), 1);
    assert_eq!(count(metrics, "error_total", &[("reason", "rejected")]), 0);
    assert_eq!(count(metrics, "audit_shipper_lost_bytes_total", &[]), 0);
    assert_eq!(count(metrics, "audit_event_total", &[]), events);
}

#[test]
fn a_record_arrives_between_and_the_cursor_passes_the_gap_only_with_it() {
    let open = Gate::closed();
    let endpoint = refusing_records(503, &open);
    let events = real_events(31);
    let shipper = Shipper::new(&endpoint).gap_records().one_at_a_time();
    ship_ten_and_lose_ten(&shipper, &events);
    let settled: usize = events[..10].iter().map(String::len).sum();
    let cursor = || fs::read(shipper.workdir.state().join("siem.cursor.json")).unwrap();
    let before = cursor();

    let mut daemon = shipper.start();
    let said = daemon.wait_for_line(" missing: ");
    let expected = format!(
        "events may be missing: audit.log, from byte {settled} on, after {}, before {}: it was read up to there",
        time(&events[9]),
        time(&events[20])
    );
    assert!(said.contains("ERROR") && said.contains(&expected), "{said}");
    endpoint.wait_for("tries", |requests| requests.iter().filter(|r| r.holds(GAP)).count() >= 3);
    assert_books_balance(&daemon);
    assert!(endpoint.items() == events[..10], "nothing overtakes the record");
    assert!(cursor() == before, "the cursor waits for the record");
    daemon.kill9();

    let tries = records(&endpoint).len();
    let daemon = shipper.start();
    endpoint.wait_for("tries after the crash", |requests| {
        requests.iter().filter(|r| r.holds(GAP)).count() > tries
    });
    open.open();
    let metrics = wait_until_settled(&daemon, 10);
    assert_one_gap_is_counted(&metrics, 10);
    let items = endpoint.items();
    assert!(items.len() == 21 && items[..10] == events[..10] && items[11..] == events[20..30]);
    let record = &items[10];
    assert!(records(&endpoint).iter().all(|other| value(other, "auditID") == value(record, "auditID")));
    for (key, expected) in [
        ("verb", "gap"),
        ("username", "audit-shipper"),
        ("stageTimestamp", time(&events[9])),
        ("audit-shipper.io/gap", "possible"),
        ("audit-shipper.io/gap-file", "audit.log"),
        ("audit-shipper.io/gap-from-byte", &settled.to_string()),
        ("audit-shipper.io/gap-after", time(&events[9])),
        ("audit-shipper.io/gap-before", time(&events[20])),
    ] {
        assert_eq!(value(record, key), Some(expected), "{key} of {record}");
    }
    let log = stop(daemon);
    assert_eq!(log.matches(" missing: ").count(), 1, "{log}");

    shipper.workdir.append(&events[30..]);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 1);
    assert_eq!(endpoint.items().len(), 22);
    assert!(!stop(daemon).contains(" missing: "));
}

#[test]
fn with_flags_alone_the_stream_holds_nothing_but_the_log() {
    let workdir = Workdir::new();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    workdir.kubeconfig(&endpoint.url());
    let events = real_events(31);
    workdir.append(&events[..10]);
    let daemon = Daemon::start(flags("run", &workdir));
    endpoint.wait_for_items(10);
    stop(daemon);
    lose_ten(&workdir, &events);
    let daemon = Daemon::start(flags("run", &workdir));
    let metrics = wait_until_settled(&daemon, 10);
    assert_one_gap_is_counted(&metrics, 10);
    assert_eq!(stop(daemon).matches("events may be missing: audit.log, from byte ").count(), 1);
    workdir.append(&events[30..]);
    let daemon = Daemon::start(flags("run", &workdir));
    endpoint.wait_for_items(21);
    assert!(!stop(daemon).contains(" missing: "));
    assert!(endpoint.items() == [&events[..10], &events[20..]].concat());
    assert_eq!(records(&endpoint).len(), 0);
}

#[test]
fn a_record_that_the_endpoint_refuses_is_set_aside_and_shipping_goes_on() {
    let endpoint = refusing_records(400, &Gate::closed());
    let events = real_events(31);
    let shipper = Shipper::new(&endpoint).gap_records().one_at_a_time();
    ship_ten_and_lose_ten(&shipper, &events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 10);
    assert_one_gap_is_counted(&metrics, 10);
    assert!(endpoint.items() == [&events[..10], &events[20..30]].concat());
    let [rejected] = &shipper.rejected()[..] else { panic!("not one line set aside") };
    assert_eq!((rejected.reason.as_str(), rejected.status), ("rejected", Some(400)));
    assert_eq!(Some(&rejected.line()), records(&endpoint).first());
    daemon.wait_for_line("the endpoint refuses a gap record");
    stop(daemon);
    shipper.workdir.append(&events[30..]);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 1);
    assert!(!stop(daemon).contains(" missing: "));
    assert_eq!(shipper.rejected().len(), 1);
}

#[test]
fn the_strict_mode_holds_at_a_record_until_an_operator_skips_it() {
    let endpoint = refusing_records(400, &Gate::closed());
    let events = real_events(30);
    let shipper = Shipper::new(&endpoint).gap_records();
    let shipper = shipper.flag("audit-webhook-mode", "blocking-strict").flag("shutdown-grace", 0);
    // The file alone has to be a configuration: an operator's command has no flags.
    let shipper = shipper.webhook("initialBackoff: 20ms, maxBackoff: 100ms");
    ship_ten_and_lose_ten(&shipper, &events);
    let daemon = shipper.start();
    daemon.wait_for_line("the endpoint refuses an event");
    assert_eq!(daemon.get("/readyz").0, 503);
    assert_books_balance(&daemon);
    stop(daemon);
    assert!(endpoint.items() == events[..10] && shipper.rejected().is_empty());

    let config = format!("--config={}", shipper.workdir.path("audit-shipper.yaml").display());
    let said = audit_shipper(["cursor", "skip", "--output=siem", &config]).succeeded();
    assert!(said.starts_with("siem: events may be missing: audit.log, from byte "), "{said}");
    let [rejected] = &shipper.rejected()[..] else { panic!("not one line set aside") };
    assert!(rejected.reason == "skipped" && rejected.line().contains(GAP));
    let daemon = shipper.start();
    wait_until_settled(&daemon, 10);
    assert!(endpoint.items() == [&events[..10], &events[20..]].concat());
}

#[test]
fn each_of_several_gaps_has_its_record_in_its_place() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let events = real_events(10);
    let shipper = Shipper::new(&endpoint).gap_records().one_at_a_time();
    let backup = |second: u8| format!("audit-2026-11-22T01-02-0{second}.456.log");
    let directory = shipper.workdir.log_dir();
    fs::write(directory.join(backup(1)), events[..5].concat()).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(events.concat().as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    for second in [2, 3] {
        let path = directory.join(format!("{}.gz", backup(second)));
        fs::write(&path, &whole[..10]).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    }
    shipper.workdir.append(&events[5..]);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 10);
    assert_eq!(count(&metrics, "audit_shipper_gaps_total", &[("certainty", "possible")]), 2);
    let items = endpoint.items();
    assert!(items.len() == 12 && items[..5] == events[..5] && items[7..] == events[5..]);
    for (record, second) in items[5..7].iter().zip([2, 3]) {
        assert_eq!(value(record, "audit-shipper.io/gap-file"), Some(backup(second).as_str()));
        // Nobody can know that there was anything in them.
        assert_eq!(value(record, "audit-shipper.io/gap"), Some("possible"));
    }
    assert_ne!(value(&items[5], "auditID"), value(&items[6], "auditID"));
}

#[test]
fn a_log_that_is_cut_short_in_place_has_a_record_between_old_and_new() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let events = real_events(13);
    let shipper = Shipper::new(&endpoint).gap_records().one_at_a_time().log(&events[..10]);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 10);
    fs::File::options().write(true).open(shipper.workdir.log()).unwrap().set_len(0).unwrap();
    shipper.workdir.append(&events[10..]);
    let metrics = wait_until_settled(&daemon, 13);
    assert_one_gap_is_counted(&metrics, 13);
    let items = endpoint.items();
    assert!(items.len() == 14 && items[..10] == events[..10] && items[11..] == events[10..]);
    assert_eq!(value(&items[10], "audit-shipper.io/gap-after"), Some(time(&events[9])));
}
