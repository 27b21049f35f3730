//! What a URL names, as kube-apiserver writes it into an event's `objectRef`.

use super::request::{Derived, decoded_path, derive, parts_of, split, trim_slashes};
use super::selector;

/// An object, or all of a kind; empty where the URL says nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) name: String,
}

/// What a request of this verb names; `None` if it means no resource.
pub(crate) fn reference(uri: &str, verb: &str) -> Option<Reference> {
    let (raw_path, query) = split(uri.as_bytes());
    let (mut decoded, mut value, mut selected) = (Vec::new(), Vec::new(), Vec::new());
    let path = decoded_path(raw_path, &mut decoded);
    let Derived { resource, has_special_verb } = derive(path)?;
    let (all, count) = parts_of(trim_slashes(path));
    let version = match &all[..count] {
        [b"api", version, ..] | [b"apis", _, version, ..] => version,
        _ => &b""[..],
    };
    let mut name = resource.name;
    if name.is_empty() && !has_special_verb && matches!(verb, "list" | "watch") {
        selector::name(query, &mut value, &mut selected);
        name = &selected;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Reference {
        group: text(resource.group),
        version: text(version),
        namespace: text(resource.namespace),
        resource: text(resource.resource),
        subresource: text(resource.subresource),
        name: text(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_what_kube_apiserver_records() {
        let of = |resource: &str, namespace: &str, name: &str| {
            let text = |text: &str| text.to_owned();
            Reference {
                version: text("v1"),
                resource: text(resource),
                namespace: text(namespace),
                name: text(name),
                ..Reference::default()
            }
        };
        for (uri, verb, expect) in [
            ("/readyz", "get", None),
            ("/api/v1/nodes", "list", Some(of("nodes", "", ""))),
            ("/api/v1/nodes?fieldSelector=metadata.name%3Dn1", "watch", Some(of("nodes", "", "n1"))),
            ("/api/v1/namespaces/a", "get", Some(of("namespaces", "a", "a"))),
            (
                "/apis/apps/v1/namespaces/a/deployments/b%2Dc/scale?x=y",
                "patch",
                Some(Reference {
                    group: "apps".to_owned(),
                    subresource: "scale".to_owned(),
                    ..of("deployments", "a", "b-c")
                }),
            ),
        ] {
            assert_eq!(reference(uri, verb), expect, "{uri}");
        }
    }
}
