//! Any HTTP endpoint: every line arrives byte for byte, with credentials that are renewed, and what is told of one event
//! counts for that event alone.

pub(super) mod destination;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::python;
use crate::support::books::of_output;
use crate::support::certificates::Authority;
use crate::support::endpoint::{Answer, Endpoint, plain};
use crate::support::http1::Recorded;
use crate::support::shipper::{POISON, Rejected, Shipper, poisoned, wait_until_settled};
use crate::support::workdir::{large_events, lines_of, real_events, sensitive_events};

fn shipper(endpoint: &Endpoint, fields: &str) -> Shipper {
    Shipper::new(endpoint).sink("ndjson", &format!("url: \"{}\", {fields}", endpoint.url()))
}

/// The lines of the log in a body of lines.
fn lines(request: &Recorded) -> Vec<String> {
    plain(request).split_inclusive('\n').map(str::to_owned).collect()
}

/// The lines of the log in a body that is a list.
fn items(request: &Recorded) -> Vec<String> {
    let list = plain(request);
    let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(&list).unwrap();
    items.into_iter().map(|item| format!("{}\n", item.get())).collect()
}

/// Asserts that `requests` hold each of `events`, and nothing else.
fn assert_holds(requests: &[Vec<String>], events: &[String]) {
    let found: BTreeSet<&String> = requests.iter().flatten().collect();
    assert!(found == events.iter().collect(), "{} of {} arrived", found.len(), events.len());
}

#[test]
fn every_line_arrives_byte_for_byte() {
    let events = [real_events(1250), large_events(), sensitive_events()].concat();
    for (fields, coding) in
        [("compression: none", None), ("format: lines", Some("gzip")), ("compression: zstd", Some("zstd"))]
    {
        let endpoint = Endpoint::start(|_, _| Answer::ok());
        let shipper = shipper(&endpoint, fields).log(&events);
        let daemon = shipper.start();
        wait_until_settled(&daemon, events.len());
        let requests = endpoint.requests();
        assert_holds(&requests.iter().map(lines).collect::<Vec<_>>(), &events);
        for request in &requests {
            assert_eq!(request.header("content-encoding"), coding);
            assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
            assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/audit"));
            let hash = Sha256::digest(plain(request));
            let key = format!("{:032x}", u128::from_be_bytes(hash[..16].try_into().unwrap()));
            assert_eq!(request.header("idempotency-key"), Some(format!("\"{key}\"").as_str()));
            assert_eq!(request.header("x-audit-count"), Some(lines(request).len().to_string().as_str()));
        }
    }
}

#[test]
fn a_list_holds_every_line_too() {
    let events = [real_events(300), large_events()].concat();
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let daemon = shipper(&endpoint, "format: array").log(&events);
    let running = daemon.start();
    wait_until_settled(&running, events.len());
    assert_holds(&endpoint.requests().iter().map(items).collect::<Vec<_>>(), &events);
    assert_eq!(endpoint.requests()[0].header("content-type"), Some("application/json"));
}

/// The bytes of a body are as much a promise as its events: signatures and keys are made of them.
#[test]
fn the_goldens_come_out_byte_by_byte_and_others_read_them() {
    let data = format!("{}/tests/data/sinks", env!("CARGO_MANIFEST_DIR"));
    let log = format!("{data}/otlp/events.ndjson");
    let events = lines_of(log.as_ref());
    for (format, name) in [("lines", "lines.ndjson"), ("array", "array.json")] {
        let endpoint = Endpoint::start(|_, _| Answer::ok());
        let shipper = shipper(&endpoint, &format!("format: {format}")).log(&events);
        let daemon = shipper.start();
        wait_until_settled(&daemon, events.len());
        let golden = format!("{data}/ndjson/{name}");
        let requests: Vec<String> = endpoint.requests().iter().map(plain).collect();
        assert!(requests == [std::fs::read_to_string(&golden).unwrap()], "{name}");
        python::check("ndjson/decode.py", log.as_ref(), &[golden]);
    }
}

/// A try after a lost answer, or one of which the endpoint says that it still works on it, is the same request.
#[test]
fn each_try_has_the_same_key_and_the_same_bytes() {
    let events = real_events(120);
    let endpoint = Endpoint::start(|_, n| match n % 5 {
        0 => Answer::CutOff,
        1 => Answer::status(503),
        2 => Answer::status(409),
        3 => Answer::Close,
        _ => Answer::ok(),
    });
    let shipper = shipper(&endpoint, "timeout: 5s").log(&events).batches_of(40).one_at_a_time();
    let daemon = shipper.start();
    wait_until_settled(&daemon, events.len());
    let mut bodies: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for request in endpoint.requests() {
        bodies.entry(request.header("idempotency-key").unwrap().to_owned()).or_default().insert(request.body);
    }
    assert_eq!(bodies.len(), 3);
    assert!(bodies.values().all(|bodies| bodies.len() == 1));
}

/// An endpoint that names no event refuses the whole request.
#[test]
fn what_is_refused_by_a_status_is_set_aside_and_nothing_else() {
    let mut events = real_events(200);
    for index in [3, 4, 77] {
        events[index] = poisoned(&events[index]);
    }
    let good: Vec<String> = events.iter().filter(|line| !line.contains(POISON)).cloned().collect();
    let endpoint =
        Endpoint::start(
            |request, _| {
                if plain(request).contains(POISON) { Answer::status(422) } else { Answer::ok() }
            },
        );
    let shipper = shipper(&endpoint, "compression: none").log(&events).batches_of(50);
    let daemon = shipper.start();
    wait_until_settled(&daemon, events.len());
    let rejected = shipper.rejected();
    let lines_aside: BTreeSet<String> = rejected.iter().map(Rejected::line).collect();
    assert_eq!(lines_aside, events.iter().filter(|line| line.contains(POISON)).cloned().collect());
    assert!(rejected.iter().all(|rejected| rejected.answer.as_deref() == Some("{}")), "{rejected:?}");
    let arrived: Vec<_> = endpoint.requests().iter().map(lines).collect();
    assert!(good.iter().all(|line| arrived.iter().flatten().any(|other| other == line)));
}

/// More is said than anybody reads: a refusal is one all the same, and of what was taken fewer are asked about.
#[test]
fn an_endpoint_that_talks_too_much_is_understood() {
    let events = real_events(60);
    for status in [413, 200] {
        let page = "<p>".repeat(1 << 19);
        let endpoint = Endpoint::start(move |request, _| {
            if lines(request).len() > 8 { Answer::with_body(status, page.clone()) } else { Answer::ok() }
        });
        let shipper = shipper(&endpoint, "compression: none").log(&events).batches_of(30);
        let daemon = shipper.start();
        let metrics = wait_until_settled(&daemon, events.len());
        assert_eq!(of_output(&metrics, "delivered"), 60, "{status}");
        let arrived: Vec<_> = endpoint.requests().iter().map(lines).collect();
        assert_holds(&arrived, &events);
    }
}

#[test]
fn credentials_and_headers_are_sent_and_renewed() {
    let events = real_events(30);
    let endpoint = Endpoint::start(|request, _| match request.header("authorization") {
        Some("Bearer renewed-t0ken") => Answer::ok(),
        _ => Answer::status(401),
    });
    let shipper = Shipper::new(&endpoint);
    let token = shipper.workdir.path("token");
    std::fs::write(&token, "first\n").unwrap();
    let fields = format!(
        "url: \"{}?key=k%20v\", bearerTokenFile: \"{}\", headers: {{ X-Tenant: audit }}",
        endpoint.url(),
        token.display()
    );
    let shipper = shipper.sink("ndjson", &fields).log(&events);
    let daemon = shipper.start();
    endpoint.wait_for("a refused request", |requests| !requests.is_empty());
    std::fs::write(&token, "renewed-t0ken\n").unwrap();
    wait_until_settled(&daemon, events.len());
    for request in endpoint.requests() {
        assert_eq!(
            (request.target.as_str(), request.header("x-tenant")),
            ("/audit?key=k%20v", Some("audit"))
        );
    }
    let log = daemon.log();
    assert!(!log.contains("k%20v") && !log.contains("renewed-t0ken"), "{log}");
}

#[test]
fn a_name_and_a_password_are_sent() {
    let events = real_events(3);
    let endpoint = Endpoint::start(|request, _| match request.header("authorization") {
        Some("Basic YXVkaXQ6czNjcmV0") => Answer::ok(),
        _ => Answer::status(403),
    });
    let shipper = Shipper::new(&endpoint);
    let password = shipper.workdir.path("password");
    std::fs::write(&password, "s3cret").unwrap();
    let fields = format!(
        "url: \"{}\", basicAuth: {{ username: audit, passwordFile: \"{}\" }}",
        endpoint.url(),
        password.display()
    );
    let shipper = shipper.sink("ndjson", &fields).log(&events);
    let daemon = shipper.start();
    wait_until_settled(&daemon, events.len());
}

#[test]
fn a_client_certificate_is_shown_where_one_is_asked_for() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let endpoint = Endpoint::start_tls(servers.sign().server_for(&clients), |_, _| Answer::ok());
    let events = real_events(30);
    // Another authority's is as good as none.
    for (authority, is_taken) in [(Authority::new(), false), (clients, true)] {
        let shipper = Shipper::new(&endpoint);
        let authority_of_servers = shipper.workdir.path("ca.pem");
        std::fs::write(&authority_of_servers, servers.pem()).unwrap();
        let (cert, key) = authority.sign().write(&shipper.workdir.path(""), "client");
        let fields = format!(
            "url: \"{}\", tls: {{ caFile: \"{}\", certFile: \"{}\", keyFile: \"{}\" }}",
            endpoint.url(),
            authority_of_servers.display(),
            cert.display(),
            key.display()
        );
        let shipper = shipper.sink("ndjson", &fields).log(&events);
        let daemon = shipper.start();
        if is_taken {
            wait_until_settled(&daemon, events.len());
            assert_holds(&endpoint.requests().iter().map(lines).collect::<Vec<_>>(), &events);
        } else {
            let line = daemon.wait_for_line(" WARN ");
            assert!(line.contains("the endpoint does not accept our client certificate"), "{line}");
            assert!(endpoint.requests().is_empty());
        }
    }
}
