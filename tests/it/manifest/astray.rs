//! The manifest leads somewhere and away again, the disk forgets what is read, an output does not end: what must neither be
//! lost nor held for ever.

use std::fs;

use super::Node;
use super::apart::{remembered, settled};
use super::moving::{gated, holds, no_gaps};
use crate::delivery::assert_delivered_once;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::systemd::Systemd;
use crate::support::wait_until;
use crate::support::workdir::{real_events, replace};

fn wait_for_lines(daemon: &Daemon, text: &str, times: usize) {
    wait_until(text, || (daemon.log().matches(text).count() >= times).then_some(()));
}

/// kubelet obeyed the manifest that was wrong when it had been right again for a while.
#[test]
fn a_log_that_begins_after_somebody_led_back_is_read() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(50);
    node.lead_to("old.log");
    let config = node.config_of(&[("siem", &endpoint)]);
    node.append("wrong.log", &events[..5]);
    let daemon = Node::start(&config);
    node.append("old.log", &events[5..15]);
    settled(&daemon, "siem", 10);
    node.lead_to("wrong.log");
    wait_for_lines(&daemon, "the log is another one", 1);
    node.lead_to("old.log");
    wait_for_lines(&daemon, "taken over", 2);
    node.append("old.log", &events[15..20]);
    settled(&daemon, "siem", 15);
    node.append("wrong.log", &events[20..30]);
    settled(&daemon, "siem", 30);
    node.append("wrong.log", &events[30..40]);
    settled(&daemon, "siem", 40);
    node.append("old.log", &events[40..]);
    settled(&daemon, "siem", 50);
    assert_delivered_once(&endpoint, &events);
    no_gaps(&daemon);
}

/// The same, where it is not led back but to a third one.
#[test]
fn a_log_that_begins_after_somebody_led_on_is_read() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(40);
    node.lead_to("old.log");
    let config = node.config_of(&[("siem", &endpoint)]);
    let daemon = Node::start(&config);
    node.append("old.log", &events[..10]);
    settled(&daemon, "siem", 10);
    node.lead_to("wrong.log");
    wait_for_lines(&daemon, "the log is another one", 1);
    node.lead_to("new.log");
    wait_for_lines(&daemon, "the log is another one", 2);
    node.append("wrong.log", &events[10..20]);
    settled(&daemon, "siem", 20);
    node.append("wrong.log", &events[20..30]);
    node.append("new.log", &events[30..]);
    settled(&daemon, "siem", 40);
    assert!(endpoint.items() == events, "one event after the other, and each once");
    no_gaps(&daemon);
}

/// systemd would hold its files for as long as the unit is up, and a later start would take them for those of another log.
#[test]
fn nothing_is_held_of_a_log_that_nobody_is_to_read() {
    let (gate, away) = gated();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(40);
    for directory in ["old", "new"] {
        fs::create_dir(node.log(directory)).unwrap();
    }
    node.append("new/audit.log", &events[..10]);
    node.lead_to("old/audit.log");
    let config = node.config_of(&[("away", &away), ("siem", &endpoint)]);
    let args = ["run".to_owned(), format!("--config={}", config.display())];
    let systemd = Systemd::new();
    let mut daemon = Daemon::spawn(systemd.command(&args));
    node.append("old/audit.log", &events[10..20]);
    settled(&daemon, "siem", 10);
    let stored = |count| wait_until("the store", || (systemd.stored().len() == count).then_some(()));
    stored(1);
    // Left before it had begun,
    node.lead_to("new/audit.log");
    stored(2);
    node.lead_to("old/audit.log");
    stored(1);
    // and left behind with an output that is taken out while nothing runs.
    node.lead_to("third.log");
    wait_for_lines(&daemon, "the log is another one", 2);
    let backup = node.log("old/audit.log.1");
    fs::rename(node.log("old/audit.log"), &backup).unwrap();
    wait_until("a hold on the backup", || holds(&daemon, &backup).then_some(()));
    fs::remove_file(&backup).unwrap();
    node.append("third.log", &events[20..30]);
    settled(&daemon, "siem", 20);
    stored(2);
    daemon.kill9();
    let text = fs::read_to_string(&config).unwrap();
    let (before, outputs) = text.split_once("- name: away").unwrap();
    replace(&config, &format!("{before}{}", &outputs[outputs.find("- name: siem").unwrap()..]));
    let daemon = Daemon::spawn(systemd.command(&args));
    node.append("third.log", &events[30..]);
    settled(&daemon, "siem", 10);
    stored(1);
    gate.open();
    assert!(endpoint.items() == events[10..], "one event after the other, and each once");
}

/// The disk is full when the first output goes on, and has room again soon after.
#[test]
fn which_log_is_read_is_remembered_as_soon_as_it_can_be() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(40);
    node.lead_to("old.log");
    let config = node.config_of(&[("siem", &endpoint)]);
    let mut daemon = Node::start(&config);
    node.append("old.log", &events[..10]);
    settled(&daemon, "siem", 10);
    let in_the_way = ["log.json.new", "siem.cursor.json.new"].map(|name| node.workdir.state().join(name));
    for path in &in_the_way {
        fs::create_dir(path).unwrap();
    }
    node.lead_to("new.log");
    wait_for_lines(&daemon, "the log is another one", 1);
    node.append("new.log", &events[10..20]);
    settled(&daemon, "siem", 20);
    assert!(!remembered(&node).contains("new.log"), "{}", remembered(&node));
    assert_eq!(daemon.log().matches("cannot be remembered").count(), 1, "{}", daemon.log());
    no_gaps(&daemon);
    for path in &in_the_way {
        fs::remove_dir(path).unwrap();
    }
    wait_until("the new log", || remembered(&node).contains("new.log").then_some(()));
    daemon.wait_for_line("the cursor can be written again");
    let text = fs::read_to_string(&config).unwrap();
    replace(&config, &text.replace("maxInFlight: 1", "maxInFlight: 2"));
    wait_for_lines(&daemon, "shipping output", 3);
    node.append("new.log", &events[20..30]);
    settled(&daemon, "siem", 30);
    daemon.kill9();
    let daemon = Node::start(&config);
    node.append("new.log", &events[30..]);
    settled(&daemon, "siem", 10);
    assert!(endpoint.items() == events, "one event after the other, and each once");
    no_gaps(&daemon);
}

/// One output has its grace, and the other goes on with the new log meanwhile.
#[test]
fn an_output_that_does_not_end_keeps_no_other_from_the_next_log() {
    let (_gate, away) = gated();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let node = Node::new();
    let events = real_events(30);
    node.lead_to("old.log");
    let config = node.config_of(&[("away", &away), ("siem", &endpoint)]);
    let text = fs::read_to_string(&config).unwrap().replace("shutdownGrace: 1s", "shutdownGrace: 10m");
    fs::write(&config, &text).unwrap();
    let daemon = Node::start(&config);
    node.append("old.log", &events[..10]);
    settled(&daemon, "siem", 10);
    away.wait_for("a request", |requests| !requests.is_empty());
    node.lead_to("new.log");
    wait_for_lines(&daemon, "the log is another one", 1);
    replace(&config, &text.replacen("maxInFlight: 1", "maxInFlight: 2", 1));
    wait_for_lines(&daemon, "taken over", 2);
    node.append("new.log", &events[10..]);
    settled(&daemon, "siem", 30);
    assert!(endpoint.items() == events, "one event after the other, and each once");
}
