mod decoded;
mod signing;

use std::sync::Arc;

use proptest::prelude::*;
use prost::Message as _;

use self::decoded::LogGroup;
use super::signature::tests::unhex;
use super::*;
use crate::batch::{Batch, Limits as BatchLimits, Origin};
use crate::buffers::Buffers;
use crate::properties::{cases, mutated, mutations, real_line};
use crate::sink::identity::tests::identity;
use crate::sink::tests::{answer, recorded};

const URL: &str = "https://proj.cn-hangzhou.log.aliyuncs.com";
const PATH: &str = "/var/log/kubernetes/kubernetes.audit";
const NOW: Duration = Duration::from_secs(1_735_689_602);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + NOW
}

fn config() -> config::Sls {
    config::Sls {
        server: config::Server {
            place: String::new(),
            url: URL.parse().unwrap(),
            headers: Vec::new(),
            login: config::Login::None,
            tls: config::ServerTls::default(),
            proxy_url: None,
        },
        project: "proj".to_owned(),
        logstore: "audit-c0123456789abcdef0123456789abcdef".to_owned(),
        region: None,
        compression: SlsCompression::None,
        hash_key: None,
        topic: String::new(),
        source: "10.0.0.5".to_owned(),
        hostname: "master-02".to_owned(),
        tags: Vec::new(),
        time: SlsTime::Shipped,
        pack_id: false,
    }
}

fn sls(config: config::Sls) -> Sls {
    Sls::new(config, &Identity::default(), Path::new(PATH))
}

/// The events of these lines, as a route would have them sent.
fn events(lines: &[impl AsRef<[u8]>]) -> Events {
    let mut batch = Batch::new(Buffers::default());
    let limits = BatchLimits {
        max_lines: usize::MAX,
        max_bytes: usize::MAX,
        max_first_line_bytes: usize::MAX,
        max_event_size: None,
    };
    for line in lines {
        batch.offer(line.as_ref(), || Origin { file: "audit.log".into(), offset: 0 }, &limits);
    }
    batch.seal();
    Events::all(Arc::new(batch))
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.to_str().unwrap())
}

fn decoded(request: &Request) -> LogGroup {
    let body = request.body.concat();
    let raw_size: usize = header(request, "x-log-bodyrawsize").unwrap().parse().unwrap();
    assert_eq!(
        header(request, "content-md5").unwrap(),
        fingerprint::hex_of(&Md5::digest(&body)).to_uppercase()
    );
    let group = match header(request, "x-log-compresstype") {
        None => body,
        Some("lz4") => lz4_flex::block::decompress(&body, raw_size).unwrap(),
        Some("zstd") => zstd::bulk::decompress(&body, raw_size).unwrap(),
        Some(other) => panic!("{other}"),
    };
    assert_eq!(group.len(), raw_size);
    LogGroup::decode(&group[..]).unwrap()
}

fn group_of(config: config::Sls, lines: &[impl AsRef<[u8]>]) -> LogGroup {
    decoded(&sls(config).request(&events(lines), now()))
}

#[test]
fn a_group_is_to_the_byte_what_the_sdks_make_of_it() {
    let line = br#"{"kind":"Event","auditID":"f2a1e0c4-0000-4000-8000-000000000001","stage":"ResponseComplete","verb":"create","user":{"username":"kubernetes-admin","groups":["system:masters"]},"responseStatus":{"metadata":{},"code":201}}"#;
    let mut found = Vec::new();
    group::add_log(
        &mut found,
        None,
        line,
        LogTime { seconds: 1_735_689_601, nanoseconds: Some(234_567_000) },
    );
    let tags = [
        ("__hostname__", "master-0"),
        ("__path__", "/var/log/kubernetes/kubernetes.audit"),
        ("audit", "apiserver"),
    ];
    let expect = unhex(include_str!("../../../tests/data/sinks/sls/group.hex"));
    group::add_origin(&mut found, "", "10.0.0.5", tags);
    assert_eq!(LogGroup::decode(&found[..]), LogGroup::decode(&expect[..]));
    assert_eq!(found, expect);
}

#[test]
fn fields_are_contents_as_logtail_makes_them() {
    let line = br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","requestURI":"/api?a=1\u0026b=\"2\"","sourceIPs":["10.0.0.1","::1"],"n":-1.5e3,"t":true,"f":false,"z":null,"e":{},"objectRef":{"name":"a\u0026b"}}"#;
    let group = group_of(config(), &[line]);
    let expect = [
        ("kind", "Event"),
        ("apiVersion", "audit.k8s.io/v1"),
        ("level", "Metadata"),
        ("requestURI", "/api?a=1&b=\"2\""),
        ("sourceIPs", r#"["10.0.0.1","::1"]"#),
        ("n", "-1.5e3"),
        ("t", "true"),
        ("f", "false"),
        ("z", ""),
        ("e", "{}"),
        ("objectRef", r#"{"name":"a\u0026b"}"#),
    ];
    assert_eq!(group.logs[0].pairs(), expect);
    assert_eq!((group.logs[0].time, group.logs[0].time_ns), (1_735_689_602, None));
    assert_eq!((group.category, group.machine_uuid), (None, None));
}

#[test]
fn what_acks_dashboards_ask_for_is_in_every_real_event() {
    let lines = recorded(0..1000);
    let group = group_of(config(), &lines);
    assert_eq!(group.logs.len(), lines.len());
    for log in &group.logs {
        for key in ["verb", "stage", "auditID", "requestURI", "sourceIPs", "user"] {
            assert!(log.value(key).is_some_and(|value| !value.is_empty()), "{key} in {log:?}");
        }
    }
    assert!(group.logs.iter().any(|log| log.value("objectRef").is_some()));
    assert!(group.logs.iter().any(|log| log.value("responseStatus").is_some()));
    assert!(group.logs.iter().any(|log| log.value("annotations").is_some()));
}

#[test]
fn a_line_that_can_be_no_contents_goes_whole() {
    let head = r#""kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","#;
    let lines = [
        format!(r#"{{{head}"x":1,"x":2}}"#),
        format!(r#"{{{head}"x":1,"\u0078":2}}"#),
        format!(r#"{{{head}"":1}}"#),
        format!(r#" {{ {head}"x":1,"x":2 }} "#),
    ];
    let group = group_of(config(), &lines);
    for (log, line) in group.logs.iter().zip(&lines) {
        assert_eq!(log.pairs(), [("content", line.as_str())]);
    }
    assert_eq!(group.logs.len(), lines.len());
}

#[test]
fn tags_topic_and_source_are_those_of_logtail_and_of_the_configuration() {
    let line = &recorded(0..1)[..];
    let tags = |group: &LogGroup| {
        group.tags.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect::<Vec<_>>()
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let group = group_of(config(), line);
    let path = pair("__path__", PATH);
    assert_eq!(tags(&group), [pair("audit", "apiserver"), pair("__hostname__", "master-02"), path.clone()]);
    assert_eq!((group.topic.as_deref(), group.source.as_deref()), (Some(""), Some("10.0.0.5")));
    let nobody = config::Sls { hostname: String::new(), ..config() };
    let request = Sls::new(nobody.clone(), &identity(), Path::new(PATH)).request(&events(line), now());
    let [audit, cluster] = [("audit", "apiserver"), ("cluster", "c1")].map(|(key, value)| pair(key, value));
    assert_eq!(tags(&decoded(&request)), [audit.clone(), path.clone(), cluster]);
    assert_eq!(tags(&group_of(nobody, line)), [audit, path.clone()]);
    let own = config::Sls { tags: vec![pair("cluster", "c2")], ..config() };
    let request = Sls::new(own, &identity(), Path::new(PATH)).request(&events(line), now());
    let own = [pair("__hostname__", "master-02"), path.clone(), pair("cluster", "c2")];
    assert_eq!(tags(&decoded(&request))[1..], own);
    let other = config::Sls {
        tags: vec![pair("audit", "mine"), pair("_namespace_", "kube-system")],
        hostname: String::new(),
        source: String::new(),
        topic: "t".to_owned(),
        pack_id: true,
        ..config()
    };
    let group = group_of(other.clone(), line);
    assert_eq!((group.topic.as_deref(), group.source.as_deref()), (Some("t"), None));
    let found = tags(&group);
    assert_eq!(found[..3], [path, pair("audit", "mine"), pair("_namespace_", "kube-system")]);
    let (key, id) = &found[3];
    let (prefix, number) = id.split_once('-').unwrap();
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    assert!(
        key == "__pack_id__" && prefix.len() == 16 && prefix.bytes().all(is_digit) && number == "0",
        "{id}"
    );
    assert_eq!(tags(&group_of(other.clone(), line)), found, "the same events, the same ID");
    assert_ne!(tags(&group_of(other, &recorded(0..2)[1..])), found);
}

#[test]
fn a_log_happened_when_it_was_shipped_or_within_what_sls_takes_when_the_event_did() {
    let line = |stamp: &str| {
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","stageTimestamp":"{stamp}"}}"#
        )
    };
    let of_event = config::Sls { time: SlsTime::Event, ..config() };
    let seconds = u32::try_from(NOW.as_secs()).unwrap();
    let cases = [
        ("2024-12-31T23:59:58.250248Z", seconds - 4, 250_248_000),
        ("2024-12-25T01:00:02.000000Z", seconds - 7 * 86_400 + 3_600, 0),
        ("2024-12-25T01:00:01.999999Z", seconds - 7 * 86_400 + 3_600, 0),
        ("1969-01-01T00:00:00.000000Z", seconds - 7 * 86_400 + 3_600, 0),
        ("2025-01-01T00:00:02.000001Z", seconds, 0),
        ("9999-01-01T00:00:00Z", seconds, 0),
        ("soon", seconds, 0),
    ];
    for (stamp, time, nanoseconds) in cases {
        let log = &group_of(of_event.clone(), &[line(stamp)]).logs[0];
        assert_eq!((log.time, log.time_ns), (time, Some(nanoseconds)), "{stamp}");
        let log = &group_of(config(), &[line(stamp)]).logs[0];
        assert_eq!((log.time, log.time_ns), (seconds, None), "{stamp}");
    }
}

#[test]
fn each_compression_says_the_same_of_real_events() {
    let events = events(&recorded(0..400));
    let plain = sls(config()).request(&events, now());
    let expect = decoded(&plain);
    for compression in [SlsCompression::Lz4, SlsCompression::Zstd] {
        let request = sls(config::Sls { compression, ..config() }).request(&events, now());
        assert_eq!(decoded(&request), expect, "{compression:?}");
        assert!(request.body.len() * 3 < plain.body.len(), "{compression:?}: {}", request.body.len());
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever an event's line looks like, its log can be read, has each key once, and loses no byte of a value that
    /// was no string.
    #[test]
    fn any_event_becomes_a_log_that_can_be_read(line in real_line(), mutations in mutations()) {
        let line = mutated(&line, &mutations);
        let events = events(&[&line[..]]);
        if !events.is_empty() {
            let of_event = config::Sls { time: SlsTime::Event, pack_id: true, ..config() };
            let group = decoded(&sls(of_event).request(&events, now()));
            prop_assert_eq!(group.logs.len(), 1);
            let mut keys: Vec<&str> = group.logs[0].pairs().into_iter().map(|(key, _)| key).collect();
            let count = keys.len();
            keys.sort_unstable();
            keys.dedup();
            prop_assert_eq!(keys.len(), count);
            for (key, value) in group.logs[0].pairs() {
                let is_container = value.starts_with(['{', '[']);
                prop_assert!(!is_container || memchr::memmem::find(&line, value.as_bytes()).is_some(), "{key}");
            }
        }
    }

    /// Any bytes that are taken for an event are written without a panic, and can be read.
    #[test]
    fn any_bytes_become_a_log_that_can_be_read(line in real_line(), mutations in mutations(), has_head: bool) {
        let head = has_head.then_some(r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","#);
        let mut group = Vec::new();
        group::add_log(&mut group, head, &mutated(&line, &mutations), LogTime { seconds: 1, nanoseconds: None });
        let group = LogGroup::decode(&group[..]);
        prop_assert!(group.is_ok_and(|group| group.logs.len() == 1 && !group.logs[0].contents.is_empty()));
    }
}
