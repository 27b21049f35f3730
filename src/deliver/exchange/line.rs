//! What an answer came over, for people: the versions of HTTP and TLS, and whom the server says that it is.

use jiff::Timestamp;
use reqwest::tls::{TlsInfo, Version};
use reqwest::{Response, Version as Http};
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;

/// Of a certificate, this many names are told.
const MOST_NAMES: usize = 4;

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
        let (_, certificate) = parse_x509_certificate(self.tls.as_ref()?.peer_certificate()?).ok()?;
        let subject = certificate.subject().to_string();
        let expires = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok();
        Some(Certificate {
            subject: if subject.is_empty() { names(&certificate) } else { subject },
            issuer: certificate.issuer().to_string(),
            expires,
        })
    }
}

fn names(certificate: &X509Certificate<'_>) -> String {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    names.take(MOST_NAMES).map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
