//! `policy simulate`: the books of a policy balance, and every number is that of an independent count.

mod by_hand;
mod object;

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use by_hand::{bytes_at, rule_of};
use object::{Change, Object, Totals, Value};

use crate::support::cli::{Ended, audit_shipper, finish};
use crate::support::daemon::Daemon;
use crate::support::rotators::gzip;
use crate::support::typed::{Typed, counted};
use crate::support::workdir::{Workdir, large_events, real_events};

/// Its third rule matches nothing, and it has no rule for what is left.
const POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:apiserver"]
- level: Metadata
  resources:
  - resources: [secrets, configmaps]
- level: Metadata
  users: ["nobody"]
- level: Request
  verbs: [list, watch]
- level: RequestResponse
  verbs: [create, update, patch, delete]
"#;
/// The lines of the rules in the file.
const LINES: [u64; 5] = [5, 7, 10, 12, 14];

const LEVELS: [&str; 4] = ["None", "Metadata", "Request", "RequestResponse"];

/// What [`POLICY`] does to each rule's events; the last are those that no rule matches.
fn expected(lines: &[String]) -> [Totals; 6] {
    let mut expected: [Totals; 6] = Default::default();
    for line in lines {
        let event = Typed::of(line);
        let rule = rule_of(&event);
        let totals = &mut expected[rule.unwrap_or(5)];
        totals.events += 1;
        totals.bytes_before += line.len() as u64;
        let level =
            rule.map_or("None", |rule| ["None", "Metadata", "Metadata", "Request", "RequestResponse"][rule]);
        let rank = |level: &str| LEVELS.iter().position(|other| *other == level).unwrap();
        if level == "None" || event.stage == "RequestReceived" {
            totals.dropped += 1;
        } else if rank(level) < rank(&event.level) {
            totals.lowered += 1;
            totals.bytes_after += bytes_at(line, level) as u64;
        } else {
            totals.kept += 1;
            totals.bytes_after += line.len() as u64;
        }
    }
    expected
}

fn policy(workdir: &Workdir, name: &str, text: &str) -> String {
    let path = workdir.path(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn simulate(policy: &str, args: &[&str], logs: &[PathBuf]) -> Ended {
    let words = [&["policy", "simulate", "--policy-file", policy], args].concat();
    audit_shipper(words.into_iter().map(Into::into).chain(logs.iter().map(|log| log.as_os_str().to_owned())))
}

fn json(policy: &str, args: &[&str], logs: &[PathBuf]) -> Object {
    let ended = simulate(policy, &[&["--output=json"], args].concat(), logs);
    assert_eq!(ended.stderr, "");
    object(&ended.succeeded())
}

fn object(text: &str) -> Object {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn without_values(totals: &Totals) -> Totals {
    Totals { users: Vec::new(), verbs: Vec::new(), resources: Vec::new(), ..totals.clone() }
}

fn check(object: &Object, lines: &[String]) {
    let expected = expected(lines);
    let rules = &object.policy.rules;
    for (number, rule) in rules.iter().enumerate() {
        assert_eq!(
            (rule.number, rule.line, LEVELS.contains(&rule.level.as_str())),
            (number, LINES[number], true)
        );
        assert_eq!(without_values(&rule.totals), expected[number], "rule {number}");
    }
    assert_eq!(without_values(&object.policy.no_rule), expected[5]);
    assert_eq!(object.policy.never_matched, [2]);
    // Whatever is read is decided on by one rule, or by none.
    let all = || rules.iter().map(|rule| &rule.totals).chain([&object.policy.no_rule]);
    let sum = |count: fn(&Totals) -> u64| all().map(count).sum::<u64>();
    let bytes = lines.iter().map(String::len).sum::<usize>() as u64;
    assert_eq!((sum(|of| of.events), sum(|of| of.bytes_before)), (lines.len() as u64, bytes));
    let total = &object.policy.total;
    assert_eq!((total.events, total.bytes_before), (lines.len() as u64, bytes));
    assert_eq!(sum(|of| of.bytes_after), total.bytes_after);
    assert_eq!(total.dropped + total.lowered + total.kept, total.events);
}

#[test]
fn the_books_of_each_rule_are_those_of_an_independent_count() {
    let workdir = Workdir::new();
    let policy = policy(&workdir, "policy.yaml", POLICY);
    for lines in [real_events(1250), large_events()] {
        fs::write(workdir.log(), lines.concat()).unwrap();
        check(&json(&policy, &[], &[workdir.log()]), &lines);
        let compressed = gzip(&workdir.log());
        check(&json(&policy, &[], std::slice::from_ref(&compressed)), &lines);
        let mut command = Daemon::command();
        command.args(["policy", "simulate", "--output=json", "--policy-file", &policy, "-"]);
        command.stdin(File::open(&compressed).unwrap());
        check(&object(&finish(command).succeeded()), &lines);
        fs::remove_file(compressed).unwrap();
    }
}

#[test]
fn a_series_and_other_files_are_one_log() {
    let (workdir, gke, large) = (Workdir::new(), real_events(1250), large_events());
    let policy = policy(&workdir, "policy.yaml", POLICY);
    for (n, part) in gke.chunks(300).enumerate() {
        fs::write(workdir.log_dir().join(format!("audit-2026-11-22T02-09-4{n}.548.log")), part.concat())
            .unwrap();
    }
    gzip(&workdir.log_dir().join("audit-2026-11-22T02-09-40.548.log"));
    let other = workdir.path("other");
    fs::write(&other, large.concat()).unwrap();
    let found = json(&policy, &[], &[workdir.log_dir(), other]);
    assert_eq!(found.files, 6);
    check(&found, &[gke, large].concat());
}

#[test]
fn whom_a_rule_meets_is_whom_it_meets() {
    let (workdir, lines) = (Workdir::new(), real_events(1250));
    let policy = policy(&workdir, "policy.yaml", POLICY);
    fs::write(workdir.log(), lines.concat()).unwrap();
    let found = json(&policy, &[], &[workdir.log()]);
    let of = |rule: Option<usize>| -> Vec<String> {
        lines.iter().filter(|line| rule_of(&Typed::of(line)) == rule).cloned().collect()
    };
    let rules = found.policy.rules.iter().map(|rule| (Some(rule.number), &rule.totals));
    for (rule, totals) in rules.chain([(None, &found.policy.no_rule)]) {
        for (key, values) in
            [("user", &totals.users), ("verb", &totals.verbs), ("resource", &totals.resources)]
        {
            let counted = counted(&of(rule), &[key]);
            let mut largest: Vec<(u64, u64)> =
                counted.values().map(|(events, bytes)| (*bytes, *events)).collect();
            largest.sort_unstable_by(|one, other| other.cmp(one));
            largest.truncate(3);
            let found: Vec<(u64, u64)> = values.iter().map(|value| (value.bytes, value.events)).collect();
            assert_eq!(found, largest, "{rule:?} {key}");
            for Value { name, events, bytes } in values {
                let value = Some(name.clone()).filter(|name| !name.is_empty());
                assert_eq!(counted.get(&vec![value]), Some(&(*events, *bytes)), "{key} {name}");
            }
        }
    }
}

#[test]
fn the_same_policy_changes_nothing_and_another_what_it_says() {
    let (workdir, lines) = (Workdir::new(), [real_events(1250), large_events()].concat());
    fs::write(workdir.log(), lines.concat()).unwrap();
    let first = policy(&workdir, "policy.yaml", POLICY);
    let logs = [workdir.log()];
    let same = json(&first, &["--against", &first], &logs);
    check(&same, &lines);
    let against = same.against.unwrap();
    assert!(against.changes.is_empty());
    assert_eq!(without_values(&against.policy.total), same.policy.total);
    let said = simulate(&first, &["--against", &first], &logs).succeeded();
    assert!(said.contains("\nevery event fares the same\n"), "{said}");

    // Rules 0 and 1 change places, and what was kept of lists is dropped.
    let changed = POLICY.replace(
        "level: None\n  users: [\"system:apiserver\"]",
        "level: Metadata\n  resources: [{ resources: [secrets, configmaps] }]",
    );
    let changed = changed.replace(
        "level: Metadata\n  resources:\n  - resources: [secrets, configmaps]",
        "level: None\n  users: [\"system:apiserver\"]",
    );
    let other = policy(&workdir, "other.yaml", &changed.replace("level: Request\n", "level: None\n"));
    let found = json(&first, &["--against", &other], &logs);
    let against = found.against.unwrap();
    let sum = |count: fn(&Change) -> u64| against.changes.iter().map(count).sum::<u64>();
    let (total, other_total) = (&found.policy.total, &against.policy.total);
    assert_eq!(
        total.bytes_after + sum(|change| change.bytes_to),
        other_total.bytes_after + sum(|change| change.bytes_from)
    );
    let lists = lines
        .iter()
        .map(|line| Typed::of(line))
        .filter(|event| rule_of(event) == Some(3) && event.stage != "RequestReceived");
    let of_lists = against.changes.iter().filter(|change| change.from.rule == Some(3));
    assert_eq!(of_lists.map(|change| change.events).sum::<u64>(), lists.count() as u64);
    let is_expected = |change: &Change| match (change.from.rule, change.to.rule) {
        (Some(3), Some(3)) => change.from.fate != "dropped" && change.to.fate == "dropped",
        (Some(0), Some(0)) => change.from.fate == "dropped" && change.to.fate == "Metadata",
        _ => false,
    };
    assert!(against.changes.len() > 2 && against.changes.iter().all(is_expected));
}

/// `lines`, recorded over `hours` hours.
fn over(hours: u64, lines: &[String]) -> Vec<String> {
    let count = lines.len() as u64 - 1;
    let at = |n: usize, line: &String| {
        let seconds = n as u64 * hours * 3600 / count;
        let (day, hour) = (1 + seconds / 86_400, seconds / 3600 % 24);
        let time = format!("2026-11-{day:02}T{hour:02}:{:02}:{:02}.000000Z", seconds / 60 % 60, seconds % 60);
        line.replacen(&Typed::of(line).stage_timestamp, &time, 2)
    };
    lines.iter().enumerate().map(|(n, line)| at(n, line)).collect()
}

#[test]
fn a_day_is_estimated_from_an_hour_and_not_from_a_minute() {
    let workdir = Workdir::new();
    let policy = policy(&workdir, "policy.yaml", POLICY);
    fs::write(workdir.log(), real_events(500).concat()).unwrap();
    assert!(json(&policy, &[], &[workdir.log()]).per_day.is_none());
    let said = simulate(&policy, &[], &[workdir.log()]).succeeded();
    assert!(said.contains("a day        no estimate from only "), "{said}");
    fs::write(workdir.log(), over(12, &real_events(500)).concat()).unwrap();
    let found = json(&policy, &[], &[workdir.log()]);
    let (total, day) = (found.policy.total, found.per_day.unwrap());
    assert_eq!((day.bytes_before, day.bytes_after), (2 * total.bytes_before, 2 * total.bytes_after));
    let said = simulate(&policy, &[], &[workdir.log()]).succeeded();
    assert!(said.contains(" after (estimated from 12h of log)\n"), "{said}");
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap()
}

#[test]
fn the_report_fits_a_terminal_whoever_was_recorded() {
    let workdir = Workdir::new();
    let first = policy(&workdir, "policy.yaml", POLICY);
    let other = policy(
        &workdir,
        "other.yaml",
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{ level: Metadata }]\n",
    );
    let hostile = r"\u001b]0;owned\u0007\u001b[2J\r\n\u009b31m\u202e";
    let mut lines = [real_events(1250), large_events()].concat();
    for line in lines.iter_mut().step_by(3) {
        *line = line.replacen("\"username\":\"", &format!("\"username\":\"{hostile}"), 1);
        *line = line.replacen("\"verb\":\"", &format!("\"verb\":\"{hostile}"), 1);
        *line = line.replacen("\"resource\":\"", &format!("\"resource\":\"{hostile}"), 1);
    }
    fs::write(workdir.log(), lines.concat()).unwrap();
    let mut command = Daemon::command();
    command.args([
        "policy",
        "simulate",
        "--policy-file",
        "policy.yaml",
        "--against",
        "other.yaml",
        "log/audit.log",
    ]);
    command.current_dir(Path::new(&first).parent().unwrap()).env("COLUMNS", "80").env("LC_ALL", "C.UTF-8");
    let said = finish(command).succeeded();
    assert!(other.ends_with("other.yaml") && widest(&said) <= 80, "{said}");
    let is_harmless = |c: char| c == '\n' || !c.is_control() && !('\u{200b}'..'\u{2070}').contains(&c);
    assert!(said.chars().all(is_harmless), "{said:?}");
    assert!(said.contains(r"\u{1b}]0;owned\u{7}"), "{said}");
    assert!(said.contains("\nunmatched    rule 2 (line 10)\n"), "{said}");
    assert!(said.contains("\nno rule matched\n"), "{said}");
}

#[test]
fn what_is_wrong_is_said() {
    let workdir = Workdir::new();
    fs::write(workdir.log(), "no event\n").unwrap();
    let wrong = policy(
        &workdir,
        "wrong.yaml",
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{ level: Some }]\n",
    );
    let right = policy(&workdir, "right.yaml", POLICY);
    assert_eq!(simulate(&wrong, &[], &[workdir.log()]).mistakes().len(), 1);
    assert_eq!(simulate(&right, &["--against", &wrong], &[workdir.log()]).mistakes().len(), 1);
    assert_eq!(simulate(&right, &[], &[]).code, Some(2));
    let ended = simulate(&right, &[], &[workdir.log()]);
    assert!(ended.stderr.starts_with("warning: 1 line is no audit event (9 B) and not counted; the first: "));
    let said = ended.succeeded();
    assert!(
        said.contains("\n0 events, 0 B in 1 file\n") && said.contains("\nleft         0 of 0 events (0.0%)"),
        "{said}"
    );
    assert!(
        simulate(&right, &[], &[workdir.path("none")]).errors()[0]
            .ends_with("none: No such file or directory (os error 2)")
    );
}

/// What `policy eval` says of an event.
#[derive(Deserialize)]
struct Evaluated {
    rule: Option<usize>,
    kept: bool,
}

#[test]
fn every_rule_in_use_agrees_with_eval() {
    let (workdir, lines) = (Workdir::new(), real_events(1250));
    fs::write(workdir.log(), lines.concat()).unwrap();
    let ack =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/policy/ack_policy.yaml").display().to_string();
    let log = workdir.log().display().to_string();
    let said = audit_shipper(["policy", "eval", "--policy-file", &ack, &log]).succeeded();
    let mut by_rule: HashMap<Option<usize>, (u64, u64)> = HashMap::new();
    for row in said.lines().map(|line| serde_json::from_str::<Evaluated>(line).unwrap()) {
        let (events, kept) = by_rule.entry(row.rule).or_default();
        *events += 1;
        *kept += u64::from(row.kept);
    }
    let found = json(&ack, &[], &[workdir.log()]);
    for rule in &found.policy.rules {
        let Totals { events, lowered, kept, .. } = rule.totals;
        assert_eq!((events, lowered + kept), by_rule.get(&Some(rule.number)).copied().unwrap_or_default());
    }
}
