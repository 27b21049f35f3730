//! Redirects are followed only where the events go along, and only to the endpoint itself.

use super::hold::held;
use super::requests;
use crate::support::certificates::Authority;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::http1::Recorded;
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::real_events;

#[test]
fn a_redirect_that_would_become_a_get_is_no_success_and_loses_nothing() {
    for status in [301, 302, 303] {
        held(&Answer::with_header(status, "Location", "/moved"));
    }
}

#[test]
fn a_redirect_to_another_host_is_not_followed() {
    let other = Endpoint::start(|_, _| Answer::ok());
    for status in [307, 308] {
        held(&Answer::with_header(status, "Location", &other.url()));
    }
    assert!(other.requests().is_empty());
}

#[test]
fn a_redirect_without_a_place_to_go_is_not_followed() {
    held(&Answer::status(307));
}

#[test]
fn a_redirect_on_the_same_host_is_followed_with_body_and_credentials() {
    let authority = Authority::new();
    let endpoint = Endpoint::start_tls(authority.sign().server(), |request: &Recorded, _| {
        match request.target.as_str() {
            "/audit?timeout=30s" => Answer::with_header(307, "Location", "/a/b?x=y"),
            "/a/b?x=y" => Answer::with_header(308, "Location", "c"),
            "/a/c" => Answer::ok(),
            _ => Answer::status(404),
        }
    });
    let shipper = Shipper::new(&endpoint).log(&real_events(3));
    std::fs::write(shipper.workdir.path("ca.pem"), authority.pem()).unwrap();
    shipper.workdir.kubeconfig_with(&endpoint.url(), "certificate-authority: ca.pem", "token: s3cret");
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 3);
    assert_eq!(requests(&metrics), [1, 0, 0, 0]);
    let sent = endpoint.requests();
    assert_eq!(sent.len(), 3);
    for request in &sent {
        assert!(request.body == sent[0].body && request.method == "POST");
        assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
    assert_eq!(endpoint.items(), real_events(3));
}

#[test]
fn a_redirect_in_a_circle_is_an_outage() {
    let endpoint = Endpoint::start(|request: &Recorded, n| match request.target.as_str() {
        _ if n >= 12 => Answer::ok(),
        "/audit" => Answer::with_header(307, "Location", "/other"),
        _ => Answer::with_header(307, "Location", "/audit"),
    });
    let shipper = Shipper::new(&endpoint).log(&real_events(3));
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, 3);
    assert_eq!(requests(&metrics), [1, 2, 0, 0]);
    assert_eq!(endpoint.items(), real_events(3));
}
