//! Several outputs of one daemon, each with an endpoint of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::support::books::{assert_books_balance, count};
use crate::support::daemon::{Daemon, Metrics};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::workdir::Workdir;

/// Nothing but what a test says itself is done to events.
pub(super) const AS_THEY_ARE: &str = "redact: { enabled: false }";

pub(super) struct Outputs {
    pub(super) workdir: Workdir,
    endpoints: BTreeMap<String, Endpoint>,
    config: String,
}

impl Outputs {
    /// Webhooks of these names; each has the fields in the second place, a line each.
    pub(super) fn new(outputs: &[(&str, &[&str])]) -> Self {
        let mut this = Self { workdir: Workdir::new(), endpoints: BTreeMap::new(), config: String::new() };
        let mut text = String::new();
        for (name, fields) in outputs {
            let kubeconfig = this.endpoint(name);
            writeln!(
                text,
                "  - name: {name}\n    webhook: {{ kubeconfig: \"{}\", initialBackoff: 20ms, maxBackoff: 100ms }}\n    \
                 batch: {{ maxWait: 50ms, throttle: {{ enable: false }} }}",
                kubeconfig.display()
            )
            .unwrap();
            for field in *fields {
                writeln!(text, "    {field}").unwrap();
            }
        }
        let (log, state) = (this.workdir.log(), this.workdir.state());
        this.config = format!(
            "source: {{ path: \"{}\", pinMinFree: 0 }}\noutputs:\n{text}stateDir: \"{}\"\nbindAddress: 127.0.0.1:0\n",
            log.display(),
            state.display()
        );
        this
    }

    /// Those of a configuration that is shipped with the program, which has these names; all that it says of this machine
    /// is replaced.
    pub(super) fn of_file(text: &str, names: &[&str]) -> Self {
        let mut this = Self { workdir: Workdir::new(), endpoints: BTreeMap::new(), config: text.to_owned() };
        for name in names {
            let kubeconfig = this.endpoint(name);
            this.replace(&format!("/etc/audit-shipper/{name}.kubeconfig"), &kubeconfig);
        }
        this.replace("/var/log/kubernetes/audit.log", &this.workdir.log());
        this.replace("/var/lib/audit-shipper", &this.workdir.state());
        this.replace("127.0.0.1:9465", Path::new("127.0.0.1:0"));
        this
    }

    fn replace(&mut self, from: &str, to: &Path) {
        assert_eq!(self.config.matches(from).count(), 1, "{from}");
        self.config = self.config.replace(from, &to.display().to_string());
    }

    /// Starts an endpoint, and writes the kubeconfig for it.
    fn endpoint(&mut self, name: &str) -> PathBuf {
        let endpoint = Endpoint::start(|_, _| Answer::ok());
        let kubeconfig = self.workdir.path(&format!("{name}.kubeconfig"));
        std::fs::rename(self.workdir.kubeconfig(&endpoint.url()), &kubeconfig).unwrap();
        self.endpoints.insert(name.to_owned(), endpoint);
        kubeconfig
    }

    /// Writes the configuration.
    pub(super) fn config(&self) -> PathBuf {
        let path = self.workdir.path("audit-shipper.yaml");
        std::fs::write(&path, &self.config).unwrap();
        path
    }

    pub(super) fn start(&self) -> Daemon {
        Daemon::start(["run".to_owned(), format!("--config={}", self.config().display())])
    }

    /// What the output's endpoint has accepted, each event once.
    pub(super) fn arrived(&self, output: &str) -> BTreeSet<String> {
        let items = self.endpoints[output].items();
        let distinct: BTreeSet<String> = items.iter().cloned().collect();
        assert_eq!(distinct.len(), items.len(), "{output} was sent an event twice");
        distinct
    }

    /// Waits until each output has settled all `lines` of the log, and checks the books of each.
    pub(super) fn wait_until_settled(&self, daemon: &Daemon, lines: usize) -> Metrics {
        let metrics = daemon.wait_for_metrics(&format!("{lines} lines settled by each output"), |metrics| {
            let is_settled = |output: &String| {
                of(metrics, output, "read") == lines as u64 && buffered(metrics, output) == 0
            };
            self.endpoints.keys().all(is_settled)
        });
        for output in self.endpoints.keys() {
            let accounts = ["filtered", "delivered", "set_aside", "refused_by_endpoint"];
            let accounted: u64 = accounts.iter().map(|what| of(&metrics, output, what)).sum();
            assert_eq!(of(&metrics, output, "read"), accounted + buffered(&metrics, output), "{output}");
        }
        assert_books_balance(daemon);
        metrics
    }
}

/// Events of which the books of one output say this, such as `delivered`.
pub(super) fn of(metrics: &Metrics, output: &str, what: &str) -> u64 {
    count(metrics, &format!("audit_shipper_{what}_events_total"), &[("output", output)])
}

/// Events that an output has left out by this rule.
pub(super) fn filtered_by(metrics: &Metrics, output: &str, rule: &str) -> u64 {
    count(metrics, "audit_shipper_filtered_events_total", &[("output", output), ("rule", rule)])
}

fn buffered(metrics: &Metrics, output: &str) -> u64 {
    count(metrics, "audit_shipper_buffered_events", &[("output", output)])
}
