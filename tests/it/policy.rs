//! `policy check` and `policy eval`: whether a file is a policy, and what it says of real events.

mod eval;

use crate::support::cli::audit_shipper;
use crate::support::workdir::Workdir;

const VALID: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n";

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Writes a policy, and returns where.
fn written(workdir: &Workdir, policy: &str) -> String {
    let path = workdir.path("policy.yaml");
    std::fs::write(&path, policy).unwrap();
    path.display().to_string()
}

#[test]
fn a_valid_policy_is_said_to_be_one() {
    for (name, rules) in [("ack_policy", "12 rules"), ("gce", "17 rules"), ("corners", "9 rules")] {
        let path = data(&format!("policy/{name}.yaml"));
        let ended = audit_shipper(["policy", "check", &path]);
        assert_eq!(ended.stderr, "");
        assert_eq!(ended.succeeded(), format!("{path}: a valid audit policy, {rules}\n"));
    }
    let path = written(&Workdir::new(), VALID);
    assert!(audit_shipper(["policy", "check", &path]).code == Some(78), "the directory is gone");
}

#[test]
fn what_kube_apiserver_would_pass_over_is_a_warning() {
    let workdir = Workdir::new();
    let path = written(&workdir, &format!("{VALID}  user: [alice]\n").replace("/v1\n", "/v1beta1\n"));
    let ended = audit_shipper(["policy", "check", &path]);
    let warnings: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(warnings.len(), 2, "{}", ended.stderr);
    assert!(warnings[0].starts_with(&format!("warning: {path}:1: apiVersion: ")), "{}", ended.stderr);
    assert!(warnings[1].starts_with(&format!("warning: {path}:5: unknown field ")), "{}", ended.stderr);
    assert_eq!(ended.succeeded(), format!("{path}: a valid audit policy, 1 rule\n"));
}

#[test]
fn all_that_is_wrong_with_a_policy_is_told_at_once() {
    let workdir = Workdir::new();
    let path =
        written(&workdir, "apiVersion: audit.k8s.io/v1\nrules:\n- level: All\n- verbs: get\n  level: None\n");
    let expected = [
        format!(
            "{path}:3: rules[0].level: Unsupported value: \"All\": supported values: \"None\", \"Metadata\", \
             \"Request\", \"RequestResponse\""
        ),
        format!("{path}:4: rules[1].verbs: must be a list, not a string"),
    ];
    assert_eq!(audit_shipper(["policy", "check", &path]).mistakes(), expected);
    assert_eq!(audit_shipper(["policy", "eval", "--policy-file", &path]).mistakes(), expected);
    let nowhere = workdir.path("none.yaml").display().to_string();
    let mistakes = audit_shipper(["policy", "check", &nowhere]);
    assert!(mistakes.mistakes()[0].starts_with(&format!("cannot read {nowhere}: ")), "{}", mistakes.stderr);
}

#[test]
fn wrong_usage_is_status_2() {
    for args in
        [&["policy"][..], &["policy", "check"], &["policy", "eval"], &["policy", "eval", "--policy-file"]]
    {
        assert_eq!(audit_shipper(args).code, Some(2), "{args:?}");
    }
}
