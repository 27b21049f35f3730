//! An audit policy at the node: what it drops is not shipped, what it lowers is shipped smaller, and it changes while the
//! daemon runs.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::Deserialize;

use crate::delivery::assert_delivered_once;
use crate::support::books::{assert_books_balance, count};
use crate::support::cli::{audit_shipper, flags};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::wait_until;
use crate::support::workdir::{Workdir, large_events, real_events, replace};

const FILTERED: &str = "audit_shipper_filtered_events_total";
const RELOADED: &str = "audit_shipper_policy_last_reload_successful";

/// Writes a policy of these rules.
fn policy(workdir: &Workdir, rules: &str) -> PathBuf {
    let path = workdir.path("policy.yaml");
    replace(&path, &format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: {rules}\n"));
    path
}

/// A shipper with a policy of these rules.
fn filtering(endpoint: &Endpoint, rules: &str) -> Shipper {
    let shipper = Shipper::new(endpoint);
    let path = policy(&shipper.workdir, rules);
    shipper.output(&format!("policyFile: \"{}\"", path.display()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    object_ref: Option<ObjectRef>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef {
    api_group: Option<String>,
}

/// Which rule of [`RULES`] an event falls under.
fn rule(line: &str) -> Option<usize> {
    let event: Event = serde_json::from_str(line).unwrap();
    let is_core = event.object_ref.is_some_and(|object| object.api_group.is_none());
    if ["list", "watch"].contains(&event.verb.as_str()) {
        Some(0)
    } else if is_core {
        Some(1)
    } else {
        None
    }
}

const RULES: &str =
    "[{level: None, verbs: [list, watch]}, {level: RequestResponse, resources: [{group: \"\"}]}]";

#[test]
fn what_the_policy_drops_is_counted_by_its_rule_and_not_shipped() {
    let events = real_events(1000);
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = filtering(&endpoint, RULES).log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    let under = |wanted| events.iter().filter(|line| rule(line) == wanted).cloned().collect::<Vec<_>>();
    let [listed, core, others] = [under(Some(0)), under(Some(1)), under(None)];
    assert!(!listed.is_empty() && !core.is_empty() && !others.is_empty());
    // What stays is byte for byte what it was.
    assert_delivered_once(&endpoint, &core);
    let filtered = |rule| count(&metrics, FILTERED, &[("output", "siem"), ("rule", rule)]);
    assert_eq!(
        [filtered("0"), filtered("1"), filtered("none")],
        [listed.len() as u64, 0, others.len() as u64]
    );
    assert_eq!(count(&metrics, "audit_event_total", &[]), core.len() as u64);
    assert_eq!(count(&metrics, RELOADED, &[("output", "siem")]), 1);
}

#[test]
fn an_event_that_the_policy_makes_small_is_not_truncated() {
    let events = large_events();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = filtering(&endpoint, "[{level: Metadata}]")
        .flag("audit-webhook-truncate-enabled", true)
        .flag("audit-webhook-truncate-max-event-size", 8 << 10)
        .log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    assert_eq!(count(&metrics, "audit_shipper_truncated_events_total", &[]), 0);
    let items = endpoint.items();
    assert_eq!(items.len(), events.len());
    for line in items {
        assert!(line.contains(r#""level":"Metadata""#), "{line}");
        assert!(!line.contains(r#""requestObject""#) && !line.contains("truncated"), "{line}");
    }
}

#[test]
fn a_policy_changes_while_the_daemon_runs_and_a_bad_one_changes_nothing() {
    let events = real_events(400);
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = filtering(&endpoint, "[{level: None}]").log(&events[..100]);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 100);
    assert!(endpoint.requests().is_empty());

    policy(&shipper.workdir, "[{level: RequestResponse}]");
    daemon.wait_for_line("the policy was read again");
    shipper.workdir.append(&events[100..200]);
    wait_until_settled(&daemon, 200);
    assert_delivered_once(&endpoint, &events[100..200]);

    // Mistakes are told with their line; the policy before stays.
    policy(&shipper.workdir, "[{level: Everything}]");
    daemon.wait_for_line("the policy before stays in use");
    daemon.wait_for_line("rules[0].level");
    assert_eq!(count(&daemon.metrics(), RELOADED, &[("output", "siem")]), 0);
    shipper.workdir.append(&events[200..300]);
    wait_until_settled(&daemon, 300);
    assert_delivered_once(&endpoint, &events[100..300]);
    // So it is if the file goes.
    std::fs::remove_file(shipper.workdir.path("policy.yaml")).unwrap();
    daemon.hang_up();
    daemon.wait_for_line("No such file");

    policy(&shipper.workdir, "[{level: None}]");
    daemon.hang_up();
    daemon.wait_for_metrics("a good policy", |metrics| count(metrics, RELOADED, &[("output", "siem")]) == 1);
    shipper.workdir.append(&events[300..]);
    wait_until_settled(&daemon, 400);
    assert_delivered_once(&endpoint, &events[100..300]);
    assert_eq!(count(&daemon.metrics(), FILTERED, &[("rule", "0")]), 200);
}

#[test]
fn a_backlog_that_is_dropped_whole_is_passed_once_and_without_a_request() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper =
        filtering(&endpoint, "[{level: None, verbs: [get, list, watch]}, {level: RequestResponse}]");
    let (kept, dropped): (Vec<String>, Vec<String>) = real_events(1250)
        .into_iter()
        .partition(|line| !["get", "list", "watch"].contains(&event(line).verb.as_str()));
    // More than is read in one go.
    let rounds = (40 << 20) / dropped.iter().map(String::len).sum::<usize>();
    for _ in 0..rounds {
        shipper.workdir.append(&dropped);
    }
    let mut daemon = shipper.start();
    wait_until_settled(&daemon, rounds * dropped.len());
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(endpoint.requests().is_empty());

    let daemon = shipper.start();
    shipper.workdir.append(&kept[..1]);
    wait_until_settled(&daemon, 1);
    assert_delivered_once(&endpoint, &kept[..1]);
}

fn event(line: &str) -> Event {
    serde_json::from_str(line).unwrap()
}

#[test]
fn after_kill_9_nothing_that_the_policy_keeps_is_missing() {
    const LIVES: usize = 6;
    let events = real_events(1200);
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper =
        filtering(&endpoint, RULES).batches_of(10).flag("audit-webhook-batch-throttle-enable", false);
    for part in events.chunks(events.len() / LIVES) {
        let arrived = endpoint.requests().len();
        shipper.workdir.append(part);
        let mut daemon = shipper.start();
        endpoint.wait_for("a request", |requests| requests.len() > arrived);
        daemon.kill9();
    }
    let daemon = shipper.start();
    let kept: Vec<&String> = events.iter().filter(|line| rule(line) == Some(1)).collect();
    wait_until("every event that is kept", || {
        let arrived: HashSet<String> = endpoint.items().into_iter().collect();
        kept.iter().all(|line| arrived.contains(*line)).then_some(())
    });
    assert_books_balance(&daemon);
    let arrived: HashSet<String> = endpoint.items().into_iter().collect();
    for line in &events {
        assert_eq!(arrived.contains(line), rule(line) == Some(1), "{line}");
    }
}

#[test]
fn flags_alone_name_a_policy_and_skip_knows_it() {
    let workdir = Workdir::new();
    let endpoint = Endpoint::start(|_, _| Answer::status(500));
    workdir.kubeconfig(&endpoint.url());
    let events = real_events(1000);
    let first = events.iter().find(|line| rule(line) == Some(1)).unwrap();
    workdir.append(&events);
    let path = policy(&workdir, RULES);
    let mut args = flags("run", &workdir);
    args.push(format!("--audit-policy-file={}", path.display()));
    let mut daemon = Daemon::start(args);
    daemon.wait_for_metrics("events", |metrics| count(metrics, FILTERED, &[("rule", "0")]) > 0);
    daemon.kill9();
    let ended = audit_shipper([
        "cursor".to_owned(),
        "skip".to_owned(),
        "--output=webhook".to_owned(),
        format!("--state-dir={}", workdir.state().display()),
        format!("--audit-log-path={}", workdir.log().display()),
        format!("--audit-policy-file={}", path.display()),
    ]);
    ended.succeeded();
    let rejected = std::fs::read_to_string(workdir.state().join("webhook.rejected.ndjson")).unwrap();
    assert!(rejected.contains(first.trim_end()), "{rejected}");
}

#[test]
fn a_policy_that_is_wrong_is_told_before_anything_starts() {
    let workdir = Workdir::new();
    workdir.kubeconfig("http://127.0.0.1:1");
    let path = policy(&workdir, "[{level: Metadata, verbs: [get]}, {verbs: [list]}]");
    for command in ["run", "check"] {
        let mut args = flags(command, &workdir);
        args.push(format!("--audit-policy-file={}", path.display()));
        let ended = audit_shipper(args);
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        let expected = format!("{}:3: rules[1].level: Required value", path.display());
        assert!(ended.errors().iter().any(|error| error.starts_with(&expected)), "{}", ended.stderr);
    }
}
