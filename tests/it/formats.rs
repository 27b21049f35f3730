//! Logs that are no events line by line: a container runtime's files, and kube-apiserver's legacy format.

mod legacy;
mod wrong;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use crate::support::books::count;
use crate::support::cli::audit_shipper;
use crate::support::daemon::{Daemon, Metrics};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::rotators::{appending, gzip, with_suffix};
use crate::support::shipper::{Rejected, Shipper, wait_until_settled};
use crate::support::wait_until;
use crate::support::workdir::gunzipped_lines;

/// Where a runtime cuts a line. Theirs is 16 KiB; in the recording, lines of this length are cut.
const PART_BYTES: usize = 1000;
const TIME: &str = "2026-11-22T02:16:11.462030123Z";

/// What kube-apiserver wrote with `--audit-log-path=-`, events and its own log, each line with its newline.
fn recording() -> Vec<String> {
    gunzipped_lines(include_bytes!("../data/events/stdout-merged.log.gz"))
}

/// The events among these lines.
fn events(lines: &[String]) -> Vec<String> {
    lines.iter().filter(|line| is_event(line)).cloned().collect()
}

fn is_event(line: &str) -> bool {
    line.starts_with('{')
}

/// A line of a container as a runtime writes it, in one part or several.
fn parts(format: &str, line: &str) -> Vec<String> {
    let stream = if is_event(line) { "stdout" } else { "stderr" };
    let (mut rest, mut parts) = (line.trim_end_matches('\n'), Vec::new());
    loop {
        let end = (0..=PART_BYTES.min(rest.len())).rev().find(|end| rest.is_char_boundary(*end)).unwrap();
        let (part, behind) = rest.split_at(end);
        let is_last = behind.is_empty();
        parts.push(if format == "docker" {
            let log = serde_json::to_string(&format!("{part}{}", if is_last { "\n" } else { "" })).unwrap();
            format!("{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"{TIME}\"}}\n")
        } else {
            format!("{TIME} {stream} {} {part}\n", if is_last { "F" } else { "P" })
        });
        rest = behind;
        if is_last {
            return parts;
        }
    }
}

/// All lines as a runtime writes them: a line of the one stream stands between the parts of one of the other.
fn written_by_runtime(format: &str, lines: &[String]) -> Vec<String> {
    let mut lines = lines.iter().peekable();
    let mut all = Vec::new();
    while let Some(line) = lines.next() {
        for (number, part) in parts(format, line).into_iter().enumerate() {
            if number > 0
                && let Some(other) = lines.next_if(|other| is_event(other) != is_event(line))
            {
                all.extend(parts(format, other));
            }
            all.push(part);
        }
    }
    all
}

/// The file that a runtime writes, and kubelet's rotation of it.
struct Runtime {
    log: PathBuf,
    file: File,
    backups: Vec<PathBuf>,
}

impl Runtime {
    fn new(shipper: &Shipper) -> Self {
        let log = shipper.workdir.log();
        Self { file: appending(&log), log, backups: Vec::new() }
    }

    fn write(&mut self, lines: &[String]) {
        self.file.write_all(lines.concat().as_bytes()).unwrap();
    }

    /// kubelet renames the file, has the runtime begin another, and compresses all backups but the last.
    fn rotate(&mut self) {
        let backup = with_suffix(&self.log, &format!(".20261122-02{:04}", self.backups.len()));
        fs::rename(&self.log, &backup).unwrap();
        self.file = appending(&self.log);
        if let Some(before) = self.backups.last() {
            gzip(before);
        }
        self.backups.push(backup);
    }
}

fn shipper(endpoint: &Endpoint, format: &str) -> Shipper {
    let shipper = Shipper::new(endpoint).source(&format!("format: {format}")).batches_of(20);
    // Commands are not given the flags of the daemon.
    shipper.webhook("initialBackoff: 20ms, maxBackoff: 100ms")
}

fn skipped(metrics: &Metrics) -> u64 {
    count(metrics, "audit_shipper_skipped_lines_total", &[])
}

/// The recording arrives as its plain lines would, across kubelet's rotations, one of which is between two parts.
fn recording_arrives(runtime: &str, format: &str) {
    let lines = recording();
    let events = events(&lines);
    assert_eq!((lines.len(), events.len()), (1250, 543));
    let physical = written_by_runtime(runtime, &lines);
    assert!(physical.len() > lines.len() + 100, "some are in parts");
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint, format).one_at_a_time();
    let mut writer = Runtime::new(&shipper);
    let daemon = shipper.start();
    let mut rest = physical.as_slice();
    while !rest.is_empty() {
        // Up to the middle of an event, if there is one.
        let is_open_in_docker = |line: &String| {
            line.starts_with("{\"log\"") && line.contains("\"stdout\"") && !line.contains("\\n\",\"stream\"")
        };
        let goes_on = |line: &String| line.contains(" stdout P ") || is_open_in_docker(line);
        let at = (rest.len() / 4).max(50).min(rest.len());
        let end = rest[at..].iter().position(goes_on).map_or(rest.len(), |found| at + found + 1);
        writer.write(&rest[..end]);
        rest = &rest[end..];
        writer.rotate();
    }
    assert!(writer.backups.len() > 3);
    let arrived = endpoint.wait_for_items(events.len());
    assert!(arrived == events, "{} of {} arrived", arrived.len(), events.len());
    wait_until_settled(&daemon, events.len());
    let metrics = daemon.wait_for_metrics("all of the others", |metrics| skipped(metrics) == 707);
    assert_eq!(shipper.rejected().len(), 0);
    assert_eq!(count(&metrics, "audit_shipper_gaps_total", &[]), 0);
    daemon.wait_for_metrics("no lag", |metrics| count(metrics, "audit_shipper_lag_bytes", &[]) == 0);
}

#[test]
fn what_containerd_writes_arrives_as_it_was() {
    recording_arrives("cri", "cri");
}

#[test]
fn what_docker_writes_arrives_as_it_was() {
    recording_arrives("docker", "docker");
}

#[test]
fn a_runtime_is_recognised() {
    recording_arrives("cri", "auto");
    recording_arrives("docker", "auto");
}

#[test]
fn plain_lines_are_recognised() {
    let lines = recording();
    let events = events(&lines);
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint, "auto").one_at_a_time().log(&events);
    let daemon = shipper.start();
    assert!(endpoint.wait_for_items(events.len()) == events);
    wait_until_settled(&daemon, events.len());
}

#[test]
fn kill_9_within_an_event_in_parts_costs_no_event() {
    let lines: Vec<String> = recording().into_iter().skip_while(|line| !is_event(line)).collect();
    let events = events(&lines);
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint, "cri").batches_of(3);
    let mut writer = Runtime::new(&shipper);
    let physical = written_by_runtime("cri", &lines);
    for lines in physical.chunks(physical.len() / 6 + 1) {
        let before = endpoint.items().len();
        let mut daemon = shipper.start();
        writer.write(lines);
        wait_until("some progress", || (endpoint.items().len() > before).then_some(()));
        daemon.kill9();
        writer.rotate();
    }
    let _daemon = shipper.start();
    wait_until("all events", || {
        let arrived: HashSet<String> = endpoint.items().into_iter().collect();
        events.iter().all(|event| arrived.contains(event)).then_some(())
    });
    assert!(endpoint.items().iter().all(|item| events.contains(item)));
    assert_eq!(shipper.rejected().len(), 0);
}

/// A container that writes nothing else for hours: that is passed once, not at each start.
#[test]
fn the_position_moves_past_what_is_skipped() {
    let klog: Vec<String> = recording().into_iter().filter(|line| !is_event(line)).collect();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint, "cri").log(&written_by_runtime("cri", &klog));
    let mut daemon = shipper.start();
    let count = klog.len() as u64;
    daemon.wait_for_metrics("all of them", |metrics| skipped(metrics) == count);
    daemon.terminate();
    assert!(daemon.wait().success());
    let event = recording().into_iter().find(|line| is_event(line)).unwrap();
    shipper.workdir.append(&written_by_runtime("cri", &[event]));
    let daemon = shipper.start();
    assert_eq!(skipped(&wait_until_settled(&daemon, 1)), 0);
}

#[test]
fn what_may_be_left_of_an_event_is_set_aside() {
    let lines = recording();
    let events = events(&lines);
    let torn = events[1][..events[1].len() / 2].to_owned();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let both = [events[0].clone(), torn.clone() + "\n", events[2].clone()];
    let shipper = shipper(&endpoint, "cri").log(&written_by_runtime("cri", &both));
    let daemon = shipper.start();
    wait_until_settled(&daemon, 3);
    let rejected = shipper.rejected();
    assert_eq!(rejected.len(), 1);
    assert_eq!((rejected[0].reason.as_str(), rejected[0].text.as_ref()), ("malformed", Some(&torn)));
}

/// Its writer may be dead, and there may be no other.
#[test]
fn events_do_not_wait_for_the_end_of_a_line_of_klog() {
    let events = &events(&recording())[..40];
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let mut lines = vec![format!("{TIME} stderr P I1122 a long line of klog\n")];
    lines.extend(written_by_runtime("cri", events));
    let shipper = shipper(&endpoint, "cri").one_at_a_time().log(&lines);
    let daemon = shipper.start();
    assert!(endpoint.wait_for_items(events.len()) == events);
    wait_until_settled(&daemon, events.len());
    daemon.wait_for_metrics("no lag", |metrics| count(metrics, "audit_shipper_lag_bytes", &[]) == 0);
}

/// Several events that are glued together in parts are one step of the position, so they go together.
#[test]
fn cursor_skip_sets_aside_all_that_has_one_position() {
    let events = events(&recording());
    let line = |line: &String, is_last: bool| {
        format!("{TIME} stdout {} {}\n", if is_last { "F" } else { "P" }, line.trim_end())
    };
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let whole = |index: usize| line(&events[index], true);
    let shipper = shipper(&endpoint, "cri").log(&[whole(0)]);
    let mut daemon = shipper.start();
    endpoint.wait_for_items(1);
    wait_until_settled(&daemon, 1);
    daemon.terminate();
    assert!(daemon.wait().success());
    shipper.workdir.append(&[line(&events[1], false), whole(2), whole(3)]);
    let config = format!("--config={}", shipper.workdir.path("audit-shipper.yaml").display());
    let skipped = audit_shipper(["cursor", "skip", "--output=siem", &config]).succeeded();
    assert_eq!(skipped.lines().count(), 2, "{skipped}");
    let _daemon = shipper.start();
    assert_eq!(endpoint.wait_for_items(2)[1], events[3]);
    let rejected: Vec<String> = shipper.rejected().iter().map(Rejected::line).collect();
    assert_eq!(rejected, events[1..3]);
}

#[test]
fn top_counts_the_same_whatever_is_around_the_events() {
    let lines = recording();
    let directory = tempfile::tempdir().unwrap();
    let top = |name: &str, lines: &[String]| {
        let log = directory.path().join(name);
        fs::write(&log, lines.concat()).unwrap();
        let log = if name.starts_with('z') { gzip(&log) } else { log };
        audit_shipper(["top", "--output=json", log.to_str().unwrap()]).succeeded()
    };
    let plain = top("plain.log", &events(&lines));
    assert!(plain.contains("\"events\":543"), "{plain}");
    for runtime in ["cri", "docker"] {
        let physical = written_by_runtime(runtime, &lines);
        assert_eq!(top(&format!("{runtime}.log"), &physical), plain);
        assert_eq!(top(&format!("z{runtime}.log"), &physical), plain);
    }
}

#[test]
fn a_policy_says_the_same_whatever_is_around_the_events() {
    let lines = recording();
    let directory = tempfile::tempdir().unwrap();
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/policy/gce.yaml");
    let eval = |lines: &[String]| {
        let log = directory.path().join("audit.log");
        fs::write(&log, lines.concat()).unwrap();
        let log = log.to_str().unwrap();
        audit_shipper(["policy", "eval", "--policy-file", policy, log])
    };
    let plain = eval(&events(&lines)).succeeded();
    assert_eq!(plain.lines().count(), 543);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    for runtime in ["cri", "docker"] {
        let mut physical = written_by_runtime(runtime, &lines);
        assert_eq!(sorted(&eval(&physical).succeeded()), sorted(&plain));
        // What is nobody's output has the number of its line, however many lines are in the parts before it.
        physical.push("spoiled\n".to_owned());
        let ended = eval(&physical);
        let number = physical.len();
        let told = format!("audit.log:{number}: not the JSON of an audit event");
        assert!(ended.stderr.contains(&told), "{}", ended.stderr);
        assert_eq!((ended.code, ended.stdout.lines().count()), (Some(1), 543));
    }
    let legacy = legacy::recording();
    assert_eq!(eval(&legacy).succeeded().lines().count(), legacy.len());
}

/// What the daemon says of a log of its configuration that it cannot read.
fn wait_for_wrong(daemon: &Daemon, setting: &str) {
    let told = daemon.wait_for_line("the log cannot be read");
    assert!(told.contains(&format!("set source.format: {setting} (or auto)")), "{told}");
}
