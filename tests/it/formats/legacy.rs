//! kube-apiserver's `--audit-log-format=legacy`.

use serde::Deserialize;

use super::shipper;

use crate::support::cli::audit_shipper;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::gunzipped_lines;

pub(super) fn recording() -> Vec<String> {
    gunzipped_lines(include_bytes!("../../data/events/legacy.log.gz"))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    level: String,
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    response_status: Status,
}

#[derive(Debug, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    groups: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Status {
    code: u16,
}

/// The text of a field, by a way of its own: there are no escapes but those of the groups.
fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let behind = line.split_once(&format!(" {key}=\"")).unwrap().1;
    behind.split_once("\" ").map_or(behind.trim_end_matches("\"\n"), |(text, _)| text)
}

#[test]
fn each_line_arrives_as_an_event() {
    let lines = recording();
    assert_eq!(lines.len(), 628);
    for shipper in ["legacy", "auto"].map(|format| format!("format: {format}")) {
        let endpoint = Endpoint::start(|_, _| Answer::ok());
        let shipper = Shipper::new(&endpoint).source(&shipper).one_at_a_time().log(&lines);
        let daemon = shipper.start();
        let arrived = endpoint.wait_for_items(lines.len());
        for (line, event) in lines.iter().zip(&arrived) {
            let said: Event = serde_json::from_str(event).unwrap();
            let id = line.split_once(" AUDIT: id=\"").unwrap().1.split('"').next().unwrap();
            let groups = field(line, "groups").replace("\\\"", "");
            let groups: Vec<_> = groups.split(',').filter(|group| *group != "<none>").collect();
            let user = Some(field(line, "user")).filter(|user| *user != "<none>").unwrap_or_default();
            assert_eq!((said.level.as_str(), said.audit_id.as_str()), ("Metadata", id));
            assert_eq!(
                (said.stage.as_str(), said.verb.as_str()),
                (field(line, "stage"), field(line, "method"))
            );
            assert_eq!(
                (said.user.username.as_str(), said.user.groups),
                (user, groups.iter().map(|group| (*group).to_owned()).collect())
            );
            assert_eq!(said.request_uri, field(line, "uri"));
            assert_eq!(said.response_status.code.to_string(), field(line, "response"));
            let time = format!("\"stageTimestamp\":\"{}", &line[.."2006-01-02T15:04:05.99".len()]);
            assert!(event.contains(&time), "{event}");
        }
        wait_until_settled(&daemon, lines.len());
        assert_eq!(shipper.rejected().len(), 0);
    }
}

#[test]
fn top_counts_what_the_lines_say() {
    let lines = recording();
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("audit.log");
    std::fs::write(&log, lines.concat()).unwrap();
    let shown = audit_shipper(["top", "--by=verb", "--output=json", log.to_str().unwrap()]).succeeded();
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
        let count = lines.iter().filter(|line| field(line, "method") == verb).count();
        let row = format!("{{\"values\":[\"{verb}\"],\"events\":{count},");
        assert_eq!(shown.contains(&row), count > 0, "{row} in {shown}");
    }
}

/// The flag alone says it, as it does to kube-apiserver; and a policy sees what is requested.
#[test]
fn a_policy_takes_them_for_what_they_are() {
    let lines = recording();
    let is_about = |line: &&String| {
        let path = field(line, "uri").split('?').next().unwrap();
        path.starts_with("/api/v1/") && path.split('/').any(|part| part == "configmaps")
    };
    let expected = lines.iter().filter(is_about).count();
    assert!((20..500).contains(&expected), "{expected}");
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).flag("audit-log-format", "legacy").log(&lines);
    let policy = shipper.workdir.path("policy.yaml");
    std::fs::write(
        &policy,
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  resources: [{group: '', resources: [configmaps]}]\n",
    )
    .unwrap();
    let shipper = shipper.flag("audit-policy-file", policy.display());
    let daemon = shipper.start();
    wait_until_settled(&daemon, lines.len());
    let arrived = endpoint.items();
    assert_eq!(arrived.len(), expected);
    assert!(arrived.iter().all(|event| event.contains("\"objectRef\":{\"resource\":\"configmaps\"")));
}

#[test]
fn a_torn_line_costs_no_other() {
    let lines = recording();
    let torn = &lines[0][..lines[0].len() - 30];
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint, "legacy").one_at_a_time();
    let shipper = shipper.log(&[torn.to_owned(), lines[1].clone(), lines[2].clone()]);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 3);
    assert_eq!(endpoint.items().len(), 2);
    let rejected = shipper.rejected();
    assert_eq!((rejected.len(), rejected[0].text.as_deref()), (1, Some(torn)));
    let config = format!("--config={}", shipper.workdir.path("audit-shipper.yaml").display());
    let shown = audit_shipper(["check", &config, "--audit-log-format=json"]);
    assert!(
        shown.stderr.contains("--audit-log-format: has no effect, since source.format is legacy"),
        "{}",
        shown.stderr
    );
}
