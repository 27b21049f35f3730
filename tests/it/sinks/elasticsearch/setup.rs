//! `setup elasticsearch`: the template is where events will go, and the operator knows what was done.

use crate::support::cli::{Ended, audit_shipper};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::http1::Recorded;
use crate::support::workdir::Workdir;

const ELASTICSEARCH: &str = r#"{"name":"n","version":{"number":"8.15.0"},"tagline":"You Know, for Search"}"#;
const OPENSEARCH: &str = r#"{"version":{"distribution":"opensearch","number":"2.19.1"}}"#;
const TEMPLATE: &str = "/audit/_index_template/audit-shipper-logs-kubernetes.audit_logs-default";
const STREAM: &str = "/audit/_data_stream/logs-kubernetes.audit_logs-default";

/// A cluster with this root, that answers so to the template, and has the data stream or not.
fn cluster(root: Answer, put: Answer, stream: u16) -> Endpoint {
    Endpoint::start(move |request: &Recorded, _| match (request.method.as_str(), request.target.as_str()) {
        ("GET", "/audit/") => root.clone(),
        ("PUT", TEMPLATE) => put.clone(),
        ("GET", STREAM) => Answer::status(stream),
        _ => Answer::status(418),
    })
}

fn acknowledged(root: &str, stream: u16) -> Endpoint {
    cluster(Answer::with_body(200, root), Answer::with_body(200, r#"{"acknowledged":true}"#), stream)
}

/// Runs it with a configuration that has these outputs.
fn setup(outputs: &[String], args: &[&str]) -> Ended {
    let workdir = Workdir::new();
    std::fs::write(workdir.path("key"), "aWQ6a2V5\n").unwrap();
    let key = workdir.path("key").display().to_string();
    let outputs = outputs.concat().replace("KEY", &key);
    let config = format!(
        "source: {{ path: \"{}\" }}\nstateDir: \"{}\"\noutputs:\n{outputs}",
        workdir.log().display(),
        workdir.state().display()
    );
    std::fs::write(workdir.path("c.yaml"), config).unwrap();
    let config = format!("--config={}", workdir.path("c.yaml").display());
    audit_shipper(["setup", "elasticsearch", &config].into_iter().chain(args.iter().copied()))
}

fn output(name: &str, endpoint: &Endpoint, fields: &str) -> String {
    let url = endpoint.url();
    format!("  - name: {name}\n    elasticsearch: {{ url: \"{url}\", apiKeyFile: KEY, {fields} }}\n")
}

fn targets(endpoint: &Endpoint) -> Vec<(String, String)> {
    endpoint.requests().into_iter().map(|request| (request.method, request.target)).collect()
}

#[test]
fn the_template_is_installed_with_the_credentials_of_the_output() {
    for (root, product, body) in [
        (ELASTICSEARCH, "Elasticsearch", r#""requestObject": { "type": "flattened""#),
        (OPENSEARCH, "OpenSearch", r#""requestObject": { "type": "object", "enabled": false }"#),
    ] {
        let endpoint = acknowledged(root, 404);
        let url = endpoint.url();
        assert_eq!(
            setup(&[output("search", &endpoint, "")], &[]).succeeded(),
            format!(
                "{url}: {product} has index template audit-shipper-logs-kubernetes.audit_logs-default for data stream \
                 logs-kubernetes.audit_logs-default now\n\
                 {url}: logs-kubernetes.audit_logs-default is made when the first event arrives\n"
            )
        );
        let requests = endpoint.requests();
        assert_eq!(requests.len(), 3);
        assert!(requests.iter().all(|request| request.header("authorization") == Some("ApiKey aWQ6a2V5")));
        assert_eq!(requests[1].header("content-type"), Some("application/json"));
        assert!(requests[1].holds(body));
        serde_json::from_slice::<serde::de::IgnoredAny>(&requests[1].body).unwrap();
    }
}

#[test]
fn a_data_stream_that_is_there_takes_it_later() {
    let endpoint = acknowledged(ELASTICSEARCH, 200);
    let said = setup(&[output("search", &endpoint, "")], &[]).succeeded();
    assert!(said.contains("logs-kubernetes.audit_logs-default/_rollover makes that now"), "{said}");
}

#[test]
fn what_is_printed_is_not_installed() {
    let endpoint = acknowledged(OPENSEARCH, 404);
    let outputs = [output("search", &endpoint, "")];
    let asked = setup(&outputs, &["--print"]).succeeded();
    assert_eq!(targets(&endpoint), [("GET".to_owned(), "/audit/".to_owned())]);
    let told = setup(&outputs, &["--print", "--product=opensearch"]).succeeded();
    assert_eq!(asked, told);
    assert_ne!(asked, setup(&outputs, &["--print", "--product=elasticsearch"]).succeeded());
    assert_eq!(endpoint.requests().len(), 1);
}

#[test]
fn what_went_wrong_is_told_in_words() {
    let ok = || Answer::with_body(200, ELASTICSEARCH);
    let conflict = r#"{"error":{"type":"illegal_argument_exception","reason":"same priority"},"status":400}"#;
    let cases = [
        (
            Answer::with_body(401, "{}"),
            ok(),
            "who are you? status 401 (it does not know these credentials): {}",
        ),
        (
            Answer::with_body(200, "<html>"),
            ok(),
            "neither Elasticsearch nor OpenSearch says what was answered",
        ),
        (
            ok(),
            Answer::with_body(403, "{}"),
            "was not installed: status 403 (these credentials are not allowed",
        ),
        (ok(), Answer::with_body(400, conflict), "status 400: illegal_argument_exception: same priority"),
        (ok(), Answer::Close, "PUT /_index_template/audit-shipper-logs-kubernetes.audit_logs-default: "),
    ];
    for (root, put, expect) in cases {
        let endpoint = cluster(root, put, 404);
        let ended = setup(&[output("search", &endpoint, "")], &[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        assert!(ended.stderr.starts_with(&format!("error: {}: ", endpoint.url())), "{}", ended.stderr);
        assert!(ended.stderr.contains(expect), "{}", ended.stderr);
    }
}

#[test]
fn the_output_that_is_meant_is_found_or_asked_for() {
    let endpoint = acknowledged(ELASTICSEARCH, 404);
    let raw = output("raw", &endpoint, "mode: raw");
    let both = [output("search", &endpoint, ""), raw];
    let mistakes = |args: &[&str]| setup(&both, args).mistakes().join("\n");
    assert_eq!(mistakes(&[]), "several outputs go to Elasticsearch: say --output=search or --output=raw");
    assert_eq!(mistakes(&["--output=no"]), "--output: no output named \"no\" goes to Elasticsearch");
    let printed = setup(&both, &["--output=raw", "--print"]).succeeded();
    assert!(printed.contains("\"path_match\": \"annotations.*\""), "{printed}");
}

#[test]
fn the_integrations_template_is_left_alone() {
    let endpoint = acknowledged(ELASTICSEARCH, 404);
    let ended = setup(&[output("search", &endpoint, "mode: ecs-raw")], &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("Elastic's integration for Kubernetes"), "{}", ended.stderr);
    assert!(targets(&endpoint).iter().all(|(method, _)| method == "GET"));
}
