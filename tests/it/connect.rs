//! `check --connect`: what is wrong with a destination is told with the place where it can be put right, nothing is called
//! good that was not shown, and nothing is stored anywhere.

mod config;
mod credentials;
mod files;
mod network;
mod tls;

use crate::support::cli::{Ended, audit_shipper};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::http1::Recorded;
use crate::support::shipper::Shipper;

/// In every secret of these tests.
pub(crate) const SECRET: &str = "s3cret";

/// What `check --connect` says of the configuration of a shipper. It leaves the state directory alone, prints the
/// configuration as ever, and tells no secret.
pub(crate) fn connect(shipper: &Shipper) -> Ended {
    connect_with(shipper, &[])
}

/// The same with further flags.
pub(crate) fn connect_with(shipper: &Shipper, more: &[&str]) -> Ended {
    checked(shipper, audit_shipper(args(shipper).iter().map(String::as_str).chain(more.iter().copied())))
}

/// The arguments that `run` would have.
fn args(shipper: &Shipper) -> Vec<String> {
    let args = shipper.args().into_iter().skip(1);
    ["check", "--connect", "--node=false"].map(str::to_owned).into_iter().chain(args).collect()
}

fn checked(shipper: &Shipper, ended: Ended) -> Ended {
    assert!(ended.stdout.starts_with("source:\n"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("shutdownGrace: 30s\n"), "{}", ended.stdout);
    assert!(!ended.stdout.contains(SECRET) && !ended.stderr.contains(SECRET), "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(shipper.workdir.state()).unwrap().count(), 0);
    assert!(!shipper.workdir.log().exists() || std::fs::metadata(shipper.workdir.log()).unwrap().len() > 0);
    ended
}

/// Asserts that the only output is as good as can be, and returns what was said of it.
pub(crate) fn good(ended: Ended) -> String {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("siem: good\n"), "{}", ended.stderr);
    ended.stderr
}

/// Asserts that nothing is wrong and that not all was shown.
pub(crate) fn reached(ended: Ended) -> String {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("siem: reached; not everything"), "{}", ended.stderr);
    ended.stderr
}

/// Asserts that the destination failed for this reason, and that this is what can be done.
pub(crate) fn assert_failed(ended: &Ended, wrong: &str, to_do: &str) {
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("siem: FAILED\n"), "{}", ended.stderr);
    assert_eq!(ended.errors(), ["1 of 1 destinations failed: siem"]);
    let line = |name: &str| {
        let lines: Vec<&str> =
            ended.stderr.lines().filter_map(|line| line.trim_start().strip_prefix(name)).collect();
        assert_eq!(lines.len(), 1, "{}", ended.stderr);
        lines[0].trim_start().to_owned()
    };
    assert!(line("wrong  ").contains(wrong), "{}", ended.stderr);
    assert!(line("to do  ").contains(to_do), "{}", ended.stderr);
}

/// A webhook that answers everything so.
fn answering(answer: Answer) -> (Shipper, Endpoint) {
    let endpoint = Endpoint::start(move |_, _| answer.clone());
    (Shipper::new(&endpoint), endpoint)
}

/// The same of `ndjson`, with these fields of its section.
fn ndjson(endpoint: &Endpoint, fields: &str) -> Shipper {
    let comma = if fields.is_empty() { "" } else { ", " };
    Shipper::new(endpoint).sink("ndjson", &format!("url: \"{}\"{comma}{fields}", endpoint.url()))
}

/// Method, target, body.
fn told(request: &Recorded) -> (String, String, String) {
    let body = String::from_utf8(request.body.clone()).unwrap();
    (request.method.clone(), request.target.clone(), body)
}

#[test]
fn a_webhook_is_asked_with_an_empty_list() {
    let (shipper, endpoint) = answering(Answer::ok());
    let said = good(connect(&shipper));
    assert!(said.contains(&format!("destination  webhook {}", endpoint.url())), "{said}");
    assert!(said.contains("POST: status 200, HTTP/1.1, "), "{said}");
    assert!(said.contains("a list without events is taken"), "{said}");
    let list = "{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"metadata\":{},\"items\":[]}\n";
    let requests = endpoint.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(told(&requests[0]), ("POST".to_owned(), "/audit".to_owned(), list.to_owned()));
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
}

#[test]
fn without_the_flag_nobody_is_asked() {
    let (shipper, endpoint) = answering(Answer::ok());
    for more in ["", "--connect=false"] {
        let mut args: Vec<String> = args(&shipper).into_iter().filter(|arg| arg != "--connect").collect();
        args.extend((!more.is_empty()).then(|| more.to_owned()));
        let ended = audit_shipper(args);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert_eq!(ended.stdout, connect_with(&shipper, &["--connect=false"]).stdout);
    }
    assert!(endpoint.requests().is_empty());
}

#[test]
fn nothing_is_good_that_was_not_shown() {
    let kubeconfig = "look at server in ";
    for (answer, wrong, to_do) in [
        (Answer::status(404), "status 404: there is nothing at this address", kubeconfig),
        (Answer::status(405), "status 405: what is at this address takes no such request", kubeconfig),
        (Answer::with_header(302, "Location", "/login"), "status 302: it sends us elsewhere", kubeconfig),
        (Answer::status(401), "status 401: it does not accept the credentials", "look at the user in "),
        (Answer::status(403), "status 403: the credentials", "look at the user in "),
        (Answer::status(503), "status 503: it takes nothing now", "nothing here; `run` waits"),
        (Answer::status(415), "status 415: it does not take this", "nothing here"),
        (Answer::Close, "no complete answer: the connection was closed", kubeconfig),
        (Answer::CutOff, "no complete answer: ", kubeconfig),
    ] {
        let (shipper, endpoint) = answering(answer);
        assert_failed(&connect(&shipper), wrong, to_do);
        assert_eq!(endpoint.requests().len(), 1);
    }
    for (answer, expect) in [
        (
            Answer::status(400),
            "not shown    whether events are taken: a request without any is refused (status 400)",
        ),
        (
            Answer::with_body(200, "<html>Sign in"),
            "not shown    whether events are taken: the answer (status 200) is a page",
        ),
    ] {
        let said = reached(connect(&answering(answer).0));
        assert!(said.contains(expect) && !said.contains("  shown"), "{said}");
    }
}

#[test]
fn nothing_that_an_endpoint_says_reaches_the_terminal() {
    let hostile = format!("{SECRET} \x1b[2J");
    for status in [200, 400, 401, 404, 500] {
        let headers = vec![("Location".to_owned(), format!("/?{SECRET}"))];
        let (shipper, _endpoint) = answering(Answer::Status { code: status, headers, body: hostile.clone() });
        let ended = connect(&shipper);
        assert!(!ended.stderr.contains('\x1b'), "{}", ended.stderr);
    }
}

#[test]
fn ndjson_is_asked_with_nothing_in_either_form() {
    for (format, content_type, body) in
        [("lines", "application/x-ndjson", ""), ("array", "application/json", "[]\n")]
    {
        let endpoint = Endpoint::start(|_, _| Answer::status(204));
        let headers = format!("headers: {{ X-Key: {SECRET} }}");
        let shipper = ndjson(&endpoint, &format!("format: {format}, {headers}"));
        good(connect(&shipper));
        let requests = endpoint.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(told(&requests[0]), ("POST".to_owned(), "/audit".to_owned(), body.to_owned()));
        assert_eq!(requests[0].header("content-type"), Some(content_type));
        assert_eq!(requests[0].header("x-key"), Some(SECRET));
        assert_eq!(requests[0].header("idempotency-key"), None);
    }
}
