//! From flags, variables and the file to the configuration in effect, as `check` prints it.

use std::collections::BTreeMap;

use crate::support::cli::{Ended, audit_shipper, finish, flags};
use crate::support::daemon::Daemon;
use crate::support::workdir::Workdir;

/// A place with a kubeconfig that nothing is wrong with.
fn workdir() -> Workdir {
    let workdir = Workdir::new();
    workdir.kubeconfig("http://127.0.0.1:1/audit");
    workdir
}

/// `check` with these flags besides those that are always needed.
fn check(workdir: &Workdir, more: &[&str]) -> Ended {
    check_with(workdir, more, &[])
}

fn check_with(workdir: &Workdir, more: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = Daemon::command();
    command.args(needed(workdir)).args(more).envs(variables.iter().copied());
    finish(command)
}

fn needed(workdir: &Workdir) -> Vec<String> {
    flags("check", workdir).into_iter().take(3).chain(["--node=false".to_owned()]).collect()
}

/// The value that the YAML has for a field, by the field's last name.
fn value<'a>(yaml: &'a str, field: &str) -> &'a str {
    let prefix = format!("{field}: ");
    yaml.lines()
        .find_map(|line| line.trim_start().strip_prefix(&prefix))
        .unwrap_or_else(|| panic!("{field} in {yaml}"))
}

#[test]
fn what_check_prints_for_flags_alone_loads_again_to_the_same() {
    let workdir = workdir();
    let all = [
        "--audit-webhook-initial-backoff=1.5s",
        "--audit-webhook-batch-buffer-size=0x200",
        "--audit-webhook-batch-max-size=100",
        "--audit-webhook-batch-max-wait=1m30s",
        "--audit-webhook-batch-throttle-qps=0.5",
        "--audit-webhook-batch-throttle-burst=3",
        "--audit-webhook-truncate-enabled",
        "--audit-webhook-truncate-max-event-size=1000",
        "--audit-webhook-truncate-max-batch-size=1000000",
        "--state-dir=/var/lib/a \"state\": {directory} # ä",
        "--bind-address=[::1]:0",
        "--shutdown-grace=250ms",
    ];
    for flags in [
        &[][..],
        &all,
        &["--audit-webhook-mode=blocking-strict"],
        &["--audit-webhook-batch-throttle-enable=f"],
    ] {
        let printed = check(&workdir, flags).succeeded();
        let file = workdir.path("printed.yaml");
        std::fs::write(&file, &printed).unwrap();
        let again = audit_shipper(["check", "--node=false", "--config", file.to_str().unwrap()]);
        assert_eq!(again.stderr, "");
        assert_eq!(again.succeeded(), printed);
    }
}

#[test]
fn the_flags_of_a_static_pod_manifest_work_unchanged() {
    let workdir = workdir();
    let manifest = "
    - --audit-log-format=json
    - --audit-log-maxage=30
    - --audit-log-maxbackup=10
    - --audit-log-maxsize=100
    - --audit-log-compress=true
    - --audit-log-mode=blocking
    - --audit-log-version=audit.k8s.io/v1
    - --audit-log-batch-buffer-size=10000
    - --audit-log-batch-max-size=1
    - --audit-log-batch-max-wait=0s
    - --audit-log-batch-throttle-enable=false
    - --audit-log-batch-throttle-qps=0
    - --audit-log-batch-throttle-burst=0
    - --audit-log-truncate-enabled
    - --audit-log-truncate-max-batch-size=10485760
    - --audit-log-truncate-max-event-size=102400
    - --audit-webhook-batch-buffer-size=20000
    - --audit-webhook-batch-initial-backoff=5s
    - --audit-webhook-batch-max-size=200
    - --audit_webhook_batch_max_wait=10s
    - --audit-webhook-batch-throttle-burst=20
    - --audit-webhook-batch-throttle-enable=true
    - --audit-webhook-batch-throttle-qps=2.5
    - --audit-webhook-mode=batch
    - --audit-webhook-truncate-enabled=true
    - --audit-webhook-truncate-max-batch-size=5242880
    - --audit-webhook-truncate-max-event-size=51200
    - --audit-webhook-version=audit.k8s.io/v1";
    let policy = workdir.path("audit-policy.yaml");
    std::fs::write(&policy, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
        .unwrap();
    let policy_file = format!("--audit-policy-file={}", policy.display());
    let mut given: Vec<&str> = manifest.lines().filter_map(|line| line.trim().strip_prefix("- ")).collect();
    given.push(&policy_file);
    let ended = check(&workdir, &given);
    let warnings: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(
        warnings,
        [
            "warning: --audit-webhook-batch-initial-backoff: Deprecated, use --audit-webhook-initial-backoff instead.",
        ]
    );
    let yaml = ended.succeeded();
    assert_eq!(value(&yaml, "policyFile"), policy.display().to_string());
    let expected = BTreeMap::from([
        ("bufferSize", "20000"),
        ("initialBackoff", "5s"),
        ("maxSize", "200"),
        ("maxWait", "10s"),
        ("throttle", "{ enable: true, qps: 2.5, burst: 20 }"),
        ("mode", "batch"),
        ("enabled", "true"),
        ("maxBatchSize", "5MiB"),
        ("maxEventSize", "50KiB"),
    ]);
    for (field, expected) in expected {
        assert_eq!(value(&yaml, field), expected, "{field}");
    }
}

#[test]
fn a_flag_wins_over_its_variable_that_over_the_file_that_over_the_default() {
    let workdir = workdir();
    let file = workdir.path("f.yaml");
    std::fs::write(&file, "shutdownGrace: 1s\n").unwrap();
    let config = format!("--config={}", file.display());
    let grace = |more: &[&str], variables: &[(&str, &str)]| {
        value(&check_with(&workdir, more, variables).succeeded(), "shutdownGrace").to_owned()
    };
    let variable = ("AUDIT_SHIPPER_SHUTDOWN_GRACE", "2s");
    assert_eq!(grace(&[], &[]), "30s");
    assert_eq!(grace(&[&config], &[]), "1s");
    assert_eq!(grace(&[], &[("AUDIT_SHIPPER_CONFIG", file.to_str().unwrap())]), "1s");
    assert_eq!(grace(&[&config], &[("AUDIT_SHIPPER_SHUTDOWN_GRACE", "")]), "1s", "an empty variable is none");
    assert_eq!(grace(&[&config], &[variable]), "2s");
    assert_eq!(grace(&[&config, "--shutdown-grace=3s"], &[variable]), "3s");
}

#[test]
fn variables_alone_are_enough() {
    let workdir = workdir();
    let mut command = Daemon::command();
    command
        .arg("check")
        .env("AUDIT_SHIPPER_AUDIT_LOG_PATH", "/var/log/audit.log")
        .env("AUDIT_SHIPPER_AUDIT_WEBHOOK_CONFIG_FILE", workdir.path("webhook.kubeconfig"))
        .env("AUDIT_SHIPPER_AUDIT_WEBHOOK_BATCH_MAX_SIZE", "7");
    let yaml = finish(command).succeeded();
    assert_eq!((value(&yaml, "path"), value(&yaml, "maxSize")), ("/var/log/audit.log", "7"));
}

#[test]
fn systemd_names_the_state_directory_unless_somebody_else_does() {
    let workdir = workdir();
    let state_dir = |more: &[&str], variables: &[(&str, &str)]| {
        value(&check_with(&workdir, more, variables).succeeded(), "stateDir").to_owned()
    };
    let systemd = ("STATE_DIRECTORY", "/var/lib/one:/var/lib/two");
    assert_eq!(state_dir(&[], &[]), "/var/lib/audit-shipper");
    assert_eq!(state_dir(&[], &[systemd]), "/var/lib/one");
    assert_eq!(state_dir(&[], &[systemd, ("AUDIT_SHIPPER_STATE_DIR", "/three")]), "/three");
    assert_eq!(state_dir(&["--state-dir=/four"], &[systemd]), "/four");
}
