//! What goes over the wire is, byte for byte, what kube-apiserver sends.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::certificates::Authority;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::http1::Recorded;
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::{real_events, webhook_bodies};

const HEAD: &str = r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#;
/// How far a neighbour was moved at most between kube-apiserver's two backends.
const MOST_MOVED: usize = 5;

/// The items of a body, with the bytes that they came in.
fn items(body: &[u8]) -> Vec<&str> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    let list: List = serde_json::from_slice(body).unwrap();
    list.items.into_iter().map(RawValue::get).collect()
}

fn body_of(items: &[&str]) -> String {
    format!("{HEAD}{}]}}\n", items.join(","))
}

#[test]
fn bodies_are_those_that_kube_apiserver_posted() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&real_events(1200)).batches_of(400).one_at_a_time();
    let daemon = shipper.start();
    wait_until_settled(&daemon, 1200);

    let (ours, theirs) = (endpoint.requests(), webhook_bodies());
    assert_eq!(ours.len(), 3);
    let our_items: Vec<&str> = ours.iter().flat_map(|request| items(&request.body)).collect();
    let their_items: Vec<&str> = theirs.iter().flat_map(|body| items(body)).collect();
    for (at, item) in our_items.iter().enumerate() {
        let near = at.saturating_sub(MOST_MOVED)..(at + MOST_MOVED + 1).min(their_items.len());
        assert!(their_items[near].contains(item), "item {at} is not among its neighbours: {item}");
    }
    assert_eq!(our_items.iter().collect::<BTreeSet<_>>().len(), 1200);

    // Every byte that is not part of an item: theirs put together as ours are, and ours as theirs.
    for (our, their) in ours.iter().zip(&theirs) {
        assert!(body_of(&items(their)).as_bytes() == their.as_slice());
        assert!(body_of(&items(&our.body)).as_bytes() == our.body);
        if items(&our.body) == items(their) {
            assert!(our.body == *their);
        }
    }
}

#[test]
fn the_head_is_that_of_kube_apiserver_over_http() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&real_events(3));
    let server = format!("{}//b/./c/../x%20y/?timeout=5s&k=v", endpoint.url());
    shipper.workdir.kubeconfig_with(&server, "", "token: not-for-plain-http");
    let daemon = shipper.start();
    wait_until_settled(&daemon, 3);

    let [request] = endpoint.requests().try_into().unwrap();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/audit/b/x%20y"));
    let length = request.body.len().to_string();
    let host = endpoint.url().replace("http://", "").replace("/audit", "");
    let agent = format!("audit-shipper/{}", env!("CARGO_PKG_VERSION"));
    let mut headers = request.headers.clone();
    headers.sort();
    // Our own tell where the events come from.
    let told = headers.extract_if(.., |(name, _)| name.starts_with("audit-shipper-"));
    let told: Vec<String> = told.map(|(name, _)| name).collect();
    assert_eq!(told, ["audit-shipper-node", "audit-shipper-source"]);
    let expect = [
        ("accept", "application/json, */*"),
        ("content-length", &length),
        ("content-type", "application/json"),
        ("host", &host),
        ("user-agent", &agent),
    ];
    assert_eq!(headers, expect.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let warning = daemon.wait_for_line("token");
    assert!(warning.contains(" WARN ") && !daemon.log().contains("not-for-plain-http"), "{warning}");
}

#[test]
fn over_https_credentials_and_the_timeout_are_sent_to_whom_the_kubeconfig_trusts() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let endpoint = Endpoint::start_tls(servers.sign().server_for(&clients), |_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&real_events(3));
    std::fs::write(shipper.workdir.path("ca.pem"), servers.pem()).unwrap();
    clients.sign().write(&shipper.workdir.path(""), "client");
    shipper.workdir.kubeconfig_with(
        &format!("{}/?timeout=5s", endpoint.url()),
        "certificate-authority: ca.pem",
        "token: s3cret\nclient-certificate: client.pem\nclient-key: client-key.pem",
    );
    let daemon = shipper.start();
    wait_until_settled(&daemon, 3);

    let [request] = endpoint.requests().try_into().unwrap();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/audit?timeout=30s"));
    assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(endpoint.items(), real_events(3));
}

/// A line as an old cluster writes it (kube-apiserver-observed.md, section 7).
fn of_version(version: &str, line: &str) -> String {
    let time = line.split_once(r#""requestReceivedTimestamp":""#).unwrap().1.split('"').next().unwrap();
    let (level, rest) = line.split_once(r#""level":"#).unwrap().1.split_once(',').unwrap();
    format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/{version}","metadata":{{"creationTimestamp":"{time}"}},"level":{level},"timestamp":"{time}",{rest}"#
    )
}

#[test]
fn versions_of_the_audit_api_go_out_in_lists_of_their_own() {
    let versions = ["v1", "v1", "v1beta1", "v1beta1", "v1", "v1alpha1", "v1alpha1", "v1alpha1", "v1"];
    let lines: Vec<String> = versions
        .iter()
        .zip(real_events(9))
        .map(|(version, line)| if *version == "v1" { line } else { of_version(version, &line) })
        .collect();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&lines).one_at_a_time();
    let daemon = shipper.start();
    wait_until_settled(&daemon, 9);

    // The version of an item is not in it: `items` puts that of its list.
    assert_eq!(endpoint.items(), lines);
    let sizes: Vec<usize> = endpoint.requests().iter().map(|request| items(&request.body).len()).collect();
    assert_eq!(sizes, [2, 2, 1, 3, 1]);
    for (request, version) in endpoint.requests().iter().zip(["v1", "v1beta1", "v1", "v1alpha1", "v1"]) {
        let head = HEAD.replace("audit.k8s.io/v1", &format!("audit.k8s.io/{version}"));
        assert!(request.body.starts_with(head.as_bytes()));
    }
}

#[test]
fn a_line_that_kube_apiserver_would_write_otherwise_is_sent_unchanged() {
    let lines = [
        r#"{"apiVersion":"audit.k8s.io/v1","kind":"Event","level":"Metadata","auditID":"1"}"#,
        r#"{ "kind": "Event", "apiVersion": "audit.k8s.io/v1",	"level":"Metadata", "x": 1.50e+3 }  "#,
        r#"{"level":"Metadata","auditID":"\u0041<é>","annotations":{"b":"2","a":"1"},"kind":"Event","apiVersion":"audit.k8s.io/v1"}"#,
        r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1", "unknown":{"z":null,"a":12345678901234567890}}"#,
    ];
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint).log(&lines.map(|line| format!("{line}\n")));
    let daemon = shipper.start();
    wait_until_settled(&daemon, 4);

    let last = lines[3].replace(r#""kind":"Event","apiVersion":"audit.k8s.io/v1","#, "");
    let expect = body_of(&[lines[0], lines[1], lines[2], &last]);
    let [Recorded { body, .. }] = endpoint.requests().try_into().unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), expect);
}
