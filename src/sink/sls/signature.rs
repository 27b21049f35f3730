//! The two ways to sign a request to SLS (alibaba-sls.md, 3 and 4).
//!
//! V1 is HMAC-SHA1 over the request's date, its body's MD5 and what is SLS's own of its headers and URL. V4 is HMAC-SHA256
//! with a key that is made for one day and one region, over a canonical form of the request.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName};
use sha1::Sha1;
use sha2::Sha256;

use crate::fingerprint;

/// What a signature says of a request beside its headers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Decoded; in any order.
    pub(super) query: &'a [(String, String)],
}

/// The `Authorization` header's value. The headers hold what is signed, `Date` among them.
pub(super) fn v1(target: Target<'_>, headers: &HeaderMap, id: &str, secret: &str) -> String {
    let mut text = format!("{}\n", target.method);
    for name in ["content-md5", "content-type", "date"] {
        let _ = writeln!(text, "{}", value(headers, name));
    }
    for name in own_names(headers) {
        let _ = writeln!(text, "{name}:{}", value(headers, name.as_str()));
    }
    text.push_str(target.path);
    for (number, (key, value)) in sorted(target.query).into_iter().enumerate() {
        let separator = if number == 0 { '?' } else { '&' };
        let _ = write!(text, "{separator}{key}={value}");
    }
    let signature = BASE64_STANDARD.encode(tag::<Hmac<Sha1>>(secret.as_bytes(), text.as_bytes()));
    format!("LOG {id}:{signature}")
}

/// The same. The headers hold what is signed, `x-log-date` and the body's hash `x-log-content-sha256` among them.
pub(super) fn v4(target: Target<'_>, headers: &HeaderMap, region: &str, id: &str, secret: &str) -> String {
    let date_time = value(headers, DATE);
    let date = date_time.split('T').next().unwrap_or_default();
    let scope = format!("{date}/{region}/sls/{TERMINATOR}");
    let canonical = fingerprint::hex(canonical(target, headers).as_bytes());
    let text = format!("SLS4-HMAC-SHA256\n{date_time}\n{scope}\n{canonical}");
    let mut key = format!("aliyun_v4{secret}").into_bytes();
    for part in [date, region, "sls", TERMINATOR] {
        key = tag::<Hmac<Sha256>>(&key, part.as_bytes());
    }
    let signature = fingerprint::hex_of(&tag::<Hmac<Sha256>>(&key, text.as_bytes()));
    format!("SLS4-HMAC-SHA256 Credential={id}/{scope},Signature={signature}")
}

/// When a request is sent, with V4.
pub(super) const DATE: &str = "x-log-date";

/// The body's hash, with V4.
pub(super) const CONTENT_SHA256: &str = "x-log-content-sha256";

const TERMINATOR: &str = "aliyun_v4_request";

fn canonical(target: Target<'_>, headers: &HeaderMap) -> String {
    let mut text = format!("{}\n{}\n", target.method, target.path);
    let query = sorted(target.query).into_iter().map(|(key, value)| match value.as_str() {
        "" => key.clone(),
        value => format!("{key}={}", percent_encoded(value)),
    });
    text.push_str(&query.collect::<Vec<_>>().join("&"));
    text.push('\n');
    let mut names = own_names(headers);
    names.extend([&CONTENT_TYPE, &HOST].into_iter().filter(|name| headers.contains_key(*name)));
    names.sort_unstable_by_key(|name| name.as_str());
    for name in &names {
        let _ = writeln!(text, "{name}:{}", value(headers, name.as_str()));
    }
    let names: Vec<&str> = names.into_iter().map(HeaderName::as_str).collect();
    let _ = write!(text, "\n{}\n{}", names.join(";"), value(headers, CONTENT_SHA256));
    text
}

/// The names that only SLS has a use for, in order. It says nothing of a request what its `x-log-meta-` headers say.
fn own_names(headers: &HeaderMap) -> Vec<&HeaderName> {
    let is_own = |name: &&HeaderName| {
        let name = name.as_str();
        name.starts_with("x-acs-") || name.starts_with("x-log-") && !name.starts_with("x-log-meta-")
    };
    let mut names: Vec<_> = headers.keys().filter(is_own).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    names
}

/// What stands in a header; nothing if there is none, or one that is no text.
fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

fn sorted(query: &[(String, String)]) -> Vec<&(String, String)> {
    let mut query: Vec<_> = query.iter().collect();
    query.sort();
    query
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn tag<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

#[cfg(test)]
pub(super) mod tests;
