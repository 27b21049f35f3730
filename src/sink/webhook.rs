//! kube-apiserver's audit webhook: an `EventList`, byte for byte as kube-apiserver posts it.
//!
//! An item is the log line's own bytes without its `kind` and `apiVersion` (kubernetes-audit.md, 5.2). A line that does
//! not begin as kube-apiserver's lines do goes out whole: the fields are legal in an item.

use bytes::Bytes;

use super::HttpSink;
use crate::event::ApiVersion;

/// Encodes an `EventList`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Webhook;

impl HttpSink for Webhook {
    fn body(&self, version: ApiVersion, lines: &mut dyn Iterator<Item = &[u8]>) -> Bytes {
        let lines: Vec<&[u8]> = lines.collect();
        let prefix = version.line_prefix().as_bytes();
        let mut body = Vec::with_capacity(128 + lines.iter().map(|line| line.len() + 1).sum::<usize>());
        body.extend_from_slice(br#"{"kind":"EventList","apiVersion":""#);
        body.extend_from_slice(version.as_str().as_bytes());
        body.extend_from_slice(br#"","metadata":{},"items":["#);
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            match line.strip_prefix(prefix) {
                Some(rest) => {
                    body.push(b'{');
                    body.extend_from_slice(rest);
                }
                None => body.extend_from_slice(line),
            }
        }
        body.extend_from_slice(b"]}\n");
        Bytes::from(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(version: ApiVersion, lines: &[&str]) -> String {
        let mut lines = lines.iter().map(|line| line.as_bytes());
        String::from_utf8(Webhook.body(version, &mut lines).to_vec()).unwrap()
    }

    #[test]
    fn is_what_kube_apiserver_posts() {
        let line = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1"}"#;
        assert_eq!(
            body(ApiVersion::V1, &[line, line]),
            "{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"metadata\":{},\"items\":[{\"level\":\"Metadata\",\"auditID\":\"1\"},{\"level\":\"Metadata\",\"auditID\":\"1\"}]}\n"
        );
    }

    #[test]
    fn other_spellings_of_an_event_keep_every_byte() {
        let line = r#"{ "apiVersion":"audit.k8s.io/v1beta1","kind":"Event","auditID":"1"}"#;
        assert_eq!(
            body(ApiVersion::V1beta1, &[line]),
            format!(
                "{{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1beta1\",\"metadata\":{{}},\"items\":[{line}]}}\n"
            )
        );
    }
}
