//! What is refused, and in which words.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::far_end::Authority;
use super::{TIMEOUT, errors, kubeconfig, load_from};
use crate::endpoint::{Endpoint, MAX_FILE_BYTES};

/// The one error of a kubeconfig, which never repeats what the field held.
fn check(cluster: &str, user: &str, expected: &str) {
    let errors = errors(&kubeconfig(cluster, user));
    assert_eq!(errors, [expected], "{cluster}\n{user}");
    assert!(!errors[0].contains("s3cret"), "{errors:?}");
}

#[test]
fn mistakes_of_the_cluster() {
    for (server, expected) in [
        ("[https://s3cret]", "wrong type: expected string scalar"),
        ("https://u:s3cret@h", "server: holds a user name: move it to `username` and `password` of the user"),
        ("ftp://s3cret", "server: must begin with https:// or http://"),
        ("h:8443/s3cret", "server: a path needs a scheme before it: write https://HOST:PORT/PATH"),
        ("https:///s3cret", "server: not a URL (empty host): write https://HOST:PORT/PATH"),
        ("https://h:s3cret", "server: not a URL (invalid port number): write https://HOST:PORT/PATH"),
        ("https://h\\s3cret", "server: not a URL: a backslash in the host"),
    ] {
        check(&format!("server: {server}"), "", &format!(":10: {expected}"));
    }
    let pem = "holds no PEM block CERTIFICATE";
    let base64 = "not base64: write the PEM file as `base64 -w0` prints it";
    let not_ip = "must be a DNS name, not an IP address: use a name that the certificate holds";
    let exclusive = "excludes a certificate authority: remove it, so that the authority is checked";
    for (line, expected) in [
        ("insecure-skip-tls-verify: s3cret", "wrong type: expected boolean".to_owned()),
        ("proxy-url: ftp://s3cret", "proxy-url: must begin with http://, https:// or socks5://".to_owned()),
        ("proxy-url: 'http://s3cret:x:y'", "proxy-url: not a URL: write SCHEME://HOST:PORT".to_owned()),
        ("tls-server-name: 10.0.0.1", format!("tls-server-name: {not_ip}")),
        ("tls-server-name: '::1'", format!("tls-server-name: {not_ip}")),
        ("tls-server-name: s3cret s3cret", "tls-server-name: not a DNS name".to_owned()),
        ("certificate-authority-data: aGk=", format!("certificate-authority-data: {pem}")),
        ("certificate-authority-data: s3cret!", format!("certificate-authority-data: {base64}")),
        (
            "insecure-skip-tls-verify: true\ncertificate-authority-data: aGk=",
            format!("insecure-skip-tls-verify: {exclusive}"),
        ),
    ] {
        check(&format!("server: https://h\n{line}"), "", &format!(":11: {expected}"));
    }
    for name in ["xn--a", "example.0x1"] {
        let errors = errors(&kubeconfig(&format!("server: https://h\ntls-server-name: {name}"), ""));
        assert_eq!(errors, [":11: tls-server-name: not a DNS name that a URL can hold"], "{name}");
    }
}

#[test]
fn mistakes_of_the_user() {
    let another_way = "use exec, token, tokenFile or a client certificate";
    for (user, expected) in [
        ("token: 53", ":14: a number or boolean where text is expected: put it in quotes".to_owned()),
        ("token: s3cret\ntoken: s3cret", ":15: a field is given twice: remove one".to_owned()),
        (
            "username: u\npassword: s3cret\ntoken: s3cret",
            ":15: username: username and password exclude token and tokenFile: remove one of the two".to_owned(),
        ),
        ("username: 'a:s3cret'", ":14: username: must not hold a colon: it would end the name".to_owned()),
        (
            "token: s3cret s3cret",
            ":14: token: holds characters that no token has: put one token in it, without spaces or line breaks"
                .to_owned(),
        ),
        ("auth-provider: {name: gcp}", format!(":14: auth-provider: not supported: {another_way}")),
        (
            "client-key-data: aGk=",
            ":14: client-key-data: has no certificate: set client-certificate or client-certificate-data".to_owned(),
        ),
        (
            "client-certificate-data: aGk=",
            ":14: client-certificate-data: has no key: set client-key or client-key-data".to_owned(),
        ),
    ] {
        check("server: https://h", user, &expected);
    }
    let torn = errors(&kubeconfig("server: https://h", "token: s3cret\n \t- s3cret: ["));
    assert!(!torn[0].contains("s3cret"), "{torn:?}");
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
        format!("{config}:12: proxy-url: must begin with http://, https:// or socks5://"),
        format!(
            "{config}:13: tls-server-name: must be a DNS name, not an IP address: use a name that the certificate holds"
        ),
        format!("{config}:17: tokenFile: cannot read {token}: {missing}"),
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
