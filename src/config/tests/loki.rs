//! `outputs[].loki`

use super::mistakes::check;
use super::*;

fn yaml(fields: &str) -> String {
    format!("source: {{path: /log}}\noutputs: [{{name: siem, loki: {{{fields}}}}}]\n")
}

fn load(fields: &str) -> Loki {
    let config = load_yaml(&yaml(fields)).unwrap().config;
    let again = load_yaml(&to_yaml(&config)).unwrap().config;
    // It knows its place in the file, whose lines are others now.
    let (Destination::Loki(mut loki), Destination::Loki(again)) =
        (config.outputs[0].destination.clone(), again.outputs[0].destination.clone())
    else {
        panic!("{config:?}")
    };
    loki.server.place.clone_from(&again.server.place);
    assert_eq!(loki, again, "{}", to_yaml(&config));
    loki
}

#[test]
fn a_url_is_enough() {
    let loki = load("url: http://l:3100");
    assert_eq!(loki, Loki::new(loki.server.clone()));
    let requests = load_yaml(&yaml("url: http://l:3100")).unwrap().config.outputs.remove(0).requests;
    assert_eq!(requests.compression, None, "it is compressed by its own rules");
}

#[test]
fn every_field_has_its_effect() {
    let loki = load(
        "url: http://l, encoding: json, compression: gzip, tenant: \"a-1_b.c*'()!\", labels: {cluster: 'c\"1', node: ''}, structuredMetadata: false, tooOld: reject, maxRequestSize: 1MiB",
    );
    assert_eq!((loki.encoding, loki.too_old), (Encoding::Json, TooOld::Reject));
    assert_eq!(loki.tenant.as_deref(), Some("a-1_b.c*'()!"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(loki.labels, [pair("cluster", "c\"1"), pair("node", "")]);
    assert_eq!((loki.structured_metadata, loki.max_request_bytes), (false, 1 << 20));
}

#[test]
fn mistakes_are_told() {
    let long = "v".repeat(2049);
    let fields = format!(
        "url: http://l, tenant: a/b, labels: {{1a: x, __b: x, c-d: x, replay: x, e: {long}, f: 1}}, tooOld: keep, compression: gzip"
    );
    let names = "legal are up to 1024 of a-z, A-Z, 0-9 and _, not beginning with a digit or __";
    check(
        load_yaml(&yaml(&fields)),
        &[
            "f.yaml:2: outputs[0].loki.tenant: is no tenant; legal are letters, digits and !-_.*'(), but not . or ..",
            &format!("f.yaml:2: outputs[0].loki.labels.1a: is no label name; {names}"),
            &format!("f.yaml:2: outputs[0].loki.labels.__b: is no label name; {names}"),
            &format!("f.yaml:2: outputs[0].loki.labels.c-d: is no label name; {names}"),
            "f.yaml:2: outputs[0].loki.labels.replay: is the label of streams of old entries; choose another name",
            "f.yaml:2: outputs[0].loki.labels.e: has 2049 bytes; Loki takes 2048",
            "f.yaml:2: outputs[0].loki.labels.f: must be a string, not the number 1; put it in quotes",
            "f.yaml:2: outputs[0].loki.tooOld: \"keep\" is not known; legal are restamp and reject",
            "f.yaml:2: outputs[0].loki.compression: is for `encoding: json`; protobuf goes as a block of snappy. Remove it",
        ],
    );
    let zstd = "f.yaml:2: outputs[0].loki.compression: is not read by Loki; choose gzip or none";
    check(load_yaml(&yaml("url: http://l, compression: zstd, encoding: json")), &[zstd]);
    let tenant = format!("f.yaml:2: outputs[0].loki.tenant: has 151 bytes; legal are {}", 150);
    check(load_yaml(&yaml(&format!("url: http://l, tenant: {}", "t".repeat(151)))), &[&tenant]);
}

#[test]
fn there_is_room_for_labels_of_our_own() {
    let labels = |count: usize| (0..count).map(|n| format!("l{n}: x")).collect::<Vec<_>>().join(", ");
    load(&format!("url: http://l, labels: {{{}}}", labels(12)));
    load(&format!("url: http://l, labels: {{job: x, node: y, {}}}", labels(12)));
    let too_many =
        "f.yaml:2: outputs[0].loki.labels: has 13 labels; Loki takes 15, of which 3 are ours: remove 1";
    check(load_yaml(&yaml(&format!("url: http://l, labels: {{{}}}", labels(13)))), &[too_many]);
    // The cluster is one more, once it is known.
    let with_cluster = |fields: &str| load_yaml(&yaml(fields).replace("}}]", "}, identity: {cluster: c1}}]"));
    let too_many =
        "f.yaml:2: outputs[0].loki.labels: has 12 labels; Loki takes 15, of which 4 are ours: remove 1";
    check(with_cluster(&format!("url: http://l, labels: {{{}}}", labels(12))), &[too_many]);
    assert!(with_cluster(&format!("url: http://l, labels: {{cluster: x, {}}}", labels(11))).is_ok());
}

/// Promtail's and others' configurations have the whole URL.
#[test]
fn a_url_may_be_whole() {
    for (given, expect) in [
        ("http://l:3100/loki/api/v1/push", "http://l:3100/"),
        ("http://l/loki/api/v1/push/", "http://l/"),
        ("http://l/gateway/loki/api/v1/push", "http://l/gateway"),
        ("http://l/gateway", "http://l/gateway"),
    ] {
        assert_eq!(load(&format!("url: '{given}'")).server.url.as_str(), expect);
    }
}
