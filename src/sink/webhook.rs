//! kube-apiserver's audit webhook: an `EventList`, byte for byte as kube-apiserver posts it (kubernetes-audit.md, 5.2).

use std::borrow::Cow;
use std::iter::once;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::probe::by_status;
use super::{Events, HttpSink, Probe, Request, identity};
use crate::body::Body;
use crate::config::Identity;
use crate::event::ApiVersion;

/// Encodes an `EventList`.
#[derive(Debug, Clone, Default)]
pub struct Webhook {
    identity: Vec<(HeaderName, HeaderValue)>,
}

impl Webhook {
    /// For events of `log`, which come from `identity`.
    #[must_use]
    pub fn new(identity: &Identity, log: &Path) -> Self {
        Self { identity: identity::headers(identity, log, &[]) }
    }

    fn carrying(&self, body: Body) -> Request {
        let content_type = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let headers = once(content_type).chain(self.identity.iter().cloned()).collect();
        Request { target: Cow::Borrowed(""), headers, body }
    }
}

impl HttpSink for Webhook {
    fn request(&self, events: &Events, _: SystemTime) -> Request {
        self.carrying(list(events.version(), events.items()))
    }

    /// A list without items is as legal as any. There is no other request that every audit webhook knows.
    fn probes(&self) -> Vec<Probe<'_>> {
        let read = |answer: &_| by_status(answer, "a list without events is taken");
        vec![Probe::new(Method::POST, self.carrying(list(ApiVersion::V1, Vec::new())), read)]
    }

    fn is_cheap(&self) -> bool {
        true
    }
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
    use std::sync::Arc;

    use super::*;
    use crate::sink::identity::tests::identity;
    use crate::sink::tests::{recorded, sealed};

    #[test]
    fn only_the_headers_say_where_events_come_from() {
        let events = Events::all(Arc::new(sealed(&recorded(0..3))));
        let webhook = Webhook::new(&identity(), Path::new("/var/log/audit.log"));
        let request = webhook.request(&events, SystemTime::UNIX_EPOCH);
        let plain = Webhook::default().request(&events, SystemTime::UNIX_EPOCH);
        assert_eq!(request.body.concat(), plain.body.concat());
        assert_eq!(plain.headers.len(), 1);
        let names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        let told = ["audit-shipper-cluster", "audit-shipper-node", "audit-shipper-source"];
        assert_eq!(names, [&["content-type"], &told[..]].concat());
        assert_eq!(webhook.probes()[0].request.headers, request.headers);
    }

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
