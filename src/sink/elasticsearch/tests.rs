//! What is posted, read back by serde and held against the lines that it was made of.

mod json;

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use flate2::read::GzDecoder;
use proptest::prelude::*;
use serde::de::IgnoredAny;

use self::json::Json;
use super::*;
use crate::batch::{Batch, Limits, Offer, Origin};
use crate::buffers::Buffers;
use crate::config::DocumentMode;
use crate::fingerprint;
use crate::properties::{cases, mutated, mutations, real_line};
use crate::sink::identity::tests::identity;

const LOG: &str = "/var/log/kubernetes/audit.log";

/// The defaults.
pub(crate) fn config() -> config::Elasticsearch {
    let server = config::Server {
        place: String::new(),
        url: "http://localhost:9200".parse().unwrap(),
        headers: Vec::new(),
        login: config::Login::None,
        tls: config::ServerTls::default(),
        proxy_url: None,
    };
    config::Elasticsearch {
        server,
        data_stream: "logs-kubernetes.audit_logs-default".to_owned(),
        mode: DocumentMode::Ecs,
        dedupe: true,
        keep_metadata: false,
        replace_dots: false,
    }
}

fn sink(config: &config::Elasticsearch) -> Elasticsearch {
    Elasticsearch::new(config, &identity(), Path::new(LOG))
}

fn of_mode(mode: DocumentMode) -> config::Elasticsearch {
    config::Elasticsearch { mode, ..config() }
}

/// One batch of these lines, but for those that are no events.
fn events(lines: &[Vec<u8>]) -> Option<Events> {
    let limits = Limits {
        max_lines: lines.len() + 1,
        max_bytes: 1 << 30,
        max_first_line_bytes: 1 << 30,
        max_event_size: None,
    };
    let mut batch = Batch::new(Buffers::default());
    for (number, line) in lines.iter().enumerate() {
        let origin = || Origin { file: "audit.log".into(), offset: 10 * number as u64 };
        assert_ne!(batch.offer(line, origin, &limits), Offer::Full);
    }
    batch.seal();
    (batch.events() > 0).then(|| Events::all(Arc::new(batch)))
}

/// The lines of the body, in pairs: an action, and a document.
fn posted(config: &config::Elasticsearch, events: &Events) -> Vec<(String, String)> {
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let request = sink(config).request(events, now);
    let body = String::from_utf8(request.body.concat()).unwrap();
    assert!(body.ends_with('\n'));
    let lines: Vec<_> = body.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2 * events.len());
    lines.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

fn post_one(config: &config::Elasticsearch, line: &str) -> (String, String) {
    posted(config, &events(&[line.as_bytes().to_vec()]).unwrap()).remove(0)
}

fn log(name: &str) -> Vec<Vec<u8>> {
    let path = format!("{}/tests/data/events/{name}.log.gz", env!("CARGO_MANIFEST_DIR"));
    let mut text = Vec::new();
    GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut text).unwrap();
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

fn all_dots(key: &str) -> String {
    key.replace('.', "_")
}

fn nameless(key: &str) -> String {
    if key.split('.').any(str::is_empty) { key.replace('.', "_") } else { key.to_owned() }
}

/// What an index is to have of a line in the two modes of ECS.
fn expected_audit(line: &[u8], without_metadata: bool) -> Json {
    let mut event = Json::read(line);
    event.rename_in("annotations", &all_dots);
    for body in ["requestObject", "responseObject"] {
        event.rename_in(body, &nameless);
        let Some(body) = event.member_mut(body).filter(|_| without_metadata) else { continue };
        body.remove("metadata");
        if let Some(Json::List(items)) = body.member_mut("items") {
            items
                .iter_mut()
                .filter_map(|item| item.member_mut("metadata"))
                .for_each(|m| m.remove("managedFields"));
        }
        if let Some(Json::List(rows)) = body.member_mut("rows") {
            let objects = rows.iter_mut().filter_map(|row| row.member_mut("object"));
            objects
                .filter_map(|object| object.member_mut("metadata"))
                .for_each(|m| m.remove("managedFields"));
        }
    }
    event
}

#[test]
fn a_request_goes_to_the_data_stream_and_says_what_is_asked_for() {
    let events = events(&log("gke")[..3]).unwrap();
    let request = sink(&config()).request(&events, UNIX_EPOCH);
    assert_eq!(
        request.target,
        "/logs-kubernetes.audit_logs-default/_bulk\
         ?filter_path=errors,items.*.status,items.*.error,items.*.failure_store"
    );
    assert_eq!(request.headers, [(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))]);
}

#[test]
fn a_document_is_known_by_the_hash_of_its_line() {
    let lines = log("gke");
    let events = events(&lines[..50]).unwrap();
    for (line, (action, _)) in lines.iter().zip(posted(&config(), &events)) {
        assert_eq!(action, format!(r#"{{"create":{{"_id":"{}"}}}}"#, &fingerprint::hex(line)[..32]));
    }
    let without = config::Elasticsearch { dedupe: false, ..config() };
    assert!(posted(&without, &events).iter().all(|(action, _)| action == r#"{"create":{}}"#));
}

#[test]
fn an_audit_id_that_is_used_again_makes_another_document() {
    let line = |verb| {
        format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"same","verb":"{verb}"}}"#)
    };
    let ids = ["get", "delete"].map(|verb| post_one(&config(), &line(verb)).0);
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[0], post_one(&config(), &line("get")).0);
}

#[test]
fn raw_is_the_line_a_time_and_where_it_comes_from() {
    let origin = format!(r#""auditShipper":{{"source":"{LOG}","cluster":"c1","node":"m0"}},"#);
    for name in ["gke", "requestresponse", "redaction"] {
        let lines = log(name);
        let events = events(&lines).unwrap();
        for (line, (_, document)) in lines.iter().zip(posted(&of_mode(DocumentMode::Raw), &events)) {
            let (time, rest) =
                document.strip_prefix("{\"@timestamp\":\"").unwrap().split_once("\",").unwrap();
            assert_eq!(rest.strip_prefix(&origin).map(str::as_bytes), Some(&line[1..]));
            assert_eq!(
                Json::read(line).at(&["requestReceivedTimestamp"]),
                Some(&Json::Text(time.to_owned()))
            );
        }
    }
}

#[test]
fn both_forms_of_ecs_hold_the_whole_event() {
    for name in ["gke", "requestresponse", "redaction"] {
        let lines = log(name);
        let events = events(&lines).unwrap();
        let raw = posted(&of_mode(DocumentMode::EcsRaw), &events);
        for ((line, (_, ecs)), (_, raw)) in lines.iter().zip(posted(&config(), &events)).zip(raw) {
            let (ecs, raw) = (Json::read(ecs), Json::read(raw));
            assert_eq!(ecs.at(&["kubernetes", "audit"]), Some(&expected_audit(line, true)));
            assert_eq!(raw.at(&["kubernetes", "audit"]), Some(&expected_audit(line, false)));
            let line = Json::read(line);
            let same: [(&[&str], &[&str]); 8] = [
                (&["@timestamp"], &["requestReceivedTimestamp"]),
                (&["event", "action"], &["verb"]),
                (&["user", "name"], &["user", "username"]),
                (&["user", "id"], &["user", "uid"]),
                (&["user_agent", "original"], &["userAgent"]),
                (&["source", "ip"], &["sourceIPs"]),
                (&["client", "ip"], &["sourceIPs"]),
                (&["kubernetes", "audit", "auditID"], &["auditID"]),
            ];
            for (here, there) in same {
                let there = line.at(there).filter(|value| **value != Json::Text(String::new()));
                assert_eq!(ecs.at(here), there, "{here:?}");
            }
            let outcome = match line.at(&["annotations", "authorization.k8s.io/decision"]) {
                Some(Json::Text(decision)) if decision == "allow" => Some(Json::Text("success".to_owned())),
                Some(Json::Text(decision)) if decision == "forbid" => Some(Json::Text("failure".to_owned())),
                _ => None,
            };
            assert_eq!(ecs.at(&["event", "outcome"]), outcome.as_ref());
            assert_eq!(raw.at(&["event", "outcome"]), outcome.as_ref());
            assert_eq!(raw.at(&["user"]), None);
            for document in [ecs, raw] {
                assert_eq!(document.at(&["orchestrator"]), Some(&Json::read(ORCHESTRATOR)));
                assert_eq!(document.at(&["host"]), Some(&Json::read(r#"{"name":"m0","hostname":"m0"}"#)));
                assert_eq!(document.at(&["log", "file", "path"]), Some(&Json::Text(LOG.to_owned())));
            }
        }
    }
}

const ORCHESTRATOR: &str = r#"{"type":"kubernetes","cluster":{"name":"c1"}}"#;

/// A request that was denied, a patch as a list, managed fields in both bodies, metadata in the request, a plain read. The
/// bodies were written from the lines and the protocol by a script that shares nothing with this.
#[test]
fn is_the_body_that_another_has_written() {
    let log = log("redaction");
    let events = events(&[5, 8, 9, 14, 33].map(|number: usize| log[number].clone())).unwrap();
    let modes = [DocumentMode::Ecs, DocumentMode::EcsRaw, DocumentMode::Raw];
    for (mode, name) in modes.into_iter().zip(["ecs", "ecs-raw", "raw"]) {
        let body = sink(&of_mode(mode)).request(&events, UNIX_EPOCH).body.concat();
        let path = format!("{}/tests/data/sinks/elasticsearch/{name}.ndjson", env!("CARGO_MANIFEST_DIR"));
        let golden = std::fs::read(path).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(&golden), "{name}");
    }
}

const HARD: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","verb":"","user":{"username":"a\"b","extra":{"x.io/y":["1"]}},"sourceIPs":["nonsense"],"requestObject":{"kind":"Secret","metadata":{"labels":{".":"v"}},"data":{".dockerconfigjson":"e30=","tls.crt":"eA=="}},"stageTimestamp":"2025-01-02T03:04:05.5Z","annotations":{"a.b/c":"d.e"}}"#;

#[test]
fn what_an_event_does_not_say_is_left_out_and_what_an_index_cannot_take_is_made_safe() {
    let of = |config: &config::Elasticsearch| Json::read(post_one(config, HARD).1);
    let ecs = of(&config());
    assert_eq!(ecs.at(&["@timestamp"]), Some(&Json::Text("2025-01-02T03:04:05.5Z".to_owned())));
    assert_eq!(
        ecs.at(&["event"]),
        Some(&Json::read(r#"{"kind":"event","dataset":"kubernetes.audit_logs"}"#))
    );
    assert_eq!(ecs.at(&["user"]), Some(&Json::read(r#"{"name":"a\"b"}"#)));
    assert_eq!((ecs.at(&["source"]), ecs.at(&["client"]), ecs.at(&["user_agent"])), (None, None, None));
    assert_eq!(
        ecs.at(&["log"]),
        Some(&Json::read(r#"{"file":{"path":"/var/log/kubernetes/audit.log"},"offset":0}"#))
    );
    let audit = |json: &Json, path: &[&str]| json.at(&["kubernetes", "audit"]).unwrap().at(path).cloned();
    let data = r#"{"_dockerconfigjson":"e30=","tls.crt":"eA=="}"#;
    assert_eq!(
        audit(&ecs, &["requestObject"]),
        Some(Json::read(format!(r#"{{"kind":"Secret","data":{data}}}"#)))
    );
    assert_eq!(audit(&ecs, &["annotations"]), Some(Json::read(r#"{"a_b/c":"d.e"}"#)));

    let kept = of(&config::Elasticsearch { keep_metadata: true, ..config() });
    assert_eq!(audit(&kept, &["requestObject", "metadata"]), Some(Json::read(r#"{"labels":{"_":"v"}}"#)));

    let replaced = of(&config::Elasticsearch { replace_dots: true, ..config() });
    let data = Json::read(r#"{"_dockerconfigjson":"e30=","tls_crt":"eA=="}"#);
    assert_eq!(audit(&replaced, &["requestObject", "data"]), Some(data.clone()));
    assert_eq!(audit(&replaced, &["user", "extra"]), Some(Json::read(r#"{"x_io/y":["1"]}"#)));

    let raw = of(&of_mode(DocumentMode::Raw));
    assert_eq!(raw.at(&["annotations"]), Some(&Json::read(r#"{"a.b/c":"d.e"}"#)));
    assert_eq!(raw.at(&["requestObject", "data", ".dockerconfigjson"]), Some(&Json::Text("e30=".to_owned())));
    let raw = of(&config::Elasticsearch { replace_dots: true, ..of_mode(DocumentMode::Raw) });
    assert_eq!(raw.at(&["requestObject", "data"]), Some(&data));
    assert_eq!(raw.at(&["annotations"]), Some(&Json::read(r#"{"a_b/c":"d.e"}"#)));
}

#[test]
fn another_data_stream_says_so_and_one_without_parts_says_nothing() {
    let of = |name: &str| {
        let config = config::Elasticsearch { data_stream: name.to_owned(), ..config() };
        Json::read(post_one(&config, HARD).1)
    };
    let named = of("logs-k8s.audit-prod");
    let expect = Json::read(r#"{"type":"logs","dataset":"k8s.audit","namespace":"prod"}"#);
    assert_eq!(named.at(&["data_stream"]), Some(&expect));
    assert_eq!(named.at(&["event", "dataset"]), Some(&Json::Text("k8s.audit".to_owned())));
    assert_eq!(of("audit").at(&["data_stream"]), None);
}

#[test]
fn an_event_without_a_time_is_as_old_as_its_request() {
    let line = r#"{"apiVersion":"audit.k8s.io/v1","kind":"Event","requestReceivedTimestamp":null,"stageTimestamp":"soon"}"#;
    let (_, document) = post_one(&of_mode(DocumentMode::Raw), line);
    let (head, rest) = document.split_once(",\"auditShipper\":").unwrap();
    assert_eq!(head, r#"{"@timestamp":"2023-11-14T22:13:20Z""#);
    assert!(rest.ends_with(&format!("}},{}", &line[1..])), "{rest}");
}

/// Whoever may patch must not be able to keep that out of the index.
#[test]
fn a_patch_with_a_key_twice_is_stored() {
    let line = |verb: &str| {
        // Without a dot, at which it would be looked through anyhow.
        let body = r#"{"data":{"x":1,"_x":2},"data":{"a":1,"a":2}}"#;
        format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"{verb}","requestObject":{body}}}"#)
    };
    for (mode, verb, stored) in [
        (DocumentMode::Ecs, "patch", r#"{"data":{"x":1,"_x":2},"data_2":{"a":1,"a_2":2}}"#),
        (DocumentMode::EcsRaw, "patch", r#"{"data":{"x":1,"_x":2},"data_2":{"a":1,"a_2":2}}"#),
        (DocumentMode::Raw, "patch", r#"{"data":{"x":1,"_x":2},"data":{"a":1,"a":2}}"#),
    ] {
        let (_, document) = post_one(&of_mode(mode), &line(verb));
        assert!(document.contains(&format!(r#""requestObject":{stored}"#)), "{document}");
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever a line holds that passes as an event, its body has the grammar of `_bulk`, the same at each try: two
    /// lines for each event, an action and a JSON object.
    #[test]
    fn every_event_makes_two_lines(
        line in real_line(),
        mutations in mutations(),
        mode in prop::sample::select(&[DocumentMode::Ecs, DocumentMode::EcsRaw, DocumentMode::Raw][..]),
        keep_metadata in any::<bool>(),
        replace_dots in any::<bool>(),
    ) {
        let line = mutated(&line, &mutations);
        prop_assume!(!line.contains(&b'\n'));
        let config = config::Elasticsearch { keep_metadata, replace_dots, ..of_mode(mode) };
        if let Some(events) = events(&[line]) {
            let once = posted(&config, &events);
            for (action, document) in &once {
                let (action_start, document_start) = (r#"{"create":{"_id":""#, r#"{"@timestamp":""#);
                prop_assert!(action.starts_with(action_start) && document.starts_with(document_start));
                let valid = serde_json::from_str::<IgnoredAny>(document);
                prop_assert!(valid.is_ok(), "{}", document);
            }
            prop_assert_eq!(once, posted(&config, &events));
        }
    }
}
