//! Answers that have nothing to do with the events: everything waits until somebody has acted.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::SystemTime;

use super::{assert_delivered_once, assert_ready_again, requests, wait_until_misconfigured};
use crate::support::certificates::Authority;
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::real_events;

/// Answers like this until somebody acts.
pub(super) fn held(answer: &Answer) {
    let Answer::Status { code, .. } = *answer else { panic!("not an answer: {answer:?}") };
    let fixed = Gate::closed();
    let endpoint = Endpoint::start({
        let (answer, fixed) = (answer.clone(), fixed.clone());
        move |_, _| if fixed.is_open() { Answer::ok() } else { answer.clone() }
    });
    let events = real_events(8);
    let shipper = Shipper::new(&endpoint).log(&events).batches_of(5).one_at_a_time();
    let daemon = shipper.start();
    let reason = wait_until_misconfigured(&daemon);
    assert!(reason.starts_with(&format!("siem: the endpoint answers status {code}")), "{reason}");
    endpoint.wait_for("another try", |requests| requests.len() >= 3);
    assert_eq!(requests(&daemon.metrics())[3], 0, "{code}");
    fixed.open();
    wait_until_settled(&daemon, 8);
    assert_eq!(endpoint.items(), events, "{code}");
    assert!(endpoint.requests().iter().all(|sent| sent.method == "POST" && sent.target == "/audit"));
    assert_ready_again(&daemon);
    assert!(!shipper.rejected_file().exists());
    assert_eq!(daemon.log().matches(" ERROR ").count(), 1, "one for the change of state");
}

#[test]
fn client_errors_that_no_event_causes() {
    for status in [402, 403, 404, 405, 410, 415, 451] {
        held(&Answer::status(status));
    }
}

#[test]
fn what_the_endpoint_does_not_implement_or_answers_strangely() {
    for status in [300, 304, 501, 600] {
        held(&Answer::status(status));
    }
}

#[test]
fn an_outage_in_between_does_not_make_it_better() {
    let fixed = Gate::closed();
    let endpoint = Endpoint::start({
        let fixed = fixed.clone();
        move |_, n| match n {
            _ if fixed.is_open() => Answer::ok(),
            // A proxy's error pages differ each time.
            n if n % 3 == 0 => Answer::with_body(404, format!("no such route, request {n}")),
            n if n % 3 == 1 => Answer::status(503),
            _ => Answer::Close,
        }
    });
    let shipper = Shipper::new(&endpoint).log(&real_events(20)).batches_of(2);
    let daemon = shipper.start();
    wait_until_misconfigured(&daemon);
    endpoint.wait_for("many tries", |requests| requests.len() >= 30);
    wait_until_misconfigured(&daemon);
    fixed.open();
    wait_until_settled(&daemon, 20);
    assert_delivered_once(&endpoint, &real_events(20));
    assert_ready_again(&daemon);
    assert_eq!(daemon.log().matches(" ERROR ").count(), 1, "one for the change of state");
}

#[test]
fn after_a_401_the_token_file_is_read_again() {
    let authority = Authority::new();
    // Once the daemon runs: the file with the token, and its time of modification.
    let file: &'static Mutex<Option<(PathBuf, SystemTime)>> = Box::leak(Box::default());
    let endpoint = Endpoint::start_tls(authority.sign().server(), move |request, _| {
        if request.header("authorization") == Some("Bearer new") {
            return Answer::ok();
        }
        // As if it had changed long ago: nothing but the 401 gives a reason to look.
        if let Some((path, modified)) = &*file.lock().unwrap() {
            std::fs::write(path, "new\n").unwrap();
            std::fs::File::options().write(true).open(path).unwrap().set_modified(*modified).unwrap();
        }
        Answer::status(401)
    });
    let shipper = Shipper::new(&endpoint).log(&real_events(8)).batches_of(5);
    let token = shipper.workdir.path("token");
    std::fs::write(&token, "old\n").unwrap();
    let modified = token.metadata().unwrap().modified().unwrap();
    *file.lock().unwrap() = Some((token, modified));
    std::fs::write(shipper.workdir.path("ca.pem"), authority.pem()).unwrap();
    shipper.workdir.kubeconfig_with(&endpoint.url(), "certificate-authority: ca.pem", "tokenFile: token");
    let daemon = shipper.start();
    wait_until_settled(&daemon, 8);
    assert_delivered_once(&endpoint, &real_events(8));
    let sent = endpoint.requests();
    assert_eq!(sent[0].header("authorization"), Some("Bearer old"));
    assert_ready_again(&daemon);
}
