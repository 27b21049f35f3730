//! The section `elasticsearch` of an output.

use super::mistakes::check;
use super::*;

fn load(fields: &str) -> Result<Loaded, Errors> {
    let section = format!("elasticsearch: {{url: 'https://search:9200', {fields}}}");
    load_yaml(&LEAST.replace("webhook: {kubeconfig: /kc}", &section))
}

fn read(fields: &str) -> Elasticsearch {
    match load(fields).unwrap().config.outputs.remove(0).destination {
        Destination::Elasticsearch(elasticsearch) => elasticsearch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_defaults_are_those_of_elastics_integration() {
    let Elasticsearch { server, data_stream, mode, dedupe, keep_metadata, replace_dots } = read("");
    assert_eq!(server.url.as_str(), "https://search:9200/");
    assert_eq!(server.login, Login::None);
    assert_eq!(data_stream, "logs-kubernetes.audit_logs-default");
    assert_eq!((mode, dedupe, keep_metadata, replace_dots), (DocumentMode::Ecs, true, false, false));
    let requests = load("").unwrap().config.outputs.remove(0).requests;
    assert_eq!(requests.compression, Some(Compression { coding: Coding::Gzip, level: 1 }));
    assert!(read("mode: raw").keep_metadata);
}

#[test]
fn an_api_key_is_a_token_of_its_own_kind() {
    let login = read("apiKeyFile: /key").server.login;
    assert_eq!(login, Login::Token { scheme: "ApiKey", file: "/key".into(), field: "apiKeyFile" });
    assert!(load("apiKeyFile: /key, bearerTokenFile: /token").is_err());
}

#[test]
fn what_it_prints_loads_again() {
    for fields in [
        "",
        "mode: ecs-raw, dedupe: false, compression: none",
        "mode: raw, replaceDots: true, dataStream: audit",
        "keepMetadata: true, apiKeyFile: /key, tls: {caFile: /ca}",
    ] {
        let config = load(fields).unwrap().config;
        let yaml = to_yaml(&config);
        // Where a section came from is for messages alone.
        let again = to_yaml(&load_yaml(&yaml).unwrap_or_else(|errors| panic!("{errors}\n{yaml}")).config);
        assert_eq!(again, yaml);
        assert!(yaml.contains("    elasticsearch:\n      url: "), "{yaml}");
    }
}

#[test]
fn what_is_wrong_names_its_field() {
    let at = "f.yaml:2: outputs[0].elasticsearch";
    let stream =
        "is no data stream; legal are up to 200 of a-z, 0-9, -, _ and ., beginning with a letter or digit";
    for name in ["Logs", "-logs", ".ds-x", "a/b", "a b", "logs-*", "ä"] {
        check(load(&format!("dataStream: '{name}'")), &[&format!("{at}.dataStream: {name:?} {stream}")]);
    }
    for (fields, what) in [
        (
            "mode: ecs_raw",
            "mode: \"ecs_raw\" is not known; legal are ecs, ecs-raw and raw; did you mean `ecs-raw`?",
        ),
        (
            "mode: raw, keepMetadata: false",
            "keepMetadata: is for mode ecs; in the others metadata stays, remove it",
        ),
        ("dedupe: 1", "dedupe: must be true or false, not "),
        ("compression: zstd", "compression: zstd is not known to elasticsearch; legal are none and gzip"),
        ("index: x", "index: is not a known field; legal are "),
    ] {
        let errors = load(fields).unwrap_err();
        let errors: Vec<&str> = errors.iter().collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with(&format!("{at}.{what}")), "{errors:?}");
    }
}
