//! What TLS can be, and what it can lack: the log and `/readyz` say it in the same words.

use std::path::Path;
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};

use super::{BATCH, IMPATIENT, WITHOUT_CONNECTION, requests, shipper_to};
use crate::support::certificates::{Authority, Leaf};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::faults::{Break, Fault, Network, Then};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::wait_until;
use crate::support::workdir::real_events;

const TRUST: &str = "certificate-authority: ca.pem";

fn over_tls(config: rustls::ServerConfig) -> Endpoint {
    Endpoint::start_tls(config, |_, _| Answer::ok())
}

/// Ships to `server`, which `authority` vouches for.
fn trusting(authority: &Authority, server: &str, user: &str) -> Shipper {
    let shipper = shipper_to(server).one_at_a_time();
    std::fs::write(shipper.workdir.path("ca.pem"), authority.pem()).unwrap();
    shipper.workdir.kubeconfig_with(server, TRUST, user);
    shipper.log(&real_events(2 * BATCH))
}

fn assert_arrived(daemon: &Daemon, endpoint: &Endpoint) {
    assert_eq!(requests(&wait_until_settled(daemon, 2 * BATCH)), [2, 0]);
    assert!(endpoint.items() == real_events(2 * BATCH));
}

#[test]
fn either_version_of_tls() {
    for version in [&TLS12, &TLS13] {
        let authority = Authority::new();
        let endpoint = over_tls(authority.sign().server_of(version));
        let shipper = trusting(&authority, &endpoint.url(), "token: t");
        assert_arrived(&shipper.start(), &endpoint);
    }
}

#[test]
fn http2_where_it_is_offered_and_http1_elsewhere() {
    let authority = Authority::new();
    for (config, http2) in [(authority.sign().server_http2(), true), (authority.sign().server(), false)] {
        let endpoint = over_tls(config);
        let shipper = trusting(&authority, &endpoint.url(), "token: s3cret");
        let mut command = Daemon::command();
        command.args(shipper.args()).env("RUST_LOG", "trace");
        let daemon = Daemon::spawn(command);
        assert_arrived(&daemon, &endpoint);
        for request in endpoint.requests() {
            assert_eq!(request.header(":authority").is_some(), http2, "{:?}", request.headers);
            assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
        }
        // The library of HTTP/2 tells of every frame.
        let log = daemon.log();
        assert_eq!(log.contains(" DEBUG ") && log.contains(" h2::"), http2);
        assert!(!log.contains("s3cret") && !log.contains("auditID"));
    }
}

/// Resets of single streams and other answers mean the same over HTTP/2.
#[test]
fn http2_with_answers_that_pass() {
    let authority = Authority::new();
    let endpoint = Endpoint::start_tls(authority.sign().server_http2(), |_, n| match n {
        0 => Answer::Close,
        1 => Answer::status(503),
        2 => Answer::with_header(429, "Retry-After", "0"),
        _ => Answer::ok(),
    });
    let shipper = trusting(&authority, &endpoint.url(), "token: t");
    let daemon = shipper.start();
    assert_eq!(requests(&wait_until_settled(&daemon, 2 * BATCH)), [2, 3]);
    assert!(endpoint.items() == real_events(2 * BATCH));
}

/// Until somebody has changed something, `words` is what the log and `/readyz` say.
fn told(shipper: &Shipper, words: &str) -> Daemon {
    let daemon = shipper.start();
    let line = daemon.wait_for_line(" WARN ");
    let reason = line.split_once("reason=\"").unwrap().1.strip_suffix('"').unwrap();
    assert!(reason.contains(words), "`{words}` is not in: {reason}");
    // The clock may have gone on since. And a try may fail otherwise: with TLS 1.3 a client may send before it is refused.
    let timeless = reason.split(" (the clock here says").next().unwrap();
    wait_until("an output that is not ready, and says why", || {
        let (status, text) = daemon.get("/readyz");
        (status == 503 && text.contains(timeless)).then_some(())
    });
    let log = daemon.log();
    assert!(!["timeout=", "/audit?", "s3cret"].iter().any(|text| log.contains(text)), "{log}");
    assert_eq!(log.matches(" WARN ").count(), 1, "{log}");
    assert!(!log.contains(" ERROR "), "{log}");
    assert_eq!(requests(&daemon.metrics())[0], 0);
    daemon
}

/// A server with this certificate, and the authority that the kubeconfig names.
fn told_of(server: rustls::ServerConfig, trusted: &Authority, words: &str) {
    let endpoint = over_tls(server);
    told(&impatient(trusting(trusted, &endpoint.url(), "token: s3cret")), words);
    assert!(endpoint.requests().is_empty());
}

fn impatient(shipper: Shipper) -> Shipper {
    shipper.output("readyAfter: 100ms")
}

#[test]
fn a_certificate_out_of_its_time() {
    let authority = Authority::new();
    let sign = |years| authority.sign_for(&["localhost"], years).server();
    told_of(sign(2000..2001), &authority, "the endpoint's certificate expired on 2001-01-01T00:00:00Z");
    told_of(sign(3000..3001), &authority, "certificate is not valid before 3000-01-01T00:00:00Z");
}

#[test]
fn a_certificate_for_somebody_else() {
    let authority = Authority::new();
    let leaf = authority.sign_for(&["audit.example", "127.0.0.9"], 2000..4000);
    let words =
        "no connection: the endpoint's certificate is for audit.example, 127.0.0.9, not for localhost";
    told_of(leaf.server(), &authority, words);
}

#[test]
fn a_certificate_that_nobody_we_trust_vouches_for() {
    let (authority, other) = (Authority::new(), Authority::new());
    // Both have the same name, as authorities made by the same recipe do.
    told_of(other.sign().server(), &authority, "the endpoint's certificate is not signed ");
    let own =
        "the endpoint's certificate is its own authority (CA:TRUE), and is not in certificate-authority";
    told_of(Leaf::self_signed().server(), &authority, own);
}

/// Without a certificate-authority those of the machine count.
#[test]
fn a_certificate_that_the_machine_does_not_know() {
    let (authority, machine) = (Authority::new(), Authority::new());
    let endpoint = over_tls(authority.sign().server());
    let shipper = impatient(trusting(&authority, &endpoint.url(), "token: s3cret"));
    shipper.workdir.kubeconfig_with(&endpoint.url(), "", "token: s3cret");
    let daemon = with_authorities(&shipper, &machine, &shipper.workdir.path("machine.pem"));
    let line = daemon.wait_for_line(" WARN ");
    assert!(line.contains("the endpoint's certificate is not signed "), "{line}");
    assert!(endpoint.requests().is_empty());
    drop(daemon);
    let daemon = with_authorities(&shipper, &authority, &shipper.workdir.path("machine.pem"));
    assert_arrived(&daemon, &endpoint);
}

/// A machine whose only authority is this one.
fn with_authorities(shipper: &Shipper, authority: &Authority, bundle: &Path) -> Daemon {
    std::fs::write(bundle, authority.pem()).unwrap();
    let mut command = Daemon::command();
    command.args(shipper.args()).env("SSL_CERT_FILE", bundle).env_remove("SSL_CERT_DIR");
    Daemon::spawn(command)
}

#[test]
fn a_client_certificate_that_is_asked_for() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let server = || servers.sign().server_for(&clients);
    told_of(server(), &servers, "the endpoint asks for a client certificate: set client-certificate");
    // Another authority's is as good as none.
    let endpoint = over_tls(server());
    for (authority, accepted) in [(Authority::new(), false), (clients, true)] {
        let user = "client-certificate: client.pem\nclient-key: client-key.pem";
        let shipper = impatient(trusting(&servers, &endpoint.url(), user));
        authority.sign().write(&shipper.workdir.path(""), "client");
        if accepted {
            assert_arrived(&shipper.start(), &endpoint);
        } else {
            told(&shipper, "the endpoint does not accept our client certificate");
        }
    }
}

#[test]
fn a_scheme_that_the_endpoint_does_not_speak() {
    let authority = Authority::new();
    let plain = Daemon::start(["receive", "--bind-address=127.0.0.1:0", "--output=-"]);
    let server = format!("https://{}/audit", plain.address());
    let words = "the endpoint does not speak TLS; perhaps its URL wants http://";
    told(&impatient(trusting(&authority, &server, "token: s3cret")), words);
    let endpoint = over_tls(authority.sign().server());
    let server = endpoint.url().replace("https://", "http://");
    let words = "the answer is not HTTP; perhaps the server in the kubeconfig wants https://";
    told(&impatient(shipper_to(&server).log(&real_events(1))), words);
}

/// What breaks here is the handshake: the endpoint has seen no request, so nothing comes twice.
/// The first handshakes meet these faults, one each, and all others none.
fn handshakes(faults: &[Fault]) -> Daemon {
    let authority = Authority::new();
    let endpoint = over_tls(authority.sign().server());
    let (broken, faults) = (faults.len() as u64, faults.to_vec());
    let network = Network::start(endpoint.address(), move |n| faults.get(n).cloned().unwrap_or(Fault::Pass));
    let shipper = trusting(&authority, &format!("https://localhost:{}/audit", network.address().port()), "");
    let shipper = shipper.webhook(WITHOUT_CONNECTION);
    let daemon = shipper.start();
    assert_eq!(requests(&wait_until_settled(&daemon, 2 * BATCH)), [2, broken]);
    assert!(endpoint.items() == real_events(2 * BATCH));
    daemon
}

#[test]
fn a_handshake_that_breaks() {
    handshakes(&[
        Fault::Answer(100, Break::Reset),
        Fault::Answer(0, Break::HalfClose),
        Fault::Answer(100, Break::HalfClose),
        Fault::Instead { answer: vec![0; 1000], then: Then::KeepOpen },
        Fault::Before(b"220 mail.example ESMTP\r\n"),
    ]);
}

#[test]
fn a_handshake_that_hangs() {
    let faults = [Fault::Mute, Fault::Answer(0, Break::Stall), Fault::Answer(100, Break::Stall)];
    // Each takes all of its time.
    std::thread::scope(|scope| {
        for fault in &faults {
            scope.spawn(|| {
                let daemon = handshakes(std::slice::from_ref(fault));
                assert!(daemon.wait_for_line(" WARN ").contains("reason=\"no connection in time\""));
            });
        }
    });
}

/// HTTP/2 keeps a connection although a request on it ran into the timeout: it must not stay in use. Without that only the
/// pings of HTTP/2 would end it, after 45 s.
#[test]
fn an_http2_connection_that_hangs_is_left() {
    let authority = Authority::new();
    let endpoint = over_tls(authority.sign().server_http2());
    let network = Network::start(endpoint.address(), |_| Fault::Pass);
    let shipper = trusting(&authority, &format!("https://localhost:{}/audit", network.address().port()), "");
    let shipper = shipper.webhook(IMPATIENT);
    let daemon = shipper.start();
    wait_until_settled(&daemon, 2 * BATCH);
    for round in 1..3 {
        let started = Instant::now();
        network.hang();
        let written = 2 * BATCH * round;
        shipper.workdir.append(&real_events(written + 2 * BATCH)[written..]);
        wait_until_settled(&daemon, written + 2 * BATCH);
        assert!(network.connections() > round, "round {round}");
        assert!(endpoint.items() == real_events(written + 2 * BATCH));
        assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    }
    assert!(endpoint.requests().iter().all(|request| request.header(":authority").is_some()));
}
