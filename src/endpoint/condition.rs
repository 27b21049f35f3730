//! How an endpoint's files and certificates are.

use jiff::Timestamp;

/// How an endpoint's files are, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Whether all of them could be read when they were last looked at.
    pub is_good: bool,
    /// When the client certificate expires.
    pub client_certificate_expires: Option<Timestamp>,
    /// When the last of the endpoint's authorities expires.
    pub authorities_expire: Option<Timestamp>,
    /// When the certificate expires that the server has shown last.
    pub server_certificate_expires: Option<Timestamp>,
}

impl Condition {
    /// Nothing is known that would be bad.
    pub const UNKNOWN: Self = Self {
        is_good: true,
        client_certificate_expires: None,
        authorities_expire: None,
        server_certificate_expires: None,
    };
}
