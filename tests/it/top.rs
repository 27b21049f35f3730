//! `top`: the counts are those of the events, whatever the log looks like; and it is fit for a terminal.

mod follow;

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;

use crate::support::cli::{Ended, audit_shipper, finish};
use crate::support::daemon::Daemon;
use crate::support::rotators::{gzip, gzipped};
use crate::support::typed::{Typed, counted};
use crate::support::workdir::{Workdir, large_events, real_events};

const KEYS: [&str; 8] = ["user", "verb", "resource", "namespace", "agent", "code", "level", "stage"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    files: usize,
    events: u64,
    bytes: u64,
    first: Option<String>,
    last: Option<String>,
    not_events: Amount,
    tables: Vec<Table>,
}

#[derive(Deserialize)]
struct Table {
    by: Vec<String>,
    rows: Vec<Row>,
    others: Others,
    exact: bool,
}

#[derive(Deserialize)]
struct Row {
    values: Vec<Option<String>>,
    events: u64,
    bytes: u64,
    missed: u64,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Amount {
    events: u64,
    bytes: u64,
}

#[derive(Deserialize)]
struct Others {
    values: usize,
    events: u64,
    bytes: u64,
}

fn object(text: &str) -> Object {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Runs `top` on a path.
fn top(log: &Path, args: &[&str]) -> Ended {
    audit_shipper(["top"].iter().chain(args).map(Into::into).chain([log.as_os_str().to_owned()]))
}

fn json(log: &Path, args: &[&str]) -> Object {
    let ended = top(log, &[&["--output=json"], args].concat());
    assert_eq!(ended.stderr, "");
    object(&ended.succeeded())
}

/// Everything that the program says of `lines` is what an independent count says.
fn check(object: &Object, lines: &[String]) {
    let bytes = lines.iter().map(String::len).sum::<usize>() as u64;
    assert_eq!((object.events, object.bytes), (lines.len() as u64, bytes));
    assert_eq!(object.not_events, Amount { events: 0, bytes: 0 });
    for table in &object.tables {
        let keys: Vec<&str> = table.by.iter().map(String::as_str).collect();
        let found: HashMap<_, _> =
            table.rows.iter().map(|row| (row.values.clone(), (row.events, row.bytes))).collect();
        assert_eq!(found, counted(lines, &keys), "{keys:?}");
        assert_eq!((table.rows.len(), table.others.values, table.others.events), (found.len(), 0, 0));
        assert!(table.exact && table.rows.iter().all(|row| row.missed == 0));
        assert!(table.rows.is_sorted_by(|one, other| one.bytes >= other.bytes));
    }
}

#[test]
fn the_counts_are_those_of_an_independent_count() {
    let workdir = Workdir::new();
    let by = format!("--by={},user+verb+resource", KEYS.join(","));
    let all = ["--limit=0", &by];
    for lines in [real_events(1250), large_events()] {
        fs::write(workdir.log(), lines.concat()).unwrap();
        let plain = json(&workdir.log(), &all);
        assert_eq!((plain.tables.len(), plain.files), (KEYS.len() + 1, 1));
        check(&plain, &lines);
        // As RFC 3339 with a fraction as short as it can be, which compares as the times do.
        let times = || lines.iter().map(|line| Typed::of(line).stage_timestamp);
        let short = |time: Option<String>| {
            time.map(|time| time.trim_end_matches('Z').trim_end_matches('0').to_owned() + "Z")
        };
        assert_eq!((plain.first, plain.last), (short(times().min()), short(times().max())));
        let compressed = gzip(&workdir.log());
        check(&json(&compressed, &all), &lines);
        fs::remove_file(compressed).unwrap();
        for content in [lines.concat().into_bytes(), gzipped(lines.concat().as_bytes())] {
            let piped = piped(&["--output=json", "--limit=0", &by, "-"], &content);
            check(&object(&piped.succeeded()), &lines);
        }
    }
}

/// Runs `top` with this at its standard input.
fn piped(args: &[&str], input: &[u8]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("input");
    fs::write(&path, input).unwrap();
    let mut command = Daemon::command();
    command.arg("top").args(args).stdin(File::open(path).unwrap());
    finish(command)
}

#[test]
fn a_directory_is_the_series_and_a_file_is_itself() {
    let (workdir, lines) = (Workdir::new(), real_events(1000));
    let backup = |n: usize| workdir.log_dir().join(format!("audit-2026-11-22T02-09-4{n}.548.log"));
    for (n, part) in lines[..800].chunks(200).enumerate() {
        fs::write(backup(n), part.concat()).unwrap();
    }
    gzip(&backup(0));
    gzip(&backup(1));
    // As a crash of the writer's process leaves it: half of what is there uncompressed too.
    fs::write(backup(2).with_extension("log.gz"), &gzipped(lines[400..600].concat().as_bytes())[..500])
        .unwrap();
    fs::write(workdir.log(), lines[800..].concat()).unwrap();
    let ended = top(&workdir.log_dir(), &["--output=json", "--limit=0", "--by=user"]);
    let said = "audit-2026-11-22T02-09-42.548.log.gz is not read: it is there uncompressed too\n";
    assert!(ended.stderr.ends_with(said) && ended.stderr.lines().count() == 1, "{}", ended.stderr);
    let whole = object(&ended.succeeded());
    assert_eq!(whole.files, 5);
    check(&whole, &lines);
    check(&json(&workdir.log(), &["--limit=0"]), &lines[800..]);
}

#[test]
fn what_is_not_shown_is_told_in_one_row() {
    let (workdir, lines) = (Workdir::new(), real_events(1250));
    fs::write(workdir.log(), lines.concat()).unwrap();
    let all = json(&workdir.log(), &["--limit=0", "--by=agent", "--sort=events"]);
    let some = json(&workdir.log(), &["--limit=3", "--by=agent", "--sort=events"]);
    let (all, some) = (&all.tables[0], &some.tables[0]);
    assert!(all.rows.is_sorted_by(|one, other| one.events >= other.events));
    let (first, rest) = all.rows.split_at(3);
    assert!(first.iter().zip(&some.rows).all(|(one, other)| one.values == other.values));
    let sum = |count: fn(&Row) -> u64| rest.iter().map(count).sum::<u64>();
    let others = &some.others;
    assert_eq!((others.values, others.events), (rest.len(), sum(|row| row.events)));
    assert_eq!(others.bytes, sum(|row| row.bytes));
}

#[test]
fn since_leaves_out_what_is_earlier() {
    let (workdir, mut lines) = (Workdir::new(), real_events(900));
    lines.sort_by_key(|line| Typed::of(line).stage_timestamp);
    fs::write(workdir.log(), lines.concat()).unwrap();
    let since = Typed::of(&lines[400]).stage_timestamp;
    let later: Vec<String> =
        lines.iter().filter(|line| Typed::of(line).stage_timestamp >= since).cloned().collect();
    assert!(later.len() < 900);
    check(&json(&workdir.log(), &[&format!("--since={since}"), "--limit=0"]), &later);
    // Recorded long ago, or in the future: a year of 2026 is not within the last nanosecond.
    let none = json(&workdir.log(), &["--since=2126-01-01T00:00:00Z"]);
    assert_eq!((none.events, none.first), (0, None));
}

#[test]
fn rules_are_those_of_the_policy() {
    let (workdir, lines) = (Workdir::new(), real_events(1250));
    fs::write(workdir.log(), lines.concat()).unwrap();
    let policy = workdir.path("policy.yaml");
    let text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- { level: None, verbs: [get] }\n- { level: Metadata, verbs: [create, list] }\n";
    fs::write(&policy, text).unwrap();
    let policy = format!("--policy-file={}", policy.display());
    let rules = json(&workdir.log(), &["--by=rule", &policy]);
    let by_verb = counted(&lines, &["verb"]);
    let mut expected: HashMap<Vec<Option<String>>, (u64, u64)> = HashMap::new();
    for (verb, (events, bytes)) in by_verb {
        let rule = match verb[0].as_deref() {
            Some("get") => Some("0".to_owned()),
            Some("create" | "list") => Some("1".to_owned()),
            _ => None,
        };
        let sum = expected.entry(vec![rule]).or_default();
        *sum = (sum.0 + events, sum.1 + bytes);
    }
    let rows = &rules.tables[0].rows;
    let found: HashMap<_, _> = rows.iter().map(|row| (row.values.clone(), (row.events, row.bytes))).collect();
    assert_eq!(found, expected);
    let without = top(&workdir.log(), &["--by=rule"]);
    assert_eq!(without.code, Some(2));
    assert!(without.stderr.contains("the key rule needs --policy-file <FILE>"), "{}", without.stderr);
}

#[test]
fn what_is_no_event_is_told_and_no_reason_to_stop() {
    let (workdir, lines) = (Workdir::new(), real_events(20));
    let torn = &lines[3][..100];
    let twice = lines[0].replacen("\"verb\":", "\"verb\":\"x\",\"verb\":", 1);
    let mut content = format!("no event\n\n{torn}{}", lines[4]);
    content += &twice;
    content += "\u{feff}";
    content += &lines[5].replace('\n', "\r\n");
    content += &lines[6..].concat();
    fs::write(workdir.log(), content.trim_end()).unwrap();
    let ended = top(&workdir.log(), &["--output=json"]);
    let said = format!(
        "warning: 3 lines are no audit events ({} B) and not counted; the first: {}, byte 0: not the JSON of an audit event, column 2 of the line: syntax\n",
        9 + 101 + twice.len(),
        workdir.log().display()
    );
    assert_eq!(ended.stderr, said);
    let object = object(&ended.succeeded());
    let bytes = lines[4..].iter().map(String::len).sum::<usize>() as u64;
    assert_eq!((object.events, object.bytes, object.not_events.events), (16, bytes, 3));
}

#[test]
fn what_cannot_be_read_is_an_error_beside_what_can() {
    let (workdir, lines) = (Workdir::new(), large_events());
    let damaged = workdir.log_dir().join("audit-2026-11-22T02-09-48.548.log.gz");
    let content = gzipped(lines.concat().as_bytes());
    fs::write(&damaged, &content[..content.len() / 2]).unwrap();
    fs::write(workdir.log(), real_events(10).concat()).unwrap();
    let ended = top(&workdir.log_dir(), &["--output=json"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.errors(), [format!("{}: incomplete deflate stream", damaged.display())]);
    let object = object(&ended.stdout);
    assert!(object.events > 20 && object.events < 600, "{}", object.events);

    let missing = top(&workdir.path("nothing"), &[]);
    let said = format!("{}: No such file or directory (os error 2)", workdir.path("nothing").display());
    assert_eq!((missing.code, missing.errors()), (Some(1), vec![said.as_str()]));
    let none = audit_shipper(["top"]);
    assert_eq!(none.code, Some(2));
    assert!(
        none.stderr.contains("the following required arguments were not provided:\n  <LOG>..."),
        "{}",
        none.stderr
    );
}

/// Each event with a user agent of its own, as long as kube-apiserver lets them be.
fn with_agents(count: usize) -> Vec<String> {
    let lines = real_events(100);
    let agent = |n: usize| {
        let (head, tail) = lines[n % lines.len()].split_once("\"userAgent\":\"").unwrap();
        let (_, tail) = tail.split_once('"').unwrap();
        format!("{head}\"userAgent\":\"{n}{}\"{tail}", "x".repeat(500))
    };
    (0..count).map(agent).collect()
}

#[test]
fn nothing_that_a_client_sent_is_a_command_to_the_terminal() {
    let workdir = Workdir::new();
    let hostile = r"\u001b]0;owned\u0007\u001b[2J\r\n\u009b31m\u202e\u2066";
    let mut lines = with_agents(3);
    for line in &mut lines {
        *line = line.replacen("\"userAgent\":\"", &format!("\"userAgent\":\"{hostile}"), 1);
        *line = line.replacen("\"username\":\"", &format!("\"username\":\"{hostile}"), 1);
        *line = line.replacen("\"requestURI\":\"", &format!("\"requestURI\":\"{hostile}"), 1);
        *line = line.replacen("\"resource\":\"", &format!("\"resource\":\"{hostile}"), 1);
    }
    fs::write(workdir.log(), lines.concat()).unwrap();
    for columns in ["80", "60", "132"] {
        let mut command = Daemon::command();
        command.args(["top", "--by=agent,user,resource,verb,user+agent"]).arg(workdir.log());
        command.env("COLUMNS", columns).env("LC_ALL", "C.UTF-8");
        let said = finish(command).succeeded();
        let is_harmless = |c: char| c == '\n' || !c.is_control() && !('\u{200b}'..'\u{2070}').contains(&c);
        assert!(said.chars().all(is_harmless), "{said:?}");
        assert!(said.contains(r"\u{1b}]0;owned\u{7}"), "{said}");
        let widest = said.lines().map(|line| line.chars().count()).max();
        assert!(widest <= columns.parse().ok(), "{said}");
    }
}

#[test]
fn a_crowd_of_values_takes_little_memory_and_hides_nobody() {
    let workdir = Workdir::new();
    let mut lines = with_agents(6000);
    let loud = real_events(1)[0].clone();
    for n in 0..1500 {
        lines.insert(n * 5, loud.clone());
    }
    fs::write(workdir.log(), lines.concat()).unwrap();
    let found = json(&workdir.log(), &["--by=agent", "--limit=1"]);
    let table = &found.tables[0];
    assert!(!table.exact);
    let agent = Typed::of(&loud).value("agent");
    assert_eq!(table.rows[0].values, [agent]);
    assert!(table.rows[0].events + table.others.events == 7500);
    assert!(table.rows[0].bytes + table.rows[0].missed >= 1500 * loud.len() as u64);
    let said = top(&workdir.log(), &["--by=agent", "--limit=2"]).succeeded();
    assert!(said.contains(" or more others)"), "{said}");
}

#[test]
fn whoever_reads_only_the_first_line_is_no_error() {
    let workdir = Workdir::new();
    fs::write(workdir.log(), with_agents(2000).concat()).unwrap();
    for output in ["table", "json"] {
        let mut command = Daemon::command();
        command.args(["top", "--by=agent,user+agent", "--limit=0", "--output", output]).arg(workdir.log());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
    }
}
