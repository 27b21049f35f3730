//! kube-apiserver's audit webhook: an `EventList`, byte for byte as kube-apiserver posts it (kubernetes-audit.md, 5.2).

use std::borrow::Cow;
use std::iter::once;
use std::time::SystemTime;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use super::probe::by_status;
use super::{Events, HttpSink, Probe, Request};
use crate::body::Body;
use crate::event::ApiVersion;

/// Encodes an `EventList`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Webhook;

impl HttpSink for Webhook {
    fn request(&self, events: &Events, _: SystemTime) -> Request {
        request(list(events.version(), events.items()))
    }

    /// A list without items is as legal as any. There is no other request that every audit webhook knows.
    fn probes(&self) -> Vec<Probe<'_>> {
        let read = |answer: &_| by_status(answer, "a list without events is taken");
        vec![Probe::new(Method::POST, request(list(ApiVersion::V1, Vec::new())), read)]
    }

    fn is_cheap(&self) -> bool {
        true
    }
}

fn request(body: Body) -> Request {
    let content_type = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Request { target: Cow::Borrowed(""), headers: vec![content_type], body }
}

/// The list of `items`, with commas between them.
pub(crate) fn list(version: ApiVersion, items: Vec<Bytes>) -> Body {
    let head = match version {
        ApiVersion::V1 => r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#,
        ApiVersion::V1beta1 => {
            r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1beta1","metadata":{},"items":["#
        }
        ApiVersion::V1alpha1 => {
            r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1alpha1","metadata":{},"items":["#
        }
    };
    let (head, tail) = (Bytes::from_static(head.as_bytes()), Bytes::from_static(b"]}\n"));
    once(head).chain(items).chain(once(tail)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_kube_apiserver_posts() {
        for version in [ApiVersion::V1, ApiVersion::V1beta1, ApiVersion::V1alpha1] {
            let items = [r#"{"auditID":"1"},{"auditID":"2"}"#, r#",{"auditID":"3"}"#];
            let body = list(version, items.map(|piece| Bytes::from_static(piece.as_bytes())).into());
            let expect = format!(
                "{{\"kind\":\"EventList\",\"apiVersion\":\"{}\",\"metadata\":{{}},\"items\":[{}]}}\n",
                version.as_str(),
                items.concat()
            );
            assert_eq!(body.concat(), expect.as_bytes());
            assert_eq!(body.len(), expect.len() as u64);
        }
    }
}
