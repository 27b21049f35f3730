//! Ways that lead nowhere: each in words of its own, with the field that names it.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::{answering, args, assert_failed, checked, connect, good, ndjson};
use crate::support::cli::finish;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::hosts::Hosts;
use crate::support::proxies::{Mood, Proxy, Speaks};
use crate::support::shipper::Shipper;

/// A URL at which nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn where_nobody_listens() {
    let ended = connect(&Shipper::to(&nowhere()));
    assert_failed(&ended, "no connection: connection refused", "look at server in ");
    let shipper = Shipper::to("http://unused.test").sink("ndjson", &format!("url: \"{}\"", nowhere()));
    assert_failed(&connect(&shipper), "no connection: connection refused", "look at url of ");
}

#[test]
fn a_host_that_nobody_knows() {
    let shipper = Shipper::to("http://no-such-host.test/audit");
    let Some(hosts) = Hosts::new(&shipper.workdir) else { return };
    let ended = checked(&shipper, finish(hosts.command(&args(&shipper))));
    assert_failed(&ended, "no connection: the name does not resolve", "look at server in ");
}

/// Long before the default timeout, and not before its own.
#[test]
fn who_never_answers_is_not_waited_for() {
    let (shipper, endpoint) = answering(Answer::Hang);
    // Long enough for a machine that stands still while it connects.
    let shipper = shipper.webhook("timeout: 4s");
    let began = Instant::now();
    let ended = connect(&shipper);
    assert_failed(&ended, "no complete answer in time (timeout: 4s)", "look at server in ");
    assert!((Duration::from_secs(4)..Duration::from_secs(28)).contains(&began.elapsed()));
    endpoint.wait_for("its request", |requests| !requests.is_empty());
    assert_eq!(endpoint.requests().len(), 1);
}

#[test]
fn the_way_through_a_proxy_is_the_one_that_run_takes() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let proxy = Proxy::start(Speaks::Http, endpoint.address(), Mood::Wants("bob:s3cret"));
    let through = |credentials: &str| {
        let url = format!("url: \"http://siem.test/audit\", proxyUrl: \"{}\"", proxy.url(credentials));
        connect(&Shipper::to("http://unused.test").sink("ndjson", &url))
    };
    good(through("bob:s3cret"));
    assert_eq!(proxy.asked().len(), 1);
    assert_failed(&through("bob:wrong-s3cret"), "the proxy wants credentials", "look at the proxy's URL");
    assert_eq!(endpoint.requests().len(), 1);

    let dead = nowhere();
    let fields = format!("proxyUrl: \"{dead}\", format: lines");
    let url = "url: \"https://siem.test/audit\"";
    let shipper = Shipper::to("http://unused.test").sink("ndjson", &format!("{url}, {fields}"));
    let ended = connect(&shipper);
    assert_failed(&ended, "the proxy cannot be reached", "look at proxyUrl of ");
    assert!(ended.stdout.contains(&format!("proxyUrl: \"{dead}\"\n")), "{}", ended.stdout);
}

#[test]
fn a_host_in_the_same_place_is_followed_as_run_does() {
    let endpoint = Endpoint::start(|request, _| match request.target.as_str() {
        "/audit" => Answer::with_header(307, "Location", "/elsewhere"),
        _ => Answer::status(204),
    });
    good(connect(&ndjson(&endpoint, "format: array")));
    assert_eq!(endpoint.requests().len(), 2);
}
