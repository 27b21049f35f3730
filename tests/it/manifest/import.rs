//! `import`: what it prints of each kind of manifest, and that what it prints runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::delivery::assert_delivered_once;
use crate::support::cli::{Ended, audit_shipper, finish};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::wait_until_settled;
use crate::support::workdir::{Workdir, real_events};

const DATA: &str = "tests/data/manifests";

/// `import` in the repository, so that files have the same names everywhere.
fn import(manifest: &str) -> Ended {
    let mut command = Daemon::command();
    command.args(["import", manifest]).current_dir(env!("CARGO_MANIFEST_DIR"));
    finish(without_logtail(command))
}

/// What it would find in our own environment is nobody's.
fn without_logtail(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ALICLOUD_LOG_") {
            command.env_remove(name);
        }
    }
    command
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(DATA).join(format!("{name}.golden.yaml"))
}

/// `AUDIT_SHIPPER_KEEP_GOLDENS=1` keeps what is printed now.
#[test]
fn each_kind_of_manifest_becomes_what_was_kept() {
    for name in ["kubeadm", "ack", "webhook", "stdout"] {
        let printed = import(&format!("{DATA}/{name}.yaml")).succeeded();
        if std::env::var_os("AUDIT_SHIPPER_KEEP_GOLDENS").is_some() {
            std::fs::write(golden(name), &printed).unwrap();
        }
        let kept = std::fs::read_to_string(golden(name)).unwrap();
        assert_eq!(printed, kept, "{name}");
        assert!(printed.lines().all(|line| line == line.trim_end()) && !printed.ends_with("\n\n"), "{name}");
    }
}

#[test]
fn what_is_to_be_done_is_said_beside_it() {
    let said = |name: &str| {
        let stderr = import(&format!("{DATA}/{name}.yaml")).stderr;
        stderr.lines().map(|line| line.strip_prefix("warning: ").unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        said("kubeadm"),
        [
            "outputs[0].webhook.kubeconfig has to be filled in: the path of a kubeconfig that names the endpoint"
        ]
    );
    assert_eq!(
        said("webhook"),
        [
            "tests/data/manifests/webhook.yaml: take the --audit-webhook-* flags out of the manifest once audit-shipper ships, or \
          events arrive twice"
        ]
    );
    let ack = said("ack");
    assert_eq!(ack.len(), 4);
    assert!(ack[1].starts_with("outputs[0].sls.url has to be filled in: https://"), "{ack:?}");
    assert!(said("stdout")[0].contains("kubelet keeps about 50 MB"));
}

/// A file in the workdir with this text.
fn written(workdir: &Workdir, name: &str, text: &str) -> String {
    let path = workdir.path(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn check(config: &str) -> Ended {
    audit_shipper(["check", "--config", config])
}

/// What is marked is refused until it is filled in, and then everything is right.
#[test]
fn what_is_printed_is_a_configuration_but_for_what_is_marked() {
    let workdir = Workdir::new();
    let kubeconfig = workdir.kubeconfig("http://127.0.0.1:1/audit").display().to_string();
    let goldens = |name: &str| std::fs::read_to_string(golden(name)).unwrap();
    let config = written(&workdir, "kubeadm.yaml", &goldens("kubeadm"));
    assert_eq!(
        check(&config).mistakes(),
        [format!(
            "{config}:26: outputs[0].webhook.kubeconfig: is still to be filled in: the path of a kubeconfig that names the endpoint"
        )]
    );
    let filled = goldens("kubeadm")
        .replace("<FILL IN: the path of a kubeconfig that names the endpoint>", &kubeconfig);
    check(&written(&workdir, "kubeadm.yaml", &filled)).succeeded();

    let filled = goldens("webhook").replace(
        "kubeconfig: /etc/kubernetes/audit-config/webhook.kubeconfig",
        &format!("kubeconfig: \"{kubeconfig}\""),
    );
    let printed = check(&written(&workdir, "webhook.yaml", &filled)).succeeded();
    for line in [
        "      initialBackoff: 5s",
        "      bufferSize: 20000",
        "      maxSize: 200",
        "      maxWait: 1m30s",
        "      throttle: { enable: true, qps: 2.5, burst: 30 }",
        "      enabled: true",
        "      maxEventSize: 200KiB",
    ] {
        assert!(printed.lines().any(|other| other == line), "{line} in\n{printed}");
    }

    let filled =
        goldens("stdout").replace("<FILL IN: the path of a kubeconfig that names the endpoint>", &kubeconfig);
    let printed = check(&written(&workdir, "stdout.yaml", &filled)).succeeded();
    assert!(printed.contains("  format: cri\n"), "{printed}");

    let config = written(&workdir, "ack.yaml", &goldens("ack"));
    let mistakes = check(&config);
    let mistakes = mistakes.mistakes();
    let count = mistakes.iter().filter(|mistake| mistake.contains("is still to be filled in")).count();
    assert_eq!((mistakes.len(), count), (2, 2), "{mistakes:?}");
}

/// kubeadm's layout with the flags of Kubernetes' own documentation, and the host's directory elsewhere.
#[test]
fn a_kubeadm_manifest_that_was_imported_ships() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let workdir = Workdir::new();
    let manifest =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(DATA).join("kubeadm.yaml"))
            .unwrap();
    let host = format!("path: {}\n", workdir.log_dir().display());
    let manifest =
        written(&workdir, "manifest.yaml", &manifest.replace("path: /var/log/kubernetes/audit/\n", &host));
    let mut config = audit_shipper(["import", &manifest]).succeeded();
    let kubeconfig = workdir.kubeconfig(&endpoint.url()).display().to_string();
    config = config.replace("<FILL IN: the path of a kubeconfig that names the endpoint>", &kubeconfig);
    let rest = format!("stateDir: \"{}\"\nbindAddress: 127.0.0.1:0\n", workdir.state().display());
    config += &rest;
    let config = written(&workdir, "audit-shipper.yaml", &config);
    let events = real_events(200);
    workdir.append(&events);
    let args = ["run", "--config", &config, "--redact=false", "--audit-webhook-batch-max-wait=50ms"];
    let daemon = Daemon::start(args);
    wait_until_settled(&daemon, events.len());
    assert_delivered_once(&endpoint, &events);
}

#[test]
fn the_standard_input_is_as_good_and_what_is_no_manifest_is_told() {
    let read = |text: &str| {
        let workdir = Workdir::new();
        let mut command = Daemon::command();
        command.args(["import", "-"]).stdin(std::fs::File::open(written(&workdir, "m", text)).unwrap());
        finish(without_logtail(command))
    };
    let kubeadm =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(DATA).join("kubeadm.yaml"))
            .unwrap();
    let several = format!("kind: ConfigMap\n---\n{kubeadm}---\nkind: Pod\n");
    assert!(
        read(&several)
            .succeeded()
            .contains("  # line 22: --audit-log-path=/var/log/kubernetes/audit/audit.log\n")
    );
    for (text, mistakes) in [
        ("", &["standard input: no Pod is in it, but nothing; it must be"][..]),
        ("kind: Deployment\n", &["standard input: no Pod is in it, but \"Deployment\" (line 1); it must be"]),
        ("kind: [\n", &["standard input:1: unclosed bracket"]),
        ("kind: Pod\n", &["standard input:1: the Pod has no `spec`"]),
        (
            "kind: Pod\nspec:\n  containers:\n  - {name: etcd, command: [etcd]}\n",
            &[
                "standard input:2: spec.containers: none is called kube-apiserver, and none has audit flags; there are etcd",
            ],
        ),
    ] {
        let ended = read(text);
        let found = ended.mistakes();
        assert_eq!(found.len(), mistakes.len(), "{found:?}");
        for (found, expect) in found.iter().zip(mistakes) {
            assert!(found.starts_with(expect), "{found}");
        }
    }
}
