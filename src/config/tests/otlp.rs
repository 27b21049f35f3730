//! `outputs[].otlp`

use super::mistakes::check;
use super::*;

fn yaml(fields: &str) -> String {
    format!("source: {{path: /log}}\noutputs: [{{name: siem, otlp: {{{fields}}}}}]\n")
}

fn load(fields: &str) -> Otlp {
    let config = load_yaml(&yaml(fields)).unwrap().config;
    let again = load_yaml(&to_yaml(&config)).unwrap().config;
    // It knows its place in the file, whose lines are others now.
    let (Destination::Otlp(mut otlp), Destination::Otlp(again)) =
        (config.outputs[0].destination.clone(), again.outputs[0].destination.clone())
    else {
        panic!("{config:?}")
    };
    otlp.server.place.clone_from(&again.server.place);
    assert_eq!(otlp, again, "{}", to_yaml(&config));
    otlp
}

#[test]
fn a_url_is_enough() {
    let otlp = load("url: http://c:4318");
    assert_eq!(otlp, Otlp::new(otlp.server.clone()));
    assert_eq!(otlp.target(), "/v1/logs");
    let requests = load_yaml(&yaml("url: http://c:4318")).unwrap().config.outputs.remove(0).requests;
    assert_eq!(requests.compression.map(|compression| compression.coding), Some(Coding::Gzip));
}

#[test]
fn every_field_has_its_effect() {
    let otlp = load(
        "url: http://c, encoding: json, body: kvlist, resource: {a.b: 'x\"y', service.name: ''}, path: /x, strictSpec: true, maxRequestSize: 1MiB",
    );
    assert_eq!((otlp.encoding, otlp.body), (Encoding::Json, BodyForm::Kvlist));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(otlp.resource, [pair("a.b", "x\"y"), pair("service.name", "")]);
    assert_eq!((otlp.path.as_str(), otlp.strict_spec, otlp.max_request_bytes), ("/x", true, 1 << 20));
}

#[test]
fn mistakes_are_told() {
    let fields =
        "url: c:4318, encoding: xml, body: map, resource: {a: 1}, path: v1, maxRequestSize: 0, strict: true";
    check(
        load_yaml(&yaml(fields)),
        &[
            "f.yaml:2: outputs[0].otlp.url: must begin with https:// or http://",
            "f.yaml:2: outputs[0].otlp.encoding: \"xml\" is not known; legal are protobuf and json",
            "f.yaml:2: outputs[0].otlp.body: \"map\" is not known; legal are string and kvlist",
            "f.yaml:2: outputs[0].otlp.resource.a: must be a string, not the number 1; put it in quotes",
            "f.yaml:2: outputs[0].otlp.path: must begin with / or ?, or be empty if the URL is whole",
            "f.yaml:2: outputs[0].otlp.maxRequestSize: 0 is out of range; legal are numbers above 0",
            "f.yaml:2: outputs[0].otlp.strict: is not a known field; did you mean `strictSpec`?",
        ],
    );
}
