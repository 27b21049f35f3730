//! Credentials, certificates and the kubeconfig change while the daemon runs; it is not started again.

use std::os::unix::fs::PermissionsExt as _;

use crate::delivery::assert_delivered_once;
use crate::support::certificates::{Authority, Leaf};
use crate::support::cli;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::wait_until;
use crate::support::workdir::{Workdir, real_events, replace};

const CA: &str = "certificate-authority: ca.pem";

/// Waits until a line stands in the log for the `n`-th time.
fn wait_for_nth_line(daemon: &Daemon, text: &str, n: usize) {
    wait_until(text, || (daemon.log().matches(text).count() >= n).then_some(()));
}

fn is_reloaded(daemon: &Daemon) -> bool {
    let of = [("output", "siem")];
    daemon.metrics().value_or_zero("audit_shipper_kubeconfig_last_reload_successful", &of) == 1.0
}

/// A shipper that trusts `authority`.
fn trusting(authority: &Authority, endpoint: &Endpoint, user: &str) -> Shipper {
    let shipper = Shipper::new(endpoint);
    std::fs::write(shipper.workdir.path("ca.pem"), authority.pem()).unwrap();
    shipper.workdir.kubeconfig_with(&endpoint.url(), CA, user);
    shipper
}

#[test]
fn a_new_token_is_noticed_before_the_old_one_is_refused() {
    let authority = Authority::new();
    let endpoint = Endpoint::start_tls(authority.sign().server(), |_, _| Answer::ok());
    let events = real_events(20);
    let shipper = trusting(&authority, &endpoint, "tokenFile: token").log(&events[..10]);
    let token = shipper.workdir.path("token");
    std::fs::write(&token, "first-token").unwrap();
    let daemon = shipper.start();
    wait_until_settled(&daemon, 10);
    replace(&token, "second-token");
    daemon.wait_for_line("the credentials have been renewed");
    shipper.workdir.append(&events[10..]);
    wait_until_settled(&daemon, 20);
    let requests = endpoint.requests();
    assert_eq!(requests[0].header("authorization"), Some("Bearer first-token"));
    assert_eq!(requests.last().unwrap().header("authorization"), Some("Bearer second-token"));
    assert!(!daemon.log().contains("-token"), "{}", daemon.log());
}

#[test]
fn client_certificates_are_renewed_under_load() {
    let authority = Authority::new();
    let endpoint = Endpoint::start_tls(authority.sign().server_for(&authority), |_, _| Answer::ok());
    let user = "client-certificate: client.pem\nclient-key: client-key.pem";
    let shipper = trusting(&authority, &endpoint, user).batches_of(5);
    let shipper = shipper.flag("audit-webhook-batch-throttle-enable", false);
    let publish = |leaf: &Leaf| {
        replace(&shipper.workdir.path("client.pem"), &leaf.cert);
        replace(&shipper.workdir.path("client-key.pem"), &leaf.key);
    };
    publish(&authority.sign());
    let daemon = shipper.start();
    // Before it listens it may meet half of the next pair, and a signal that it does not wait for yet.
    daemon.address();
    let events = real_events(1200);
    for (n, part) in events.chunks(200).enumerate() {
        shipper.workdir.append(&part[..100]);
        publish(&authority.sign());
        daemon.hang_up();
        shipper.workdir.append(&part[100..]);
        wait_for_nth_line(&daemon, "has been set up anew", n + 1);
    }
    wait_until_settled(&daemon, events.len());
    assert_delivered_once(&endpoint, &events);
    let metrics = daemon.metrics();
    for certificate in ["client", "authority"] {
        let of = [("output", "siem"), ("certificate", certificate)];
        assert!(metrics.value("audit_shipper_certificate_expiry_timestamp_seconds", &of) > 1e9);
    }
}

#[test]
fn a_kubeconfig_that_names_another_endpoint_leads_there() {
    let (old, new) = (Authority::new(), Authority::new());
    let before = Endpoint::start_tls(old.sign().server(), |_, _| Answer::ok());
    let after = Endpoint::start_tls(new.sign().server(), |_, _| Answer::ok());
    let events = real_events(30);
    let shipper = trusting(&old, &before, "token: t").log(&events[..10]);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 10);
    std::fs::write(shipper.workdir.path("new-ca.pem"), new.pem()).unwrap();
    shipper.workdir.kubeconfig_with(&after.url(), "certificate-authority: new-ca.pem", "token: t");
    daemon.hang_up();
    daemon.wait_for_line("has been set up anew");
    shipper.workdir.append(&events[10..]);
    wait_until_settled(&daemon, 30);
    assert_delivered_once(&before, &events[..10]);
    assert_delivered_once(&after, &events[10..]);
}

#[test]
fn a_broken_kubeconfig_is_told_and_what_was_good_stays_in_use() {
    let authority = Authority::new();
    let endpoint = Endpoint::start_tls(authority.sign().server(), |_, _| Answer::ok());
    let events = real_events(30);
    let shipper = trusting(&authority, &endpoint, "token: t").log(&events[..10]);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 10);
    // It is shown with the first look at the files.
    wait_until("the metric", || is_reloaded(&daemon).then_some(()));
    let kubeconfig = shipper.workdir.path("webhook.kubeconfig");
    let good = std::fs::read_to_string(&kubeconfig).unwrap();
    replace(&kubeconfig, &good.replace("server: https", "server: ftp"));
    daemon.hang_up();
    let line = daemon.wait_for_line("what was good before stays in use");
    assert!(
        line.contains(" WARN ") && line.contains("webhook.kubeconfig:6: server: must begin with"),
        "{line}"
    );
    wait_until("the metric", || (!is_reloaded(&daemon)).then_some(()));
    daemon.hang_up();
    wait_for_nth_line(&daemon, "SIGHUP", 2);
    shipper.workdir.append(&events[10..20]);
    wait_until_settled(&daemon, 20);
    replace(&kubeconfig, &good);
    daemon.hang_up();
    daemon.wait_for_line("are good again");
    wait_until("the metric", || is_reloaded(&daemon).then_some(()));
    shipper.workdir.append(&events[20..]);
    wait_until_settled(&daemon, 30);
    assert_delivered_once(&endpoint, &events);
    assert_eq!(daemon.log().matches("stays in use").count(), 1, "said once");
}

#[test]
fn a_hangup_ends_the_wait_for_somebody_to_act() {
    let repaired = Gate::closed();
    let endpoint = Endpoint::start({
        let repaired = repaired.clone();
        move |_, _| if repaired.is_open() { Answer::ok() } else { Answer::status(404) }
    });
    let events = real_events(10);
    let shipper = Shipper::new(&endpoint).webhook("maxBackoff: 1h").log(&events);
    let daemon = shipper.start();
    daemon.wait_for_line("the endpoint needs attention");
    repaired.open();
    daemon.hang_up();
    wait_until_settled(&daemon, 10);
    assert_delivered_once(&endpoint, &events);
}

/// A command that prints the token in the file `next`, or fails if there is none.
fn plugin(workdir: &Workdir) -> &'static str {
    let script = r#"#!/bin/sh
cd "$(dirname "$0")"
read -r token < next || exit 7
printf '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"%s"}}' "$token"
"#;
    std::fs::write(workdir.path("plugin"), script).unwrap();
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(workdir.path("plugin"), executable).unwrap();
    "exec:\n  apiVersion: client.authentication.k8s.io/v1\n  command: ./plugin\n  interactiveMode: Never"
}

#[test]
fn a_credential_plugin_is_run_again_at_once_when_its_token_is_refused() {
    let authority = Authority::new();
    let next = Workdir::new();
    let file = next.path("next");
    let endpoint = Endpoint::start_tls(authority.sign().server(), move |request, n| {
        let expected = if n < 3 { "Bearer first" } else { "Bearer second" };
        if request.header("authorization") == Some(expected) {
            return Answer::ok();
        }
        std::fs::write(&file, "second\n").unwrap();
        Answer::status(401)
    });
    let events = real_events(20);
    let shipper = trusting(&authority, &endpoint, "").batches_of(2).one_at_a_time().log(&events);
    let user = plugin(&next).replace("./plugin", next.path("plugin").to_str().unwrap());
    shipper.workdir.kubeconfig_with(&endpoint.url(), CA, &user);
    std::fs::write(next.path("next"), "first\n").unwrap();
    // A wait of an hour would show.
    let shipper = shipper.webhook("maxBackoff: 1h");
    let daemon = shipper.start();
    wait_until_settled(&daemon, 20);
    assert_delivered_once(&endpoint, &events);
    assert_eq!(endpoint.requests().len(), 11, "ten that were taken and one that was not");
}

#[test]
fn a_credential_plugin_that_fails_is_an_outage_with_its_reason() {
    let authority = Authority::new();
    let endpoint = Endpoint::start_tls(authority.sign().server(), |_, _| Answer::ok());
    let events = real_events(5);
    let shipper = trusting(&authority, &endpoint, "").log(&events);
    let user = plugin(&shipper.workdir);
    shipper.workdir.kubeconfig_with(&endpoint.url(), CA, user);
    let daemon = shipper.start();
    let line = daemon.wait_for_line("the endpoint does not answer as it should");
    assert!(line.contains("plugin failed: exit status: 7"), "{line}");
    std::fs::write(shipper.workdir.path("next"), "token\n").unwrap();
    daemon.hang_up();
    wait_until_settled(&daemon, 5);
    assert_delivered_once(&endpoint, &events);
}

#[test]
fn a_credential_plugin_that_is_not_there_is_a_mistake_of_the_configuration() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = Shipper::new(&endpoint);
    let user = plugin(&shipper.workdir).replace("./plugin", "./gone");
    shipper.workdir.kubeconfig_with("https://127.0.0.1:1", "insecure-skip-tls-verify: true", &user);
    let mut args = shipper.args();
    "check".clone_into(&mut args[0]);
    let ended = cli::audit_shipper(args);
    let mistakes = ended.mistakes();
    assert!(mistakes[0].contains("exec.command: ./gone is not there or cannot be run"), "{mistakes:?}");
}
