//! Request bodies that are compressed, from the log to an endpoint that decodes them by itself.

use crate::delivery::assert_delivered_once;
use crate::support::books::{assert_books_balance, count};
use crate::support::certificates::Authority;
use crate::support::daemon::{Daemon, Metrics};
use crate::support::endpoint::{Answer, Endpoint, plain};
use crate::support::http1::Recorded;
use crate::support::shipper::{POISON, Rejected, Shipper, poisoned, wait_until_settled};
use crate::support::wait_until;
use crate::support::workdir::{large_events, lines_of, real_events};

const HOW: [&str; 2] = ["gzip", "zstd"];
const BATCH: usize = 40;
/// `maxInFlight` by default.
const IN_FLIGHT: usize = 4;

fn compressed(shipper: Shipper, how: &str) -> Shipper {
    shipper.webhook(&format!("maxBackoff: 100ms, compression: {how}"))
}

/// Bytes of acknowledged bodies: before they were compressed, and as they were sent.
fn bytes(metrics: &Metrics) -> [u64; 2] {
    ["audit_shipper_delivered_bytes_total", "audit_shipper_sent_bytes_total"]
        .map(|name| count(metrics, name, &[("output", "siem")]))
}

/// 658 events of all sizes, up to more than a megabyte.
fn arrived(endpoint: &Endpoint, shipper: Shipper) -> (Vec<Recorded>, Metrics) {
    let events = large_events();
    let shipper = shipper.log(&events).batches_of(100).one_at_a_time();
    let metrics = wait_until_settled(&shipper.start(), events.len());
    assert!(endpoint.items() == events);
    (endpoint.requests(), metrics)
}

/// The same as without, but for one header and the length.
#[test]
fn what_arrives_is_byte_for_byte_what_arrives_without() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let (as_they_are, metrics) = arrived(&endpoint, compressed(Shipper::new(&endpoint), "none"));
    let all: u64 = as_they_are.iter().map(|request| request.body.len() as u64).sum();
    assert_eq!(bytes(&metrics), [all, all]);
    let other_headers = |request: &Recorded| {
        // Each of them has a log of its own.
        let differ = ["content-encoding", "content-length", "host", "audit-shipper-source"];
        let others = request.headers.iter().filter(|(name, _)| !differ.contains(&name.as_str()));
        others.cloned().collect::<Vec<_>>()
    };
    for how in ["gzip", "zstd", "gzip, compressionLevel: 9", "zstd, compressionLevel: 12"] {
        let endpoint = Endpoint::start(|_, _| Answer::ok());
        let (requests, metrics) = arrived(&endpoint, compressed(Shipper::new(&endpoint), how));
        assert_eq!(requests.len(), as_they_are.len(), "{how}");
        for (request, as_it_is) in requests.iter().zip(&as_they_are) {
            assert_eq!(as_it_is.header("content-encoding"), None);
            assert_eq!(request.header("content-encoding"), how.split(',').next());
            assert_eq!(request.header("content-length"), Some(&*request.body.len().to_string()));
            assert_eq!(other_headers(request), other_headers(as_it_is));
            assert!(plain(request).as_bytes() == as_it_is.body, "{how}");
        }
        let sent: u64 = requests.iter().map(|request| request.body.len() as u64).sum();
        assert_eq!(bytes(&metrics), [all, sent]);
        assert!(sent * 4 < all, "{how}: {sent} of {all}");
    }
}

#[test]
fn over_tls_with_either_version_of_http() {
    let authority = Authority::new();
    for how in HOW {
        for config in [authority.sign().server_http2(), authority.sign().server()] {
            let http2 = !config.alpn_protocols.is_empty();
            let endpoint = Endpoint::start_tls(config, |_, _| Answer::ok());
            let shipper = compressed(Shipper::new(&endpoint), how);
            std::fs::write(shipper.workdir.path("ca.pem"), authority.pem()).unwrap();
            shipper.workdir.kubeconfig_with(&endpoint.url(), "certificate-authority: ca.pem", "");
            let (requests, _) = arrived(&endpoint, shipper);
            for request in requests {
                assert_eq!(request.header(":authority").is_some(), http2);
                assert_eq!(request.header("content-encoding"), Some(how));
            }
        }
    }
}

#[test]
fn receive_takes_it() {
    for how in HOW {
        let events = [real_events(1250), large_events()].concat();
        let shipper = compressed(Shipper::to("http://127.0.0.1:1/"), how).log(&events).one_at_a_time();
        let output = shipper.workdir.path("received.log");
        let receiver =
            Daemon::start(["receive", "--bind-address=127.0.0.1:0", "--output", output.to_str().unwrap()]);
        shipper.workdir.kubeconfig(&format!("http://{}/audit", receiver.address()));
        let metrics = wait_until_settled(&shipper.start(), events.len());
        let [before, sent] = bytes(&metrics);
        assert!(sent * 4 < before, "{sent} of {before}");
        assert!(lines_of(&output) == events, "{how}");
    }
}

#[test]
fn each_try_sends_the_same_bytes() {
    for how in HOW {
        let endpoint = Endpoint::start(|_, n| match n {
            0 => Answer::status(503),
            1 => Answer::Close,
            2 => Answer::CutOff,
            _ => Answer::ok(),
        });
        let events = real_events(100);
        let shipper = compressed(Shipper::new(&endpoint), how).log(&events).one_at_a_time();
        wait_until_settled(&shipper.start(), 100);
        let requests = endpoint.requests();
        assert_eq!(requests.len(), 4);
        assert!(requests.iter().all(|request| *request == requests[0]), "{how}: another request");
        assert!(endpoint.items() == events);
    }
}

#[test]
fn an_endpoint_that_does_not_understand_it_gets_everything_as_it_is() {
    for how in HOW {
        let endpoint = Endpoint::start(|request: &Recorded, _| match request.header("content-encoding") {
            Some(_) => Answer::with_header(415, "Accept-Encoding", "identity"),
            None => Answer::ok(),
        });
        let events = real_events(400);
        // With this backoff nothing but a try at once comes in time.
        let shipper = Shipper::new(&endpoint).log(&events).batches_of(BATCH);
        let shipper = shipper.webhook(&format!("maxBackoff: 1h, compression: {how}"));
        let shipper = shipper.flag("audit-webhook-initial-backoff", "1h");
        let daemon = shipper.start();
        let metrics = wait_until_settled(&daemon, 400);
        assert_delivered_once(&endpoint, &events);
        let [before, sent] = bytes(&metrics);
        assert_eq!(before, sent);
        assert_eq!(count(&metrics, "error_total", &[]), 0);
        assert_eq!((count(&metrics, "audit_shipper_misconfigured", &[]), daemon.get("/readyz").0), (0, 200));
        let refused = endpoint.requests().iter().filter(|it| it.header("content-encoding").is_some()).count();
        assert!((1..=2 * IN_FLIGHT).contains(&refused), "{refused} were sent compressed");
        let log = daemon.log();
        let told: Vec<&str> =
            log.lines().filter(|line| line.contains(&format!("understand {how}"))).collect();
        assert!(
            told.len() == 1 && told[0].contains(" WARN ") && told[0].contains("webhook.compression"),
            "{log}"
        );
        assert!(!log.contains(" ERROR "), "{log}");
    }
}

#[test]
fn what_is_refused_is_found_among_compressed_ones() {
    for how in HOW {
        let endpoint = Endpoint::start(|request: &Recorded, _| {
            let poisoned = plain(request).contains(POISON);
            Answer::status(if poisoned { 400 } else { 200 })
        });
        let mut events = real_events(60);
        events[31] = poisoned(&events[31]);
        let shipper = compressed(Shipper::new(&endpoint), how).log(&events);
        let daemon = shipper.start();
        wait_until_settled(&daemon, 60);
        let (bad, good): (Vec<&String>, Vec<&String>) = events.iter().partition(|line| line.contains(POISON));
        assert_delivered_once(&endpoint, good);
        assert!(shipper.rejected().iter().map(Rejected::line).eq(bad.into_iter().cloned()));
        assert!(endpoint.requests().iter().all(|request| request.header("content-encoding") == Some(how)));
    }
}

/// The endpoint's limit may be about what it gets, or about what it makes of that.
#[test]
fn what_is_too_large_is_halved() {
    for how in HOW {
        for of_plain in [true, false] {
            let endpoint = Endpoint::start(move |request: &Recorded, _| {
                let too_large =
                    if of_plain { plain(request).len() > 40_000 } else { request.body.len() > 5000 };
                Answer::status(if too_large { 413 } else { 200 })
            });
            let events = real_events(200);
            let shipper = compressed(Shipper::new(&endpoint), how).log(&events);
            let daemon = shipper.start();
            wait_until_settled(&daemon, 200);
            assert_delivered_once(&endpoint, &events);
            assert!(endpoint.requests().len() > 3 && !shipper.rejected_file().exists());
        }
    }
}

#[test]
fn an_endpoint_that_refuses_everything_may_not_understand_it() {
    let endpoint = Endpoint::start(|_, _| Answer::status(400));
    let shipper = compressed(Shipper::new(&endpoint), "zstd").log(&real_events(100)).batches_of(BATCH);
    let daemon = shipper.start();
    let told = wait_until("an output that is not ready", || {
        let (status, reason) = daemon.get("/readyz");
        (status == 503).then_some(reason)
    });
    assert!(
        told.contains("perhaps it does not understand compressed bodies (webhook.compression)"),
        "{told}"
    );
    assert!(shipper.rejected().len() <= 1);
}

#[test]
fn kill_9_loses_nothing_and_doubles_no_more_than_what_was_in_flight() {
    const KILLS: usize = 4;
    for how in HOW {
        let endpoint = Endpoint::start(|_, _| Answer::ok());
        let events = [real_events(1250), large_events()].concat();
        let shipper = compressed(Shipper::new(&endpoint), how).batches_of(BATCH);
        // Each life has more to send than it is let live for, however fast it is.
        let mut parts = events.chunks(events.len().div_ceil(KILLS + 1));
        for part in parts.by_ref().take(KILLS) {
            shipper.workdir.append(part);
            let before = endpoint.requests().len() + fastrand::usize(0..8);
            let mut daemon = shipper.start();
            endpoint.wait_for("some progress", |requests| requests.len() > before);
            daemon.kill9();
        }
        parts.for_each(|part| shipper.workdir.append(part));
        let daemon = shipper.start();
        // A life may have got to the end of the log and not settled it.
        wait_until("all events", || {
            let arrived: std::collections::HashSet<String> = endpoint.items().into_iter().collect();
            events.iter().all(|line| arrived.contains(line)).then_some(())
        });
        daemon.wait_for_metrics("an empty window", |metrics| {
            count(metrics, "audit_shipper_buffered_events", &[]) == 0
        });
        assert_books_balance(&daemon);
        let doubled = endpoint.items().len() - events.len();
        assert!(doubled <= KILLS * IN_FLIGHT * BATCH, "{how}: {doubled} duplicates");
    }
}
