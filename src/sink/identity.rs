//! Where events come from as headers, for protocols whose bodies are kube-apiserver's own, byte for byte.

use std::path::Path;

use reqwest::header::{HeaderName, HeaderValue};

use crate::config::Identity;

const CLUSTER: HeaderName = HeaderName::from_static("audit-shipper-cluster");
const NODE: HeaderName = HeaderName::from_static("audit-shipper-node");
const SOURCE: HeaderName = HeaderName::from_static("audit-shipper-source");

/// Of each request with events of `log`, but for those that are `given` already.
pub(super) fn headers(
    identity: &Identity,
    log: &Path,
    given: &[(HeaderName, HeaderValue)],
) -> Vec<(HeaderName, HeaderValue)> {
    let log = log.to_string_lossy();
    let told = [
        (CLUSTER, identity.cluster.as_deref()),
        (NODE, identity.node.as_deref()),
        (SOURCE, Some(&*log).filter(|log| !log.is_empty())),
    ];
    let is_given = |name: &HeaderName| given.iter().any(|(other, _)| other == name);
    let header = |(name, text): (HeaderName, Option<&str>)| {
        Some((name, HeaderValue::from_str(&percent_encoded(text?)).ok()?))
    };
    told.into_iter().filter(|(name, _)| !is_given(name)).filter_map(header).collect()
}

/// What a header holds of any text: only ASCII is safe there, and blanks at its ends are not the value's. The rest goes by its
/// bytes in UTF-8, as in a URL, and so does `%`: whoever decodes it gets the text back.
fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'!'..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A cluster and a node of it.
    pub(in crate::sink) fn identity() -> Identity {
        Identity { cluster: Some("c1".to_owned()), node: Some("m0".to_owned()) }
    }

    fn shown(identity: &Identity, log: &str, given: &[(HeaderName, HeaderValue)]) -> Vec<String> {
        let shown = |(name, value): (HeaderName, HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        headers(identity, Path::new(log), given).into_iter().map(shown).collect()
    }

    #[test]
    fn are_what_is_known_unless_the_configuration_has_them() {
        let known = identity();
        let [cluster, node, source] = [
            "audit-shipper-cluster: c1",
            "audit-shipper-node: m0",
            "audit-shipper-source: /var/log/audit.log",
        ];
        assert_eq!(shown(&known, "/var/log/audit.log", &[]), [cluster, node, source]);
        assert_eq!(shown(&Identity::default(), "/var/log/audit.log", &[]), [source]);
        assert_eq!(shown(&Identity::default(), "", &[]), [""; 0]);
        let given = [(HeaderName::from_static("audit-shipper-node"), HeaderValue::from_static("x"))];
        assert_eq!(shown(&known, "/var/log/audit.log", &given), [cluster, source]);
    }

    #[test]
    fn any_text_can_be_read_back() {
        let text = " über 100%\u{1F600}~\"!\u{7f}\n";
        let encoded = percent_encoded(text);
        assert_eq!(encoded, "%20%C3%BCber%20100%25%F0%9F%98%80~\"!%7F%0A");
        let mut bytes = Vec::new();
        let mut pieces = encoded.split('%');
        bytes.extend(pieces.next().unwrap().bytes());
        for piece in pieces {
            bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
            bytes.extend(piece[2..].bytes());
        }
        assert_eq!(bytes, text.as_bytes());
        assert_eq!(percent_encoded("prod-1.example_com:8/a"), "prod-1.example_com:8/a");
    }
}
