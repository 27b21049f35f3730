//! The rules of loading, as tables; `mistakes` has what is refused, `connections` what a server sees.

mod connections;
mod far_end;
mod mistakes;
mod plugins;
mod renewal;

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::server::clean;
use super::{Endpoint, Session};
use crate::config::show_duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A kubeconfig of one cluster and one user, given as lines of YAML.
fn kubeconfig(cluster: &str, user: &str) -> String {
    let indent = |text: &str| format!("    {}\n", text.replace('\n', "\n    "));
    format!(
        "kind: Config\napiVersion: v1\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: k, user: u}}\n\
         clusters:\n- name: k\n  cluster:\n{}users:\n- name: u\n  user:\n{}preferences: {{}}\n",
        indent(cluster),
        indent(user)
    )
}

/// What the next request is made of, without a plugin.
fn session(endpoint: &Endpoint) -> Session {
    endpoint.current().session(None)
}

fn load_from(directory: &Path, text: &str) -> Result<Endpoint, Vec<String>> {
    let path = directory.join("config");
    fs::write(&path, text).unwrap();
    Endpoint::load(&path, TIMEOUT)
}

fn load(text: &str) -> Result<Endpoint, Vec<String>> {
    load_from(tempfile::tempdir().unwrap().path(), text)
}

/// The errors of a kubeconfig, without the path before the line.
fn errors(text: &str) -> Vec<String> {
    let errors = load(text).map(|endpoint| endpoint.display()).unwrap_err();
    errors.iter().map(|error| error.split_once("/config").unwrap().1.to_owned()).collect()
}

#[test]
fn the_current_context_chooses() {
    let lists = "
clusters: [{name: k, cluster: {server: 'http://k'}}, {name: other, cluster: {server: 'http://o', certificate-authority: gone}}]
users: [{name: other, user: {tokenFile: gone, exec: {}}}]
contexts: [{name: c, context: {cluster: k, user: missing}}, {name: no-user, context: {cluster: k}},
  {name: no-cluster, context: {cluster: gone}}, {name: empty}]
";
    let nameless =
        "{clusters: [{name: '', cluster: {server: 'http://nameless'}}], users: null, contexts: null}";
    for (text, expected) in [
        (format!("current-context: c{lists}"), Ok("http://k/")),
        (format!("current-context: no-user{lists}"), Ok("http://k/")),
        (nameless.to_owned(), Ok("http://nameless/")),
        (nameless.replace("''", "null"), Ok("http://nameless/")),
        (format!("---\n{nameless}\n---\n"), Ok("http://nameless/")),
        (
            format!("current-context: no-cluster{lists}"),
            Err(":5: cluster: there is no cluster \"gone\": name one of `clusters`"),
        ),
        (
            format!("current-context: gone{lists}"),
            Err(":1: current-context: there is no context \"gone\": name one of `contexts`"),
        ),
        (
            lists.to_owned(),
            Err(": current-context: no cluster is chosen: set it to a context that names one of `clusters`"),
        ),
        (
            format!("current-context: empty{lists}"),
            Err(
                ":1: current-context: no cluster is chosen: set it to a context that names one of `clusters`",
            ),
        ),
        (
            format!("{nameless}\n---\nclusters: []\n"),
            Err(": more than one YAML document: keep one kubeconfig"),
        ),
        (
            String::new(),
            Err(": current-context: no cluster is chosen: set it to a context that names one of `clusters`"),
        ),
        (
            "clusters: [{name: a}, {name: a}]\ncurrent-context: x".to_owned(),
            Err(":1: clusters: the name \"a\" is given twice: rename or remove one"),
        ),
        (nameless.replace("{c", "{kind: Pod, c"), Err(":1: kind: must be Config: this is not a kubeconfig")),
        (
            nameless.replace("{c", "{apiVersion: v2, c"),
            Err(":1: apiVersion: must be v1: this is not a kubeconfig"),
        ),
    ] {
        match (load(&text), expected) {
            (Ok(endpoint), Ok(display)) => assert_eq!(endpoint.display(), display, "{text}"),
            (Err(_), Err(error)) => assert_eq!(errors(&text)[0], error, "{text}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }
}

#[test]
fn json_loads_and_unknown_fields_do_not_matter() {
    let text = "{\n\t\"kind\": \"Config\",\n\t\"clusters\": [{\"name\": \"\", \"extensions\": [1], \"x\": {\"y\": []},\n\
                \t\t\"cluster\": {\"server\": \"https://h:8443/audit\", \"insecure-skip-tls-verify\": true}}]\n}\n";
    let endpoint = load(text).unwrap();
    assert_eq!(session(&endpoint).url().as_str(), "https://h:8443/audit?timeout=30s");
    assert_eq!(endpoint.display(), "https://h:8443/audit");
    assert_eq!(endpoint.warnings().len(), 1, "only of insecure-skip-tls-verify: {:?}", endpoint.warnings());
    assert!(session(&endpoint).headers().is_empty());
}

#[test]
fn warnings_name_what_does_not_count() {
    let cluster = "server: https://h\ninsecure-skip-tls-verify: true";
    let both = "tokenFile: gone\ntoken: inline\nas: root\nas-groups: [a]\nas-uid: x";
    let endpoint = load(&kubeconfig(cluster, both)).unwrap();
    let warnings = endpoint.warnings().join("\n");
    for part in [
        "15: tokenFile: cannot read",
        "`token` is used",
        "17: as: ignored",
        "18: as-groups: ignored",
        "19: as-uid: ignored",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    assert_eq!(session(&endpoint).authorization().unwrap(), "Bearer inline");
    let debug = format!("{endpoint:?} {:?}", session(&endpoint).authorization());
    assert!(!debug.contains("inline"), "{debug}");
    let none = load("{clusters: [{name: '', cluster: {}}]}").unwrap();
    assert_eq!(none.display(), "http://localhost/");
    assert!(none.warnings()[0].contains("server: not set: batches go to localhost"));
}

#[test]
fn server_becomes_the_url_that_is_posted_to() {
    let ca = "\ninsecure-skip-tls-verify: true";
    for (cluster, expected) in [
        ("server: http://h", "http://h/"),
        ("server: HTTP://H:80/a//b/./c/../d/?timeout=30s&x=y#f", "http://h/a/b/d"),
        ("server: http://h/a/b%20c/", "http://h/a/b%20c"),
        ("server: http://h/../..//", "http://h/"),
        ("server: http://h?x=/y", "http://h/"),
        ("server: http://h/a//../b", "http://h/b"),
        ("server: http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("server: localhost:8080", "http://localhost:8080/"),
        ("server: h:8443/", "http://h:8443/"),
        (&format!("server: h:8443{ca}"), "https://h:8443/?timeout=30s"),
        (&format!("server: http://h{ca}"), "http://h/"),
        ("server: https://h:443/x", "https://h/x?timeout=30s"),
        ("server: https://h/x\nproxy-url: socks5://u:p@proxy:1080", "https://h/x?timeout=30s"),
        ("server: https://real:6443/x\ntls-server-name: name", "https://name:6443/x?timeout=30s"),
        ("server: https://h/x\ntls-server-name: h", "https://h/x?timeout=30s"),
    ] {
        // The machine that runs this may have no authorities.
        let cluster = cluster.replace("server: https", "insecure-skip-tls-verify: true\nserver: https");
        assert_eq!(session(&load(&kubeconfig(&cluster, "")).unwrap()).url().as_str(), expected, "{cluster}");
    }
}

#[test]
fn durations_as_go_prints_them() {
    for (nanos, expected) in [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1\u{b5}s"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (30_000_000_000, "30s"),
        (90_000_000_000, "1m30s"),
        (245_001_000_000, "4m5.001s"),
        (3_600_000_000_000, "1h0m0s"),
        (18_367_001_000_000, "5h6m7.001s"),
    ] {
        assert_eq!(show_duration(Duration::from_nanos(nanos)), expected);
    }
}

proptest! {
    #![proptest_config(crate::properties::cases(256))]

    /// A damaged kubeconfig is an error or an endpoint, never a panic, and its secret stays out of every
    /// message.
    #[test]
    fn no_input_panics_or_is_repeated(cut in 0..260_usize, noise in ".{0,8}", drop in 0..6_usize) {
        let text = kubeconfig("server: https://h/", "token: hunter2secret\nas: x");
        let cut = cut.min(text.len());
        let damaged = format!("{}{noise}{}", &text[..cut], &text[(cut + drop).min(text.len())..]);
        let messages = load(&damaged).map_or_else(|errors| errors, |endpoint| endpoint.warnings().to_vec());
        prop_assert!(messages.iter().all(|message| !message.contains("hunter2secret")), "{messages:?}");
    }

    /// A path is clean after one pass, absolute, and without a slash at its end.
    #[test]
    fn cleaning_a_path_is_idempotent(path in "[a./%]{0,16}") {
        let cleaned = clean(&path);
        prop_assert_eq!(clean(&cleaned), cleaned.clone());
        prop_assert!(cleaned == "/" || (cleaned.starts_with('/') && !cleaned.ends_with('/')));
        prop_assert!(!cleaned.contains("//"));
    }
}
