//! Usage, exit status, and what keeps a daemon from starting.

use crate::support::cli::{audit_shipper, flags};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::workdir::{Workdir, real_events};
use crate::support::writer::assert_each_once;

#[test]
fn wrong_usage_is_status_2() {
    let workdir = Workdir::new();
    workdir.kubeconfig("http://127.0.0.1:1");
    for (words, named) in [
        (&["--audit-webhook-batch-maxsize=1"][..], "--audit-webhook-batch-maxsize"),
        (&["stray"], "stray"),
        // A boolean takes no word of its own; as in pflag, `true` is a stray one.
        (&["--audit-webhook-truncate-enabled", "true"], "true"),
        (&["--shutdown-grace"], "--shutdown-grace"),
    ] {
        for command in ["run", "check"] {
            let mut args = flags(command, &workdir);
            args.extend(words.iter().map(|word| (*word).to_owned()));
            let ended = audit_shipper(args);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{words:?}");
            assert!(ended.stderr.contains(named), "{}", ended.stderr);
        }
    }
    for args in [&[][..], &["ship"], &["cursor"], &["cursor", "skip"], &["cursor", "reset", "--outputs=x"]] {
        assert_eq!(audit_shipper(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn help_and_version_are_no_mistake() {
    let version = format!("audit-shipper {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(audit_shipper(["--version"]).succeeded(), version);
    assert!(audit_shipper(["--help"]).succeeded().contains("Usage: audit-shipper <COMMAND>"));
}

#[test]
fn the_short_help_is_about_what_has_an_effect() {
    let short = audit_shipper(["run", "-h"]).succeeded();
    let long = audit_shipper(["run", "--help"]).succeeded();
    for flag in ["--audit-log-compress", "--audit-log-batch-max-size"] {
        assert!(!short.contains(flag) && long.contains(flag), "{flag}");
    }
    assert!(short.contains("--audit-webhook-config-file") && short.contains("AUDIT_SHIPPER_"));
}

#[test]
fn two_daemons_do_not_share_a_state_directory() {
    let workdir = Workdir::new();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    workdir.kubeconfig(&endpoint.url());
    let first = Daemon::start(flags("run", &workdir));
    first.address();
    let second = audit_shipper(flags("run", &workdir));
    assert_eq!(second.code, Some(1));
    let said =
        format!("the state directory {} is held by process {};", workdir.state().display(), first.pid());
    assert!(second.errors()[0].starts_with(&said), "{}", second.stderr);
    // The first is none the worse for it.
    workdir.append(&real_events(3));
    // Each may be a batch of its own, and any of those the first to arrive.
    assert_each_once(real_events(3), endpoint.wait_for_items(3));
}

#[test]
fn a_state_directory_is_free_again_after_a_kill() {
    let workdir = Workdir::new();
    workdir.kubeconfig("http://127.0.0.1:1");
    let mut first = Daemon::start(flags("run", &workdir));
    first.address();
    first.kill9();
    Daemon::start(flags("run", &workdir)).address();
}

#[test]
fn an_address_in_use_is_told_by_its_flag() {
    let workdir = Workdir::new();
    workdir.kubeconfig("http://127.0.0.1:1");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut args = flags("run", &workdir);
    args.push(format!("--bind-address={address}"));
    let ended = audit_shipper(args);
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.errors(),
        [format!("--bind-address: cannot listen on {address}: Address already in use (os error 98)")]
    );
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named() {
    let workdir = Workdir::new();
    workdir.kubeconfig("http://127.0.0.1:1");
    std::fs::write(workdir.path("file"), "").unwrap();
    let mut args = flags("run", &workdir);
    let state = workdir.path("file/state");
    args.push(format!("--state-dir={}", state.display()));
    let ended = audit_shipper(args);
    assert_eq!(ended.code, Some(1));
    let said =
        format!("the state directory {} cannot be used: Not a directory (os error 20)", state.display());
    assert_eq!(ended.errors(), [said]);
}

/// An object of which nothing is looked at; it is JSON or it is not.
fn is_json(line: &str) -> bool {
    line.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok()
}

#[test]
fn the_log_is_json_where_that_is_asked_for() {
    let workdir = Workdir::new();
    let endpoint = Endpoint::start(|_, n| Answer::status(if n == 0 { 401 } else { 200 }));
    workdir.kubeconfig_with(&endpoint.url(), "", "token: t");
    workdir.append(&real_events(2));
    let mut args = flags("run", &workdir);
    let policy = workdir.path("p \"quoted\"");
    std::fs::write(&policy, "apiVersion: audit.k8s.io/v1\nfoo: 1\nrules: [{level: Metadata}]\n").unwrap();
    args.extend(["--log-format=json".to_owned(), format!("--audit-policy-file={}", policy.display())]);
    let mut daemon = Daemon::start(args);
    // A 401 is an error to be told; it is tried again after maxBackoff only.
    daemon.wait_for_line("needs attention");
    daemon.terminate();
    daemon.wait_for_line("\"stopping\"");
    daemon.terminate();
    daemon.wait();
    let log = daemon.log();
    assert!(log.lines().count() >= 5 && log.lines().all(is_json), "{log}");
    for message in ["foo", "plain http", "\"level\":\"ERROR\"", "a second signal"] {
        assert!(log.contains(message), "{message}");
    }
}
