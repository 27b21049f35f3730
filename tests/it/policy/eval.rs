//! What a policy says of real events, and of a log that holds something else.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::{VALID, data, written};
use crate::support::cli::{Ended, audit_shipper, finish};
use crate::support::daemon::Daemon;
use crate::support::leave_out;
use crate::support::workdir::{Workdir, real_events};

const LOGS: [&str; 2] = ["events/gke.log.gz", "events/requestresponse.log.gz"];

/// A line of the output.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Row {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    level: String,
    rule: Option<usize>,
    kept: bool,
    omit_stages: Vec<String>,
}

fn rows(stdout: &str) -> Vec<Row> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn eval(policy: &str, log: &str) -> Ended {
    audit_shipper(["policy", "eval", "--policy-file", policy, log])
}

/// The same with the log as standard input.
fn eval_piped(policy: &str, log: &[u8], args: &[&str]) -> Ended {
    let workdir = Workdir::new();
    std::fs::write(workdir.path("input"), log).unwrap();
    let mut command = Daemon::command();
    command.args(["policy", "eval", "--policy-file", policy]).args(args);
    command.stdin(std::fs::File::open(workdir.path("input")).unwrap());
    finish(command)
}

/// Both read the same policies and logs, and share nothing else.
#[test]
fn an_independent_evaluator_says_the_same_of_every_event() {
    let script = format!("{}/tests/it/policy/evaluator.py", env!("CARGO_MANIFEST_DIR"));
    for policy in ["ack_policy", "gce", "corners"] {
        let policy = data(&format!("policy/{policy}.yaml"));
        let logs = LOGS.map(data);
        let output = match Command::new("python3").args([&script, &policy]).args(&logs).output() {
            Ok(output) => output,
            Err(error) => return leave_out(format_args!("python3 cannot be run: {error}")),
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let expected = String::from_utf8(output.stdout).unwrap();
        let found = logs.map(|log| eval(&policy, &log).succeeded()).concat();
        assert_eq!(expected.lines().count(), 1250 + 658);
        for (found, expected) in found.lines().zip(expected.lines()) {
            assert_eq!(found, expected, "{policy}");
        }
        assert_eq!(found.len(), expected.len());
    }
}

/// What that evaluator counted (with `--count`), for machines without it.
#[test]
fn the_counts_of_a_real_policy_over_real_logs() {
    let counts = |log: &str| {
        let mut counts = BTreeMap::<String, u64>::new();
        for row in rows(&eval(&data("policy/ack_policy.yaml"), &data(log)).succeeded()) {
            assert_eq!(row.omit_stages, ["RequestReceived"]);
            assert_eq!(row.kept, row.level != "None" && row.stage != "RequestReceived", "{}", row.audit_id);
            let kept = if row.kept { "kept" } else { "dropped" };
            *counts.entry(format!("rule {}: {}, {kept}", row.rule.unwrap(), row.level)).or_default() += 1;
        }
        counts.iter().map(|(what, count)| format!("{what}: {count}")).collect::<Vec<_>>()
    };
    assert_eq!(
        counts(LOGS[0]),
        [
            "rule 10: Request, kept: 73",
            "rule 10: RequestResponse, kept: 465",
            "rule 11: Metadata, kept: 228",
            "rule 8: Metadata, kept: 155",
            "rule 9: Request, kept: 329",
        ]
    );
    assert_eq!(
        counts(LOGS[1]),
        [
            "rule 0: None, dropped: 3",
            "rule 10: RequestResponse, dropped: 128",
            "rule 10: RequestResponse, kept: 131",
            "rule 11: Metadata, dropped: 45",
            "rule 11: Metadata, kept: 45",
            "rule 2: None, dropped: 10",
            "rule 3: None, dropped: 18",
            "rule 4: None, dropped: 8",
            "rule 5: None, dropped: 4",
            "rule 6: None, dropped: 6",
            "rule 7: None, dropped: 18",
            "rule 8: Metadata, dropped: 54",
            "rule 8: Metadata, kept: 54",
            "rule 9: Request, dropped: 63",
            "rule 9: Request, kept: 71",
        ]
    );
}

#[test]
fn a_log_may_be_plain_or_compressed_or_the_standard_input() {
    let policy = data("policy/gce.yaml");
    let expected = eval(&policy, &data(LOGS[0])).succeeded();
    assert_eq!(rows(&expected).len(), 1250);
    assert!(
        expected.starts_with("{\"auditID\":\"")
            && expected.lines().all(|line| line.contains(",\"omitStages\":["))
    );
    let plain = real_events(1250).concat();
    let mut compressed = Vec::new();
    std::fs::File::open(data(LOGS[0])).unwrap().read_to_end(&mut compressed).unwrap();
    for (log, args) in [(plain.as_bytes(), &[][..]), (plain.as_bytes(), &["-"]), (&compressed, &["-"])] {
        assert!(eval_piped(&policy, log, args).succeeded() == expected);
    }
    // Without the last newline, with the line ends of another system, and with a byte order mark.
    let odd = format!("\u{feff}{}", plain.trim_end().replace('\n', "\r\n\r\n"));
    assert!(eval_piped(&policy, odd.as_bytes(), &[]).succeeded() == expected);
}

#[test]
fn what_is_no_event_is_told_and_the_rest_goes_on() {
    let workdir = Workdir::new();
    let policy = written(&workdir, VALID);
    let events = real_events(3);
    let twice = events[0].replacen("{\"kind\":\"Event\",", "{\"kind\":\"Event\",\"verb\":\"x\",", 1);
    let too_long = format!("{}\n", "x".repeat((16 << 20) + 1));
    let log =
        [&events[0], "I1122 02:16:11 flags.go:59] FLAG\n", &events[1], &too_long, "\n", &twice, &events[2]]
            .concat();
    let ended = eval_piped(&policy, log.as_bytes(), &["-"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(rows(&ended.stdout).len(), 3);
    assert_eq!(
        ended.errors(),
        [
            "standard input:2: not the JSON of an audit event, column 1 of the line: syntax",
            "standard input:4: longer than 16 MiB",
            "standard input:6: a field is there twice, so nobody can tell what it says",
            "3 lines are no audit events",
        ]
    );
    let ended = eval_piped(&policy, b"{}", &["-"]);
    assert_eq!(ended.errors().last(), Some(&"1 line is no audit event"));
    assert_eq!(eval_piped(&policy, b"", &[]).succeeded(), "");
    for log in [workdir.path("none.log"), workdir.log_dir()] {
        let log = log.display().to_string();
        let ended = eval(&policy, &log);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.errors()[0].starts_with(&format!("cannot read {log}: ")), "{}", ended.stderr);
    }
    // Half a file.
    let mut compressed = std::fs::read(data(LOGS[0])).unwrap();
    compressed.truncate(compressed.len() / 2);
    let ended = eval_piped(&policy, &compressed, &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.errors()[0].starts_with("cannot read standard input: "), "{}", ended.stderr);
    assert!(rows(&ended.stdout).len() > 100);
}

#[test]
fn events_that_are_glued_are_told_apart() {
    let workdir = Workdir::new();
    let policy = written(&workdir, VALID);
    let events = real_events(4);
    let torn = &events[3][..events[3].len() / 2];
    let glued = format!("{}{torn}{}{}", events[0].trim_end(), events[1].trim_end(), events[2]);
    let apart = eval_piped(&policy, events[..3].concat().as_bytes(), &["-"]).succeeded();
    let ended = eval_piped(&policy, format!("{glued}{}", events[3]).as_bytes(), &["-"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.starts_with(&apart), "{}", ended.stdout);
    assert_eq!(rows(&ended.stdout).len(), 4);
    assert!(ended.errors()[0].starts_with("standard input:1: "), "{}", ended.stderr);
    assert_eq!(ended.errors()[1..], ["1 line is no audit event"]);
}

#[test]
fn a_level_that_nobody_knows_is_kept_as_it_is() {
    let workdir = Workdir::new();
    let (level, other) = ("\"level\":\"Metadata\"", "\"level\":\"Everything\"");
    let line =
        real_events(1250).into_iter().find(|line| line.contains(level)).unwrap().replacen(level, other, 1);
    let row = |policy: &str| {
        rows(&eval_piped(&written(&workdir, policy), line.as_bytes(), &[]).succeeded()).remove(0)
    };
    let kept = row(VALID);
    assert_eq!((kept.level.as_str(), kept.rule, kept.kept), ("Everything", Some(0), true));
    let dropped = row(&VALID.replace("Metadata", "None"));
    assert_eq!((dropped.level.as_str(), dropped.rule, dropped.kept), ("None", Some(0), false));
    let unmatched = row(&format!("{VALID}  users: [nobody]\n"));
    assert_eq!((unmatched.level.as_str(), unmatched.rule, unmatched.kept), ("None", None, false));
}

#[test]
fn whoever_reads_only_the_first_lines_is_no_error() {
    let workdir = Workdir::new();
    let mut command = Daemon::command();
    command.args(["policy", "eval", "--policy-file", &written(&workdir, VALID)]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    // It stops in the middle of this.
    let _ = child.stdin.take().unwrap().write_all(real_events(1250).concat().as_bytes());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
