//! Why there is no complete answer, in words that an operator can act on.
//!
//! An error of the HTTP client is a chain of causes, each in the words of the library that met it. Causes that people
//! meet get words of ours; the steps that only say which library was at work are left out; any other cause keeps its
//! own words. Never a URL: its query may hold what is nobody's business (I11).

use std::error::Error;
use std::io::{self, ErrorKind};

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, ExtendedKeyPurpose};

use super::NoAnswer;

/// Whom a connection leads to.
#[derive(Debug, Clone, Copy)]
struct FarEnd {
    /// `endpoint` or `proxy`.
    who: &'static str,
    /// Whether the URL begins with `http://`.
    plain: bool,
}

/// What one cause says.
enum Told {
    /// What comes beneath says it better.
    Nothing,
    /// What comes beneath adds to it.
    Part(String),
    /// There is no more to say.
    All(String),
}

/// Of a certificate, this many names are told.
pub(super) const MOST_NAMES: usize = 4;
/// And no more than this of a name.
pub(super) const MOST_NAME_CHARS: usize = 80;

pub(super) fn in_words(error: &reqwest::Error) -> NoAnswer {
    let timed_out = error.is_timeout() && !error.is_connect();
    let kind = match (error.is_connect(), error.is_timeout()) {
        (true, true) => "no connection in time",
        (true, false) => "no connection",
        (false, true) => "no complete answer in time",
        (false, false) => "no complete answer",
    };
    let plain = error.url().is_some_and(|url| url.scheme() == "http");
    let mut words = vec![kind.to_owned()];
    words.extend(error.source().map(|cause| causes(cause, plain)).filter(|causes| !causes.is_empty()));
    NoAnswer { reason: words.join(": "), timed_out, too_long: false }
}

/// A chain of causes from `cause` on.
fn causes(cause: &(dyn Error + 'static), plain: bool) -> String {
    let mut far_end = FarEnd { who: "endpoint", plain };
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(cause);
    while let Some(cause) = next {
        if cause.to_string() == "tunnel error: failed to create underlying connection" {
            far_end.who = "proxy";
        }
        match told(cause, far_end) {
            Told::Nothing => {}
            Told::Part(text) if words.last() == Some(&text) => {}
            Told::Part(text) => words.push(text),
            Told::All(text) => {
                words.push(text);
                break;
            }
        }
        next = beneath(cause);
    }
    words.join(": ")
}

/// An `io::Error` hides what it is made of: its source is the source of that.
fn beneath<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => cause.source(),
    }
}

fn told(cause: &(dyn Error + 'static), far_end: FarEnd) -> Told {
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return Told::All(tls(error, far_end.who));
    }
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        return http(error, far_end.plain);
    }
    if let Some(alert) = alert_in(&cause.to_string()) {
        return Told::All(format!("the {} {}", far_end.who, alerted(alert)));
    }
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return system(error);
    }
    step(&cause.to_string())
}

fn http(error: &hyper::Error, plain: bool) -> Told {
    if error.is_parse_too_large() {
        Told::All("the head of the answer is too large".to_owned())
    } else if error.is_parse() {
        let advice = if plain { "; perhaps the server in the kubeconfig wants https://" } else { "" };
        Told::All(format!("the answer is not HTTP{advice}"))
    } else if error.is_incomplete_message() {
        Told::All("the connection was closed".to_owned())
    } else if error.source().is_some() {
        Told::Nothing
    } else {
        Told::Part(error.to_string())
    }
}

fn system(error: &io::Error) -> Told {
    // A TLS error travels in one of these.
    let inner = error.get_ref();
    if inner.is_some_and(|inner| inner.is::<rustls::Error>() || inner.is::<io::Error>()) {
        return Told::Nothing;
    }
    let words = match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused; nothing listens there, or a firewall says so",
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => "there is no route to it",
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => "the connection was reset",
        ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof if error.to_string().contains("handshake") => {
            "the connection was closed during the TLS handshake"
        }
        ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => "the connection was closed",
        _ if inner.is_some() => return Told::Nothing,
        _ => return Told::Part(error.to_string()),
    };
    Told::All(words.to_owned())
}

/// What is known by nothing but its text, since the libraries keep the type to themselves.
fn step(text: &str) -> Told {
    let only_who_was_at_work = [
        "client error (",
        "tcp connect error",
        "operation timed out",
        "deadline has elapsed",
        "request or response body error",
        "error connecting to socks proxy",
    ];
    if only_who_was_at_work.iter().any(|start| text.starts_with(start)) {
        return Told::Nothing;
    }
    if text == "connection was not ready" {
        // It ended before the request was on its way.
        return Told::All("the connection was closed".to_owned());
    }
    if let Some(reason) = text.strip_prefix("failed to lookup address information: ") {
        return Told::All(reason.to_owned());
    }
    if let Some(reason) = text.strip_prefix("SOCKS error: ") {
        return Told::All(match reason {
            "failed to create underlying connection" => "the proxy cannot be reached".to_owned(),
            "credentials not accepted" => "the proxy does not accept the credentials in proxy-url".to_owned(),
            "server does not support user/pass authentication" => {
                "the proxy does not ask for credentials in a way that we know".to_owned()
            }
            _ => format!("the proxy does not connect us: {reason}"),
        });
    }
    match text {
        "dns error" | "error resolving DNS" => Told::Part("the name does not resolve".to_owned()),
        "tunnel error: failed to create underlying connection" => {
            Told::Part("the proxy cannot be reached".to_owned())
        }
        "tunnel error: io error establishing tunnel" => {
            Told::Part("the proxy does not connect us".to_owned())
        }
        "tunnel error: proxy authorization required" => {
            Told::All("the proxy wants credentials, or others than those in its URL (status 407)".to_owned())
        }
        "tunnel error: unsuccessful" => {
            Told::All("the proxy does not connect us: it answers with another status than 200".to_owned())
        }
        "tunnel error: unexpected end of file" => {
            Told::All("the proxy does not connect us: it closed the connection".to_owned())
        }
        _ => Told::Part(text.to_owned()),
    }
}

fn tls(error: &rustls::Error, who: &str) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(error) => format!("the {who}'s certificate {}", certificate(error)),
        E::AlertReceived(alert) => format!("the {who} {}", alerted(*alert)),
        E::InvalidMessage(_) => format!("the {who} does not speak TLS; perhaps its URL wants http://"),
        E::PeerIncompatible(reason) => format!("no TLS that both sides speak: {reason:?}"),
        error => format!("TLS: {error}"),
    }
}

/// Goes on after "the endpoint's certificate".
fn certificate(error: &CertificateError) -> String {
    use CertificateError as C;
    match error {
        C::ExpiredContext { time, not_after } => {
            format!("expired on {} (the clock here says {})", date(not_after.as_secs()), date(time.as_secs()))
        }
        C::Expired => "has expired".to_owned(),
        C::NotValidYetContext { time, not_before } => format!(
            "is not valid before {} (the clock here says {})",
            date(not_before.as_secs()),
            date(time.as_secs())
        ),
        C::NotValidYet => "is not valid yet".to_owned(),
        C::NotValidForNameContext { expected, presented } => {
            format!("is for {}, not for {}", names(presented), name(&expected.to_str()))
        }
        C::NotValidForName => "is for another name".to_owned(),
        C::UnknownIssuer => "is not signed by certificate-authority of the kubeconfig (without one: by an \
                             authority of this machine)"
            .to_owned(),
        C::BadSignature => "is not signed with the key of certificate-authority, only in its name".to_owned(),
        C::Revoked => "is revoked".to_owned(),
        C::InvalidPurposeContext { required: ExtendedKeyPurpose::ServerAuth, .. } | C::InvalidPurpose => {
            "is not for servers (extended key usage)".to_owned()
        }
        C::Other(reason) if reason.to_string() == "CaUsedAsEndEntity" => {
            "is its own authority (CA:TRUE), and is not in certificate-authority of the kubeconfig".to_owned()
        }
        C::Other(reason) if reason.to_string() == "UnsupportedCertVersion" => {
            "is of X.509 version 1 and names no host: make one with subjectAltName".to_owned()
        }
        error => format!("is not accepted: {error}"),
    }
}

/// The alert that rustls speaks of: of its error, HTTP/2 keeps the text alone.
fn alert_in(text: &str) -> Option<AlertDescription> {
    let name = text.strip_prefix("received fatal alert: ")?;
    (0..=u8::MAX).map(AlertDescription::from).find(|alert| format!("{alert:?}") == name)
}

/// Goes on after "the endpoint".
fn alerted(alert: AlertDescription) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => {
            "asks for a client certificate: set client-certificate and client-key".to_owned()
        }
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied
        | A::DecryptError => {
            format!("does not accept our client certificate, or misses one (TLS alert {alert:?})")
        }
        A::HandshakeFailure | A::InsufficientSecurity => {
            format!(
                "breaks off: no cipher in common, or it misses a client certificate (TLS alert {alert:?})"
            )
        }
        A::ProtocolVersion => "speaks neither TLS 1.2 nor 1.3".to_owned(),
        A::UnrecognisedName => "does not serve a host of this name (TLS server name)".to_owned(),
        _ => format!("breaks off (TLS alert {alert:?})"),
    }
}

fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {seconds} of Unix time"), |time| time.to_string())
}

/// The names in a certificate, which come as `DnsName("x")`, `DNSName(x)` or `IpAddress(x)`.
pub(super) fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name at all (it has no subjectAltName)".to_owned();
    }
    let bare = |text: &String| {
        let inner = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(text);
        name(inner.trim_matches('"'))
    };
    let mut words: Vec<String> = presented.iter().take(MOST_NAMES).map(bare).collect();
    if presented.len() > MOST_NAMES {
        words.push(format!("{} more", presented.len() - MOST_NAMES));
    }
    words.join(", ")
}

/// A name as it can stand in a line of a log, whoever chose it.
fn name(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(MOST_NAME_CHARS).map(printable).collect()
}

#[cfg(test)]
mod tests;
