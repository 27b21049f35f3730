//! Real connections: what the other end sees of an endpoint.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Version;
use hyper::header::{AUTHORIZATION, HOST, USER_AGENT};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::far_end::{Authority, FarEnd, Pair, Seen, self_signed};
use super::{TIMEOUT, kubeconfig, load_from, session};
use crate::endpoint::Endpoint;

/// A directory with `ca.crt`, and an authority to fill it from.
pub(super) fn authority() -> (Authority, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("the one we trust");
    fs::write(directory.path().join("ca.crt"), &authority.certificate).unwrap();
    (authority, directory)
}

pub(super) fn load(directory: &Path, cluster: &str, user: &str) -> Endpoint {
    load_from(directory, &kubeconfig(cluster, user)).unwrap()
}

/// Posts as the delivery of batches does.
pub(super) async fn post(endpoint: &Endpoint) -> Result<(), reqwest::Error> {
    let session = endpoint.session().await.unwrap();
    let mut request = session.client().post(session.url().clone()).headers(session.headers().clone());
    if let Some(value) = session.authorization() {
        request = request.header(AUTHORIZATION, value);
    }
    request.body("{}").send().await.map(drop)
}

pub(super) async fn seen(endpoint: &Endpoint, far_end: &FarEnd) -> Seen {
    post(endpoint).await.unwrap();
    far_end.take_seen().pop().unwrap()
}

#[tokio::test]
async fn authority_from_a_file_and_from_data() {
    let (authority, directory) = authority();
    let far_end = FarEnd::tls(&authority.issue(&["127.0.0.1"]), None, &["http/1.1"]).await;
    let server = format!("server: https://{}/audit/x/?k=v", far_end.address);
    let data = STANDARD.encode(&authority.certificate);
    for cluster in [
        format!("{server}\ncertificate-authority: ca.crt"),
        format!("{server}\ncertificate-authority-data: {data}"),
        format!("{server}\ncertificate-authority: ca.crt\ncertificate-authority-data: {data}"),
        // Scheme-less with an authority is https, too.
        format!("server: {}\ncertificate-authority: ca.crt", far_end.address),
    ] {
        let seen = seen(&load(directory.path(), &cluster, ""), &far_end).await;
        let path = if cluster.contains("/audit/x") { "/audit/x" } else { "/" };
        assert_eq!(seen.target, format!("{path}?timeout=30s"), "{cluster}");
        assert_eq!(seen.version, Version::HTTP_11);
        assert_eq!(seen.header(HOST), Some(far_end.address.to_string().as_str()));
        assert_eq!(seen.header(USER_AGENT), Some(concat!("audit-shipper/", env!("CARGO_PKG_VERSION"))));
        assert_eq!(seen.header(AUTHORIZATION), None);
        assert_eq!(seen.client_certificate, None);
    }
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let (_, directory) = authority();
    let stranger = Authority::new("a stranger");
    let far_end = FarEnd::tls(&stranger.issue(&["127.0.0.1"]), None, &["http/1.1"]).await;
    let server = format!("server: https://{}", far_end.address);
    let refused =
        load(directory.path(), &format!("{server}\ncertificate-authority: ca.crt"), "token: secret");
    let skip = load(directory.path(), &format!("{server}\ninsecure-skip-tls-verify: true"), "token: secret");
    assert!(post(&refused).await.unwrap_err().is_connect());
    match load_from(directory.path(), &kubeconfig(&server, "token: secret")) {
        Ok(machine) => assert!(post(&machine).await.unwrap_err().is_connect()),
        Err(errors) => assert!(errors[0].contains("install the machine's authorities"), "{errors:?}"),
    }
    assert!(far_end.take_seen().is_empty());
    assert_eq!(seen(&skip, &far_end).await.header(AUTHORIZATION), Some("Bearer secret"));
    assert!(skip.warnings()[0].contains("insecure-skip-tls-verify"), "{:?}", skip.warnings());
}

/// `openssl req -x509` certificates stand for themselves; their name and their dates still count.
#[tokio::test]
async fn a_server_may_be_its_own_authority() {
    let cases = [
        ("127.0.0.1", 2000..4000, true),
        ("127.0.0.2", 2000..4000, false),
        ("127.0.0.1", 2000..2001, false),
        ("127.0.0.1", 3999..4000, false),
    ];
    for (name, years, accepted) in cases {
        let pair = self_signed(name, years.clone());
        let far_end = FarEnd::tls(&pair, None, &["http/1.1"]).await;
        let data = STANDARD.encode(&pair.certificate);
        let cluster = format!("server: https://{}\ncertificate-authority-data: {data}", far_end.address);
        let directory = tempfile::tempdir().unwrap();
        let sent = post(&load(directory.path(), &cluster, "")).await;
        assert_eq!(sent.is_ok(), accepted, "{name} {years:?}: {sent:?}");
    }
    // The same name from another key is no authority.
    let (trusted, other) = (self_signed("127.0.0.1", 2000..4000), self_signed("127.0.0.1", 2000..4000));
    let far_end = FarEnd::tls(&other, None, &["http/1.1"]).await;
    let data = STANDARD.encode(&trusted.certificate);
    let cluster = format!("server: https://{}\ncertificate-authority-data: {data}", far_end.address);
    let directory = tempfile::tempdir().unwrap();
    assert!(post(&load(directory.path(), &cluster, "")).await.is_err());
}

#[tokio::test]
async fn tls_server_name_is_what_is_asked_for_and_checked() {
    let (authority, directory) = authority();
    let far_end = FarEnd::tls(&authority.issue(&["audit.example"]), None, &["h2", "http/1.1"]).await;
    for host in ["127.0.0.1", "localhost"] {
        let port = far_end.address.port();
        let cluster = format!("server: https://{host}:{port}/a/\ncertificate-authority: ca.crt");
        let named = load(directory.path(), &format!("{cluster}\ntls-server-name: audit.example"), "token: t");
        assert_eq!(named.display(), format!("https://{host}:{port}/a"));
        let seen = seen(&named, &far_end).await;
        assert_eq!(seen.server_name.as_deref(), Some("audit.example"));
        assert_eq!(seen.header(HOST), Some(format!("{host}:{port}").as_str()));
        assert_eq!(seen.target, "/a?timeout=30s");
        assert_eq!(seen.version, Version::HTTP_11);
        let wrong = load(directory.path(), &format!("{cluster}\ntls-server-name: other.example"), "token: t");
        assert!(post(&wrong).await.unwrap_err().is_connect());
        let unnamed = load(directory.path(), &cluster, "token: t");
        assert!(post(&unnamed).await.unwrap_err().is_connect());
    }
    let cluster = format!("server: https://{}\ntls-server-name: any.example", far_end.address);
    let skip = load(directory.path(), &format!("{cluster}\ninsecure-skip-tls-verify: true"), "");
    assert_eq!(seen(&skip, &far_end).await.server_name.as_deref(), Some("any.example"));
}

#[tokio::test]
async fn client_certificate_from_files_and_from_data() {
    let (authority, directory) = authority();
    let far_end = FarEnd::tls(&authority.issue(&["127.0.0.1"]), Some(&authority), &["http/1.1"]).await;
    let client: Pair = authority.issue(&["apiserver"]);
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("client.crt", &client.certificate);
    write("client.key", &client.key);
    write("both.pem", &format!("{}{}", client.certificate, client.key));
    let encode = |text: &String| STANDARD.encode(text);
    let data = format!(
        "client-certificate-data: {}\nclient-key-data: {}",
        encode(&client.certificate),
        encode(&client.key)
    );
    let server = format!("server: https://{}", far_end.address);
    // With the machine's authorities and with none at all, reqwest sets up TLS; with our own, we do.
    for trust in ["certificate-authority: ca.crt", "insecure-skip-tls-verify: true"] {
        let cluster = format!("{server}\n{trust}");
        for user in [
            "client-certificate: client.crt\nclient-key: client.key\ntoken: t",
            "client-certificate: both.pem\nclient-key: both.pem\ntoken: t",
            &format!("{data}\ntoken: t"),
        ] {
            let seen = seen(&load(directory.path(), &cluster, user), &far_end).await;
            assert_eq!(seen.client_certificate, Some(client.der()), "{trust} {user}");
            assert_eq!(seen.header(AUTHORIZATION), Some("Bearer t"));
        }
        assert!(
            post(&load(directory.path(), &cluster, "token: t")).await.is_err(),
            "no certificate was shown"
        );
    }
}

#[tokio::test]
async fn http2_when_it_is_offered() {
    let (authority, directory) = authority();
    let far_end = FarEnd::tls(&authority.issue(&["127.0.0.1"]), None, &["h2", "http/1.1"]).await;
    let server = format!("server: https://{}", far_end.address);
    for trust in ["certificate-authority: ca.crt", "insecure-skip-tls-verify: true"] {
        let seen = seen(&load(directory.path(), &format!("{server}\n{trust}"), "token: t"), &far_end).await;
        assert_eq!(seen.version, Version::HTTP_2, "{trust}");
        assert_eq!(seen.header(AUTHORIZATION), Some("Bearer t"));
    }
}

#[tokio::test]
async fn basic_authentication() {
    let (authority, directory) = authority();
    let far_end = FarEnd::tls(&authority.issue(&["127.0.0.1"]), None, &["http/1.1"]).await;
    let cluster = format!("server: https://{}\ncertificate-authority: ca.crt", far_end.address);
    let endpoint = load(directory.path(), &cluster, "username: aladdin\npassword: opensesame");
    let seen = seen(&endpoint, &far_end).await;
    assert_eq!(seen.header(AUTHORIZATION), Some("Basic YWxhZGRpbjpvcGVuc2VzYW1l"));
    assert!(session(&endpoint).authorization().unwrap().is_sensitive());
}

#[tokio::test]
async fn nothing_secret_over_plain_http() {
    let (authority, directory) = authority();
    let client = authority.issue(&["apiserver"]);
    fs::write(directory.path().join("client.crt"), &client.certificate).unwrap();
    let far_end = FarEnd::plain().await;
    for user in [
        "token: secret",
        "tokenFile: /does/not/exist",
        "username: a\npassword: b",
        "client-certificate: client.crt\nclient-key: /does/not/exist",
        "exec: {command: aws}",
    ] {
        let server = format!("server: http://{}/a//b/../c/?x=y#z", far_end.address);
        let cluster = format!("{server}\ntls-server-name: ignored.example");
        let endpoint = load(directory.path(), &cluster, user);
        let seen = seen(&endpoint, &far_end).await;
        assert_eq!(seen.target, "/a/c", "no timeout either");
        assert_eq!(seen.header(AUTHORIZATION), None);
        assert_eq!(session(&endpoint).authorization(), None);
        let warnings = endpoint.warnings().join("\n");
        assert!(warnings.contains("not read and not sent"), "{warnings}");
        assert!(warnings.contains("tls-server-name is ignored"), "{warnings}");
        assert!(!warnings.contains("secret"));
    }
}

/// The proxy is asked for the host by name, so that a node needs no DNS of its own.
#[tokio::test]
async fn a_proxy_is_asked_for_the_endpoint() {
    let directory = tempfile::tempdir().unwrap();
    for scheme in ["http", "socks5"] {
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}", proxy.local_addr().unwrap());
        let cluster =
            format!("server: https://audit.invalid\nproxy-url: {url}\ninsecure-skip-tls-verify: true");
        let endpoint = load(directory.path(), &cluster, "");
        let asked = async {
            let (mut stream, _) = proxy.accept().await.unwrap();
            let mut bytes = vec![0; 512];
            let mut length = stream.read(&mut bytes).await.unwrap();
            if scheme == "socks5" {
                stream.write_all(&[5, 0]).await.unwrap();
                length = stream.read(&mut bytes).await.unwrap();
            }
            bytes.truncate(length);
            bytes
        };
        let (sent, asked) = tokio::join!(post(&endpoint), asked);
        assert!(sent.unwrap_err().is_connect());
        let expected: &[u8] = match scheme {
            "http" => b"CONNECT audit.invalid:443 HTTP/1.1\r\n",
            _ => b"\x05\x01\x00\x03\x0daudit.invalid\x01\xbb",
        };
        assert!(asked.starts_with(expected), "{}", asked.escape_ascii());
    }
}

/// Through a proxy, which is asked for the real host, only the name that is checked is another.
#[tokio::test]
async fn tls_server_name_counts_behind_a_proxy_too() {
    let (authority, directory) = authority();
    let far_end = FarEnd::tls(&authority.issue(&["audit.example"]), None, &["h2", "http/1.1"]).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cluster = format!(
        "server: https://localhost:{}/a\nproxy-url: http://{}\ncertificate-authority: ca.crt",
        far_end.address.port(),
        proxy.local_addr().unwrap()
    );
    let asked = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn({
        let (asked, address) = (Arc::clone(&asked), far_end.address);
        async move {
            loop {
                let (mut client, _) = proxy.accept().await.unwrap();
                let mut head = vec![0; 1024];
                let length = client.read(&mut head).await.unwrap();
                asked.lock().unwrap().push(String::from_utf8_lossy(&head[..length]).into_owned());
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut server = TcpStream::connect(address).await.unwrap();
                // It ends when one of the two does.
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            }
        }
    });
    let named = load(directory.path(), &format!("{cluster}\ntls-server-name: audit.example"), "token: t");
    assert!(
        named.warnings()[0].contains("its certificate is checked for this name"),
        "{:?}",
        named.warnings()
    );
    let seen = seen(&named, &far_end).await;
    assert_eq!((seen.version, seen.target.as_str()), (Version::HTTP_2, "/a?timeout=30s"));
    assert_eq!(seen.server_name.as_deref(), Some("localhost"));
    assert!(asked.lock().unwrap()[0].starts_with("CONNECT localhost:"), "{:?}", asked.lock().unwrap());
    drop(named);
    for wrong in ["tls-server-name: other.example", "x: y"] {
        let wrong = load(directory.path(), &format!("{cluster}\n{wrong}"), "token: t");
        assert!(post(&wrong).await.unwrap_err().is_connect());
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_runs_into_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    for scheme in ["http", "https"] {
        let address = listener.local_addr().unwrap();
        let cluster = format!("server: {scheme}://{address}\ninsecure-skip-tls-verify: true");
        fs::write(&path, kubeconfig(&cluster, "")).unwrap();
        let endpoint = Endpoint::load(&path, Duration::from_millis(50)).unwrap();
        let begun = Instant::now();
        assert!(post(&endpoint).await.unwrap_err().is_timeout());
        assert!(begun.elapsed() < TIMEOUT);
    }
}
