//! What takes the place of what when files change while we run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::AUTHORIZATION;
use rustix::fs::{CWD, Mode, mkfifoat};

use super::connections::{authority, load, post, seen};
use super::far_end::{Authority, FarEnd, Pair};
use super::kubeconfig;
use crate::endpoint::Endpoint;

/// A look at the files, and what is sent after it.
async fn token_after_look(endpoint: &Arc<Endpoint>, far_end: &FarEnd) -> String {
    endpoint.look().await;
    seen(endpoint, far_end).await.header(AUTHORIZATION).unwrap().to_owned()
}

#[tokio::test]
async fn the_last_good_token_stays_until_there_is_a_better_one() {
    let (authority, directory) = authority();
    let far_end = FarEnd::tls(&authority.issue(&["127.0.0.1"]), None, &["http/1.1"]).await;
    let cluster = format!("server: https://{}\ncertificate-authority: ca.crt", far_end.address);
    let token = |text: &str| fs::write(directory.path().join("token"), text).unwrap();
    token("first\n");
    let endpoint = Arc::new(load(directory.path(), &cluster, "tokenFile: token\ntoken: inline"));
    assert_eq!(token_after_look(&endpoint, &far_end).await, "Bearer first", "the file wins");
    token("second");
    assert_eq!(seen(&endpoint, &far_end).await.header(AUTHORIZATION), Some("Bearer first"));
    assert_eq!(token_after_look(&endpoint, &far_end).await, "Bearer second");
    token(" \n");
    assert_eq!(token_after_look(&endpoint, &far_end).await, "Bearer second", "not the inline one");
    assert!(!endpoint.condition().is_good);
    fs::remove_file(directory.path().join("token")).unwrap();
    assert_eq!(token_after_look(&endpoint, &far_end).await, "Bearer second");
    token("third");
    assert_eq!(token_after_look(&endpoint, &far_end).await, "Bearer third");
    assert!(endpoint.condition().is_good);
}

#[tokio::test]
async fn credentials_that_were_refused_are_read_again_at_once() {
    let (authority, directory) = authority();
    let far_end = FarEnd::tls(&authority.issue(&["127.0.0.1"]), None, &["http/1.1"]).await;
    let cluster = format!("server: https://{}\ncertificate-authority: ca.crt", far_end.address);
    fs::write(directory.path().join("token"), "old").unwrap();
    let endpoint = Arc::new(load(directory.path(), &cluster, "tokenFile: token"));
    let refused = endpoint.session().await.unwrap().generation();
    assert!(!endpoint.refused(refused).await, "there is no other");
    let mut changes = endpoint.changes();
    fs::write(directory.path().join("token"), "new").unwrap();
    assert!(endpoint.refused(refused).await);
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    // One that was under way with the old token comes back later.
    assert!(endpoint.refused(refused).await);
    assert!(!changes.has_changed().unwrap());
    assert_eq!(seen(&endpoint, &far_end).await.header(AUTHORIZATION), Some("Bearer new"));
}

/// What kubelet does with a Secret volume: a new directory, and a link that is led there.
fn publish(volume: &Path, version: &str, files: &[(&str, &str)]) {
    let data = volume.join(version);
    fs::create_dir(&data).unwrap();
    for (name, content) in files {
        fs::write(data.join(name), content).unwrap();
        if !volume.join(name).exists() {
            symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
        }
    }
    symlink(version, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_renewed_as_a_pair() {
    let (authority, directory) = authority();
    let far_end = FarEnd::tls(&authority.issue(&["127.0.0.1"]), Some(&authority), &["http/1.1"]).await;
    let cluster = format!("server: https://{}\ncertificate-authority: ca.crt", far_end.address);
    let [first, second, third]: [Pair; 3] = ["1", "2", "3"].map(|name| authority.issue(&[name]));
    let files = |certificate: &Pair, key: &Pair, version: &str| {
        let files = [("tls.crt", certificate.certificate.as_str()), ("tls.key", key.key.as_str())];
        publish(directory.path(), version, &files);
    };
    files(&first, &first, "v1");
    let user = "client-certificate: tls.crt\nclient-key: tls.key\ntoken: t";
    let endpoint = Arc::new(load(directory.path(), &cluster, user));
    let shown = async || {
        endpoint.look().await;
        seen(&endpoint, &far_end).await.client_certificate.unwrap()
    };
    assert_eq!(shown().await, first.der());
    files(&second, &second, "v2");
    assert_eq!(shown().await, second.der());
    assert!(endpoint.condition().client_certificate_expires.is_some());
    files(&third, &second, "half");
    assert_eq!(shown().await, second.der(), "a certificate whose key is not there yet");
    assert!(!endpoint.condition().is_good);
    files(&third, &third, "v3");
    assert_eq!(shown().await, third.der());
    assert!(endpoint.condition().is_good);
}

#[tokio::test]
async fn an_authority_is_renewed() {
    let (authority, directory) = authority();
    let successor = Authority::new("the next one");
    let far_end = FarEnd::tls(&successor.issue(&["127.0.0.1"]), None, &["http/1.1"]).await;
    let cluster = format!("server: https://{}\ncertificate-authority: ca.crt", far_end.address);
    let endpoint = Arc::new(load(directory.path(), &cluster, "token: t"));
    assert!(post(&endpoint).await.is_err());
    let both = format!("{}{}", authority.certificate, successor.certificate);
    fs::write(directory.path().join("ca.crt"), both).unwrap();
    endpoint.look().await;
    post(&endpoint).await.unwrap();
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_read_keeps_nothing_else_from_being_renewed() {
    let (authority, directory) = authority();
    let pair = authority.issue(&["127.0.0.1"]);
    let (here, there) =
        (FarEnd::tls(&pair, None, &["http/1.1"]).await, FarEnd::tls(&pair, None, &["http/1.1"]).await);
    let cluster =
        |far_end: &FarEnd| format!("server: https://{}\ncertificate-authority: ca.crt", far_end.address);
    let token = |text: &str| fs::write(directory.path().join("token"), text).unwrap();
    let write = |text: &str| fs::write(directory.path().join("config"), text).unwrap();
    token("first");
    let endpoint = Arc::new(load(directory.path(), &cluster(&here), "tokenFile: token"));
    assert_eq!(token_after_look(&endpoint, &here).await, "Bearer first");
    write("clusters: [");
    token("second");
    assert_eq!(token_after_look(&endpoint, &here).await, "Bearer second");
    assert!(!endpoint.condition().is_good);
    // A good server beside a token file that is not there: it may not see the token for the other.
    write(&kubeconfig(&cluster(&there), "tokenFile: gone"));
    assert_eq!(token_after_look(&endpoint, &here).await, "Bearer second");
    assert!(!endpoint.condition().is_good && there.take_seen().is_empty());
    // Nor the other way round.
    write(&kubeconfig(&format!("{}.gone", cluster(&there)), "token: third"));
    assert_eq!(token_after_look(&endpoint, &here).await, "Bearer second");
    write(&kubeconfig(&cluster(&there), "token: third"));
    assert_eq!(token_after_look(&endpoint, &there).await, "Bearer third");
    assert!(endpoint.condition().is_good && here.take_seen().is_empty());
}

#[tokio::test]
async fn what_did_not_change_keeps_its_connections() {
    let (authority, directory) = authority();
    let far_end = FarEnd::tls(&authority.issue(&["127.0.0.1"]), None, &["http/1.1"]).await;
    let cluster = format!("server: https://{}\ncertificate-authority: ca.crt", far_end.address);
    fs::write(directory.path().join("token"), "first").unwrap();
    let endpoint = Arc::new(load(directory.path(), &cluster, "tokenFile: token"));
    post(&endpoint).await.unwrap();
    fs::write(directory.path().join("ca.crt"), &authority.certificate).unwrap();
    fs::write(directory.path().join("token"), "second").unwrap();
    assert_eq!(token_after_look(&endpoint, &far_end).await, "Bearer second");
    assert_eq!(far_end.connections(), 1);
    let session = endpoint.session().await.unwrap();
    endpoint.reconnect(&session);
    endpoint.reconnect(&session);
    post(&endpoint).await.unwrap();
    post(&endpoint).await.unwrap();
    assert_eq!(far_end.connections(), 2, "one that failed twice is replaced once");
}

/// Whoever opens a pipe for reading waits until somebody opens it for writing.
#[tokio::test]
async fn what_is_no_file_holds_up_nobody() {
    let (_, directory) = authority();
    let path = directory.path().join("token");
    fs::write(&path, "first").unwrap();
    let cluster = "server: https://127.0.0.1:1\ncertificate-authority: ca.crt";
    let endpoint = Arc::new(load(directory.path(), cluster, "tokenFile: token"));
    fs::remove_file(&path).unwrap();
    mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
    let refused = tokio::time::timeout(Duration::from_secs(60), endpoint.refused(0)).await;
    if refused.is_err() {
        // Or the thread that reads would hold up the end of the test.
        fs::File::options().write(true).open(&path).unwrap();
    }
    assert_eq!(refused, Ok(false), "it hangs, and whoever asks for it");
    assert!(!endpoint.condition().is_good);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(!endpoint.refused(0).await && !endpoint.condition().is_good);
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "second").unwrap();
    assert!(endpoint.refused(0).await && endpoint.condition().is_good);
}
