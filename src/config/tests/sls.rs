//! `sls`: its fields, its mistakes, and that it is printed as it is.

use super::mistakes::check;
use super::*;

fn with(fields: &str) -> Result<Loaded, Errors> {
    load_yaml(&format!("source: {{path: /log}}\noutputs: [{{name: siem, sls: {{{fields}}}}}]\n"))
}

const LEAST_OF_SLS: &str = "url: 'https://p.cn-hangzhou.log.aliyuncs.com', project: p, logstore: audit-c01, \
                            accessKeyIdFile: /id, accessKeySecretFile: /secret";

fn sls(fields: &str) -> Sls {
    let mut config = with(&format!("{LEAST_OF_SLS}, {fields}")).unwrap().config;
    let Destination::Sls(sls) = config.outputs.remove(0).destination else { panic!("another destination") };
    sls
}

#[test]
fn the_least_has_the_defaults_of_logtail() {
    let Sls { server, project, logstore, source, hostname, .. } = sls("");
    // Without a network there is none.
    assert!(source.is_empty() || source.parse().is_ok_and(|ip: std::net::IpAddr| !ip.is_unspecified()));
    assert_eq!((project.as_str(), logstore.as_str()), ("p", "audit-c01"));
    assert_eq!(server.url.as_str(), "https://p.cn-hangzhou.log.aliyuncs.com/");
    let login =
        Login::Key { id_file: "/id".into(), secret_file: "/secret".into(), security_token_file: None };
    assert_eq!(server.login, login);
    let expect = Sls {
        server: server.clone(),
        project,
        logstore,
        region: None,
        compression: SlsCompression::Lz4,
        hash_key: None,
        topic: String::new(),
        source,
        hostname,
        tags: Vec::new(),
        time: SlsTime::Shipped,
        pack_id: true,
    };
    assert_eq!(sls(""), expect);
    assert_eq!(sls("source: ''").source, "");
    assert_eq!(Some(expect.hostname), host_name());
    assert_eq!(sls("hostname: ''").hostname, "");
}

#[test]
fn what_is_printed_loads_again() {
    for fields in [
        "",
        "region: cn-hangzhou, compression: zstd, hashKey: 14D2F850AD6EA48E46E4547EDBBB27E0, topic: 'a \"b\"', time: event",
        "source: 10.0.0.5, hostname: '', tags: {_namespace_: kube-system, \"q\\\"\": ''}, packId: false",
        "compression: none, timeout: 5s, securityTokenFile: /token",
    ] {
        let config = with(&format!("{LEAST_OF_SLS}, {fields}")).unwrap().config;
        let yaml = to_yaml(&config);
        let again = load_yaml(&yaml).unwrap_or_else(|errors| panic!("{errors}\n{yaml}"));
        assert_eq!(again.config, config, "{yaml}");
        assert_eq!(config.outputs[0].requests.compression, None);
    }
}

#[test]
fn every_mistake_is_told_with_its_field() {
    let place = |rest: &str| format!("f.yaml:2: outputs[0].sls.{rest}");
    let expect = [
        place("url: must be given"),
        place("accessKeyIdFile: must be given"),
        place("accessKeySecretFile: must be given"),
        place("project: must be given"),
        place("logstore: \"a/b\" is not a name; legal are up to 63 of a-z, 0-9 and -_"),
        place("region: \"CN\" is not a name; legal are up to 63 of a-z, 0-9 and -"),
        place("hashKey: is no hash key; legal are 32 hexadecimal digits, such as an MD5"),
        place("tags.: is no name of a tag; legal is text without control characters"),
    ];
    let mistakes = "logstore: a/b, region: CN, hashKey: 14d2, tags: {'': x}";
    check(with(mistakes), &expect.each_ref().map(String::as_str));
    let errors = with(&format!("{LEAST_OF_SLS}, compression: gzip, compressionLevel: 3")).unwrap_err();
    let errors: Vec<&str> = errors.iter().collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("sls.compression: ")), "{errors:?}");
    assert!(
        errors.iter().any(|error| error.contains("sls.compressionLevel: is not a known field")),
        "{errors:?}"
    );
}

#[test]
fn no_request_holds_more_events_than_sls_takes() {
    let load = |batch: &str| {
        load_yaml(&format!(
            "source: {{path: /log}}\noutputs: [{{name: siem, sls: {{{LEAST_OF_SLS}}}, batch: {{{batch}}}}}]\n"
        ))
    };
    for (batch, most) in [("", 400), ("maxSize: 10000", 4096)] {
        assert_eq!(load(batch).unwrap().config.outputs[0].batch.max_size.get(), most);
    }
}

#[test]
fn a_url_has_no_path_of_its_own() {
    let fields = LEAST_OF_SLS.replace(".com", ".com/logstores/audit-c01");
    check(
        with(&fields),
        &[
            "f.yaml:2: outputs[0].sls.url: must not hold a path or a query; SLS has one of its own, which comes by itself",
        ],
    );
}
