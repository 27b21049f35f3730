//! `check --connect` of SLS: keys, project and logstore show, and what the keys may write only as far as SLS tells.

use super::fake::{Account, Sls};
use super::shipper;
use crate::connect::{assert_failed, connect, good, reached};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::Shipper;

#[test]
fn the_keys_and_the_logstore_are_shown_with_either_signature() {
    for region in [None, Some("cn-hangzhou")] {
        for security_token in [None, Some("s3cret-token")] {
            let account = Account { security_token, region, ..Account::new() };
            let sls = Sls::taking_all(account.clone());
            let said =
                reached(connect(&shipper(&sls, &account, "hashKey: 14d2f850ad6ea48e46e4547edbbb27e0")));
            assert!(
                said.contains("shown        SLS knows the keys, and logstore audit-c01 is there\n"),
                "{said}"
            );
            assert!(said.contains("not shown    whether the keys allow to write: "), "{said}");
            assert!(said.contains("status 400, PostBodyInvalid"), "{said}");
            assert!(sls.groups().is_empty());
        }
    }
}

#[test]
fn keys_that_may_only_write_are_as_good() {
    let account = Account { may_read: false, ..Account::new() };
    let sls = Sls::taking_all(account.clone());
    let said = reached(connect(&shipper(&sls, &account, "compression: zstd")));
    assert!(
        said.contains("shown        SLS knows the keys; they do not allow to ask for the logstore"),
        "{said}"
    );
    assert_eq!(sls.endpoint.requests().len(), 2);
}

/// An SLS that answers so, and this project and logstore of it.
fn of(endpoint: &Endpoint, project: &str, logstore: &str) -> Shipper {
    let shipper = Shipper::new(endpoint);
    let file = |name: &str, text: &str| {
        let path = shipper.workdir.path(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (id, secret) = (file("id", "LTAIexample"), file("secret", "s3cr3t"));
    let fields = format!(
        "url: \"http://{}\", project: {project}, logstore: {logstore}, accessKeyIdFile: \"{id}\", \
         accessKeySecretFile: \"{secret}\"",
        endpoint.address()
    );
    shipper.sink("sls", &fields)
}

#[test]
fn a_group_of_nothing_that_is_taken_shows_the_rest() {
    let endpoint = Endpoint::start(|_, _| Answer::with_body(200, ""));
    let said = good(connect(&of(&endpoint, "proj", "audit-c01")));
    assert!(said.contains("shown        a group without logs is taken\n"), "{said}");
}

#[test]
fn keys_that_are_not_known_are_named_by_their_files() {
    let sls = Sls::taking_all(Account::new());
    let wrong = Account { secret: "another", ..Account::new() };
    let ended = connect(&shipper(&sls, &wrong, "packId: false"));
    assert_failed(&ended, "status 401, SignatureNotMatch", "look at accessKeyIdFile, accessKeySecretFile");
    assert_eq!(sls.endpoint.requests().len(), 1);
}

#[test]
fn a_project_or_a_logstore_that_is_not_there_is_told() {
    let sls = Sls::taking_all(Account::new());
    for (project, logstore, wrong, to_do) in [
        ("other", "audit-c01", "ProjectNotExist: project other is not there", "set `project`"),
        ("proj", "other", "LogStoreNotExist: logstore other is not there", "set `logstore`"),
    ] {
        assert_failed(&connect(&of(&sls.endpoint, project, logstore)), wrong, to_do);
    }
}

/// As `run` does: the time is taken from the answer, and that costs one request.
#[test]
fn a_clock_that_is_wrong_is_no_mistake() {
    for region in [None, Some("cn-hangzhou")] {
        let account = Account { region, ahead_by: 3 * 3600, ..Account::new() };
        let sls = Sls::taking_all(account.clone());
        let said = reached(connect(&shipper(&sls, &account, "packId: true")));
        assert!(said.contains("note         the clocks here and there do not agree"), "{said}");
        assert_eq!(sls.endpoint.requests().len(), 3);
    }
}

#[test]
fn what_the_keys_do_not_allow_is_told() {
    let denied = "denied by sts or ram, action: log:PostLogStoreLogs, resource: acs:log:*";
    let endpoint = Endpoint::start(move |request, _| match request.method.as_str() {
        "GET" => Answer::with_body(200, "{}"),
        _ => Answer::with_body(401, format!(r#"{{"errorCode":"Unauthorized","errorMessage":"{denied}"}}"#)),
    });
    assert_failed(
        &connect(&of(&endpoint, "proj", "audit-c01")),
        "do not allow to write",
        "look at accessKeyIdFile",
    );
}
