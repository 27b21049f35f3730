//! Who we say that we are: from files, from plugins, and to our own receiver.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{SECRET, assert_failed, connect, good, ndjson};
use crate::support::certificates::Authority;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::Shipper;

fn wanting(token: &'static str) -> Endpoint {
    Endpoint::start(move |request, _| {
        let is_right = request.header("authorization") == Some(&format!("Bearer {token}"));
        Answer::status(if is_right { 204 } else { 401 })
    })
}

fn token_file(directory: &Path, token: &str) -> String {
    std::fs::write(directory.join("token"), token).unwrap();
    directory.join("token").display().to_string()
}

#[test]
fn a_token_that_is_not_known_is_named_by_its_file() {
    let endpoint = wanting("s3cret");
    let directory = tempfile::tempdir().unwrap();
    let file = token_file(directory.path(), "s3cret\n");
    let fields = format!("bearerTokenFile: \"{file}\"");
    good(connect(&ndjson(&endpoint, &fields)));
    token_file(directory.path(), "other-s3cret");
    let ended = connect(&ndjson(&endpoint, &fields));
    let field = format!("look at bearerTokenFile ({file}) of ");
    assert_failed(&ended, "status 401", &field);
    assert!(ended.stderr.contains("audit-shipper.yaml: outputs[0].ndjson"), "{}", ended.stderr);
    let none = connect(&ndjson(&endpoint, ""));
    assert_failed(&none, "status 401", "the credentials, of which there are none");
}

/// Our own receiver with TLS, clients' certificates and a token: it has taken a request, and no event.
#[test]
fn our_own_receiver_takes_a_list_of_nothing() {
    let authority = Authority::new();
    let shipper = Shipper::to("https://unused.test");
    let path = |name: &str| shipper.workdir.path(name).display().to_string();
    authority.sign().write(shipper.workdir.path("").as_path(), "server");
    authority.sign().write(shipper.workdir.path("").as_path(), "client");
    std::fs::write(path("ca.pem"), authority.pem()).unwrap();
    std::fs::write(path("token"), SECRET).unwrap();
    let receiver = Daemon::start([
        "receive".to_owned(),
        "--bind-address=127.0.0.1:0".to_owned(),
        format!("--output={}", path("received")),
        format!("--tls-cert={}", path("server.pem")),
        format!("--tls-key={}", path("server-key.pem")),
        format!("--client-ca={}", path("ca.pem")),
        format!("--token-file={}", path("token")),
    ]);
    let server = format!("https://localhost:{}/audit", receiver.address().port());
    let cluster = "certificate-authority: ca.pem";
    let client = "client-certificate: client.pem\nclient-key: client-key.pem";
    shipper.workdir.kubeconfig_with(&server, cluster, &format!("{client}\ntokenFile: token"));
    let said = good(connect(&shipper));
    assert!(said.contains("POST: status 200, HTTP/2.0, TLS 1.3, "), "{said}");
    assert!(said.contains("certificate  CN=rcgen self signed cert, signed by "), "{said}");
    assert!(said.contains(", expires 4000-01-01T00:00:00Z\n"), "{said}");

    shipper.workdir.kubeconfig_with(&server, cluster, &format!("{client}\ntoken: wrong-{SECRET}"));
    assert_failed(
        &connect(&shipper),
        "status 401",
        &format!("look at the user in {}", path("webhook.kubeconfig")),
    );
    shipper.workdir.kubeconfig_with(&server, cluster, "tokenFile: token");
    // Over HTTP/2 the words of TLS may be lost: then the advice names them.
    assert_failed(&connect(&shipper), "no co", "look at client-certificate and client-key in ");
    assert_eq!(std::fs::read(path("received")).unwrap(), b"");
}

/// A kubeconfig whose user runs this shell script.
fn with_plugin(shipper: &Shipper, server: &str, script: &str) {
    let plugin = shipper.workdir.path("plugin");
    std::fs::write(&plugin, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    let exec =
        "exec:\n  apiVersion: client.authentication.k8s.io/v1\n  command: ./plugin\n  interactiveMode: Never";
    shipper.workdir.kubeconfig_with(server, "certificate-authority: ca.pem", exec);
}

#[test]
fn a_plugin_is_run_as_run_would() {
    let authority = Authority::new();
    let endpoint = Endpoint::start_tls(authority.sign().server(), |request, _| {
        Answer::status(if request.header("authorization") == Some("Bearer s3cret") { 200 } else { 401 })
    });
    let shipper = Shipper::new(&endpoint).webhook("maxBackoff: 100ms, timeout: 20s");
    std::fs::write(shipper.workdir.path("ca.pem"), authority.pem()).unwrap();
    let credential = r#"echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"s3cret"}}'"#;
    with_plugin(&shipper, &endpoint.url(), credential);
    good(connect(&shipper));

    with_plugin(&shipper, &endpoint.url(), "exit 3");
    assert_failed(&connect(&shipper), "plugin", "look at the user in ");
    assert_eq!(endpoint.requests().len(), 1);

    let shipper = shipper.webhook("maxBackoff: 100ms, timeout: 300ms");
    with_plugin(&shipper, &endpoint.url(), "exec sleep 600");
    let missed = "the credential plugin has printed nothing in time (timeout: 300ms)";
    assert_failed(&connect(&shipper), missed, "look at the user in ");
}
