//! Several outputs, and what is no matter of a destination.

use super::{SECRET, answering, args, connect, good};
use crate::support::cli::audit_shipper;
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::shipper::Shipper;

/// A configuration with these outputs, each with the fields of its `ndjson`.
fn with_outputs(shipper: &Shipper, outputs: &[(&str, String)]) -> Vec<String> {
    let args = args(shipper);
    let path = shipper.workdir.path("audit-shipper.yaml");
    let outputs: Vec<String> = outputs
        .iter()
        .map(|(name, fields)| format!("  - name: {name}\n    ndjson: {{ {fields} }}\n"))
        .collect();
    let text = format!(
        "source: {{ path: \"{}\" }}\nstateDir: \"{}\"\noutputs:\n{}",
        shipper.workdir.log().display(),
        shipper.workdir.state().display(),
        outputs.concat()
    );
    std::fs::write(path, text).unwrap();
    args.into_iter().take(4).collect()
}

#[test]
fn one_that_fails_is_named_and_hides_no_other() {
    let (shipper, good) = answering(Answer::status(204));
    let bad = Endpoint::start(|_, _| Answer::status(401));
    let fields = |endpoint: &Endpoint| format!("url: \"{}\"", endpoint.url());
    let args = with_outputs(&shipper, &[("first", fields(&bad)), ("second", fields(&good))]);
    let ended = audit_shipper(args);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.errors(), ["1 of 2 destinations failed: first"]);
    assert!(ended.stderr.starts_with("first: FAILED\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains("\nsecond: good\n"), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("source:\n") && ended.stdout.ends_with("shutdownGrace: 30s\n"));
}

/// The first gets its answer only once the second was asked.
#[test]
fn all_are_tried_at_once() {
    let gate = Gate::closed();
    let opener = gate.clone();
    let first = Endpoint::start(move |_, _| Answer::After(gate.clone(), Box::new(Answer::status(204))));
    let second = Endpoint::start(move |_, _| {
        opener.open();
        Answer::status(204)
    });
    let fields = |endpoint: &Endpoint| format!("url: \"{}\"", endpoint.url());
    let shipper = Shipper::new(&first);
    let ended =
        audit_shipper(with_outputs(&shipper, &[("first", fields(&first)), ("second", fields(&second))]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_wrong_configuration_is_wrong_before_anybody_is_asked() {
    let (shipper, endpoint) = answering(Answer::ok());
    let fields = format!("url: \"{}\", bearerTokenFile: /no/such/{SECRET}", endpoint.url());
    let mistakes = audit_shipper(with_outputs(&shipper, &[("siem", fields)]));
    assert_eq!(mistakes.mistakes().len(), 1);
    assert!(endpoint.requests().is_empty());
}

#[test]
fn a_flag_that_has_no_effect_is_told_by_check_and_by_run() {
    let endpoint = Endpoint::start(|_, _| Answer::status(204));
    let shipper = super::ndjson(&endpoint, "format: lines").flag("audit-webhook-initial-backoff", "1s");
    let words = "--audit-webhook-initial-backoff: has no effect, since no output is a webhook";
    let ended = connect(&shipper);
    assert!(ended.stderr.starts_with(&format!("warning: {words}")), "{}", ended.stderr);
    assert_eq!(ended.code, Some(0));
    let daemon = shipper.start();
    daemon.address();
    assert!(daemon.log().contains(words), "{}", daemon.log());
}

#[test]
fn what_check_calls_good_run_is_content_with() {
    let (shipper, endpoint) = answering(Answer::ok());
    let events = crate::support::workdir::real_events(10);
    let shipper = shipper.log(&events);
    good(connect(&shipper));
    assert_eq!(endpoint.items(), [""; 0]);
    let _daemon = shipper.start();
    assert_eq!(endpoint.wait_for_items(10), events);
}
