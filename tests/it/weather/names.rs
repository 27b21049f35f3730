//! The endpoint's name leads to another address, and nobody restarts the daemon for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::connections::{fill, full_listener_at};
use super::{BATCH, IMPATIENT, requests, shipper_to, taking_everything};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::faults::{Fault, Network};
use crate::support::hosts::Hosts;
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::real_events;

const NAME: &str = "audit.test";

/// Addresses that no other test takes, so that what is free at one of them is free at the others.
fn at(last: u8, port: u16) -> SocketAddr {
    ([127, 0, 66, last], port).into()
}

fn ip(last: u8) -> String {
    at(last, 0).ip().to_string()
}

/// Ships the first of two batches to where the name leads first.
fn shipping(port: u16, first: u8) -> Option<(Shipper, Hosts, Daemon)> {
    let shipper = shipper_to(&format!("http://{NAME}:{port}/audit")).webhook(IMPATIENT).one_at_a_time();
    let hosts = Hosts::new(&shipper.workdir)?;
    hosts.set(&[(NAME, &ip(first))]);
    let shipper = shipper.log(&real_events(BATCH));
    let daemon = Daemon::spawn(hosts.command(&shipper.args()));
    wait_until_settled(&daemon, BATCH);
    Some((shipper, hosts, daemon))
}

#[test]
fn the_old_address_is_dead() {
    let old = Endpoint::start_at(at(1, 0), |_, _| Answer::ok());
    let port = old.address().port();
    let Some((shipper, hosts, daemon)) = shipping(port, 1) else { return };
    let mut arrived = old.stop();
    shipper.workdir.append(&real_events(2 * BATCH)[BATCH..]);
    daemon.wait_for_line("no connection: connection refused");
    let new = Endpoint::start_at(at(2, port), |_, _| Answer::ok());
    hosts.set(&[(NAME, &ip(2))]);
    wait_until_settled(&daemon, 2 * BATCH);
    arrived.extend(new.items());
    assert!(arrived == real_events(2 * BATCH));
}

/// No reset, no refusal: the old connection and new ones to the old address just say nothing.
#[test]
fn the_old_address_hangs() {
    let endpoint = taking_everything();
    let hung = Arc::new(AtomicBool::new(false));
    let old = Network::start_at(at(3, 0), endpoint.address(), {
        let hung = Arc::clone(&hung);
        move |_| if hung.load(Ordering::SeqCst) { Fault::Mute } else { Fault::Pass }
    });
    let port = old.address().port();
    let Some((shipper, hosts, daemon)) = shipping(port, 3) else { return };
    hung.store(true, Ordering::SeqCst);
    old.hang();
    shipper.workdir.append(&real_events(2 * BATCH)[BATCH..]);
    daemon.wait_for_line("no complete answer in time");
    let new = Network::start_at(at(4, port), endpoint.address(), |_| Fault::Pass);
    hosts.set(&[(NAME, &ip(4))]);
    wait_until_settled(&daemon, 2 * BATCH);
    assert!(endpoint.items() == real_events(2 * BATCH));
    assert_eq!(new.connections(), 1);
}

/// The name has two addresses, and the first of them is no good.
#[test]
fn one_of_two_addresses_is_enough() {
    let events = real_events(BATCH);
    for refused in [true, false] {
        let endpoint = Endpoint::start_at(at(5, 0), |_, _| Answer::ok());
        let port = endpoint.address().port();
        let waiting = (!refused).then(|| {
            let listener = full_listener_at(at(6, port));
            (fill(at(6, port)), listener)
        });
        let shipper = shipper_to(&format!("http://{NAME}:{port}/audit")).webhook(IMPATIENT).log(&events);
        let Some(hosts) = Hosts::new(&shipper.workdir) else { return };
        hosts.set(&[(NAME, &ip(6)), (NAME, &ip(5))]);
        let daemon = Daemon::spawn(hosts.command(&shipper.args()));
        assert_eq!(requests(&wait_until_settled(&daemon, BATCH)), [1, 0]);
        assert!(endpoint.items() == events);
        drop(waiting);
    }
}

#[test]
fn a_name_that_nobody_knows_yet() {
    let endpoint = Endpoint::start_at(at(7, 0), |_, _| Answer::ok());
    let shipper = shipper_to(&format!("http://{NAME}:{}/audit", endpoint.address().port()));
    let shipper = shipper.log(&real_events(BATCH));
    let Some(hosts) = Hosts::new(&shipper.workdir) else { return };
    let daemon = Daemon::spawn(hosts.command(&shipper.args()));
    daemon.wait_for_line("reason=\"no connection: the name does not resolve: ");
    hosts.set(&[(NAME, &ip(7))]);
    wait_until_settled(&daemon, BATCH);
    assert!(endpoint.items() == real_events(BATCH));
}
