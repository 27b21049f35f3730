//! kube-apiserver's static pod manifest: imported, and followed while the daemon runs.

mod apart;
mod astray;
mod import;
mod moving;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::delivery::assert_delivered_once;
use crate::support::books::count;
use crate::support::cli::audit_shipper;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::shipper::wait_until_settled;
use crate::support::wait_until;
use crate::support::workdir::{Workdir, real_events, replace};

/// A node with a manifest, and a configuration that leaves to it what it says.
struct Node {
    workdir: Workdir,
}

impl Node {
    fn new() -> Self {
        let node = Self { workdir: Workdir::new() };
        std::fs::create_dir(node.workdir.path("logs")).unwrap();
        std::fs::create_dir(node.workdir.path("etc")).unwrap();
        node
    }

    /// The log of this name, in the directory that the container has as `/logs`.
    fn log(&self, name: &str) -> PathBuf {
        self.workdir.path("logs").join(name)
    }

    fn append(&self, log: &str, lines: &[String]) {
        use std::io::Write as _;
        let path = self.log(log);
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        for line in lines {
            log.write_all(line.as_bytes()).unwrap();
        }
    }

    fn manifest(&self) -> PathBuf {
        self.workdir.path("kube-apiserver.yaml")
    }

    /// Replaces the manifest as people do: kubelet must not see half of it.
    fn write(&self, flags: &[&str]) {
        let flags = flags.iter().fold(String::new(), |flags, flag| flags + "    - " + flag + "\n");
        let host = |name: &str| self.workdir.path(name).display().to_string();
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: kube-apiserver, namespace: kube-system }}\nspec:\n\
             \x20 containers:\n\x20 - name: kube-apiserver\n\x20   command:\n\x20   - kube-apiserver\n{flags}\
             \x20   volumeMounts:\n\x20   - {{ name: logs, mountPath: /logs }}\n\x20   - {{ name: etc, mountPath: /etc/audit }}\n\
             \x20 volumes:\n\x20 - {{ name: logs, hostPath: {{ path: \"{}\" }} }}\n\x20 - {{ name: etc, hostPath: {{ path: \"{}\" }} }}\n",
            host("logs"),
            host("etc")
        );
        replace(&self.manifest(), &text);
    }

    /// A configuration with these fields of the source and of everything else.
    fn config(&self, source: &str, rest: &str) -> PathBuf {
        let path = self.workdir.path("audit-shipper.yaml");
        let text = format!(
            "source: {{ manifest: \"{}\", pinMinFree: 0, {source} }}\n{rest}stateDir: \"{}\"\nbindAddress: 127.0.0.1:0\nshutdownGrace: 1s\n",
            self.manifest().display(),
            self.workdir.state().display()
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// One output to a webhook, without long waits.
    fn config_of_siem(&self, endpoint: &Endpoint) -> PathBuf {
        let kubeconfig = self.workdir.kubeconfig(&endpoint.url());
        let output = format!(
            "outputs:\n- name: siem\n  webhook: {{ kubeconfig: \"{}\", initialBackoff: 20ms, maxBackoff: 100ms }}\n  \
             batch: {{ maxWait: 50ms }}\n  redact: {{ enabled: false }}\n",
            kubeconfig.display()
        );
        self.config("", &output)
    }

    fn start(config: &Path) -> Daemon {
        Daemon::start(["run".to_owned(), format!("--config={}", config.display())])
    }
}

fn is_last_reload_successful(daemon: &Daemon) -> bool {
    daemon.metrics().value("audit_shipper_config_last_reload_successful", &[]) == 1.0
}

fn has_answered_at(daemon: &Daemon, address: SocketAddr) -> bool {
    daemon.address() == address && daemon.get("/livez").0 == 200
}

/// kube-apiserver goes on with the old log until it has ended, and begins the new one when it is started again.
#[test]
fn a_log_that_moves_is_read_to_its_end_and_then_the_new_one() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(700);
    node.write(&["--audit-policy-file=/p", "--audit-log-path=/logs/old.log"]);
    let daemon = Node::start(&node.config_of_siem(&endpoint));
    let address = daemon.address();
    node.append("old.log", &events[..300]);
    wait_until_settled(&daemon, 300);
    node.write(&["--audit-policy-file=/p", "--audit-log-path=/logs/new.log"]);
    for part in events[300..400].chunks(10) {
        node.append("old.log", part);
    }
    daemon.wait_for_line("the log is another one");
    node.append("old.log", &events[400..450]);
    node.append("new.log", &events[450..500]);
    for part in events[500..600].chunks(10) {
        node.append("new.log", part);
    }
    wait_until_settled(&daemon, 600);
    daemon.wait_for_line("the old log is settled");
    assert!(has_answered_at(&daemon, address));

    // Back again: what was read of the old log is known.
    node.write(&["--audit-policy-file=/p", "--audit-log-path=/logs/old.log"]);
    wait_until("the second change", || {
        (daemon.log().matches("the log is another one").count() == 2).then_some(())
    });
    node.append("new.log", &events[600..650]);
    node.append("old.log", &events[650..]);
    let metrics = wait_until_settled(&daemon, 700);
    assert_delivered_once(&endpoint, &events);
    assert_eq!(count(&metrics, "audit_shipper_delivered_events_total", &[]), 700);
    assert_eq!(count(&metrics, "audit_shipper_gaps_total", &[]), 0);
    assert!(has_answered_at(&daemon, address));
}

/// Nothing of the old log is forgotten, nor of the new one what is deleted before its turn.
#[test]
fn a_restart_in_between_goes_on_with_the_old_log() {
    let gate = Arc::new(Gate::closed());
    let endpoint = Endpoint::start({
        let gate = Arc::clone(&gate);
        move |_, _| if gate.is_open() { Answer::ok() } else { Answer::status(503) }
    });
    let node = Node::new();
    let events = real_events(300);
    node.write(&["--audit-policy-file=/p", "--audit-log-path=/logs/old.log"]);
    let config = node.config_of_siem(&endpoint);
    let mut daemon = Node::start(&config);
    node.append("old.log", &events[..100]);
    daemon.wait_for_metrics("100 lines", |metrics| {
        count(metrics, "audit_shipper_read_events_total", &[]) == 100
    });
    node.write(&["--audit-policy-file=/p", "--audit-log-path=/logs/new.log"]);
    daemon.wait_for_line("the log is another one");
    // It ends before it has seen that the new log has begun: what it remembers is the old one alone.
    daemon.pause();
    node.append("new.log", &events[100..200]);
    daemon.kill9();
    let mut daemon = Node::start(&config);
    daemon.wait_for_line("the log is another one");
    daemon.address();
    node.append("new.log", &events[200..250]);
    daemon.terminate();
    assert!(daemon.wait().success());
    let daemon = Node::start(&config);
    daemon.address();
    gate.open();
    daemon.wait_for_line("the old log is settled");
    node.append("new.log", &events[250..]);
    let metrics = wait_until_settled(&daemon, 300);
    assert_delivered_once(&endpoint, &events);
    assert_eq!(count(&metrics, "audit_shipper_gaps_total", &[]), 0);
    let remembered = std::fs::read_to_string(node.workdir.state().join("log.json")).unwrap();
    assert!(remembered.contains("/logs/new.log\""), "{remembered}");
}

#[test]
fn a_wrong_manifest_changes_nothing_and_a_good_one_recovers() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(30);
    let good = ["--audit-policy-file=/p", "--audit-log-path=/logs/audit.log"];
    node.write(&good);
    let daemon = Node::start(&node.config_of_siem(&endpoint));
    daemon.address();
    assert!(is_last_reload_successful(&daemon));
    node.write(&["--audit-log-path=/nowhere/audit.log"]);
    daemon.hang_up();
    let line = daemon.wait_for_line("the configuration is wrong, the one before stays in use");
    let place =
        "kube-apiserver.yaml:9: spec.containers[0]: --audit-log-path: /nowhere/audit.log is on no volume";
    assert!(line.contains("ERROR") && line.contains(place), "{line}");
    assert!(!is_last_reload_successful(&daemon));
    node.append("audit.log", &events[..10]);
    wait_until_settled(&daemon, 10);
    replace(&node.manifest(), "kind: [\n");
    wait_until("what is wrong with the next", || {
        daemon.log().contains("kube-apiserver.yaml:1: unclosed").then_some(())
    });
    // Neither a good one nor a flag that is not ours ends anything that runs.
    node.write(&[&good[..], &["--secure-port=6443"]].concat());
    wait_until("a good one", || is_last_reload_successful(&daemon).then_some(()));
    node.append("audit.log", &events[10..]);
    wait_until_settled(&daemon, 30);
    assert_delivered_once(&endpoint, &events);
    assert!(!daemon.log().contains("taken over"), "{}", daemon.log());
    assert_eq!(daemon.log().matches("the one before stays in use").count(), 2);
}

/// An editor that deletes the file before it writes the new one.
#[test]
fn a_manifest_that_is_away_for_a_moment_is_no_alarm() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    node.write(&["--audit-policy-file=/p", "--audit-log-path=/logs/audit.log"]);
    let daemon = Node::start(&node.config_of_siem(&endpoint));
    daemon.address();
    std::fs::remove_file(node.manifest()).unwrap();
    daemon.hang_up();
    daemon.wait_for_line("SIGHUP");
    node.append("audit.log", &real_events(5));
    wait_until_settled(&daemon, 5);
    node.write(&["--audit-policy-file=/p", "--audit-log-path=/logs/other.log"]);
    daemon.wait_for_line("the log is another one");
    assert!(is_last_reload_successful(&daemon) && !daemon.log().contains("ERROR"), "{}", daemon.log());
}

/// With nothing else said, the webhook of the manifest is the output, as it is there and as it becomes.
#[test]
fn the_webhook_of_the_manifest_is_followed() {
    let (one, two) = (Endpoint::start(|_, _| Answer::ok()), Endpoint::start(|_, _| Answer::ok()));
    let node = Node::new();
    let events = real_events(60);
    for (name, endpoint) in [("one", &one), ("two", &two)] {
        let kubeconfig = node.workdir.kubeconfig(&endpoint.url());
        std::fs::rename(kubeconfig, node.workdir.path("etc").join(name)).unwrap();
    }
    let flags = |kubeconfig, batch| {
        [
            "--audit-policy-file=/p".to_owned(),
            "--audit-log-path=/logs/audit.log".to_owned(),
            format!("--audit-webhook-config-file=/etc/audit/{kubeconfig}"),
            format!("--audit-webhook-batch-max-size={batch}"),
            "--audit-webhook-batch-max-wait=50ms".to_owned(),
        ]
    };
    let write = |flags: &[String]| node.write(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    write(&flags("one", "5"));
    let config = node.config("", "");
    let printed = audit_shipper(["check", "--config", config.to_str().unwrap()]).succeeded();
    assert!(printed.contains("maxSize: 5\n") && printed.contains("/etc/one\n"), "{printed}");
    let daemon = Daemon::start(["run", "--redact=false", "--config", config.to_str().unwrap()]);
    daemon.address();
    node.append("audit.log", &events[..30]);
    wait_until_settled(&daemon, 30);
    assert!(one.requests().len() >= 6);
    write(&flags("two", "0"));
    let line = daemon.wait_for_line("the one before stays in use");
    let what = "--audit-webhook-batch-max-size: invalid audit batch webhook max batch size 0, must be a positive number";
    assert!(line.contains(&format!("kube-apiserver.yaml:12: {what}")), "{line}");
    write(&flags("two", "30"));
    daemon.wait_for_line("taken over");
    wait_until("the second endpoint", || (daemon.log().matches(" shipping ").count() == 2).then_some(()));
    node.append("audit.log", &events[30..]);
    let metrics = wait_until_settled(&daemon, 60);
    assert_delivered_once(&one, &events[..30]);
    assert_delivered_once(&two, &events[30..]);
    assert_eq!(count(&metrics, "audit_shipper_delivered_events_total", &[("output", "webhook")]), 60);
}

#[test]
fn a_manifest_that_is_yet_to_be_written_is_waited_for() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let config = node.config_of_siem(&endpoint);
    let ended = audit_shipper(["check", "--config", config.to_str().unwrap()]);
    let [mistake] = ended.mistakes()[..] else { panic!("{}", ended.stderr) };
    assert!(mistake.contains("audit-shipper.yaml:1: source.manifest: cannot read "), "{mistake}");
    let daemon = Node::start(&config);
    let line = daemon.wait_for_line("waiting: ");
    assert!(line.contains("source.manifest: cannot read "), "{line}");
    node.write(&["--audit-policy-file=/p", "--audit-log-path=/logs/audit.log"]);
    daemon.address();
    node.append("audit.log", &real_events(5));
    wait_until_settled(&daemon, 5);
}

#[test]
fn flag_wins_over_file_and_file_over_manifest() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    node.write(&["--audit-policy-file=/p", "--audit-log-path=/logs/audit.log"]);
    node.config_of_siem(&endpoint);
    let printed = |source: &str, flags: &[&str]| {
        let kubeconfig = node.workdir.path("webhook.kubeconfig");
        let output =
            format!("outputs: [{{ name: siem, webhook: {{ kubeconfig: \"{}\" }} }}]\n", kubeconfig.display());
        let config = node.config(source, &output);
        let args = [&["check", "--config", config.to_str().unwrap()], flags].concat();
        let yaml = audit_shipper(args).succeeded();
        yaml.lines().find_map(|line| line.strip_prefix("  path: ")).unwrap().to_owned()
    };
    assert_eq!(printed("", &[]), node.log("audit.log").display().to_string());
    assert_eq!(printed("path: /file/audit.log", &[]), "/file/audit.log");
    assert_eq!(printed("path: /file/audit.log", &["--audit-log-path=/flag/audit.log"]), "/flag/audit.log");
}

/// kube-apiserver wrote a file, and writes to its standard output from now on: among other lines, in files of the runtime.
#[test]
fn a_log_that_moves_to_the_standard_output_is_followed() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(20);
    node.write(&["--audit-policy-file=/p", "--audit-log-path=/logs/audit.log"]);
    // kubelet's directory is nobody's to write to in a test.
    let config = node.config_of_siem(&endpoint);
    let daemon = Node::start(&config);
    node.append("audit.log", &events[..10]);
    wait_until_settled(&daemon, 10);
    let text = std::fs::read_to_string(&config).unwrap();
    let pattern = node.log("kube-apiserver-*.log").display().to_string();
    replace(&config, &text.replace("source: { ", &format!("source: {{ path: \"{pattern}\", ")));
    node.write(&["--audit-policy-file=/p", "--audit-log-path=-"]);
    daemon.wait_for_line("the log is another one");
    let lines: Vec<String> = events[10..]
        .iter()
        .flat_map(|event| {
            let line = |stream, text: &str| format!("2026-01-02T03:04:05.123456789Z {stream} F {text}");
            [line("stderr", "I0102 03:04:05.123456       1 httplog.go:132] verb\n"), line("stdout", event)]
        })
        .collect();
    node.append("kube-apiserver-vm_kube-system_kube-apiserver-0.log", &lines);
    daemon.wait_for_line("the old log is settled");
    wait_until_settled(&daemon, 20);
    assert_delivered_once(&endpoint, &events);
}
