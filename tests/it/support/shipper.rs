//! `audit-shipper run` with everything filled in that a test does not care about: short waits, one output named `siem`, and
//! a disk that may be full.

use std::fmt::Display;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::books::{assert_books_balance, count};
use super::daemon::{Daemon, Metrics};
use super::endpoint::Endpoint;
use super::workdir::Workdir;

/// The configuration of a daemon that is yet to be started, and its directory.
pub(crate) struct Shipper {
    pub(crate) workdir: Workdir,
    source: String,
    /// A line of the output, or none for the webhook.
    sink: Option<String>,
    webhook: String,
    output: String,
    redact: String,
    gap_records: bool,
    live_view: String,
    flags: Vec<String>,
}

/// An entry of the file of rejected events.
#[derive(Debug, Deserialize)]
pub(crate) struct Rejected {
    pub(crate) reason: String,
    pub(crate) status: Option<u16>,
    pub(crate) answer: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) offset: Option<u64>,
    pub(crate) bytes: u64,
    event: Option<Box<RawValue>>,
}

impl Rejected {
    /// The line of the log that was set aside.
    pub(crate) fn line(&self) -> String {
        format!("{}\n", self.event.as_ref().unwrap())
    }
}

impl Shipper {
    /// Ships to `endpoint`.
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        Self::to(&endpoint.url())
    }

    /// Ships to a URL. A test that needs more than that writes the kubeconfig anew.
    pub(crate) fn to(server: &str) -> Self {
        let workdir = Workdir::new();
        workdir.kubeconfig(server);
        let webhook = "maxBackoff: 100ms".to_owned();
        Self {
            workdir,
            source: String::new(),
            sink: None,
            webhook,
            output: String::new(),
            redact: "enabled: false".to_owned(),
            gap_records: false,
            live_view: "~".to_owned(),
            flags: Vec::new(),
        }
    }

    /// Puts these lines into the log.
    pub(crate) fn log(self, lines: &[String]) -> Self {
        self.workdir.append(lines);
        self
    }

    /// Further fields of `source`, separated by commas.
    pub(crate) fn source(mut self, fields: &str) -> Self {
        fields.clone_into(&mut self.source);
        self
    }

    /// The fields of `webhook` instead of `maxBackoff: 100ms`.
    pub(crate) fn webhook(mut self, fields: &str) -> Self {
        fields.clone_into(&mut self.webhook);
        self
    }

    /// Ships to another kind of endpoint, with these fields of its section and short waits.
    pub(crate) fn sink(self, name: &str, fields: &str) -> Self {
        let comma = if fields.is_empty() { "" } else { ", " };
        self.section(name, &format!("{fields}{comma}initialBackoff: 20ms, maxBackoff: 100ms"))
    }

    /// The same with these fields alone.
    pub(crate) fn section(mut self, name: &str, fields: &str) -> Self {
        self.sink = Some(format!("{name}: {{ {fields} }}"));
        self
    }

    /// A further field of the output.
    pub(crate) fn output(mut self, field: &str) -> Self {
        self.output = format!("{}    {field}\n", self.output);
        self
    }

    /// Masks what must not leave, as a configuration file does by default, with these fields.
    pub(crate) fn redact(mut self, fields: &str) -> Self {
        fields.clone_into(&mut self.redact);
        self
    }

    /// Has gaps told in the stream, as a configuration file does by default.
    pub(crate) fn gap_records(mut self) -> Self {
        self.gap_records = true;
        self
    }

    /// The section `liveView`.
    pub(crate) fn live_view(mut self, section: &str) -> Self {
        section.clone_into(&mut self.live_view);
        self
    }

    /// A further flag; it wins over the fields, and the last of the same name over the others.
    pub(crate) fn flag(mut self, name: &str, value: impl Display) -> Self {
        self.flags.push(format!("--{name}={value}"));
        self
    }

    /// Events in a batch at most. A batch that is not full goes after 50 ms.
    pub(crate) fn batches_of(self, events: usize) -> Self {
        self.flag("audit-webhook-batch-max-size", events)
    }

    /// Events in a batch, of which there are a whole number. However slow the machine is, none goes before it is full.
    pub(crate) fn full_batches_of(self, events: usize) -> Self {
        self.batches_of(events).flag("audit-webhook-batch-max-wait", "10m")
    }

    /// One request at a time, so that requests arrive in the order of the log.
    pub(crate) fn one_at_a_time(self) -> Self {
        self.output("maxInFlight: 1")
    }

    pub(crate) fn start(&self) -> Daemon {
        Daemon::start(self.args())
    }

    /// The arguments of `audit-shipper`, for a test that needs another environment.
    pub(crate) fn args(&self) -> Vec<String> {
        let config = self.workdir.path("audit-shipper.yaml");
        let quoted = |path: PathBuf| format!("\"{}\"", path.display());
        let (log, state) = (quoted(self.workdir.log()), quoted(self.workdir.state()));
        let kubeconfig = quoted(self.workdir.path("webhook.kubeconfig"));
        let Self { source, webhook, output, redact, gap_records, live_view, .. } = self;
        let webhook = format!("webhook: {{ kubeconfig: {kubeconfig}, {webhook} }}");
        let sink = self.sink.as_ref().unwrap_or(&webhook);
        let text = format!(
            "source: {{ path: {log}, pinMinFree: 0, {source} }}\n\
             outputs:\n\
             \x20 - name: siem\n\
             \x20   {sink}\n\
             \x20   redact: {{ {redact} }}\n\
             \x20   gapRecords: {gap_records}\n\
             {output}\
             stateDir: {state}\n\
             bindAddress: 127.0.0.1:0\n\
             liveView: {live_view}\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut args = vec!["run".to_owned(), format!("--config={}", config.display())];
        if self.sink.is_none() {
            args.push("--audit-webhook-initial-backoff=20ms".into());
        }
        args.push("--audit-webhook-batch-max-wait=50ms".into());
        args.extend(self.flags.iter().cloned());
        args
    }

    pub(crate) fn rejected_file(&self) -> PathBuf {
        self.workdir.state().join("siem.rejected.ndjson")
    }

    /// What was set aside so far.
    pub(crate) fn rejected(&self) -> Vec<Rejected> {
        let text = std::fs::read_to_string(self.rejected_file()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Waits until all `lines` of the log are settled, and checks the books.
pub(crate) fn wait_until_settled(daemon: &Daemon, lines: usize) -> Metrics {
    let lines = lines as u64;
    let metrics = daemon.wait_for_metrics(&format!("{lines} settled lines"), |metrics| {
        count(metrics, "audit_shipper_read_events_total", &[]) == lines
            && count(metrics, "audit_shipper_buffered_events", &[]) == 0
    });
    assert_books_balance(daemon);
    metrics
}

/// `line` with a mark that a script can look for with `Recorded::holds(POISON)`.
pub(crate) fn poisoned(line: &str) -> String {
    let (head, tail) = line.rsplit_once("\"annotations\":{").unwrap();
    format!("{head}\"annotations\":{{{POISON},{tail}")
}

pub(crate) const POISON: &str = "\"a.test/poison\":\"yes\"";
