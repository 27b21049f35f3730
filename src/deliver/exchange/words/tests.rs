//! Each cause as the libraries wrap it, and a request to a place where it is met.

use std::fmt;
use std::net::TcpListener;
use std::time::Duration;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{InvalidMessage, OtherError, PeerIncompatible};

use super::*;

/// A cause without a type that we could know.
#[derive(Debug)]
struct Opaque(&'static str, Option<Box<dyn Error + Send + Sync>>);

impl fmt::Display for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Opaque {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

fn chain(texts: &[&'static str], last: Option<io::Error>) -> Opaque {
    let (first, rest) = texts.split_first().unwrap();
    let cause: Option<Box<dyn Error + Send + Sync>> = match (rest, last) {
        ([], None) => None,
        ([], Some(last)) => Some(Box::new(last)),
        (rest, last) => Some(Box::new(chain(rest, last))),
    };
    Opaque(first, cause)
}

/// As TLS of an endpoint reports it.
fn of_tls(error: rustls::Error) -> String {
    let error = io::Error::new(ErrorKind::InvalidData, error);
    causes(&chain(&["client error (Connect)"], Some(error)), false)
}

fn of_certificate(error: CertificateError) -> String {
    of_tls(rustls::Error::InvalidCertificate(error))
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn not_valid_for(presented: &[&str]) -> String {
    of_certificate(CertificateError::NotValidForNameContext {
        expected: ServerName::try_from("audit.example").unwrap(),
        presented: presented.iter().map(ToString::to_string).collect(),
    })
}

#[test]
fn certificates() {
    assert_eq!(
        of_certificate(CertificateError::ExpiredContext { time: at(1_800_000_000), not_after: at(0) }),
        "the endpoint's certificate expired on 1970-01-01T00:00:00Z (the clock here says 2027-01-15T08:00:00Z)"
    );
    assert_eq!(
        of_certificate(CertificateError::NotValidYetContext { time: at(0), not_before: at(1_800_000_000) }),
        "the endpoint's certificate is not valid before 2027-01-15T08:00:00Z (the clock here says \
         1970-01-01T00:00:00Z)"
    );
    assert_eq!(
        not_valid_for(&["DnsName(\"localhost\")", "IpAddress(127.0.0.1)"]),
        "the endpoint's certificate is for localhost, 127.0.0.1, not for audit.example"
    );
    let unnamed = "the endpoint's certificate is for no name at all (it has no subjectAltName), not for ";
    assert_eq!(not_valid_for(&[]), format!("{unnamed}audit.example"));
    let issuer = of_certificate(CertificateError::UnknownIssuer);
    assert!(issuer.contains("is not signed by certificate-authority of the kubeconfig"), "{issuer}");
    for (error, words) in [
        (CertificateError::BadSignature, "only in its name"),
        (CertificateError::Revoked, "is revoked"),
        (CertificateError::InvalidPurpose, "is not for servers"),
        (CertificateError::BadEncoding, "is not accepted: "),
    ] {
        assert!(of_certificate(error.clone()).contains(words), "{error:?}");
    }
    for (reason, words) in
        [("CaUsedAsEndEntity", "is its own authority"), ("UnsupportedCertVersion", "names no host")]
    {
        let other = CertificateError::Other(OtherError(std::sync::Arc::new(Opaque(reason, None))));
        assert!(of_certificate(other).contains(words), "{reason}");
    }
}

/// HTTP/2 keeps the text of a TLS error, and not the error.
#[test]
fn an_alert_is_known_by_its_text() {
    for alert in [AlertDescription::CertificateRequired, AlertDescription::UnknownCA] {
        let text = rustls::Error::AlertReceived(alert).to_string();
        assert_eq!(alert_in(&text), Some(alert), "{text}");
    }
    assert_eq!(alert_in("received fatal alert: Nothing"), None);
    let error = io::Error::other("received fatal alert: CertificateRequired");
    let words = "the endpoint asks for a client certificate: set client-certificate and client-key";
    assert_eq!(causes(&error, false), words);
}

/// hyper says it in its own words if the connection ends before it has the request: with TLS 1.3, if our certificate is missed.
#[test]
fn a_connection_that_is_closed_before_the_request_is_called_so() {
    let error = io::Error::other("connection was not ready");
    assert_eq!(causes(&error, false), "the connection was closed");
}

/// They are chosen by whoever answers.
#[test]
fn names_of_a_certificate_stay_on_their_line() {
    let long = format!("DnsName(\"{}\")", "x".repeat(500));
    let words =
        not_valid_for(&["DnsName(\"a\nERROR \u{1b}[31mb\")", &long, "Unsupported(0xa4)", "x", "y", "z"]);
    let expect = format!("a?ERROR??[31mb, {}, 0xa4, x, 2 more, not for audit.example", "x".repeat(80));
    assert_eq!(words.strip_prefix("the endpoint's certificate is for "), Some(expect.as_str()));
}

#[test]
fn the_rest_of_tls() {
    use rustls::Error as E;
    for (error, words) in [
        (
            E::AlertReceived(AlertDescription::CertificateRequired),
            "the endpoint asks for a client certificate: set client-certificate and client-key",
        ),
        (
            E::AlertReceived(AlertDescription::UnknownCA),
            "the endpoint does not accept our client certificate, or misses one (TLS alert UnknownCA)",
        ),
        (
            E::AlertReceived(AlertDescription::HandshakeFailure),
            "the endpoint breaks off: no cipher in common, or it misses a client certificate (TLS alert \
             HandshakeFailure)",
        ),
        (E::AlertReceived(AlertDescription::ProtocolVersion), "the endpoint speaks neither TLS 1.2 nor 1.3"),
        (
            E::AlertReceived(AlertDescription::UnrecognisedName),
            "the endpoint does not serve a host of this name (TLS server name)",
        ),
        (
            E::AlertReceived(AlertDescription::InternalError),
            "the endpoint breaks off (TLS alert InternalError)",
        ),
        (
            E::InvalidMessage(InvalidMessage::InvalidContentType),
            "the endpoint does not speak TLS; perhaps its URL wants http://",
        ),
        (
            E::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            "no TLS that both sides speak: NoCipherSuitesInCommon",
        ),
        (E::DecryptError, "TLS: cannot decrypt peer's message"),
    ] {
        assert_eq!(of_tls(error), words);
    }
    let eof = io::Error::new(ErrorKind::UnexpectedEof, "tls handshake eof");
    assert_eq!(
        causes(&chain(&["client error (Connect)"], Some(eof)), false),
        "the connection was closed during the TLS handshake"
    );
}

#[test]
fn proxies() {
    let expired = || {
        let error = rustls::Error::InvalidCertificate(CertificateError::Expired);
        // As hyper-rustls wraps it.
        io::Error::other(io::Error::new(ErrorKind::InvalidData, error))
    };
    let refused = || io::Error::from_raw_os_error(111);
    for (texts, last, words) in [
        (
            &["client error (Connect)", "tunnel error: failed to create underlying connection"][..],
            Some(expired()),
            "the proxy cannot be reached: the proxy's certificate has expired",
        ),
        (
            &["tunnel error: failed to create underlying connection", "tcp connect error"],
            Some(refused()),
            "the proxy cannot be reached: connection refused; nothing listens there, or a firewall says so",
        ),
        (
            &["tunnel error: proxy authorization required"],
            None,
            "the proxy wants credentials, or others than those in its URL (status 407)",
        ),
        (
            &["tunnel error: unsuccessful"],
            None,
            "the proxy does not connect us: it answers with another status than 200",
        ),
        (
            &["error connecting to socks proxy", "SOCKS error: failed to create underlying connection"],
            None,
            "the proxy cannot be reached",
        ),
        (
            &["SOCKS error: credentials not accepted"],
            None,
            "the proxy does not accept the credentials in proxy-url",
        ),
        (&["SOCKS error: host unreachable"], None, "the proxy does not connect us: host unreachable"),
    ] {
        assert_eq!(causes(&chain(texts, last), false), words);
    }
}

#[test]
fn the_network() {
    let route = "there is no route to it";
    for (number, words) in [
        (101, route),
        (113, route),
        (104, "the connection was reset"),
        (32, "the connection was closed"),
        (24, "Too many open files (os error 24)"),
    ] {
        let error = io::Error::from_raw_os_error(number);
        assert_eq!(causes(&chain(&["tcp connect error"], Some(error)), false), words);
    }
    let lookup = io::Error::other("failed to lookup address information: Name or service not known");
    assert_eq!(
        causes(&chain(&["dns error"], Some(lookup)), false),
        "the name does not resolve: Name or service not known"
    );
    let cut_off = io::Error::new(ErrorKind::UnexpectedEof, "end of file before message length reached");
    assert_eq!(
        causes(&chain(&["request or response body error"], Some(cut_off)), false),
        "the connection was closed"
    );
    assert_eq!(causes(&chain(&["something new", "and why"], None), false), "something new: and why");
}

/// The URL and what it holds stay out of it.
async fn asked(port: u16, timeout: Duration) -> NoAnswer {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    let client = client.timeout(timeout).build().unwrap();
    let sent = client.post(format!("http://user:s3cret@127.0.0.1:{port}/path?key=s3cret")).send().await;
    let no_answer = in_words(&sent.unwrap_err());
    assert!(!["s3cret", "path", "key", "user"].iter().any(|secret| no_answer.reason.contains(secret)));
    no_answer
}

#[tokio::test]
async fn a_request_tells_what_it_met() {
    use std::io::{Read as _, Write as _};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = ["", "\u{15}\u{3}\u{1}\0\u{2}\u{2}\u{16}", "HTTP/1.1 200 OK\r\nx: "];
    let server = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            if answer.ends_with(' ') {
                let _ = stream.write_all(&vec![b'x'; 1 << 20]);
            }
        }
        let (held, _) = listener.accept().unwrap();
        drop(listener);
        let _ = (&held).read(&mut [0; 4096]).unwrap();
        held
    });
    let (long, short) = (Duration::from_secs(60), Duration::from_millis(200));
    assert_eq!(asked(port, long).await.reason, "no complete answer: the connection was closed");
    assert_eq!(
        asked(port, long).await.reason,
        "no complete answer: the answer is not HTTP; perhaps the server in the kubeconfig wants https://"
    );
    assert_eq!(asked(port, long).await.reason, "no complete answer: the head of the answer is too large");
    let late = NoAnswer { reason: "no complete answer in time".to_owned(), timed_out: true, too_long: false };
    assert_eq!(asked(port, short).await, late);
    drop(server.join().unwrap());
    let refused = "no connection: connection refused; nothing listens there, or a firewall says so";
    assert_eq!(
        asked(port, long).await,
        NoAnswer { reason: refused.to_owned(), timed_out: false, too_long: false }
    );
}
