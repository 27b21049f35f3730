//! `splunkHec`.

use std::collections::BTreeMap;

use super::*;
use crate::body::Coding;

fn load(fields: &str) -> Result<Loaded, Errors> {
    load_yaml(&format!(
        "source: {{path: /var/log/kubernetes/audit.log}}\noutputs:\n- name: siem\n  splunkHec: {{{fields}}}\n"
    ))
}

fn splunk(fields: &str) -> SplunkHec {
    let loaded = load(fields).unwrap_or_else(|errors| panic!("{errors}"));
    let Destination::SplunkHec(splunk) = loaded.config.outputs[0].destination.clone() else {
        panic!("{:?}", loaded.config.outputs[0].destination)
    };
    splunk
}

const LEAST: &str = "url: 'https://splunk.test:8088', tokenFile: /token";

#[test]
fn little_has_to_be_said() {
    let SplunkHec { server, host, source, sourcetype, index, fields, ack } = splunk(LEAST);
    assert_eq!(server.url.as_str(), "https://splunk.test:8088/");
    assert_eq!(server.login, Login::Token { scheme: "Splunk", file: "/token".into(), field: "tokenFile" });
    assert_eq!(host, host_name());
    assert_eq!(source.as_deref(), Some("/var/log/kubernetes/audit.log"));
    assert_eq!(
        (sourcetype.as_str(), index, fields, ack),
        ("kube:apiserver:audit", None, BTreeMap::new(), Ack::Auto)
    );
    let compression = load(LEAST).unwrap().config.outputs[0].requests.compression;
    assert_eq!(compression.map(|compression| compression.coding), Some(Coding::Gzip));
}

#[test]
fn all_that_can_be_said_is_printed_and_loads_again() {
    let fields = format!(
        "{LEAST}, host: 'm\"0', source: s, sourcetype: t, index: k8s_audit, fields: {{cluster: c1, 'a b': ''}}, ack: 'on', compression: none"
    );
    let splunk = splunk(&fields);
    assert_eq!((splunk.host.as_deref(), splunk.source.as_deref()), (Some("m\"0"), Some("s")));
    assert_eq!((splunk.sourcetype.as_str(), splunk.index.as_deref()), ("t", Some("k8s_audit")));
    assert_eq!(
        splunk.fields,
        [("a b", ""), ("cluster", "c1")].map(|(a, b)| (a.to_owned(), b.to_owned())).into()
    );
    assert_eq!(splunk.ack, Ack::On);
    for fields in [LEAST, &fields] {
        let mut config = load(fields).unwrap().config;
        let yaml = to_yaml(&config);
        let mut again = load_yaml(&yaml).unwrap_or_else(|errors| panic!("{errors}\n{yaml}")).config;
        for config in [&mut config, &mut again] {
            let Destination::SplunkHec(splunk) = &mut config.outputs[0].destination else { panic!() };
            splunk.server.place.clear();
        }
        assert_eq!(again, config, "{yaml}");
    }
}

#[test]
fn the_path_of_the_collector_may_be_there_or_not() {
    for (given, url) in [
        ("https://h:8088", "https://h:8088/"),
        ("https://h:8088/services/collector", "https://h:8088/"),
        ("https://h:8088/services/collector/", "https://h:8088/"),
        ("https://h:8088/services/collector/event", "https://h:8088/"),
        ("https://h/splunk/services/collector/event/1.0", "https://h/splunk"),
        ("https://h/splunk/", "https://h/splunk/"),
        ("https://h/services/collector/raw", "https://h/services/collector/raw"),
    ] {
        assert_eq!(splunk(&format!("url: '{given}', tokenFile: /t")).server.url.as_str(), url, "{given}");
    }
}

#[test]
fn mistakes_name_their_fields() {
    let mistakes = load("token: x, ack: yes, index: '', fields: {'': a, b: 1}").unwrap_err().to_string();
    for expect in [
        "outputs[0].splunkHec.url: must be given",
        "outputs[0].splunkHec.tokenFile: must be given",
        "outputs[0].splunkHec.token: is not a known field; did you mean `tokenFile`?",
        "outputs[0].splunkHec.index: must not be empty",
        "outputs[0].splunkHec.fields.: the name of an indexed field must not be empty",
        "outputs[0].splunkHec.fields.b: must be a string, not the number 1; put it in quotes",
        "outputs[0].splunkHec.ack: ",
    ] {
        assert!(mistakes.lines().any(|line| line.contains(expect)), "{expect} is not in:\n{mistakes}");
    }
    assert_eq!(mistakes.lines().count(), 7, "{mistakes}");
    let plain = load("url: 'http://splunk.test:8088', tokenFile: /t").unwrap_err().to_string();
    assert!(plain.contains("splunkHec.url: credentials would be sent in the clear"), "{plain}");
}
