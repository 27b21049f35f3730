//! From one log to another with several outputs: each goes over when it has shipped the old one, whatever the others do.

use std::fs;

use super::Node;
use super::moving::{gated, holds, no_gaps};
use crate::support::books::{assert_law, count};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::systemd::Systemd;
use crate::support::wait_until;
use crate::support::workdir::{real_events, replace};

impl Node {
    /// These outputs, to webhooks without long waits, one request after the other.
    pub(super) fn config_of(&self, outputs: &[(&str, &Endpoint)]) -> std::path::PathBuf {
        let output = |(name, endpoint): &(&str, &Endpoint)| {
            let kubeconfig = self.workdir.path(&format!("{name}.kubeconfig"));
            fs::rename(self.workdir.kubeconfig(&endpoint.url()), &kubeconfig).unwrap();
            format!(
                "- name: {name}\n  webhook: {{ kubeconfig: \"{}\", initialBackoff: 20ms, maxBackoff: 100ms }}\n  \
                 batch: {{ maxWait: 50ms }}\n  redact: {{ enabled: false }}\n  maxInFlight: 1\n",
                kubeconfig.display()
            )
        };
        self.config("", &format!("outputs:\n{}", outputs.iter().map(output).collect::<String>()))
    }
}

/// Waits until `output` has settled so many events.
pub(super) fn settled(daemon: &Daemon, output: &str, events: u64) {
    daemon.wait_for_metrics(&format!("{events} events of {output}"), |metrics| {
        let of = [("output", output)];
        let settled = count(metrics, "audit_shipper_delivered_events_total", &of) >= events
            && count(metrics, "audit_shipper_lag_bytes", &of) == 0;
        assert_law(metrics, output);
        settled
    });
}

pub(super) fn remembered(node: &Node) -> String {
    fs::read_to_string(node.workdir.state().join("log.json")).unwrap()
}

/// One endpoint is away while the log moves twice, over a crash; the other has all of it meanwhile.
#[test]
fn an_endpoint_that_is_away_holds_up_no_other_at_the_next_log() {
    let (gate, away) = gated();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(100);
    node.lead_to("old.log");
    let config = node.config_of(&[("away", &away), ("siem", &endpoint)]);
    let mut daemon = Node::start(&config);
    node.append("old.log", &events[..20]);
    settled(&daemon, "siem", 20);
    node.lead_to("new.log");
    daemon.wait_for_line("the log is another one");
    node.append("old.log", &events[20..30]);
    node.append("new.log", &events[30..40]);
    settled(&daemon, "siem", 40);
    assert_eq!(daemon.log().matches("the old log is settled").count(), 1, "{}", daemon.log());
    // What the one has shipped is held for the other.
    let backup = node.log("new-2026-01-02T03-04-05.000.log");
    fs::rename(node.log("new.log"), &backup).unwrap();
    node.append("new.log", &events[40..50]);
    settled(&daemon, "siem", 50);
    wait_until("a hold on the backup", || holds(&daemon, &backup).then_some(()));
    daemon.kill9();

    let mut daemon = Node::start(&config);
    daemon.address();
    node.append("new.log", &events[50..60]);
    settled(&daemon, "siem", 10);
    assert!(remembered(&node).contains("old.log"), "{}", remembered(&node));
    wait_until("a hold on the backup again", || holds(&daemon, &backup).then_some(()));
    fs::remove_file(&backup).unwrap();
    node.lead_to("third.log");
    daemon.wait_for_line("third.log");
    node.append("third.log", &events[60..80]);
    settled(&daemon, "siem", 30);
    daemon.terminate();
    assert!(daemon.wait().success());

    let daemon = Node::start(&config);
    daemon.address();
    node.append("third.log", &events[80..]);
    endpoint.wait_for_items(100);
    assert!(endpoint.items() == events, "one event after the other, and each once");
    assert!(away.items().is_empty());
    gate.open();
    settled(&daemon, "away", 100);
    assert!(away.items() == events, "one event after the other, and each once");
    no_gaps(&daemon);
    wait_until("the old logs to be forgotten", || (!remembered(&node).contains("new.log")).then_some(()));
    assert!(!remembered(&node).contains("old.log"), "{}", remembered(&node));
    daemon.wait_for_metrics("no pins", |metrics| count(metrics, "audit_shipper_pinned_files", &[]) == 0);
}

/// One that is taken out while it is behind in the old log, and comes back when all others have left that.
#[test]
fn an_output_that_comes_back_goes_on_in_the_log_that_it_left() {
    let (gate, away) = gated();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(50);
    node.lead_to("old.log");
    let both = node.config_of(&[("away", &away), ("siem", &endpoint)]);
    let with_both = fs::read_to_string(&both).unwrap();
    gate.open();
    let mut daemon = Node::start(&both);
    node.append("old.log", &events[..10]);
    settled(&daemon, "away", 10);
    let alone = with_both.split_once("- name: away").unwrap();
    let alone = format!("{}{}", alone.0, &alone.1[alone.1.find("- name: siem").unwrap()..]);
    replace(&both, &alone);
    daemon.wait_for_line("taken over");
    node.append("old.log", &events[10..20]);
    node.lead_to("new.log");
    daemon.wait_for_line("the log is another one");
    node.append("new.log", &events[20..30]);
    settled(&daemon, "siem", 30);
    daemon.wait_for_line("the old log is settled");
    daemon.terminate();
    assert!(daemon.wait().success());
    node.lead_to("third.log");
    let daemon = Node::start(&both);
    daemon.wait_for_line("the log is another one");
    node.append("third.log", &events[30..40]);
    settled(&daemon, "siem", 10);
    replace(&both, &with_both);
    wait_until("the other output", || daemon.log().contains("output=\"away\"").then_some(()));
    settled(&daemon, "away", 30);
    node.append("third.log", &events[40..]);
    settled(&daemon, "away", 40);
    settled(&daemon, "siem", 20);
    assert!(away.items() == events && endpoint.items() == events);
    no_gaps(&daemon);
}

/// It settles the last of the old log when it has been taken out already.
#[test]
fn nothing_is_held_for_an_output_that_ends_between_two_logs() {
    let (gate, away) = gated();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(40);
    node.lead_to("old.log");
    let config = node.config_of(&[("away", &away), ("siem", &endpoint)]);
    let mut daemon = Node::start(&config);
    node.append("old.log", &events[..10]);
    settled(&daemon, "siem", 10);
    node.lead_to("new.log");
    daemon.wait_for_line("the log is another one");
    node.append("new.log", &events[10..20]);
    settled(&daemon, "siem", 20);
    // It knows from the first line on that nobody writes to the old log any more, and has read all of it.
    daemon.kill9();
    let daemon = Node::start(&config);
    daemon.wait_for_metrics("all of the old log to be read", |metrics| {
        count(metrics, "audit_shipper_buffered_events", &[("output", "away")]) == 10
    });
    let both = fs::read_to_string(&config).unwrap();
    let (head, outputs) = both.split_once("- name: away").unwrap();
    let alone = format!("{head}{}", &outputs[outputs.find("- name: siem").unwrap()..]);
    replace(&config, &alone.replace("shutdownGrace: 1s", "shutdownGrace: 1m"));
    daemon.wait_for_line("taken over");
    gate.open();
    wait_until("the end of the other", || (away.items().len() == 10).then_some(()));
    for (number, part) in events[20..].chunks(10).enumerate() {
        node.append("new.log", part);
        let backup = node.log(&format!("new-2026-01-02T03-04-0{number}.000.log"));
        wait_until("a hold on it", || holds(&daemon, &node.log("new.log")).then_some(()));
        fs::rename(node.log("new.log"), &backup).unwrap();
        node.append("new.log", &[]);
        settled(&daemon, "siem", 10 + 10 * number as u64);
        wait_until("nobody to hold it", || (!holds(&daemon, &backup)).then_some(()));
    }
    no_gaps(&daemon);
}

/// A crash in the middle of the way, with files of both logs that no name leads to any more.
#[test]
fn what_systemd_holds_of_several_logs_comes_back_to_each() {
    let (gate, endpoint) = gated();
    let node = Node::new();
    let events = real_events(60);
    let config = node.config_of(&[("siem", &endpoint)]);
    let args = ["run".to_owned(), format!("--config={}", config.display())];
    let systemd = Systemd::new();
    let mut parts = events.chunks(10);
    node.lead_to("old/audit.log");
    fs::create_dir(node.log("old")).unwrap();
    fs::create_dir(node.log("new")).unwrap();
    let mut daemon = Daemon::spawn(systemd.command(&args));
    daemon.address();
    for directory in ["old", "new"] {
        let log = format!("{directory}/audit.log");
        node.lead_to(&log);
        wait_until("the log", || daemon.log().contains(&log).then_some(()));
        node.append(&log, parts.next().unwrap());
        // The same names in both directories.
        for number in [2, 1] {
            let backup = node.log(&format!("{log}.{number}"));
            wait_until("a hold on the live file", || holds(&daemon, &node.log(&log)).then_some(()));
            fs::rename(node.log(&log), &backup).unwrap();
            node.append(&log, parts.next().unwrap());
            wait_until("a hold on the backup", || holds(&daemon, &backup).then_some(()));
            fs::remove_file(backup).unwrap();
        }
        wait_until("a hold on the live file", || holds(&daemon, &node.log(&log)).then_some(()));
    }
    daemon.wait_for_line("the new log has begun");
    wait_until("six files in the store", || (systemd.stored().len() >= 6).then_some(()));
    daemon.kill9();

    let daemon = Daemon::spawn(systemd.command(&args));
    daemon.address();
    gate.open();
    settled(&daemon, "siem", 60);
    assert!(endpoint.items() == events, "one event after the other, and each once");
    no_gaps(&daemon);
    wait_until("nothing to be kept but the live file", || (systemd.stored().len() <= 1).then_some(()));
}
