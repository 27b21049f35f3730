//! Several outputs of one log: each has its own place and pace, whatever becomes of the others.

mod kept;

use std::fs;
use std::time::{Duration, Instant};

use audit_shipper::demo::lumberjack::Options;

use crate::support::books::{assert_books_balance, assert_law, count};
use crate::support::daemon::{Daemon, Metrics};
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::rotators::{appending, write_lines};
use crate::support::wait_until;
use crate::support::workdir::{Workdir, real_events};
use crate::support::writer::{Writer, assert_each_once};

const TWO_BACKUPS: Options =
    Options { max_bytes: 400_000, max_backups: 2, compress: true, avoid_name_clash: true };

/// Sends one batch after the other, so that what arrives is in the order of reading.
const IN_ORDER: &str = "maxInFlight: 1";
/// The same with next to nothing in memory.
const HOLDING_LITTLE: &str =
    "maxInFlight: 1\n    batch: { maxSize: 20, bufferSize: 20, maxWait: 20ms, throttle: { enable: false } }";

/// A daemon that is yet to be started.
struct Outputs {
    workdir: Workdir,
    source: &'static str,
    each: Vec<(&'static str, String)>,
}

impl Outputs {
    fn new() -> Self {
        Self { workdir: Workdir::new(), source: "", each: Vec::new() }
    }

    /// One more output, with these lines of its configuration.
    fn with(mut self, name: &'static str, endpoint: &Endpoint, lines: &str) -> Self {
        let path = self.workdir.path(&format!("{name}.kubeconfig"));
        fs::rename(self.workdir.kubeconfig(&endpoint.url()), &path).unwrap();
        let batch = if lines.contains("batch:") {
            ""
        } else {
            "    batch: { maxSize: 20, maxWait: 20ms, throttle: { enable: false } }\n"
        };
        let output = format!(
            "\x20 - name: {name}\n\
             \x20   webhook: {{ kubeconfig: \"{}\", initialBackoff: 20ms, maxBackoff: 100ms }}\n\
             {batch}\
             \x20   redact: {{ enabled: false }}\n\
             \x20   gapRecords: false\n\
             \x20   {lines}\n",
            path.display()
        );
        self.each.push((name, output));
        self
    }

    /// A field of `source`.
    fn source(mut self, field: &'static str) -> Self {
        self.source = field;
        self
    }

    /// The configuration of those of these names, in this order.
    fn args(&self, names: &[&str]) -> Vec<String> {
        let config = self.workdir.path("audit-shipper.yaml");
        let of = |name: &&str| &*self.each.iter().find(|output| output.0 == *name).unwrap().1;
        let text = format!(
            "source: {{ path: \"{}\", pinMinFree: 0, {} }}\noutputs:\n{}stateDir: \"{}\"\n\
             bindAddress: 127.0.0.1:0\nshutdownGrace: 300ms\n",
            self.workdir.log().display(),
            self.source,
            names.iter().map(of).collect::<String>(),
            self.workdir.state().display(),
        );
        fs::write(&config, text).unwrap();
        vec!["run".to_owned(), format!("--config={}", config.display())]
    }

    fn start(&self, names: &[&str]) -> Daemon {
        Daemon::start(self.args(names))
    }
}

fn taking_everything() -> Endpoint {
    Endpoint::start(|_, _| Answer::ok())
}

fn blocked_by(gate: &Gate) -> Endpoint {
    let gate = gate.clone();
    Endpoint::start(move |_, _| if gate.is_open() { Answer::ok() } else { Answer::status(503) })
}

fn stop(mut daemon: Daemon) {
    daemon.terminate();
    assert!(daemon.wait().success());
}

/// A number of the books of one output.
fn of(metrics: &Metrics, output: &str, name: &str) -> u64 {
    count(metrics, &format!("audit_shipper_{name}"), &[("output", output)])
}

/// Waits until an output has settled all there is; then there is no gap in it.
fn wait_until_level(daemon: &Daemon, output: &str) -> Metrics {
    let metrics = daemon.wait_for_metrics(&format!("{output} to be level"), |metrics| {
        of(metrics, output, "buffered_events") == 0 && of(metrics, output, "lag_bytes") == 0
    });
    assert_law(&metrics, output);
    assert_eq!(of(&metrics, output, "gaps_total"), 0, "{output}:\n{}", metrics.text());
    metrics
}

fn assert_in_order(daemon: &Daemon, output: &str, endpoint: &Endpoint, written: &[String]) {
    endpoint.wait_for_items(written.len());
    wait_until_level(daemon, output);
    assert!(endpoint.items() == written, "{output}: {} of {}", endpoint.items().len(), written.len());
}

/// Writes so many files, each of which the daemon has opened before it is rotated and then deleted by retention, and waits
/// until `fast` has all of it.
fn write_through_retention(
    daemon: &Daemon,
    outputs: &Outputs,
    writer: &mut Writer,
    files: u32,
    fast: &Endpoint,
) {
    let log = outputs.workdir.log();
    for _ in 0..files {
        writer.write(30);
        daemon.wait_until_holds(&log);
        writer.rotate();
    }
    writer.write(30);
    daemon.wait_until_holds(&log);
    fast.wait_for_items(writer.lines().len());
    let names = || fs::read_dir(outputs.workdir.log_dir()).unwrap().map(|entry| entry.unwrap().file_name());
    let backups = || names().filter(|name| name.to_string_lossy().starts_with("audit-")).count();
    wait_until("retention", || (backups() == 2).then_some(()));
}

#[test]
fn a_dead_endpoint_holds_up_no_other_and_files_are_held_until_the_last_output_has_them() {
    let (gate, fast) = (Gate::closed(), taking_everything());
    let slow = blocked_by(&gate);
    let outputs = Outputs::new().with("slow", &slow, HOLDING_LITTLE).with("fast", &fast, IN_ORDER);
    let mut writer = Writer::with(outputs.workdir.log(), TWO_BACKUPS);
    writer.write(1);
    let daemon = outputs.start(&["slow", "fast"]);
    write_through_retention(&daemon, &outputs, &mut writer, 10, &fast);
    assert_in_order(&daemon, "fast", &fast, &writer.lines());
    let metrics = daemon.wait_for_metrics("eight files that nobody else holds", |metrics| {
        count(metrics, "audit_shipper_pinned_files", &[]) >= 8
    });
    assert!(count(&metrics, "audit_shipper_pinned_bytes", &[]) > 0);
    assert_law(&metrics, "slow");
    assert_eq!(of(&metrics, "slow", "delivered_events_total"), 0);
    assert!(of(&metrics, "slow", "lag_bytes") > 0);
    gate.open();
    assert_in_order(&daemon, "slow", &slow, &writer.lines());
    daemon.wait_for_metrics("no pins", |metrics| count(metrics, "audit_shipper_pinned_files", &[]) == 0);
    assert!(fast.items().len() == writer.lines().len());
    assert_books_balance(&daemon);
    writer.finish();
}

#[test]
fn outputs_come_and_go_and_change_places_and_the_others_stay_where_they_are() {
    let (one, two, three) = (taking_everything(), taking_everything(), taking_everything());
    let outputs = Outputs::new().with("one", &one, IN_ORDER).with("two", &two, IN_ORDER);
    let (events, log) = (real_events(100), outputs.workdir.log());
    let mut rounds = events.chunks(20);
    let mut write = || write_lines(&mut appending(&log), rounds.next().unwrap());
    write();
    let daemon = outputs.start(&["one"]);
    assert_in_order(&daemon, "one", &one, &events[..20]);
    stop(daemon);
    // A new one, before the other.
    write();
    let daemon = outputs.start(&["two", "one"]);
    assert_in_order(&daemon, "two", &two, &events[..40]);
    assert_in_order(&daemon, "one", &one, &events[..40]);
    stop(daemon);
    // The first is away.
    write();
    let daemon = outputs.start(&["two"]);
    assert_in_order(&daemon, "two", &two, &events[..60]);
    stop(daemon);
    assert_eq!(one.items().len(), 40);
    // It is back, in the other place; and a new one wants nothing of the past.
    let outputs = outputs.with("three", &three, IN_ORDER).source("startAt: newest");
    let daemon = outputs.start(&["one", "three", "two"]);
    assert_in_order(&daemon, "one", &one, &events[..60]);
    // What has been written by now is the past once its first position is kept.
    let position = outputs.workdir.state().join("three.cursor.json");
    wait_until("the new one to look", || position.exists().then_some(()));
    write();
    for (output, endpoint) in [("one", &one), ("two", &two)] {
        assert_in_order(&daemon, output, endpoint, &events[..80]);
    }
    assert_in_order(&daemon, "three", &three, &events[60..80]);
    stop(daemon);
    let mut files: Vec<String> = fs::read_dir(outputs.workdir.state())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains('.'))
        .collect();
    files.sort();
    assert_eq!(files, ["log.json", "one.cursor.json", "three.cursor.json", "two.cursor.json"]);
}

const POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n\
                      - { level: None, verbs: [get, list, watch] }\n- { level: RequestResponse }\n";

#[test]
fn the_books_of_each_output_balance_whatever_its_endpoint_does() {
    let (small, large, filtered) = (taking_everything(), taking_everything(), taking_everything());
    let hanging = Endpoint::start(|_, _| Answer::Hang);
    let refusing = Endpoint::start(|_, _| Answer::status(400));
    let outputs = Outputs::new();
    let policy = outputs.workdir.path("policy.yaml");
    fs::write(&policy, POLICY).unwrap();
    let outputs = outputs
        .with("hanging", &hanging, "")
        .with("small", &small, "batch: { maxSize: 7, maxWait: 20ms, throttle: { enable: false } }")
        .with("refusing", &refusing, "")
        .with(
            "large",
            &large,
            "maxInFlight: 2\n    batch: { maxSize: 400, maxWait: 200ms, throttle: { enable: false } }",
        )
        .with("filtered", &filtered, &format!("policyFile: \"{}\"", policy.display()));
    let names = ["hanging", "small", "refusing", "large", "filtered"];
    let keep_all = Options { max_bytes: 400_000, max_backups: 0, compress: true, avoid_name_clash: true };
    let mut writer = Writer::with(outputs.workdir.log(), keep_all);
    let mut daemon = outputs.start(&names);
    for round in 0..3 {
        for _ in 0..3 {
            writer.write(100);
            writer.rotate();
        }
        for output in ["small", "large", "filtered"] {
            // All of this round: what was settled before is not read again.
            daemon.wait_for_metrics("the backlog to be settled", |metrics| {
                of(metrics, output, "read_events_total") >= 300 && of(metrics, output, "buffered_events") == 0
            });
        }
        hanging.wait_for("a request", |requests| !requests.is_empty());
        refusing.wait_for("a request", |requests| !requests.is_empty());
        if round < 2 {
            daemon.kill9();
            daemon = outputs.start(&names);
        }
    }
    let behind = ["hanging", "refusing"];
    let metrics = daemon.wait_for_metrics("all of them to have read", |metrics| {
        behind.iter().all(|output| of(metrics, output, "buffered_events") > 0)
    });
    for output in names {
        assert_law(&metrics, output);
        assert_eq!(of(&metrics, output, "gaps_total"), 0, "{output}");
    }
    for output in behind {
        assert_eq!(of(&metrics, output, "delivered_events_total"), 0, "{output}");
        assert_eq!(of(&metrics, output, "set_aside_events_total"), 0, "{output}");
    }
    assert!(of(&metrics, "filtered", "filtered_events_total") > 0);
    assert!(of(&metrics, "filtered", "delivered_events_total") > 0);
    for endpoint in [&small, &large] {
        // Killed, a daemon may send what was under way again.
        let mut arrived = endpoint.items();
        arrived.sort();
        arrived.dedup();
        assert_each_once(writer.lines(), arrived);
    }
    let asked = Instant::now();
    stop(daemon);
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    writer.finish();
}
