//! `rejected list | retry | drop`: what was set aside, looked at, sent again and given up while the daemon runs.

mod durable;
mod full;
mod retry;

use crate::support::books::assert_books_balance;
use crate::support::cli::{Ended, audit_shipper};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::http1::Recorded;
use crate::support::shipper::{POISON, Rejected, Shipper, poisoned, wait_until_settled};
use crate::support::workdir::{lines_of, real_events};

/// Its configuration is valid without the flags of `run`.
fn shipper(endpoint: &Endpoint) -> Shipper {
    Shipper::new(endpoint).webhook("initialBackoff: 20ms, maxBackoff: 100ms, timeout: 10m")
}

/// `rejected` with the daemon's own configuration, which is written by then.
fn rejected_args(shipper: &Shipper, words: &[&str]) -> Vec<String> {
    let config = format!("--config={}", shipper.workdir.path("audit-shipper.yaml").display());
    ["rejected"].iter().chain(words).map(|word| (*word).to_owned()).chain([config]).collect()
}

pub(crate) fn rejected(shipper: &Shipper, words: &[&str]) -> Ended {
    audit_shipper(rejected_args(shipper, words))
}

/// The lines that are set aside now, all of them events.
fn left(shipper: &Shipper) -> Vec<String> {
    shipper.rejected().iter().map(Rejected::line).collect()
}

/// The first `n` events, every third of them poisoned.
fn events(n: usize) -> Vec<String> {
    let spoil = |(index, line): (usize, String)| if index % 3 == 2 { poisoned(&line) } else { line };
    real_events(n).into_iter().enumerate().map(spoil).collect()
}

fn refuses_poison(request: &Recorded, answer: &str) -> Answer {
    if request.holds(POISON) { Answer::with_body(422, answer) } else { Answer::ok() }
}

/// The `auditID` of a line, found as text.
fn audit_id(line: &str) -> &str {
    line.split_once("\"auditID\":\"").unwrap().1.split_once('"').unwrap().0
}

/// A daemon that has set aside the poisoned ones of nine events and two lines that are no events.
fn with_rejected_lines(answer: &'static str) -> (Shipper, Endpoint, Daemon, Vec<String>) {
    let endpoint = Endpoint::start(move |request, _| refuses_poison(request, answer));
    let mut events = events(9);
    events.insert(4, "I1122 02:16:11.462030 flags.go:59] FLAG\n".into());
    events.insert(8, "{\"kind\":\"Event\"}\n".into());
    let shipper = shipper(&endpoint).log(&events);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 11);
    (shipper, endpoint, daemon, events)
}

#[test]
fn list_shows_each_entry_on_a_line_and_obeys_no_escape_sequence() {
    let (shipper, _endpoint, _daemon, events) = with_rejected_lines("{\"error\":\"\u{1b}[31mred\u{9b}2J\"}");
    let shown = rejected(&shipper, &["list"]).succeeded();
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    let heading = shown.lines().next().unwrap();
    assert!(heading.starts_with("OUTPUT   TIME ") && heading.find("AUDIT-ID").unwrap() <= 80, "{heading}");
    let rows: Vec<Vec<&str>> = shown.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
    let offset =
        |line: &String| -> usize { events.iter().take_while(|other| *other != line).map(String::len).sum() };
    for line in events.iter().filter(|line| line.contains(POISON)) {
        let row =
            rows.iter().find(|row| row.get(6) == Some(&audit_id(line))).unwrap_or_else(|| panic!("{shown}"));
        let origin = format!("audit.log:{}", offset(line));
        let bytes = (line.len() - 1).to_string();
        assert_eq!((row[0], &row[2..6]), ("siem", ["rejected", "422", &bytes, &origin].as_slice()));
        assert_eq!(row[7..].join(" "), r#"the endpoint refuses it: {"error":"\u{1b}[31mred\u{9b}2J"}"#);
    }
    for (line, why) in
        [(&events[4], "not the JSON of an audit event"), (&events[8], "a JSON object, but not")]
    {
        let origin = format!("audit.log:{}", offset(line));
        let row =
            rows.iter().find(|row| row.get(5) == Some(&origin.as_str())).unwrap_or_else(|| panic!("{shown}"));
        assert_eq!((row[2], row[3], row[6]), ("malformed", "-", "-"));
        assert!(row[7..].join(" ").starts_with(why), "{shown}");
    }
    assert_eq!(shown.lines().last(), Some("siem: 2 malformed, 3 rejected"));
    assert_eq!(shown.lines().count(), 1 + 5 + 2);
    for part in ["flags.go", "requestURI"] {
        assert!(!shown.contains(part), "an event's own text: {shown}");
    }
    let malformed = rejected(&shipper, &["list", "--reason=malformed", "--output=siem"]).succeeded();
    assert_eq!(malformed.lines().last(), Some("siem: 2 malformed"));
    assert_eq!(rejected(&shipper, &["list", "--reason=skipped"]).succeeded(), "nothing was set aside\n");
}

#[test]
fn lines_that_are_no_entries_are_shown_as_such_and_never_lost() {
    let (shipper, _endpoint, _daemon, _) = with_rejected_lines("no");
    let path = shipper.rejected_file();
    let mut lines = lines_of(&path);
    lines.insert(2, "somebody's note \u{1b}[2J\n".into());
    lines.insert(4, "\0\0\0\n".into());
    lines.push("{\"time\":\"2026-11-22T02:2".into());
    std::fs::write(&path, lines.concat()).unwrap();
    let shown = rejected(&shipper, &["list"]).succeeded();
    for (number, bytes) in [(3, 20), (5, 3), (8, 24)] {
        let row = format!("siem     line {number} is no entry ({bytes} bytes)");
        assert!(shown.lines().any(|line| line == row), "{row} in {shown}");
    }
    let total = "siem: 2 malformed, 3 rejected, 3 lines that are no entries";
    assert_eq!(shown.lines().last(), Some(total));
    assert_eq!(rejected(&shipper, &["drop"]).succeeded(), "siem: dropped 5 entries\n");
    assert_eq!(lines_of(&path), [&lines[2], &lines[4], &format!("{}\n", lines[7])].map(String::as_str));
    let shown = rejected(&shipper, &["list"]).succeeded();
    assert_eq!(shown.lines().last(), Some("siem: 3 lines that are no entries"));
    assert_eq!(rejected(&shipper, &["drop"]).succeeded(), "nothing to drop\n");
}

#[test]
fn drop_takes_out_what_the_filter_names_and_the_daemon_goes_on() {
    use std::os::unix::fs::PermissionsExt as _;
    let (shipper, endpoint, daemon, events) = with_rejected_lines("no");
    let malformed = shipper.rejected().into_iter().filter(|entry| entry.reason == "malformed").count();
    assert_eq!((malformed, shipper.rejected().len()), (2, 5));
    assert_eq!(rejected(&shipper, &["drop", "--reason=too_large"]).succeeded(), "nothing to drop\n");
    assert_eq!(shipper.rejected().len(), 5);
    assert_eq!(
        rejected(&shipper, &["drop", "--reason=malformed", "--output=siem"]).succeeded(),
        "siem: dropped 2 entries\n"
    );
    let more = poisoned(&real_events(10)[9]);
    shipper.workdir.append(std::slice::from_ref(&more));
    wait_until_settled(&daemon, events.len() + 1);
    let mut left = left(&shipper);
    let mut poison: Vec<String> = events.iter().filter(|line| line.contains(POISON)).cloned().collect();
    poison.push(more);
    left.sort_unstable();
    poison.sort_unstable();
    assert_eq!(left, poison);
    assert_eq!(std::fs::metadata(shipper.rejected_file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(rejected(&shipper, &["drop"]).succeeded(), "siem: dropped 4 entries\n");
    assert_eq!(std::fs::read(shipper.rejected_file()).unwrap(), b"");
    assert_eq!(endpoint.items().len(), 6, "nothing of it was sent");
    assert_books_balance(&daemon);
}

#[test]
fn an_output_that_nothing_is_known_of_is_answered_with_those_that_have_a_file() {
    let (shipper, _endpoint, _daemon, _) = with_rejected_lines("no");
    let state = shipper.workdir.state();
    std::fs::write(state.join("other.rejected.ndjson"), "").unwrap();
    for command in ["list", "retry", "drop"] {
        let ended = rejected(&shipper, &[command, "--output=siam"]);
        assert_eq!(ended.code, Some(1));
        let said = format!(
            "nothing is known of an output siam in {}; those that have set something aside: other, siem",
            state.display()
        );
        assert_eq!(ended.errors(), [said]);
    }
    assert_eq!(rejected(&shipper, &["list", "--output=other"]).succeeded(), "nothing was set aside\n");
    let unknown = rejected(&shipper, &["list", "--reason=boring"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("malformed, rejected, too_large, skipped"), "{}", unknown.stderr);
    let nowhere = audit_shipper(["rejected", "list", "--state-dir=/nowhere"]);
    assert_eq!(nowhere.code, Some(1));
    assert!(
        nowhere.errors()[0].starts_with("the state directory /nowhere: No such file"),
        "{}",
        nowhere.stderr
    );
}

#[test]
fn an_output_that_has_set_nothing_aside_has_nothing_to_show() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint).log(&real_events(3));
    let daemon = shipper.start();
    wait_until_settled(&daemon, 3);
    for (command, said) in [
        ("list", "nothing was set aside\n"),
        ("retry", "nothing was set aside\n"),
        ("drop", "nothing to drop\n"),
    ] {
        assert_eq!(rejected(&shipper, &[command, "--output=siem"]).succeeded(), said);
        assert_eq!(rejected(&shipper, &[command]).succeeded(), said);
    }
    assert!(!shipper.rejected_file().exists());
}
