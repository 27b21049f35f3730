//! What is wrong with certificates, in the words of whoever names the endpoint.

use super::{assert_failed, connect, good, ndjson};
use crate::support::certificates::Authority;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::Shipper;

fn over_tls(config: rustls::ServerConfig) -> Endpoint {
    Endpoint::start_tls(config, |_, _| Answer::status(204))
}

#[test]
fn a_server_of_another_authority_is_not_believed() {
    let authority = Authority::new();
    let endpoint = over_tls(authority.sign().server());
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: String| {
        std::fs::write(directory.path().join(name), pem).unwrap();
        directory.path().join(name).display().to_string()
    };
    let (right, wrong) = (file("ca.pem", authority.pem()), file("other.pem", Authority::new().pem()));

    let said = good(connect(&ndjson(&endpoint, &format!("tls: {{ caFile: \"{right}\" }}"))));
    assert!(said.contains("HTTP/1.1, TLS 1.3, "), "{said}");
    let ended = connect(&ndjson(&endpoint, &format!("tls: {{ caFile: \"{wrong}\" }}")));
    assert_failed(
        &ended,
        "no connection: the endpoint's certificate is not signed with the key of tls.caFile",
        "look at tls.caFile",
    );
    assert!(!ended.stderr.contains("kubeconfig"), "{}", ended.stderr);

    let shipper = Shipper::new(&endpoint);
    shipper.workdir.kubeconfig_with(&endpoint.url(), &format!("certificate-authority: {wrong}"), "");
    let reason = "is not signed with the key of certificate-authority";
    assert_failed(
        &connect(&shipper),
        reason,
        "look at certificate-authority, tls-server-name and server in ",
    );
}

#[test]
fn a_client_certificate_that_is_missed_is_named_by_its_fields() {
    let authority = Authority::new();
    let endpoint = over_tls(authority.sign().server_for(&authority));
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let (cert, key) = authority.sign().write(directory.path(), "client");
    let tls =
        |more: String| connect(&ndjson(&endpoint, &format!("tls: {{ caFile: \"{}\"{more} }}", ca.display())));
    let missing = tls(String::new());
    assert_failed(
        &missing,
        "asks for a client certificate: set tls.certFile and tls.keyFile",
        "look at tls.certFile",
    );
    good(tls(format!(", certFile: \"{}\", keyFile: \"{}\"", cert.display(), key.display())));
}

#[test]
fn http_is_not_https() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let url = endpoint.url().replace("http://", "https://");
    let shipper = Shipper::to("http://unused.test").sink("ndjson", &format!("url: \"{url}\""));
    assert_failed(&connect(&shipper), "no connection: ", "look at url of ");
}
