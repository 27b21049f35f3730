use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::SecretString;

use super::signature::tests::unhex;
use super::*;
use crate::batch::{Batch, Limits as BatchLimits, Origin};
use crate::buffers::Buffers;
use crate::demo::replay::Replay;
use crate::properties::{cases, mutated, mutations, real_line};
use crate::sink::tests::answer;

/// Alibaba's own definition of a group, in prost's words: read by other code than that which writes it.
#[derive(Clone, PartialEq, Message)]
struct LogGroup {
    #[prost(message, repeated, tag = "1")]
    logs: Vec<Log>,
    #[prost(string, optional, tag = "2")]
    category: Option<String>,
    #[prost(string, optional, tag = "3")]
    topic: Option<String>,
    #[prost(string, optional, tag = "4")]
    source: Option<String>,
    #[prost(string, optional, tag = "5")]
    machine_uuid: Option<String>,
    #[prost(message, repeated, tag = "6")]
    tags: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
struct Log {
    #[prost(uint32, required, tag = "1")]
    time: u32,
    #[prost(message, repeated, tag = "2")]
    contents: Vec<Pair>,
    #[prost(fixed32, optional, tag = "4")]
    time_ns: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, required, tag = "1")]
    key: String,
    #[prost(string, required, tag = "2")]
    value: String,
}

impl Log {
    fn value(&self, key: &str) -> Option<&str> {
        self.contents.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str())
    }

    /// The contents as JSON has them, where a content is a string for each thing but an object or a list.
    fn pairs(&self) -> Vec<(&str, &str)> {
        self.contents.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect()
    }
}

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
    Sls::new(config, Path::new("/var/log/kubernetes/kubernetes.audit"))
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

/// The bundled lines, without their newlines.
fn real_lines(count: u64) -> Vec<Vec<u8>> {
    let replay = Replay::bundled();
    let line = |number| {
        let mut line = Vec::new();
        replay.line(number, &mut line);
        line.pop();
        line
    };
    (0..count).map(line).collect()
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
    let lines = real_lines(1000);
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
    let line = &real_lines(1)[..];
    let tags = |group: &LogGroup| {
        group.tags.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect::<Vec<_>>()
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let group = group_of(config(), line);
    let path = pair("__path__", "/var/log/kubernetes/kubernetes.audit");
    assert_eq!(tags(&group), [pair("audit", "apiserver"), pair("__hostname__", "master-02"), path.clone()]);
    assert_eq!((group.topic.as_deref(), group.source.as_deref()), (Some(""), Some("10.0.0.5")));
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
    assert_ne!(tags(&group_of(other, &real_lines(2)[1..])), found);
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
    let events = events(&real_lines(400));
    let plain = sls(config()).request(&events, now());
    let expect = decoded(&plain);
    for compression in [SlsCompression::Lz4, SlsCompression::Zstd] {
        let request = sls(config::Sls { compression, ..config() }).request(&events, now());
        assert_eq!(decoded(&request), expect, "{compression:?}");
        assert!(request.body.len() * 3 < plain.body.len(), "{compression:?}: {}", request.body.len());
    }
}

fn key(token: Option<&str>) -> AccessKey {
    AccessKey {
        id: "mockAccessKeyID".to_owned(),
        secret: SecretString::from("mockAccessKeySecret"),
        security_token: token.map(SecretString::from),
    }
}

/// The headers of the request and what `sign` adds to them.
fn signed(sls: &Sls, url: &str, token: Option<&str>, now: SystemTime) -> (Request, HeaderMap) {
    let request = sls.request(&events(&real_lines(3)), now);
    let url: Url = format!("{url}{}", request.target).parse().unwrap();
    let headers: HeaderMap = request.headers.iter().cloned().collect();
    let key = key(token);
    let method = &Method::POST;
    let sent =
        Sent { method, url: &url, headers: &headers, body: &request.body, access_key: Some(&key), now };
    let added = sls.sign(&sent).into_iter().collect();
    assert!(sls.sign(&Sent { access_key: None, ..sent }).is_empty());
    (request, added)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

const URL: &str = "https://proj.cn-hangzhou.log.aliyuncs.com";

#[test]
fn v1_signs_what_is_sent() {
    let (request, added) = signed(&sls(config()), URL, Some("mockStsToken"), now());
    assert_eq!(request.target, "/logstores/audit-c0123456789abcdef0123456789abcdef/shards/lb");
    assert_eq!(text(&added, "date"), Some("Wed, 01 Jan 2025 00:00:02 GMT"));
    assert_eq!(text(&added, "x-acs-security-token"), Some("mockStsToken"));
    assert_eq!(added.len(), 3, "{added:?}");
    let headers = request
        .headers
        .iter()
        .cloned()
        .chain(added.clone().into_iter().filter_map(|(name, value)| Some((name?, value))));
    let headers: HeaderMap = headers.filter(|(name, _)| name != AUTHORIZATION).collect();
    let target = Target { method: "POST", path: &request.target, query: &[] };
    let expect = signature::v1(target, &headers, "mockAccessKeyID", "mockAccessKeySecret");
    assert_eq!(text(&added, "authorization"), Some(expect.as_str()));
    assert!(added["authorization"].is_sensitive() && added["x-acs-security-token"].is_sensitive());
    assert_eq!(header(&request, "x-log-signaturemethod"), Some("hmac-sha1"));
}

#[test]
fn v4_signs_what_is_sent() {
    let of_region = config::Sls { region: Some("cn-hangzhou".to_owned()), ..config() };
    let (request, added) = signed(&sls(of_region), "http://127.0.0.1:8080", None, now());
    assert_eq!(text(&added, "x-log-date"), Some("20250101T000002Z"));
    assert_eq!(text(&added, "x-log-project"), Some("proj"), "the host does not tell it");
    assert_eq!(added.len(), 3, "{added:?}");
    assert_eq!(header(&request, CONTENT_SHA256), Some(&fingerprint::hex(&request.body.concat())[..]));
    assert_eq!(header(&request, "x-log-signaturemethod"), None);
    let host = [(HOST, HeaderValue::from_static("127.0.0.1:8080"))];
    let added_pairs = added.iter().map(|(name, value)| (name.clone(), value.clone()));
    let headers: HeaderMap = request.headers.iter().cloned().chain(added_pairs).chain(host).collect();
    let target = Target { method: "POST", path: &request.target, query: &[] };
    let expect = signature::v4(target, &headers, "cn-hangzhou", "mockAccessKeyID", "mockAccessKeySecret");
    assert_eq!(text(&added, "authorization"), Some(expect.as_str()));
}

#[test]
fn a_hash_key_chooses_the_shard_and_is_signed() {
    let route = "14d2f850ad6ea48e46e4547edbbb27e0";
    let sls = sls(config::Sls { hash_key: Some(route.to_owned()), ..config() });
    let (request, added) = signed(&sls, URL, None, now());
    let path = "/logstores/audit-c0123456789abcdef0123456789abcdef/shards/route";
    assert_eq!(request.target, format!("{path}?key={route}"));
    let added_pairs = added.iter().map(|(name, value)| (name.clone(), value.clone()));
    let headers: HeaderMap = request.headers.iter().cloned().chain(added_pairs).collect();
    let query = [("key".to_owned(), route.to_owned())];
    let target = Target { method: "POST", path, query: &query };
    let expect = signature::v1(target, &headers, "mockAccessKeyID", "mockAccessKeySecret");
    assert_eq!(text(&added, "authorization"), Some(expect.as_str()));
}

#[test]
fn the_project_is_told_unless_the_host_begins_with_it() {
    for (url, project) in [
        (URL, None),
        ("https://cn-hangzhou.log.aliyuncs.com", Some("proj")),
        ("https://project.cn-hangzhou.log.aliyuncs.com", Some("proj")),
        ("https://proj", Some("proj")),
        ("http://[::1]:8080", Some("proj")),
    ] {
        let (_, added) = signed(&sls(config()), url, None, now());
        assert_eq!(text(&added, "x-log-project"), project, "{url}");
    }
}

fn expired(x_log_time: Option<u64>) -> Answer {
    let mut answer = answer(400, r#"{"errorCode":"RequestTimeExpired","errorMessage":""}"#);
    answer.received_at = now();
    if let Some(time) = x_log_time {
        answer.headers.insert("x-log-time", time.into());
    }
    answer
}

#[test]
fn a_wrong_clock_is_put_right_by_what_the_answer_says_of_the_time() {
    for region in [None, Some("cn-hangzhou".to_owned())] {
        let of_v1 = region.is_none();
        let sls = sls(config::Sls { region, ..config() });
        let sent_at = |sls: &Sls| {
            let (request, added) = signed(sls, URL, None, now());
            let date = text(&added, if of_v1 { "date" } else { "x-log-date" }).unwrap().to_owned();
            (u64::from(decoded(&request).logs[0].time), date)
        };
        assert_eq!(sent_at(&sls).0, NOW.as_secs());
        assert_eq!(sls.verdict(3, &expired(None)), Verdict::Hold { reread_credentials: false });
        assert_eq!(sent_at(&sls).0, NOW.as_secs(), "nothing was learnt");
        let theirs = NOW.as_secs() - 20 * 60;
        assert_eq!(sls.verdict(3, &expired(Some(theirs))), Verdict::Again);
        let date = if of_v1 { "Tue, 31 Dec 2024 23:40:02 GMT" } else { "20241231T234002Z" };
        assert_eq!(sent_at(&sls), (theirs, date.to_owned()));
        let mut accepted = expired(Some(NOW.as_secs()));
        accepted.status = 200;
        assert_eq!(sls.verdict(3, &accepted), Verdict::Accepted);
        assert_eq!(sent_at(&sls).0, NOW.as_secs(), "the node's clock was set right");
        accepted.headers.insert("x-log-time", theirs.into());
        assert_eq!(sls.verdict(3, &accepted), Verdict::Accepted);
        assert_eq!(sent_at(&sls).0, NOW.as_secs(), "a clock that was never wrong is not doubted");
    }
}

#[test]
fn no_time_is_too_far_off() {
    let far = Duration::from_secs(1 << 40);
    for here in [SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + far, SystemTime::UNIX_EPOCH - far] {
        for theirs in [0, NOW.as_secs(), 1 << 40, u64::MAX] {
            let sls = sls(config::Sls { time: SlsTime::Event, ..config() });
            sls.verdict(1, &expired(Some(theirs)));
            let (request, added) = signed(&sls, URL, None, here);
            assert!(added.contains_key(DATE));
            assert_eq!(decoded(&request).logs.len(), 3);
        }
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
