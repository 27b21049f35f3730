//! The rules of loading, as tables. `connections` has what a server sees.

mod connections;
mod far_end;

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::server::{clean, go_duration};
use super::{Endpoint, MAX_FILE_BYTES};
use far_end::Authority;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A kubeconfig of one cluster and one user, given as lines of YAML.
fn kubeconfig(cluster: &str, user: &str) -> String {
    let indent = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "kind: Config\napiVersion: v1\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: k, user: u}}\n\
         clusters:\n- name: k\n  cluster:\n{}users:\n- name: u\n  user:\n{}preferences: {{}}\n",
        indent(cluster),
        indent(user)
    )
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
            Err(":6: cluster: there is no cluster \"gone\": name one of `clusters`"),
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
                \t\t\"cluster\": {\"server\": \"https://h:8443/audit\", \"disable-compression\": true}}]\n}\n";
    let endpoint = load(text).unwrap();
    assert_eq!(endpoint.url().as_str(), "https://h:8443/audit?timeout=30s");
    assert_eq!(endpoint.display(), "https://h:8443/audit");
    assert_eq!(endpoint.warnings(), [""; 0]);
    assert!(endpoint.headers().is_empty());
}

#[test]
fn types_are_strict_and_values_stay_out_of_messages() {
    let ca = "certificate-authority-data: aGk=";
    for (cluster, user, expected) in [
        ("server: [https://s3cret]", "", ":10: wrong type: expected string scalar"),
        ("server: https://h\ninsecure-skip-tls-verify: s3cret", "", ":11: wrong type: expected bool"),
        (
            "server: https://h",
            "token: 53",
            ":14: a number or boolean where text is expected: put it in quotes",
        ),
        ("server: https://h", "token: s3cret\ntoken: s3cret", ":15: a field is given twice: remove one"),
        ("server: https://h", "token: s3cret\n \t- s3cret: [", ""),
        (
            "server: https://u:s3cret@h",
            "",
            ":10: server: holds a user name: move it to `username` and `password` of the user",
        ),
        ("server: ftp://s3cret", "", ":10: server: must begin with https:// or http://"),
        (
            "server: h:8443/s3cret",
            "",
            ":10: server: a path needs a scheme before it: write https://HOST:PORT/PATH",
        ),
        ("server: https:///s3cret", "", ":10: server: not a URL (empty host): write https://HOST:PORT/PATH"),
        (
            "server: https://h:s3cret",
            "",
            ":10: server: not a URL (invalid port number): write https://HOST:PORT/PATH",
        ),
        (
            "server: https://h\nproxy-url: ftp://s3cret",
            "",
            ":11: proxy-url: must begin with http://, https:// or socks5://",
        ),
        (
            "server: https://h\nproxy-url: 'http://s3cret:x:y'",
            "",
            ":11: proxy-url: not a URL: write SCHEME://HOST:PORT",
        ),
        (
            "server: https://h\ntls-server-name: 10.0.0.1",
            "",
            ":11: tls-server-name: must be a DNS name, not an IP address: use a name that the certificate holds",
        ),
        ("server: https://h\ntls-server-name: a b", "", ":11: tls-server-name: not a DNS name"),
        (
            "server: https://h\ntls-server-name: n\nproxy-url: http://p",
            "",
            ":11: tls-server-name: cannot be used together with proxy-url: remove one of the two",
        ),
        (
            &format!("server: https://h\n{ca}"),
            "",
            ":11: certificate-authority-data: holds no PEM block CERTIFICATE",
        ),
        (
            "server: https://h\ncertificate-authority-data: s3cret!",
            "",
            ":11: certificate-authority-data: not base64: write the PEM file as `base64 -w0` prints it",
        ),
        (
            &format!("server: https://h\ninsecure-skip-tls-verify: true\n{ca}"),
            "",
            ":12: insecure-skip-tls-verify: excludes a certificate authority: remove it, so that the authority is checked",
        ),
        (
            "server: https://h",
            "username: u\npassword: s3cret\ntoken: s3cret",
            ":16: username: username and password exclude token and tokenFile: remove one of the two",
        ),
        (
            "server: https://h",
            "username: 'a:s3cret'",
            ":14: username: must not hold a colon: it would end the name",
        ),
        (
            "server: https://h",
            "token: s3cret s3cret",
            ":14: token: holds characters that no token has: put one token in it, without spaces or line breaks",
        ),
        (
            "server: https://h",
            "exec:\n  command: s3cret",
            ":15: exec: not available in this version yet: use token, tokenFile or a client certificate",
        ),
        (
            "server: https://h",
            "auth-provider: {name: gcp}",
            ":14: auth-provider: Kubernetes removed it in 1.26: use token, tokenFile or a client certificate",
        ),
        (
            "server: https://h",
            "client-key-data: aGk=",
            ":14: client-key-data: has no certificate: set client-certificate or client-certificate-data",
        ),
        (
            "server: https://h",
            "client-certificate-data: aGk=",
            ":14: client-certificate-data: has no key: set client-key or client-key-data",
        ),
    ] {
        let errors = errors(&kubeconfig(cluster, user));
        assert!(errors[0].starts_with(expected), "{cluster}\n{user}\n{errors:?}");
        assert!(expected.is_empty() || errors == [expected], "{errors:?}");
        assert!(!errors[0].contains("s3cret"), "{errors:?}");
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    let authority = Authority::new("ca");
    let (one, two) = (authority.issue(&["one"]), authority.issue(&["two"]));
    let cluster =
        "server: https://h/\ncertificate-authority: gone.crt\nproxy-url: h:80\ntls-server-name: '::1'";
    let user = format!(
        "tokenFile: gone\nclient-certificate-data: {}\nclient-key-data: {}\nas: root",
        STANDARD.encode(&one.certificate),
        STANDARD.encode(&two.key)
    );
    let directory = tempfile::tempdir().unwrap();
    let errors = load_from(directory.path(), &kubeconfig(cluster, &user)).unwrap_err();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let (config, ca, token) = (at("config"), at("gone.crt"), at("gone"));
    let missing = "No such file or directory (os error 2)";
    let expected = [
        format!("{config}:11: certificate-authority: cannot read {ca}: {missing}"),
        format!(
            "{config}:19: client-key-data: is not the key of client-certificate-data: set the two of one pair"
        ),
        format!("{config}:17: tokenFile: cannot read {token}: {missing}"),
        format!("{config}:12: proxy-url: must begin with http://, https:// or socks5://"),
        format!(
            "{config}:13: tls-server-name: must be a DNS name, not an IP address: use a name that the certificate holds"
        ),
    ];
    assert_eq!(errors, expected);
}

#[test]
fn files_that_cannot_be_used() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    let pair = Authority::new("ca").issue(&["h"]);
    write("ok.crt", pair.certificate.as_bytes());
    write("cut.crt", &pair.certificate.as_bytes()[..100]);
    write("no-ca.crt", b"-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n");
    write("empty", b"");
    write("binary", &[0xff, 0xfe]);
    write("huge", &vec![b'a'; usize::try_from(MAX_FILE_BYTES).unwrap() + 1]);
    for (cluster, user, expected) in [
        ("certificate-authority: cut.crt", "", "cut.crt: not PEM: a block is cut off or is not base64"),
        ("certificate-authority: no-ca.crt", "", "none of its certificates can be an authority"),
        ("certificate-authority: empty", "", "empty: holds no PEM block CERTIFICATE"),
        ("certificate-authority: huge", "", "huge: the file is larger than 4 MiB"),
        ("", "client-certificate: ok.crt\nclient-key: ok.crt", "ok.crt: holds no PEM block PRIVATE KEY"),
        ("", "client-certificate: empty\nclient-key: empty", "empty: holds no PEM block CERTIFICATE"),
        ("", "tokenFile: empty", "/empty: empty: put one token in it"),
        ("", "tokenFile: binary", "/binary is not text: put one token in it"),
    ] {
        let text = kubeconfig(&format!("server: https://h\n{cluster}"), user);
        let errors = load_from(directory.path(), &text).unwrap_err().join("\n");
        assert!(errors.contains(expected), "{errors}");
    }
    let gone = Endpoint::load(&directory.path().join("gone"), TIMEOUT).unwrap_err();
    assert!(
        gone[0].ends_with("gone: cannot read the kubeconfig: No such file or directory (os error 2)"),
        "{gone:?}"
    );
    let binary = Endpoint::load(&directory.path().join("binary"), TIMEOUT).unwrap_err();
    assert!(binary[0].contains("not UTF-8"), "{binary:?}");
}

#[test]
fn warnings_name_what_does_not_count() {
    let cluster = "server: https://h";
    let both = "tokenFile: gone\ntoken: inline\nas: root\nas-groups: [a]\nas-uid: x";
    let endpoint = load(&kubeconfig(cluster, both)).unwrap();
    let warnings = endpoint.warnings().join("\n");
    for part in [
        "14: tokenFile: cannot read",
        "`token` is used",
        "16: as: ignored",
        "as-groups: ignored",
        "as-uid: ignored",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    assert_eq!(endpoint.authorization().unwrap(), "Bearer inline");
    let debug = format!("{endpoint:?} {:?}", endpoint.authorization());
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
        assert_eq!(load(&kubeconfig(cluster, "")).unwrap().url().as_str(), expected, "{cluster}");
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
        assert_eq!(go_duration(Duration::from_nanos(nanos)), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// A damaged kubeconfig is an error or an endpoint, never a panic, and its secret stays out of every message.
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
