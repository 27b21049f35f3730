//! A real Prometheus scrapes the real daemon, with the alerts as they are shipped but for their times: minutes are seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::dashboard::Dashboard;
use super::{Rules, rules};
use crate::support::daemon::{Daemon, get};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::{Workdir, real_events};
use crate::support::{leave_out, wait_until};

/// A minute of the rules is this many times shorter.
const TIMES_SHORTER: u64 = 60;

/// The rules with every `for`, every range and offset, and every number of minutes (`N * 60`) a sixtieth as long.
fn shortened(mut rules: Rules) -> Rules {
    for alert in rules.groups.iter_mut().flat_map(|group| &mut group.rules) {
        alert.lasts = with_short_durations(&alert.lasts);
        alert.expr = with_short_durations(&alert.expr).replace(" * 60", " * 1");
    }
    rules
}

/// `15m`, `1h` and `1d` stand alone, or between brackets.
fn with_short_durations(text: &str) -> String {
    let is_edge = |c: char| c.is_whitespace() || ['[', ']', ')', '('].contains(&c);
    let shorter = |word: &str| -> Option<String> {
        let unit = word.chars().next_back()?;
        let seconds = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)].iter().find(|(of, _)| *of == unit)?.1;
        let number: u64 = word[..word.len() - 1].parse().ok()?;
        Some(format!("{}s", number * seconds / TIMES_SHORTER))
    };
    let words = text.split_inclusive(is_edge).map(|word| {
        let end = word.find(is_edge).unwrap_or(word.len());
        shorter(&word[..end]).map_or_else(|| word.to_owned(), |short| format!("{short}{}", &word[end..]))
    });
    words.collect()
}

/// Killed when it is dropped.
struct Prometheus {
    process: Daemon,
    address: SocketAddr,
}

#[derive(Debug, Deserialize)]
struct Reply<T> {
    status: String,
    data: T,
}

#[derive(Debug, Deserialize)]
struct Alerts {
    alerts: Vec<Active>,
}

#[derive(Debug, Deserialize)]
struct Active {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    state: String,
}

#[derive(Debug, Deserialize)]
struct Found {
    result: Vec<Box<RawValue>>,
}

impl Prometheus {
    /// Scrapes `target` every second, and looks at the rules as often. `None` if this machine has no Prometheus.
    fn start(workdir: &Workdir, target: SocketAddr) -> Option<Self> {
        if let Err(error) =
            Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status()
        {
            leave_out(format!("prometheus: {error}"));
            return None;
        }
        let short = serde_saphyr::to_string(&shortened(rules())).unwrap();
        std::fs::write(workdir.path("rules.yaml"), short).unwrap();
        let config = workdir.path("prometheus.yaml");
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: [rules.yaml]\n\
             scrape_configs: [{{ job_name: audit-shipper, static_configs: [{{ targets: [\"{target}\"] }}] }}]\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("prometheus");
        Daemon::isolate(&mut command);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", workdir.path("tsdb").display()));
        command.arg("--web.listen-address=127.0.0.1:0");
        let process = Daemon::spawn(command);
        let line = process.wait_for_line("msg=\"Listening on\"");
        process.wait_for_line("Server is ready to receive web requests");
        let address = line.split_once("address=").unwrap().1.trim().parse().unwrap();
        Some(Self { process, address })
    }

    fn ask<T: DeserializeOwned>(&self, path: &str) -> T {
        let (status, body) = get(self.address, path);
        assert_eq!(status, 200, "{path}: {body}\n{}", self.process.log());
        let reply: Reply<T> = serde_json::from_str(&body).unwrap();
        assert_eq!(reply.status, "success");
        reply.data
    }

    /// How many series the query finds now.
    fn series(&self, query: &str) -> usize {
        let at = reqwest::Url::parse_with_params("http://p/api/v1/query", [("query", query)]).unwrap();
        self.ask::<Found>(&format!("{}?{}", at.path(), at.query().unwrap())).result.len()
    }

    /// The names of the alerts that fire, without what they all begin with.
    fn firing(&self) -> BTreeSet<String> {
        let alerts = self.ask::<Alerts>("/api/v1/alerts").alerts;
        for Active { labels, annotations, .. } in &alerts {
            let texts = labels.values().chain(annotations.values());
            assert!(
                texts.into_iter().all(|text| !text.contains("error expanding template")),
                "{annotations:?}"
            );
            assert!(["critical", "warning"].contains(&&*labels["severity"]), "{labels:?}");
        }
        let firing = alerts.into_iter().filter(|alert| alert.state == "firing");
        firing
            .map(|alert| alert.labels["alertname"].strip_prefix("AuditShipper").unwrap().to_owned())
            .collect()
    }

    /// Waits until `alert` fires, and none but those of `beside` with it.
    fn wait_for(&self, alert: &str, beside: &[&str]) {
        let firing = wait_until(alert, || {
            let firing = self.firing();
            firing.contains(alert).then_some(firing)
        });
        let others: Vec<&String> =
            firing.iter().filter(|name| *name != alert && !beside.contains(&name.as_str())).collect();
        assert!(others.is_empty(), "{alert}: {firing:?}");
    }

    /// Waits until nothing fires, and nothing is about to; but for what would take six minutes: before the second scrape nobody
    /// knows, and from then on nothing more was read.
    fn wait_for_peace(&self) {
        let is_of_silence = |alert: &Active| {
            alert.state == "pending" && alert.labels["alertname"] == "AuditShipperReadsNothing"
        };
        wait_until("no alert", || {
            self.ask::<Alerts>("/api/v1/alerts").alerts.iter().all(is_of_silence).then_some(())
        });
    }
}

#[test]
fn times_are_a_sixtieth() {
    let short = |text: &str| with_short_durations(text).replace(" * 60", " * 1");
    assert_eq!(short("15m"), "15s");
    assert_eq!(
        short("increase(x[1h]) > 7 * 1440 * 60 unless y[1d] offset 1h and z < 0.8 * 60"),
        "increase(x[60s]) > 7 * 1440 * 1 unless y[1440s] offset 60s and z < 0.8 * 1"
    );
    let long_left = shortened(rules()).groups.into_iter().flat_map(|group| group.rules);
    let is_long = |text: &str| text.contains(" * 60") || text.contains("m]") || text.contains("h]");
    let long_left: Vec<_> =
        long_left.filter(|alert| is_long(&alert.expr) || !alert.lasts.ends_with('s')).collect();
    assert!(long_left.is_empty(), "{long_left:?}");
}

/// An endpoint that is away, one that refuses everything, a line that is no event, and a daemon that is gone: of each the
/// alert that is meant fires, and it is over when its cause is.
#[test]
fn an_outage_fires_what_it_should_and_nothing_else() {
    let status = Arc::new(AtomicU16::new(200));
    let answers = Arc::clone(&status);
    let endpoint = Endpoint::start(move |_, _| Answer::status(answers.load(Ordering::Relaxed)));
    let answer_with = |code| status.store(code, Ordering::Relaxed);
    let events = real_events(60);
    let as_of_now = |of: Range<usize>| events[of].iter().map(|line| as_of_now(line)).collect::<Vec<_>>();
    let shipper = Shipper::new(&endpoint).log(&as_of_now(0..20));
    let mut daemon = shipper.start();
    wait_until_settled(&daemon, 20);
    let Some(prometheus) = Prometheus::start(&shipper.workdir, daemon.address()) else { return };
    wait_until("a scrape", || (prometheus.series("audit_shipper_build_info") == 1).then_some(()));
    prometheus.wait_for_peace();

    answer_with(503);
    shipper.workdir.append(&as_of_now(20..40));
    prometheus.wait_for("NotShipping", &[]);
    answer_with(200);
    wait_until_settled(&daemon, 40);
    prometheus.wait_for_peace();

    answer_with(401);
    shipper.workdir.append(&as_of_now(40..60));
    // On a slow machine this is an outage of some length, too.
    prometheus.wait_for("Misconfigured", &["NotShipping"]);
    answer_with(200);
    wait_until_settled(&daemon, 60);
    prometheus.wait_for_peace();

    shipper.workdir.append(&["no event\n".to_owned()]);
    prometheus.wait_for("SetAside", &[]);
    all_queries_of_the_dashboard_are_answered(&prometheus);

    daemon.kill9();
    prometheus.wait_for("Down", &["SetAside"]);
}

/// The same event with the time of now, so that it is not late from the beginning.
fn as_of_now(line: &str) -> String {
    let (head, rest) = line.split_once("\"stageTimestamp\":\"").unwrap();
    let (_, tail) = rest.split_once('"').unwrap();
    format!("{head}\"stageTimestamp\":\"{}\"{tail}", jiff::Timestamp::now())
}

/// Each finds something, but for what this daemon has not: TLS, a policy, and events that are left out.
fn all_queries_of_the_dashboard_are_answered(prometheus: &Prometheus) {
    let without: Vec<String> =
        Dashboard::read().queries("15s").into_iter().filter(|query| prometheus.series(query) == 0).collect();
    let expected = ["certificate_expiry_timestamp_seconds", "policy_last_reload", "filtered_events_total"];
    let is_expected = |query: &String| expected.iter().any(|name| query.contains(name));
    let (as_expected, others): (Vec<&String>, Vec<&String>) =
        without.iter().partition(|query| is_expected(query));
    assert_eq!((as_expected.len(), others), (expected.len(), Vec::new()));
}
