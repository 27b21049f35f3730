//! Connections that break, stall, or never come about.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

use super::{BATCH, IMPATIENT, requests, shipper_to, taking_everything, weathered};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::faults::{Break, Fault, Network};
use crate::support::shipper::wait_until_settled;
use crate::support::workdir::real_events;

#[test]
fn a_reset_within_the_request() {
    let (daemon, _shipper) = weathered(&[0, 1, 1000].map(|bytes| Fault::Request(bytes, Break::Reset)), 0);
    assert!(daemon.wait_for_line(" WARN ").contains("no complete answer: the connection was "));
}

/// The endpoint has the events, and nobody can know: they come twice, and are never lost.
#[test]
fn a_reset_before_and_within_the_answer() {
    weathered(&[0, 1, 45].map(|bytes| Fault::Answer(bytes, Break::Reset)), 3);
}

#[test]
fn a_request_that_gets_stuck() {
    let (daemon, _shipper) = weathered(&[0, 1000].map(|bytes| Fault::Request(bytes, Break::Stall)), 0);
    assert!(daemon.wait_for_line(" WARN ").contains("reason=\"no complete answer in time\""));
}

#[test]
fn an_answer_that_gets_stuck() {
    // At the third timeout in a row the batch would be halved.
    weathered(&[0, 20].map(|bytes| Fault::Answer(bytes, Break::Stall)), 2);
    weathered(&[Fault::Answer(45, Break::Stall)], 1);
}

#[test]
fn an_end_that_closes_in_order_too_early() {
    let request = weathered(&[0, 1000].map(|bytes| Fault::Request(bytes, Break::HalfClose)), 0);
    assert!(request.0.wait_for_line(" WARN ").contains("no complete answer: the connection was closed"));
    weathered(&[0, 20, 45].map(|bytes| Fault::Answer(bytes, Break::HalfClose)), 3);
}

#[test]
fn an_answer_that_takes_longer_than_the_timeout_although_it_never_stops() {
    weathered(&[Fault::Trickle(Duration::from_millis(500))], 1);
}

/// Slow is not dead.
#[test]
fn an_answer_in_single_bytes_within_the_timeout() {
    let endpoint = taking_everything();
    let network = Network::start(endpoint.address(), |_| Fault::Trickle(Duration::from_millis(1)));
    let events = real_events(2 * BATCH);
    let shipper = shipper_to(&network.url()).one_at_a_time().log(&events);
    let daemon = shipper.start();
    assert_eq!(requests(&wait_until_settled(&daemon, events.len())), [2, 0]);
    assert!(endpoint.items() == events, "{} items", endpoint.items().len());
}

/// It listens, and the system completes the connection, but nobody is there.
#[test]
fn a_connection_that_nobody_serves() {
    weathered(&[Fault::Mute, Fault::Mute], 0);
}

/// A firewall that drops packets does the same: not even a refusal comes.
#[test]
fn a_connection_that_never_comes_about() {
    let listener = full_listener_at(([127, 0, 0, 1], 0).into());
    let address = listener.local_addr().unwrap();
    let waiting = fill(address);
    let events = real_events(2 * BATCH);
    let shipper = shipper_to(&format!("http://{address}/audit")).webhook(IMPATIENT);
    let shipper = shipper.one_at_a_time().log(&events);
    let daemon = shipper.start();
    daemon.wait_for_line("reason=\"no connection in time\"");
    daemon.wait_for_metrics("another try", |metrics| requests(metrics)[1] >= 2);
    drop(waiting);
    let endpoint = Endpoint::start_on(listener, |_, _| Answer::ok());
    assert_eq!(requests(&wait_until_settled(&daemon, events.len()))[0], 2);
    assert!(endpoint.items() == events, "{} items", endpoint.items().len());
}

/// Takes one connection that nobody accepts, and drops the packets of others.
pub(super) fn full_listener_at(address: SocketAddr) -> TcpListener {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &address).unwrap();
    listen(&socket, 0).unwrap();
    TcpListener::from(socket)
}

/// Its queue is full while these connections live.
pub(super) fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        waiting.push(stream);
        assert!(waiting.len() < 10, "the queue has no end");
    }
    waiting
}

/// A load balancer closes what it thinks idle, at the moment of the next request.
#[test]
fn a_pooled_connection_that_is_stale() {
    let endpoint = taking_everything();
    let network = Network::start(endpoint.address(), |_| Fault::Stale);
    let events = real_events(4 * BATCH);
    let shipper = shipper_to(&network.url()).one_at_a_time().log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    assert_eq!(requests(&metrics), [4, 3]);
    assert!(endpoint.items() == events, "{} items", endpoint.items().len());
}

#[test]
fn a_pooled_connection_that_was_closed_while_idle() {
    let endpoint = taking_everything();
    let network = Network::start(endpoint.address(), |_| Fault::Pass);
    let shipper = shipper_to(&network.url()).one_at_a_time();
    let daemon = shipper.start();
    let events = real_events(4 * BATCH);
    for (n, batch) in events.chunks(BATCH).enumerate() {
        shipper.workdir.append(batch);
        wait_until_settled(&daemon, (n + 1) * BATCH);
        network.close();
    }
    assert!(endpoint.items() == events, "{} items", endpoint.items().len());
    assert_eq!(network.connections(), 4);
}

/// What was sent first is answered last: the cursor waits, and nothing is sent twice.
#[test]
fn answers_that_overtake_each_other() {
    let endpoint = taking_everything();
    let network = Network::start(endpoint.address(), |n| match n {
        0 => Fault::AnswerAfter(2),
        1 => Fault::AnswerAfter(1),
        _ => Fault::Pass,
    });
    let events = real_events(6 * BATCH);
    let shipper = shipper_to(&network.url()).webhook("timeout: 30s").output("maxInFlight: 3").log(&events);
    let daemon = shipper.start();
    assert_eq!(requests(&wait_until_settled(&daemon, events.len())), [6, 0]);
    crate::support::writer::assert_each_once(events, endpoint.items());
}
