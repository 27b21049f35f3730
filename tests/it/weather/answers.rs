//! Answers that are not what HTTP says an answer is.

use super::{BATCH, requests, shipper_to, taking_everything, weathered};
use crate::support::faults::{Fault, Network, Then};
use crate::support::shipper::wait_until_settled;
use crate::support::workdir::real_events;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

fn instead(answer: impl Into<Vec<u8>>, then: Then) -> Fault {
    Fault::Instead { answer: answer.into(), then }
}

#[test]
fn a_body_that_ends_before_its_length() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}";
    weathered(&[instead(head, Then::Close), instead(head, Then::KeepOpen)], 2);
}

#[test]
fn chunks_that_do_not_end() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let faults = [
        instead(format!("{head}2\r\n{{}}\r\n"), Then::Close),
        instead(format!("{head}2\r\n{{}}\r\n"), Then::KeepOpen),
        instead(format!("{head}not a number\r\n"), Then::KeepOpen),
    ];
    weathered(&faults, 3);
}

#[test]
fn what_is_no_http_at_all() {
    let faults = ["SSH-2.0-OpenSSH_9.6\r\n", "\0\0\0\0", "", "HTTP/1.1 200", "HTTP/1.1 2x0 OK\r\n\r\n"];
    let (daemon, _shipper) = weathered(&faults.map(|answer| instead(answer, Then::Close)), 5);
    assert!(daemon.wait_for_line(" WARN ").contains("no complete answer: the answer is not HTTP"));
}

#[test]
fn two_lengths_that_differ() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}";
    weathered(&[instead(answer, Then::KeepOpen)], 1);
}

#[test]
fn a_head_without_measure() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "x: y\r\n".repeat(10_000));
    let forever = |piece: &str| Then::Forever(piece.as_bytes().repeat(1000));
    let faults = [
        instead(large, Then::KeepOpen),
        instead(many, Then::KeepOpen),
        instead("HTTP/1.1 200 OK\r\nx: ", forever("x")),
        instead("HTTP/1.1 200 OK\r\n", forever("x: y\r\n")),
        instead("", forever("HTTP/1.1 103 Early Hints\r\n\r\n")),
    ];
    let (daemon, _shipper) = weathered(&faults, 5);
    assert!(
        daemon.wait_for_line(" WARN ").contains("no complete answer: the head of the answer is too large")
    );
    assert!(daemon.peak_rss() < 200 << 20, "{}", daemon.peak_rss());
}

#[test]
fn a_body_without_end() {
    let forever = || Then::Forever(vec![b'x'; 10_000]);
    let faults = [
        instead("HTTP/1.1 200 OK\r\n\r\n", forever()),
        instead("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n", forever()),
    ];
    let (daemon, _shipper) = weathered(&faults, 2);
    assert!(daemon.peak_rss() < 200 << 20, "{}", daemon.peak_rss());
}

/// One answer for each, whatever stands around it.
fn taken_at_once(fault: Fault) {
    let endpoint = taking_everything();
    let network = Network::start(endpoint.address(), move |_| fault.clone());
    let events = real_events(4 * BATCH);
    let shipper = shipper_to(&network.url()).one_at_a_time().log(&events);
    let daemon = shipper.start();
    assert_eq!(requests(&wait_until_settled(&daemon, events.len())), [4, 0]);
    assert!(endpoint.items() == events, "{} items", endpoint.items().len());
}

#[test]
fn interim_answers_are_no_answers() {
    taken_at_once(Fault::Before(b"HTTP/1.1 100 Continue\r\n\r\n"));
    taken_at_once(Fault::Before(
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
    ));
}

/// What comes after an answer belongs to no request: who takes it for the next answer loses a batch.
#[test]
fn bytes_after_an_answer_acknowledge_nothing() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}";
    taken_at_once(instead(short, Then::KeepOpen));
    taken_at_once(instead(OK.repeat(3), Then::KeepOpen));
}

#[test]
fn an_answer_that_ends_with_its_connection() {
    taken_at_once(instead("HTTP/1.1 200 OK\r\n\r\n{}", Then::Close));
    taken_at_once(instead("HTTP/1.0 200 OK\r\n\r\n{}", Then::Close));
    taken_at_once(instead("HTTP/1.1 204\r\nConnection: close\r\n\r\n", Then::Close));
}
