use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::event::Event;
use crate::properties::cases;

#[derive(Deserialize)]
struct Case {
    name: String,
    method: String,
    url: String,
    expect: Expected,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expected {
    is_resource_request: bool,
    verb: Option<String>,
    api_group: Option<String>,
    namespace: Option<String>,
    resource: Option<String>,
    subresource: Option<String>,
    name: Option<String>,
}

/// What kube-apiserver records of such a request.
fn line(case: &Case) -> String {
    let uri = case.url.replace('&', r"\u0026");
    let verb = case.expect.verb.clone().unwrap_or_else(|| case.method.to_lowercase());
    let reference = if case.expect.is_resource_request { r#","objectRef":{}"# } else { "" };
    format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","requestURI":"{uri}","verb":"{verb}"{reference}}}"#
    )
}

#[test]
fn what_is_requested_is_what_kube_apiserver_finds() {
    let cases = include_str!("../../../tests/data/policy/requestinfo_cases.json");
    let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
    assert_eq!(cases.len(), 61);
    for case in cases {
        let line = line(&case);
        let event = Event::parse(line.as_bytes()).unwrap();
        let parts = event.parts(line.as_bytes()).unwrap();
        let mut scratch = Scratch::default();
        let request = Request::of(line.as_bytes(), &parts, true, &mut scratch);
        let path = case.url.split('?').next().unwrap();
        assert_eq!(means_resource(case.url.as_bytes()), case.expect.is_resource_request, "{}", case.name);
        let found = match request.target {
            Target::Resource(resource) => resource,
            Target::Path(found) => {
                assert!(!case.expect.is_resource_request, "{}", case.name);
                assert_eq!(found, path.as_bytes(), "{}", case.name);
                continue;
            }
        };
        let Expected { api_group, namespace, resource, subresource, name, .. } = case.expect;
        for (found, expected) in [
            (found.group, api_group),
            (found.namespace, namespace),
            (found.resource, resource),
            (found.subresource, subresource),
            (found.name, name),
        ] {
            if let Some(expected) = expected {
                assert_eq!(String::from_utf8_lossy(found), expected, "{}", case.name);
            }
        }
    }
}

/// Group, namespace, resource, subresource and name of a path.
fn parts_of(path: &str) -> Option<[String; 5]> {
    let Requested { group, namespace, resource, subresource, name } = derive(path.as_bytes())?.resource;
    Some(
        [group, namespace, resource, subresource, name].map(|text| String::from_utf8(text.to_vec()).unwrap()),
    )
}

#[test]
fn paths_that_are_seldom() {
    for (path, expected) in [
        ("//api/v1/pods//", Some(["", "", "pods", "", ""])),
        ("/api/v1//pods", Some(["", "", "", "", "pods"])),
        ("/api/v1/namespaces", Some(["", "", "namespaces", "", ""])),
        ("/api/v1/namespaces/a/status", Some(["", "a", "namespaces", "status", "a"])),
        ("/api/v1/namespaces/a/statuses", Some(["", "a", "statuses", "", ""])),
        ("/apis/g/v/namespaces/a/r/n/s/t/u", Some(["g", "a", "r", "s", "n"])),
        ("/apis/g/v/watch/namespaces/a/r/n/s", Some(["g", "a", "r", "s", "n"])),
        ("/apis/g/v/proxy/namespaces/a/r/n/s", Some(["g", "a", "r", "", "n"])),
        ("/apis/g/v/watch", None),
        ("/api/v1/proxy/", None),
        ("/Api/v1/pods", None),
        ("", None),
        ("///", None),
    ] {
        assert_eq!(parts_of(path), expected.map(|texts| texts.map(str::to_owned)), "{path}");
    }
}

#[test]
fn a_path_is_decoded_before_it_is_taken_apart() {
    let decoded =
        |raw: &str| String::from_utf8(decoded_path(raw.as_bytes(), &mut Vec::new()).to_vec()).unwrap();
    assert_eq!(decoded("/api/v1/pods/a%2fb+c%20%3F"), "/api/v1/pods/a/b+c ?");
    // Go refuses these, so that no event has one.
    for wrong in ["/a%", "/a%2", "/a%zz", "/a%+1"] {
        assert_eq!(decoded(wrong), wrong);
    }
    assert_eq!(decoded_path(b"%ff", &mut Vec::new()), b"\xff");
}

proptest! {
    #![proptest_config(cases(2_000))]

    /// The parts of a path are what its slashes divide it into, as many as there is room for.
    #[test]
    fn parts_are_what_slashes_divide(
        path in prop::collection::vec(prop::sample::select(&b"///ab.\xaf\x0f\xff\0\x2e\x30"[..]), 0..80),
    ) {
        let (parts, count) = super::parts_of(&path);
        let expected: Vec<&[u8]> = path.split(|byte| *byte == b'/').take(MOST_PARTS).collect();
        prop_assert_eq!(&parts[..count], &expected);
    }
}
