//! A configuration that is right as a text, and that cannot be taken over all the same.

use std::fs;

use super::Files;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::systemd::Systemd;
use crate::support::wait_until;

/// It is said once, and it is taken over when somebody has done something about it and asks.
#[test]
fn a_key_that_cannot_be_had_is_said_once() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let files = Files::new();
    let output = files.output("siem", &endpoint, "");
    files.write(&[&output]);
    let systemd = Systemd::new();
    let daemon = Daemon::spawn(systemd.command(files.args()));
    systemd.wait_for("READY=1");
    let in_the_way = files.workdir.state().join("redact.key");
    fs::create_dir(&in_the_way).unwrap();
    let ask = || {
        let said = || systemd.said().iter().filter(|said| *said == "READY=1").count();
        let before = said();
        daemon.hang_up();
        wait_until("the end of the reload", || (said() > before).then_some(()));
    };
    files.write(&[&output.replace("enabled: false", "enabled: true")]);
    daemon.wait_for_line("the configuration is wrong");
    (0..3).for_each(|_| ask());
    assert_eq!(daemon.log().matches("the configuration is wrong").count(), 1, "{}", daemon.log());
    assert!(!daemon.log().contains("taken over"), "{}", daemon.log());
    fs::remove_dir(in_the_way).unwrap();
    ask();
    assert!(daemon.log().contains("taken over"), "{}", daemon.log());
}
