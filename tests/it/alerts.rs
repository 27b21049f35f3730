//! Alerts and the dashboard: config/prometheus and config/grafana ask for what the daemon shows, and fire when they should.

mod dashboard;
mod figures;
mod prometheus;
mod query;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::support::leave_out;
use query::Query;

/// config/prometheus/rules.yaml.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    rules: Vec<Alert>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Alert {
    #[serde(rename = "alert")]
    name: String,
    expr: String,
    #[serde(rename = "for", default = "at_once")]
    lasts: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn at_once() -> String {
    "0s".to_owned()
}

/// config/prometheus/rules.test.yaml.
#[derive(Debug, Deserialize)]
struct Tests {
    tests: Vec<Test>,
}

#[derive(Debug, Deserialize)]
struct Test {
    name: String,
    input_series: Vec<Series>,
    #[serde(rename = "promql_expr_test")]
    expected: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
struct Series {
    series: String,
}

#[derive(Debug, Deserialize)]
struct Expected {
    expr: String,
    exp_samples: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
struct Sample {
    labels: String,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn rules() -> Rules {
    serde_saphyr::from_str(&read("config/prometheus/rules.yaml")).unwrap()
}

fn alerts() -> Vec<Alert> {
    rules().groups.into_iter().flat_map(|group| group.rules).collect()
}

/// Whether `promtool` is content; what it says if not.
fn promtool(args: &[&str]) {
    let done = match Command::new("promtool").args(args).current_dir(path("config/prometheus")).output() {
        Ok(done) => done,
        Err(error) => return leave_out(format!("promtool: {error}")),
    };
    let said = [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(done.status.success(), "promtool {args:?}: {said}");
}

#[test]
fn prometheus_takes_the_rules() {
    promtool(&["check", "rules", "rules.yaml"]);
}

#[test]
fn each_alert_fires_when_it_should_and_at_no_other_time() {
    promtool(&["test", "rules", "rules.test.yaml"]);
}

#[test]
fn each_alert_is_tested_from_both_sides() {
    let tests: Tests = serde_saphyr::from_str(&read("config/prometheus/rules.test.yaml")).unwrap();
    let names: Vec<&str> = tests.tests.iter().map(|test| &*test.name).collect();
    let alerts = alerts();
    let expect: Vec<&str> = alerts.iter().map(|alert| &*alert.name).collect();
    let (of_alerts, others): (Vec<&str>, Vec<&str>) =
        names.iter().partition(|name| name.starts_with("AuditShipper"));
    assert_eq!(of_alerts, expect);
    assert_eq!(others, ["no false alarm", "no false alarm on a restart"]);
    for test in &tests.tests {
        // All that fires is compared, not only what the test is about.
        let is_all = |expected: &&Expected| expected.expr == "ALERTS{alertstate=\"firing\"}";
        assert_eq!(test.expected.iter().filter(is_all).count(), test.expected.len());
        let fires: Vec<&Sample> = test.expected.iter().flat_map(|at| &at.exp_samples).collect();
        let of_it = format!("alertname=\"{}\"", test.name);
        let is_of_it = |sample: &&&Sample| sample.labels.contains(&of_it);
        assert_eq!(
            fires.iter().any(|sample| is_of_it(&sample)),
            of_alerts.contains(&&*test.name),
            "{}",
            test.name
        );
        assert!(fires.iter().all(|sample| is_of_it(&sample)), "{}", test.name);
        if of_alerts.contains(&&*test.name) {
            let is_near = |series: &Series| series.series.contains("instance=\"near\"");
            assert!(test.input_series.iter().any(is_near), "{}", test.name);
        }
    }
}

#[test]
fn each_alert_says_what_it_means_and_where_to_read_what_to_do() {
    let readme = read("README.md");
    let headings: Vec<&str> =
        readme.lines().filter_map(|line| line.strip_prefix("#### AuditShipper")).collect();
    let alerts = alerts();
    let names: Vec<&str> =
        alerts.iter().filter_map(|alert| alert.name.strip_prefix("AuditShipper")).collect();
    assert_eq!(headings, names);
    for Alert { name, labels, annotations, .. } in &alerts {
        let severities = BTreeSet::from(["critical", "warning"]);
        let severity = &*labels["severity"];
        let of_gap = "{{ if eq $labels.certainty \"certain\" }}critical{{ else }}warning{{ end }}";
        assert!(severities.contains(severity) || severity == of_gap, "{name}: {severity}");
        assert!(annotations["description"].len() > 80, "{name}");
        let is_named = annotations["summary"].contains("$labels.instance");
        assert_eq!(is_named, name != "AuditShipperAbsent", "{name}");
        assert_eq!(annotations["runbook_url"], format!("README.md#{}", name.to_lowercase()));
    }
}

#[test]
fn the_alerts_ask_for_what_there_is() {
    for alert in alerts() {
        let asked = Query::read(&alert.expr).mistakes();
        assert!(asked.is_empty(), "{}: {asked:?}", alert.name);
    }
}
