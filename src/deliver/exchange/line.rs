//! What an answer came over, for people: the versions of HTTP and TLS, and whom the server says that it is.

use std::net::IpAddr;

use jiff::Timestamp;
use reqwest::tls::{TlsInfo, Version};
use reqwest::{Response, Version as Http};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::X509Name;

use super::words::{self, MOST_NAME_CHARS, MOST_NAMES};

/// No more than this of whom a certificate is for, and of who signed it: either is a list of names too.
const MOST_CHARS: usize = MOST_NAMES * MOST_NAME_CHARS;

/// The line of one answer. Cheap to make: nothing is read before somebody asks.
#[derive(Debug, Clone)]
pub struct Line {
    http: Http,
    tls: Option<TlsInfo>,
}

/// What a server's certificate says. The server, or whoever signed it, has chosen the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject, or if that is empty the names that it is for.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// When it expires.
    pub expires: Option<Timestamp>,
}

impl Line {
    pub(super) fn of(response: &Response) -> Self {
        Self { http: response.version(), tls: response.extensions().get().cloned() }
    }

    /// Such as `HTTP/1.1, TLS 1.3`.
    #[must_use]
    pub fn versions(&self) -> String {
        let tls = match self.tls.as_ref().and_then(TlsInfo::version) {
            Some(Version::TLS_1_3) => ", TLS 1.3",
            Some(Version::TLS_1_2) => ", TLS 1.2",
            Some(_) => ", TLS",
            None => "",
        };
        format!("{:?}{tls}", self.http)
    }

    /// The server's certificate; `None` over plain http, or if it cannot be read.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        Certificate::read(self.certificate_bytes()?)
    }

    /// The same, as it came.
    #[must_use]
    pub fn certificate_bytes(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.peer_certificate()
    }
}

impl Certificate {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        let subject = cut(certificate.subject());
        let expires = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok();
        Some(Self {
            subject: if subject.is_empty() { names(&certificate) } else { subject },
            issuer: cut(certificate.issuer()),
            expires,
        })
    }
}

fn cut(name: &X509Name<'_>) -> String {
    name.to_string().chars().take(MOST_CHARS).collect()
}

fn names(certificate: &X509Certificate<'_>) -> String {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    words::names(&names.map(told).collect::<Vec<_>>())
}

/// The library shows an address in hexadecimal.
fn told(name: &GeneralName<'_>) -> String {
    let address = match *name {
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
        }
        _ => None,
    };
    address.map_or_else(|| name.to_string(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(common_name: Option<&str>, names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Certificate::read(certificate.der()).unwrap()
    }

    #[test]
    fn what_a_certificate_says_is_as_long_as_we_let_it_be() {
        let usual = certificate(Some("Müller & Co"), &["h"]);
        assert_eq!((&*usual.subject, &*usual.issuer), ("CN=Müller & Co", "CN=Müller & Co"));
        let long = certificate(Some(&"x".repeat(1000)), &["h"]);
        let expect = format!("CN={}", "x".repeat(317));
        assert_eq!((&long.subject, &long.issuer), (&expect, &expect));
        let name = "x".repeat(200);
        let many = certificate(None, &[&name, "b", "::1", "127.0.0.1", "e", "f"]);
        assert_eq!(many.subject, format!("{}, b, ::1, 127.0.0.1, 2 more", "x".repeat(80)));
        assert_eq!(certificate(None, &[]).subject, "no name at all (it has no subjectAltName)");
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        assert_eq!(Certificate::read(b"0"), None);
    }
}
