//! A network that breaks connections, endpoints that answer with anything but success, and events that are wrong.

use std::time::Duration;

use super::site::Fate;
use super::{Destination, Protocol, Site};
use crate::support::books::count;
use crate::support::endpoint::Answer;
use crate::support::faults::{Break, Fault, Network, Then};
use crate::support::http1::Recorded;
use crate::support::shipper::{POISON, poisoned, wait_until_settled};
use crate::support::workdir::real_events;

const SEED: u64 = 20_261_122;

/// What the n-th connection meets. None serves more than one request, so that there are many; only the last of the slow
/// ones serves whatever comes.
fn weather_of(n: usize) -> Fault {
    // Each costs a timeout, and three in a row would halve a batch.
    match n {
        20 => return Fault::Mute,
        60 => return Fault::Request(100, Break::Stall),
        100 => return Fault::Answer(20, Break::Stall),
        170 => return Fault::Trickle(Duration::from_millis(1)),
        _ => {}
    }
    let mut random = fastrand::Rng::with_seed(SEED + n as u64);
    // Shorter than any body, and than any answer.
    let (of_body, of_answer) = (random.usize(0..500), random.usize(0..40));
    let instead = |answer: &str| Fault::Instead { answer: answer.into(), then: Then::Close };
    match random.u8(0..10) {
        0 => Fault::Request(of_body, Break::Reset),
        1 => Fault::Request(of_body, Break::HalfClose),
        2 => Fault::Answer(of_answer, Break::Reset),
        3 => Fault::Answer(of_answer, Break::HalfClose),
        4 => instead("SSH-2.0-OpenSSH_9.6\r\n"),
        5 => instead("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"),
        _ => Fault::Stale,
    }
}

pub(super) fn weather<P: Protocol>() {
    const BATCH: usize = 6;
    let site = Site::<P>::new();
    let network = Network::start(site.endpoint.address(), weather_of);
    let events = real_events(600);
    let shipper = site.shipper_by(network.address(), "1s").batches_of(BATCH).log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    assert!(network.connections() > 100, "{} connections", network.connections());
    site.assert_has(&shipper, &events, site.most_twice(&metrics, BATCH));
    for outcome in ["hold", "refused"] {
        let of_outcome = count(&metrics, "audit_shipper_requests_total", &[("outcome", outcome)]);
        assert_eq!(of_outcome, 0, "no fault of the network is the endpoint's word");
    }
}

/// The n-th request: what HTTP has for trouble, what the protocol has, and connections that end.
fn trouble_of<P: Protocol>(request: &Recorded, events: usize, n: usize) -> Fate {
    let mut fates: Vec<Fate> =
        [408, 500, 502, 503, 504, 401, 404].map(Answer::status).map(Fate::Instead).into();
    fates.extend(
        [
            Answer::with_header(429, "Retry-After", "1"),
            Answer::with_header(503, "Retry-After", "Sun, 22 Nov 2026 02:22:50 GMT"),
            Answer::with_header(302, "Location", "/moved"),
            Answer::with_header(307, "Location", &request.target),
            Answer::with_header(308, "Location", "http://127.0.0.1:1/"),
            Answer::Close,
            Answer::CutOff,
        ]
        .map(Fate::Instead),
    );
    fates.extend(P::troubles(events).into_iter().map(Fate::Instead));
    fates.extend(P::troubles(events).into_iter().map(Fate::Lost));
    fates.extend([Answer::Close, Answer::CutOff, Answer::status(503), Answer::status(500)].map(Fate::Lost));
    let after = fates.len();
    // Each of them once, and every third time something that is well: nothing is halved, and nothing gives up.
    if n % 3 == 2 || n / 3 * 2 + n % 3 >= after { Fate::Due } else { fates.swap_remove(n / 3 * 2 + n % 3) }
}

pub(super) fn trouble<P: Protocol>() {
    const BATCH: usize = 8;
    let site = Site::<P>::with(|request, events, n| trouble_of::<P>(request, events.len(), n));
    let events = real_events(400);
    let shipper = site.shipper().batches_of(BATCH).log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    let of_outcome = |outcome| count(&metrics, "audit_shipper_requests_total", &[("outcome", outcome)]);
    assert!(of_outcome("retry") >= 8 && of_outcome("hold") >= 3, "{}", metrics.text());
    site.assert_has(&shipper, &events, site.most_twice(&metrics, BATCH));
}

pub(super) fn wrong_events<P: Protocol>() {
    let mut events = real_events(200);
    // At the head, side by side, within, and at the end.
    for place in [0, 4, 5, 77, 199] {
        events[place] = poisoned(&events[place]);
    }
    let site = Site::<P>::new();
    let shipper = site.shipper().batches_of(50).log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    site.assert_has(&shipper, &events, 0);
    assert!(shipper.rejected().iter().all(|entry| entry.reason == "rejected"));
    assert_eq!(count(&metrics, "error_total", &[("reason", "rejected")]), 5);
    assert_eq!(count(&metrics, "audit_shipper_delivered_events_total", &[]), 195);
}

/// What is too large together goes apart; what is too large even when it is cut is set aside.
pub(super) fn too_large<P: Protocol>() {
    const MOST: usize = 30_000;
    let mut events = real_events(200);
    events[50] = poisoned(&events[50]);
    let site = Site::<P>::with(|_, events, _| {
        let bytes: usize = events.iter().map(String::len).sum();
        let is_too_large = bytes > MOST || events.iter().any(|event| event.contains(POISON));
        if is_too_large { Fate::Instead(P::too_large()) } else { Fate::Due }
    });
    let shipper = site.shipper().log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    site.assert_has(&shipper, &events, 0);
    assert!(shipper.rejected().iter().all(|entry| entry.reason == "too_large"));
    assert_eq!(count(&metrics, "error_total", &[("reason", "too_large")]), 1);
    assert!(count(&metrics, "audit_shipper_requests_total", &[("outcome", "refused")]) >= 10);
}
