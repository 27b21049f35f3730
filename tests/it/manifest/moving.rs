//! From one log to another, where it is not as simple as that: what must not be taken for the beginning of the new log, what
//! is left before its turn, and what is deleted meanwhile.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Node;
use crate::delivery::assert_delivered_once;
use crate::support::books::count;
use crate::support::cli::audit_shipper;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::shipper::wait_until_settled;
use crate::support::wait_until;
use crate::support::workdir::real_events;

impl Node {
    /// Leads kube-apiserver to the log of this name.
    pub(super) fn lead_to(&self, log: &str) {
        self.write(&["--audit-policy-file=/p", &format!("--audit-log-path=/logs/{log}")]);
    }
}

/// An endpoint that takes nothing until the gate opens.
pub(super) fn gated() -> (Arc<Gate>, Endpoint) {
    let gate = Arc::new(Gate::closed());
    let endpoint = Endpoint::start({
        let gate = Arc::clone(&gate);
        move |_, _| if gate.is_open() { Answer::ok() } else { Answer::status(503) }
    });
    (gate, endpoint)
}

fn wait_for_lines(daemon: &Daemon, text: &str, times: usize) {
    wait_until(text, || (daemon.log().matches(text).count() >= times).then_some(()));
}

pub(super) fn no_gaps(daemon: &Daemon) {
    assert_eq!(count(&daemon.metrics(), "audit_shipper_gaps_total", &[]), 0, "{}", daemon.log());
}

/// Gives whoever leaves the log too early the time to do so.
fn append_for_a_while(node: &Node, log: &str, events: &[String]) {
    for part in events.chunks(5) {
        node.append(log, part);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Somebody puts the manifest of last week back, with its time, and kube-apiserver goes on for a while.
#[test]
fn a_manifest_of_old_is_no_sign_that_the_log_of_old_has_begun() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(90);
    node.lead_to("old.log");
    let daemon = Node::start(&node.config_of_siem(&endpoint));
    node.append("old.log", &events[..10]);
    wait_until_settled(&daemon, 10);
    node.lead_to("new.log");
    daemon.wait_for_line("the log is another one");
    node.append("new.log", &events[10..20]);
    daemon.wait_for_line("the old log is settled");
    wait_until_settled(&daemon, 20);

    let kept = node.workdir.path("kept.yaml");
    std::fs::rename(node.manifest(), node.workdir.path("newer.yaml")).unwrap();
    node.lead_to("old.log");
    std::fs::rename(node.manifest(), &kept).unwrap();
    std::fs::rename(node.workdir.path("newer.yaml"), node.manifest()).unwrap();
    let last_week = SystemTime::now() - Duration::from_secs(7 * 24 * 60 * 60);
    File::options().write(true).open(&kept).unwrap().set_modified(last_week).unwrap();
    std::fs::rename(&kept, node.manifest()).unwrap();
    wait_for_lines(&daemon, "the log is another one", 2);
    // Nor is it one that its owner, its mode or its time changes, or that there is a log without events.
    let log = File::options().append(true).open(node.log("old.log")).unwrap();
    log.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    append_for_a_while(&node, "new.log", &events[20..50]);
    wait_until_settled(&daemon, 50);
    node.append("old.log", &events[50..]);
    wait_until_settled(&daemon, 90);
    assert_delivered_once(&endpoint, &events);
    no_gaps(&daemon);
}

/// A daemon that is started again before kube-apiserver is.
#[test]
fn what_the_new_log_holds_from_earlier_is_no_sign_at_a_start() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(60);
    node.append("new.log", &events[..10]);
    node.lead_to("old.log");
    let config = node.config_of_siem(&endpoint);
    let mut daemon = Node::start(&config);
    node.append("old.log", &events[10..20]);
    wait_until_settled(&daemon, 10);
    daemon.terminate();
    assert!(daemon.wait().success());
    node.lead_to("new.log");
    let daemon = Node::start(&config);
    daemon.wait_for_line("the log is another one");
    daemon.address();
    append_for_a_while(&node, "old.log", &events[20..50]);
    node.append("new.log", &events[50..]);
    daemon.wait_for_line("the old log is settled");
    wait_until_settled(&daemon, 50);
    assert_delivered_once(&endpoint, &events);
    no_gaps(&daemon);
}

/// The endpoint is away while somebody tries another log, and thinks better of it.
#[test]
fn a_log_that_is_left_before_its_turn_is_read_all_the_same() {
    let (gate, endpoint) = gated();
    let node = Node::new();
    let events = real_events(100);
    node.lead_to("old.log");
    let config = node.config_of_siem(&endpoint);
    let mut daemon = Node::start(&config);
    node.append("old.log", &events[..20]);
    let read = |daemon: &Daemon, lines| {
        daemon.wait_for_metrics("what was read", |metrics| {
            count(metrics, "audit_shipper_read_events_total", &[]) == lines
        });
    };
    read(&daemon, 20);
    node.lead_to("new.log");
    wait_for_lines(&daemon, "the log is another one", 1);
    node.append("new.log", &events[20..40]);
    daemon.wait_for_line("the new log has begun");
    node.lead_to("old.log");
    wait_for_lines(&daemon, "the log is another one", 2);
    node.append("new.log", &events[40..50]);
    daemon.kill9();
    let daemon = Node::start(&config);
    daemon.address();
    node.append("new.log", &events[50..60]);
    node.lead_to("third.log");
    daemon.wait_for_line("third.log");
    node.append("third.log", &events[60..]);
    gate.open();
    wait_until_settled(&daemon, 100);
    assert_delivered_once(&endpoint, &events);
    no_gaps(&daemon);
}

/// The directory of the new log is made when kube-apiserver is started again, and its retention does not wait for us.
#[test]
fn what_the_new_log_deletes_before_its_turn_is_shipped() {
    let (gate, endpoint) = gated();
    let node = Node::new();
    let events = real_events(60);
    node.lead_to("old.log");
    let daemon = Node::start(&node.config_of_siem(&endpoint));
    node.append("old.log", &events[..20]);
    daemon
        .wait_for_metrics("20 lines", |metrics| count(metrics, "audit_shipper_read_events_total", &[]) == 20);
    node.lead_to("there/new.log");
    daemon.wait_for_line("the log is another one");
    std::fs::create_dir(node.log("there")).unwrap();
    node.append("there/new.log", &events[20..30]);
    daemon.wait_for_line("the new log has begun");
    for (number, part) in events[30..].chunks(10).enumerate() {
        let backup = node.log(&format!("there/new-2026-01-02T03-04-0{number}.000.log"));
        std::fs::rename(node.log("there/new.log"), &backup).unwrap();
        node.append("there/new.log", part);
        wait_until("a hold on the backup", || holds(&daemon, &backup).then_some(()));
        std::fs::remove_file(backup).unwrap();
    }
    gate.open();
    wait_until_settled(&daemon, 60);
    assert_delivered_once(&endpoint, &events);
    no_gaps(&daemon);
}

/// Both logs have one name in two directories, and the daemon is stopped in the middle.
#[test]
fn what_both_logs_have_deleted_is_kept_over_a_restart() {
    let (gate, endpoint) = gated();
    let node = Node::new();
    let events = real_events(60);
    let config = node.config_of_siem(&endpoint);
    let mut parts = events.chunks(10);
    let mut daemon = None;
    for directory in ["old", "new"] {
        std::fs::create_dir(node.log(directory)).unwrap();
        let log = format!("{directory}/audit.log");
        node.lead_to(&log);
        let daemon: &Daemon = daemon.get_or_insert_with(|| Node::start(&config));
        daemon.wait_for_line(&log);
        node.append(&log, parts.next().unwrap());
        for number in [2, 1] {
            let backup = node.log(&format!("{log}.{number}"));
            wait_until("a hold on the live file", || holds(daemon, &node.log(&log)).then_some(()));
            std::fs::rename(node.log(&log), &backup).unwrap();
            node.append(&log, parts.next().unwrap());
            std::fs::remove_file(backup).unwrap();
        }
        wait_until("a hold on the live file", || holds(daemon, &node.log(&log)).then_some(()));
    }
    let mut daemon = daemon.unwrap();
    daemon.wait_for_line("the new log has begun");
    daemon.terminate();
    assert!(daemon.wait().success());
    let daemon = Node::start(&config);
    daemon.address();
    gate.open();
    wait_until_settled(&daemon, 60);
    assert_delivered_once(&endpoint, &events);
    no_gaps(&daemon);
    let spooled = std::fs::read_dir(node.workdir.state()).unwrap().filter_map(|entry| {
        let entry = entry.unwrap();
        let is_spool = entry.file_name().to_string_lossy().starts_with("spool");
        is_spool.then(|| std::fs::read_dir(entry.path()).unwrap().count())
    });
    assert_eq!(spooled.sum::<usize>(), 0);
}

pub(super) fn holds(daemon: &Daemon, file: &std::path::Path) -> bool {
    let mut held = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    held.any(|fd| fd.is_ok_and(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == file)))
}

/// kube-apiserver ended while the disk was full, so somebody has it write elsewhere.
#[test]
fn the_torn_end_of_the_old_log_is_set_aside() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(20);
    node.lead_to("old.log");
    let daemon = Node::start(&node.config_of_siem(&endpoint));
    node.append("old.log", &events[..10]);
    node.append("old.log", &[events[10][..500].to_owned()]);
    wait_until_settled(&daemon, 10);
    node.lead_to("new.log");
    daemon.wait_for_line("the log is another one");
    node.append("new.log", &events[10..]);
    let metrics = wait_until_settled(&daemon, 21);
    assert_delivered_once(&endpoint, &events);
    assert_eq!(count(&metrics, "audit_shipper_set_aside_events_total", &[]), 1);
}

/// An output that was given up with what it was behind is behind no more.
#[test]
fn an_output_that_is_taken_out_shows_no_backlog() {
    let (_gate, away) = gated();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(20);
    node.lead_to("audit.log");
    let config = node.config_of_siem(&endpoint);
    let text = std::fs::read_to_string(&config).unwrap();
    let kubeconfig = node.workdir.path("away");
    std::fs::write(&kubeconfig, std::fs::read_to_string(node.workdir.kubeconfig(&away.url())).unwrap())
        .unwrap();
    node.workdir.kubeconfig(&endpoint.url());
    let both = format!("outputs:\n- name: away\n  webhook: {{ kubeconfig: \"{}\" }}", kubeconfig.display());
    std::fs::write(&config, text.replace("outputs:", &both)).unwrap();
    let daemon = Node::start(&config);
    daemon.address();
    node.append("audit.log", &events);
    let lag = |metrics: &crate::support::daemon::Metrics| {
        metrics.value("audit_shipper_lag_bytes", &[("output", "away")])
    };
    daemon.wait_for_metrics("a backlog", |metrics| lag(metrics) > 0.0);
    std::fs::write(&config, text).unwrap();
    daemon.hang_up();
    daemon.wait_for_line("taken over");
    daemon.wait_for_metrics("no backlog", |metrics| lag(metrics) == 0.0);
}

/// What the endpoint stumbles over is at the head of the log that the cursors are of, whatever the manifest says by now.
#[test]
fn a_skip_in_between_is_of_the_old_log() {
    let (gate, endpoint) = gated();
    let node = Node::new();
    let events = real_events(20);
    node.lead_to("old.log");
    let config = node.config_of_siem(&endpoint);
    let mut daemon = Node::start(&config);
    node.append("old.log", &events[..10]);
    daemon
        .wait_for_metrics("10 lines", |metrics| count(metrics, "audit_shipper_read_events_total", &[]) == 10);
    daemon.terminate();
    assert!(daemon.wait().success());
    node.lead_to("new.log");
    node.append("new.log", &events[10..15]);
    audit_shipper(["cursor", "skip", "--output=siem", "--config", config.to_str().unwrap()]).succeeded();
    gate.open();
    let daemon = Node::start(&config);
    daemon.address();
    node.append("new.log", &events[15..]);
    wait_until_settled(&daemon, 19);
    assert_delivered_once(&endpoint, &events[1..]);
    no_gaps(&daemon);
}
