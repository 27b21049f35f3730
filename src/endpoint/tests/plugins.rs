//! Credential plugins: real commands, and what a server sees of what they print.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::AUTHORIZATION;
use jiff::{SignedDuration, Timestamp};

use super::connections::{authority, load};
use super::far_end::FarEnd;
use super::{kubeconfig, load_from};
use crate::endpoint::Endpoint;

const USER: &str = "exec:\n  apiVersion: client.authentication.k8s.io/v1\n  command: ./plugin\n  \
                    interactiveMode: IfAvailable\n  installHint: install it\n  args: [\"a b\", \"\"]\n  \
                    env: [{name: WHO, value: node}]";

/// A command that notes each run with what it was given, and prints the file `printed`.
fn plugin(directory: &Path) {
    let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\n\
                  echo \"$# $1 $2 $WHO $KUBERNETES_EXEC_INFO\" >> runs\ncat printed\n";
    fs::write(directory.join("plugin"), script).unwrap();
    fs::set_permissions(directory.join("plugin"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn runs(directory: &Path) -> usize {
    fs::read_to_string(directory.join("runs")).unwrap_or_default().lines().count()
}

fn prints(directory: &Path, status: &str) {
    let credential = format!(
        "{{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{{{status}}}}}"
    );
    fs::write(directory.join("printed"), credential).unwrap();
}

async fn token(endpoint: &Endpoint) -> Result<String, String> {
    let session = endpoint.session().await?;
    Ok(session.authorization().map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default())
}

#[tokio::test]
async fn a_plugin_is_run_when_there_is_need() {
    let (authority, directory) = authority();
    let far_end = FarEnd::tls(&authority.issue(&["127.0.0.1"]), None, &["http/1.1"]).await;
    let cluster = format!("server: https://{}/a\ncertificate-authority: ca.crt", far_end.address);
    plugin(directory.path());
    prints(directory.path(), "\"token\":\"first\"");
    let endpoint = Arc::new(load(directory.path(), &cluster, USER));
    assert_eq!(runs(directory.path()), 0);
    let (one, two) = tokio::join!(token(&endpoint), token(&endpoint));
    assert_eq!((one.unwrap(), two.unwrap()), ("Bearer first".to_owned(), "Bearer first".to_owned()));
    endpoint.look().await;
    token(&endpoint).await.unwrap();
    assert_eq!(runs(directory.path()), 1);
    let run = fs::read_to_string(directory.path().join("runs")).unwrap();
    let info = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#;
    assert_eq!(run, format!("2 a b  node {info}\n"));

    // Refused: the same again is no reason to try again at once, another is.
    let generation = endpoint.session().await.unwrap().generation();
    assert!(!endpoint.refused(generation).await);
    prints(directory.path(), "\"token\":\"second\"");
    assert!(endpoint.refused(generation).await);
    assert_eq!(token(&endpoint).await.unwrap(), "Bearer second");
    assert_eq!(runs(directory.path()), 3);

    // While it fails, what was good stays.
    fs::write(directory.path().join("printed"), "no").unwrap();
    assert!(!endpoint.refused(endpoint.session().await.unwrap().generation()).await);
    assert_eq!(token(&endpoint).await.unwrap(), "Bearer second");

    // A kubeconfig that changes elsewhere does not make it run again; another command does.
    fs::write(directory.path().join("config"), kubeconfig(&format!("{cluster}b"), USER)).unwrap();
    let before = runs(directory.path());
    endpoint.look().await;
    assert_eq!(token(&endpoint).await.unwrap(), "Bearer second");
    assert_eq!(runs(directory.path()), before);
    prints(directory.path(), "\"token\":\"third\"");
    let other = USER.replace("a b", "c d");
    fs::write(directory.path().join("config"), kubeconfig(&cluster, &other)).unwrap();
    endpoint.look().await;
    assert_eq!(token(&endpoint).await.unwrap(), "Bearer third");
}

#[tokio::test]
async fn it_is_run_again_before_what_it_printed_expires() {
    let (_, directory) = authority();
    plugin(directory.path());
    let expiring = |token: &str, seconds| {
        let at = Timestamp::now() + SignedDuration::from_secs(seconds);
        prints(directory.path(), &format!("\"token\":\"{token}\",\"expirationTimestamp\":\"{at}\""));
    };
    expiring("first", 10);
    let cluster = "server: https://127.0.0.1:1\ncertificate-authority: ca.crt";
    let endpoint = Arc::new(load(directory.path(), cluster, USER));
    assert_eq!(token(&endpoint).await.unwrap(), "Bearer first");
    expiring("second", 3600);
    let begun = Instant::now();
    while token(&endpoint).await.unwrap() != "Bearer second" {
        assert!(begun.elapsed() < Duration::from_secs(60));
        endpoint.look().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(runs(directory.path()), 2);
}

#[tokio::test]
async fn a_certificate_that_it_prints_is_shown() {
    let (authority, directory) = authority();
    let far_end = FarEnd::tls(&authority.issue(&["127.0.0.1"]), Some(&authority), &["http/1.1"]).await;
    let client = authority.issue(&["node"]);
    plugin(directory.path());
    let json = |text: &str| serde_json::to_string(text).unwrap();
    let pair = format!(
        "\"clientCertificateData\":{},\"clientKeyData\":{}",
        json(&client.certificate),
        json(&client.key)
    );
    prints(directory.path(), &pair);
    let cluster = format!("server: https://{}\ncertificate-authority: ca.crt", far_end.address);
    let endpoint = load(directory.path(), &cluster, USER);
    let session = endpoint.session().await.unwrap();
    session.client().post(session.url().clone()).send().await.unwrap();
    let seen = far_end.take_seen().pop().unwrap();
    assert_eq!(seen.client_certificate, Some(client.der()));
    assert_eq!(seen.header(AUTHORIZATION), None);
    assert!(endpoint.condition().client_certificate_expires.is_some());

    // Another user takes its place: nothing of the one before is shown any more.
    let endpoint = Arc::new(endpoint);
    for other in ["token: t".to_owned(), USER.replace("a b", "c d")] {
        prints(directory.path(), &pair);
        fs::write(directory.path().join("config"), kubeconfig(&cluster, USER)).unwrap();
        endpoint.look().await;
        token(&endpoint).await.unwrap();
        assert!(endpoint.condition().client_certificate_expires.is_some());
        prints(directory.path(), "\"token\":\"t\"");
        fs::write(directory.path().join("config"), kubeconfig(&cluster, &other)).unwrap();
        endpoint.look().await;
        assert_eq!(token(&endpoint).await.unwrap(), "Bearer t");
        let session = endpoint.session().await.unwrap();
        let _ = session.client().post(session.url().clone()).send().await;
        let shown = far_end.take_seen().pop().and_then(|seen| seen.client_certificate);
        assert_eq!((shown, endpoint.condition().client_certificate_expires), (None, None), "{other}");
    }
}

/// client-go takes a text of nothing for none.
#[tokio::test]
async fn a_plugin_may_print_empty_texts() {
    let (_, directory) = authority();
    plugin(directory.path());
    prints(
        directory.path(),
        r#""token":"t","clientCertificateData":"","clientKeyData":"","expirationTimestamp":null"#,
    );
    let cluster = "server: https://127.0.0.1:1\ncertificate-authority: ca.crt";
    assert_eq!(token(&load(directory.path(), cluster, USER)).await.unwrap(), "Bearer t");
}

#[tokio::test]
async fn what_a_plugin_leaves_running_does_not_hide_what_it_printed() {
    let (_, directory) = authority();
    plugin(directory.path());
    let script = fs::read_to_string(directory.path().join("plugin")).unwrap();
    fs::write(directory.path().join("plugin"), format!("{script}sleep 120 2>/dev/null &\n")).unwrap();
    prints(directory.path(), r#""token":"t""#);
    let cluster = "server: https://127.0.0.1:1\ncertificate-authority: ca.crt";
    let endpoint = load(directory.path(), cluster, USER);
    let token = tokio::time::timeout(Duration::from_secs(60), token(&endpoint)).await;
    assert_eq!(token, Ok(Ok("Bearer t".to_owned())));
}

#[tokio::test]
async fn a_plugin_that_takes_too_long_is_ended_with_what_it_has_started() {
    let (_, directory) = authority();
    plugin(directory.path());
    let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\nsleep 600 &\necho $! > half\nmv half child\nwait\n";
    fs::write(directory.path().join("plugin"), script).unwrap();
    let cluster = "server: https://127.0.0.1:1\ncertificate-authority: ca.crt";
    let endpoint = load(directory.path(), cluster, USER);
    let child = directory.path().join("child");
    let started = async {
        while !child.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = token(&endpoint) => panic!("it has ended"),
        () = started => {}
    }
    let child = fs::read_to_string(child).unwrap();
    let lives = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    let begun = Instant::now();
    while lives() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it lives on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn it_is_told_of_the_cluster_if_it_wants() {
    let (authority, directory) = authority();
    plugin(directory.path());
    prints(directory.path(), "\"token\":\"t\"");
    let cluster = "server: https://h.example:1/x\ncertificate-authority: ca.crt\ntls-server-name: n.example";
    let endpoint = load(directory.path(), cluster, &format!("{USER}\n  provideClusterInfo: true"));
    token(&endpoint).await.unwrap();
    let run = fs::read_to_string(directory.path().join("runs")).unwrap();
    let data = STANDARD.encode(&authority.certificate);
    let cluster = format!(
        r#""cluster":{{"server":"https://h.example:1/x","tls-server-name":"n.example","certificate-authority-data":"{data}"}}"#
    );
    assert!(run.contains(&cluster), "{cluster} in {run}");
}

#[tokio::test]
async fn what_a_plugin_does_wrong_is_said_without_what_it_printed() {
    let (_, directory) = authority();
    let cluster = "server: https://127.0.0.1:1\ncertificate-authority: ca.crt";
    let credential = |version: &str, status: &str| {
        format!("{{\"kind\":\"ExecCredential\",\"apiVersion\":\"{version}\"{status}}}")
    };
    let v1 = |status: &str| credential("client.authentication.k8s.io/v1", status);
    for (printed, expected) in [
        ("secret".to_owned(), "something else than an ExecCredential in JSON"),
        ("{}".to_owned(), "no object of kind ExecCredential"),
        (
            credential("client.authentication.k8s.io/v1beta1", ""),
            "another apiVersion than client.authentication.k8s.io/v1",
        ),
        (v1(""), "no status"),
        (v1(",\"status\":{}"), "neither a token nor a client certificate"),
        (v1(",\"status\":{\"token\":\" \"}"), "a token that is empty"),
        (
            v1(",\"status\":{\"clientKeyData\":\"secret\"}"),
            "only one of clientCertificateData and clientKeyData",
        ),
        (
            v1(",\"status\":{\"clientKeyData\":\"secret\",\"clientCertificateData\":\"x\"}"),
            "no certificate in PEM",
        ),
        (v1(",\"status\":{\"token\":\"secret\",\"expirationTimestamp\":\"soon\"}"), "an expirationTimestamp"),
        ("x".repeat(2 << 20), "more than 1048576 bytes"),
    ] {
        plugin(directory.path());
        fs::write(directory.path().join("printed"), printed).unwrap();
        let error = token(&load(directory.path(), cluster, USER)).await.unwrap_err();
        assert!(error.contains(expected) && !error.contains("secret"), "{expected}: {error}");
    }
    // A clock that is wrong, here or there, is the endpoint's to judge.
    prints(directory.path(), "\"token\":\"old\",\"expirationTimestamp\":\"2001-01-01T00:00:00Z\"");
    assert_eq!(token(&load(directory.path(), cluster, USER)).await.unwrap(), "Bearer old");
    fs::write(directory.path().join("plugin"), "#!/bin/sh\nexit 3\n").unwrap();
    let error = token(&load(directory.path(), cluster, USER)).await.unwrap_err();
    assert!(error.contains("failed: exit status: 3"), "{error}");
}

#[test]
fn what_is_wrong_with_exec_is_said_at_the_start() {
    let (_, directory) = authority();
    plugin(directory.path());
    let cluster = "server: https://127.0.0.1:1\ncertificate-authority: ca.crt";
    for (from, to, expected) in [
        (
            "command: ./plugin",
            "command: ./gone",
            "exec.command: ./gone is not there or cannot be run; install it",
        ),
        (
            "command: ./plugin",
            "command: no-such-command-anywhere",
            "is not there or cannot be run; install it",
        ),
        ("command: ./plugin", "x: y", "exec.command: not set"),
        ("k8s.io/v1\n", "k8s.io/v1alpha1\n", "exec.apiVersion: must be client.authentication.k8s.io/v1 or"),
        ("IfAvailable", "Always", "exec.interactiveMode: a daemon has no terminal"),
        ("IfAvailable", "Sometimes", "exec.interactiveMode: must be Never or IfAvailable"),
        ("interactiveMode: IfAvailable", "x: y", "exec.interactiveMode: must be Never or IfAvailable"),
    ] {
        let user = USER.replace(from, to);
        let errors = load_from(directory.path(), &kubeconfig(cluster, &user)).unwrap_err();
        assert!(errors.len() == 1 && errors[0].contains(expected), "{expected}: {errors:?}");
    }
    // v1beta1 needs no mode, and another credential wins.
    let beta =
        USER.replace("k8s.io/v1\n", "k8s.io/v1beta1\n").replace("interactiveMode: IfAvailable", "x: y");
    load_from(directory.path(), &kubeconfig(cluster, &beta)).unwrap();
    let endpoint = load_from(directory.path(), &kubeconfig(cluster, &format!("{USER}\ntoken: t"))).unwrap();
    assert!(
        endpoint.warnings()[0].contains("exec: ignored: another credential"),
        "{:?}",
        endpoint.warnings()
    );
}
