use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use prost::Message as _;
use reqwest::header::{DATE, HeaderMap};

use super::*;
use crate::properties::{cases, mutated, mutations, real_line};
use crate::sink::EventVerdict;
use crate::sink::identity::tests::identity;
use crate::sink::otlp::tests::{events, golden_lines, server};
use crate::sink::tests::{answer, recorded};

mod decoded;

const LOG: &str = "/var/log/kubernetes/audit.log";
/// 2026-11-22T02:30:00Z, minutes after the events of the goldens.
const NOW: Duration = Duration::from_secs(1_795_314_600);

fn config(encoding: Encoding) -> config::Loki {
    config::Loki {
        encoding,
        labels: vec![("cluster".to_owned(), "c\"1\"".to_owned())],
        ..config::Loki::new(server("http://h:3100"))
    }
}

fn sink(config: &config::Loki) -> Loki {
    Loki::new(config, &identity(), Path::new(LOG))
}

fn request(encoding: Encoding, events: &Events, now: Duration) -> Request {
    sink(&config(encoding)).request(events, UNIX_EPOCH + now)
}

fn decode(request: &Request) -> decoded::Push {
    let plain = snap::raw::Decoder::new().decompress_vec(&request.body.concat()).unwrap();
    assert_eq!(request.body.unpacked_len(), plain.len() as u64);
    decoded::Push::decode(&*plain).unwrap()
}

/// When the last of them happened.
fn time_of_the_last(lines: &[Vec<u8>]) -> Duration {
    let times = lines.iter().map(|line| {
        let place = json::member(line, 0, "stageTimestamp").unwrap();
        let time: Timestamp = json::unescaped(&line[place]).unwrap().parse().unwrap();
        time.as_nanosecond()
    });
    Duration::from_nanos(times.max().unwrap().try_into().unwrap())
}

/// The same requests are decoded by others in tests/it/sinks/loki.
#[test]
fn the_goldens_come_out_byte_by_byte() {
    for (encoding, name) in [(Encoding::Protobuf, "push.snappy"), (Encoding::Json, "push.json")] {
        let path = format!("{}/tests/data/sinks/loki/{name}", env!("CARGO_MANIFEST_DIR"));
        let found = request(encoding, &events(golden_lines()), NOW).body.concat();
        assert!(found == std::fs::read(path).unwrap(), "{name}");
    }
}

#[test]
fn a_request_says_what_it_is_and_whose() {
    let config = config::Loki { tenant: Some("t-1".to_owned()), ..config(Encoding::Json) };
    let found = sink(&config).request(&events(golden_lines()), UNIX_EPOCH + NOW);
    assert_eq!(found.target, "/loki/api/v1/push");
    let tenant = (HeaderName::from_static("x-scope-orgid"), HeaderValue::from_static("t-1"));
    assert_eq!(found.headers, [(CONTENT_TYPE, HeaderValue::from_static("application/json")), tenant]);
    let found = request(Encoding::Protobuf, &events(golden_lines()), NOW);
    assert_eq!(found.headers, [(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))]);
    assert_eq!(found.body.coding(), None, "the block is no coding of HTTP's");
}

#[test]
fn the_stream_is_the_nodes_unless_the_configuration_says_otherwise() {
    let labels = |given: &[(&str, &str)], identity: &Identity| {
        let config = config::Loki {
            labels: given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..config::Loki::new(server("http://h:3100"))
        };
        Loki::new(&config, identity, Path::new(LOG)).labels.text()
    };
    assert_eq!(labels(&[], &Identity::default()), r#"{job="kube-apiserver-audit"}"#);
    assert_eq!(labels(&[], &identity()), r#"{cluster="c1", job="kube-apiserver-audit", node="m0"}"#);
    let given = [("node", ""), ("job", "audit"), ("cluster", "c2")];
    assert_eq!(labels(&given, &identity()), r#"{cluster="c2", job="audit"}"#);
}

#[test]
fn every_real_event_is_there_as_it_stands_in_the_log() {
    let lines = recorded(0..1000);
    let now = time_of_the_last(&lines);
    let events = events(lines.iter().map(Vec::as_slice));
    let push = decode(&request(Encoding::Protobuf, &events, now));
    let mut found: Vec<_> = push.streams.iter().flat_map(|stream| &stream.entries).map(|e| &e.line).collect();
    let mut expect: Vec<_> = lines.iter().map(|line| std::str::from_utf8(line).unwrap()).collect();
    found.sort_unstable();
    expect.sort_unstable();
    assert_eq!(found, expect);
    for stream in &push.streams {
        let times: Vec<_> = stream.entries.iter().map(decoded::Entry::nanoseconds).collect();
        assert!(times.is_sorted(), "{}", stream.labels);
        for entry in &stream.entries {
            let line = entry.line.as_bytes();
            let place = json::member(line, 0, "stageTimestamp").unwrap();
            let time: Timestamp = json::unescaped(&line[place]).unwrap().parse().unwrap();
            assert_eq!(entry.nanoseconds() / 1_000, time.as_nanosecond() / 1_000);
            let names: Vec<_> = entry.metadata.iter().map(|pair| &*pair.name).collect();
            assert!(names.starts_with(&["auditID", "auditLevel", "stage", "verb"]), "{names:?}");
            assert!(entry.metadata.iter().any(|pair| pair.name == "filename" && pair.value == LOG));
        }
    }
}

#[test]
fn both_forms_say_the_same() {
    let lines = recorded(0..1000);
    let now = time_of_the_last(&lines) + Duration::from_secs(1800);
    let events = events(lines.iter().map(Vec::as_slice));
    let protobuf = decode(&request(Encoding::Protobuf, &events, now));
    let text: decoded::Json =
        serde_json::from_slice(&request(Encoding::Json, &events, now).body.concat()).unwrap();
    assert_eq!(protobuf.streams.len(), text.streams.len());
    for (stream, text) in protobuf.streams.iter().zip(&text.streams) {
        let labels: Vec<_> = text.stream.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
        assert_eq!(stream.labels, format!("{{{}}}", labels.join(", ")));
        assert_eq!(stream.entries.len(), text.values.len());
        for (entry, decoded::Value(time, line, metadata)) in stream.entries.iter().zip(&text.values) {
            assert_eq!((entry.nanoseconds().to_string(), &entry.line), (time.clone(), line));
            let pairs: HashMap<_, _> =
                entry.metadata.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect();
            assert_eq!(&pairs, metadata);
        }
    }
}

#[test]
fn old_events_go_to_the_streams_of_their_hours_before_the_new_ones() {
    let line = |time: &str| {
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"{time}","stageTimestamp":"2026-11-22T{time}Z"}}"#
        )
    };
    // Not in the order of their times, and two of one.
    let lines =
        ["02:29:00.000001", "01:10:00.000002", "00:59:59.999999", "01:10:00.000001", "01:10:00.000001"]
            .map(line);
    let push = decode(&request(Encoding::Protobuf, &events(lines.iter().map(String::as_bytes)), NOW));
    let found: Vec<_> = push
        .streams
        .iter()
        .map(|stream| {
            let times =
                stream.entries.iter().map(|entry| entry.metadata[0].value.as_str()).collect::<Vec<_>>();
            (stream.labels.as_str(), times.join(" "))
        })
        .collect();
    let common = r#"{cluster="c\"1\"", job="kube-apiserver-audit", node="m0""#;
    let expect = [
        (format!(r#"{common}, replay="2026-11-22T00:00:00Z"}}"#), "00:59:59.999999"),
        (
            format!(r#"{common}, replay="2026-11-22T01:00:00Z"}}"#),
            "01:10:00.000001 01:10:00.000001 01:10:00.000002",
        ),
        (format!("{common}}}"), "02:29:00.000001"),
    ];
    let expect: Vec<_> =
        expect.iter().map(|(labels, times)| (labels.as_str(), (*times).to_owned())).collect();
    assert_eq!(found, expect);
    let hour = &push.streams[1].entries;
    assert!(hour[0].nanoseconds() < hour[1].nanoseconds(), "what happened at once is in the log's order");
}

#[test]
fn what_is_moved_says_so_and_metadata_can_be_left_out() {
    let now = NOW + Duration::from_secs(200 * 3600);
    let moved = |structured_metadata, too_old| {
        let config = config::Loki { structured_metadata, too_old, ..config(Encoding::Protobuf) };
        let push = decode(&sink(&config).request(&events(golden_lines()), UNIX_EPOCH + now));
        let entry = &push.streams[0].entries[0];
        let is_marked = entry.metadata.iter().any(|pair| pair.name == "restamped" && pair.value == "true");
        (
            is_marked,
            entry.metadata.is_empty(),
            now.as_nanos().cast_signed() - entry.nanoseconds() < 168 * 3_600_000_000_000,
        )
    };
    assert_eq!(moved(true, TooOld::Restamp), (true, false, true));
    assert_eq!(moved(false, TooOld::Restamp), (false, true, true));
    assert_eq!(moved(true, TooOld::Reject), (false, false, false));
}

const HOUR: Duration = Duration::from_secs(3600);

fn hours_ago(hours: u32) -> Duration {
    NOW.checked_sub(hours * HOUR).unwrap()
}

/// What Loki says at `now`, by its own clock, which it tells.
fn refusal(said_at: Duration, now: Duration, text: &str) -> Answer {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + said_at);
    Answer {
        headers: [(DATE, HeaderValue::from_str(&date).unwrap())].into_iter().collect(),
        received_at: UNIX_EPOCH + now,
        ..answer(400, &format!("entry for stream '{{job=\"x\"}}' has timestamp {text}\n"))
    }
}

/// An event of this moment, and the time that it gets in a request of then.
fn time_of(loki: &Loki, event_at: Duration, now: Duration) -> (Duration, bool) {
    let time = Timestamp::from_second(event_at.as_secs().cast_signed()).unwrap();
    let line = format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"1","stageTimestamp":"{time}"}}"#
    );
    let push = decode(&loki.request(&events([line.as_bytes()]), UNIX_EPOCH + now));
    let entry = &push.streams[0].entries[0];
    let is_moved = entry.metadata.iter().any(|pair| pair.name == "restamped");
    (Duration::from_nanos(entry.nanoseconds().try_into().unwrap()), is_moved)
}

/// A node whose clock is ahead has nothing but events that are in the future for Loki.
#[test]
fn the_time_of_loki_counts_once_it_says_that_ours_is_too_new() {
    let loki = sink(&config(Encoding::Protobuf));
    let there = hours_ago(1);
    assert_eq!(time_of(&loki, NOW, NOW), (NOW, false));
    let too_new = refusal(there, NOW, "too new: 2026-11-22T02:30:00Z");
    assert_eq!(loki.verdict(5, &too_new), Verdict::Again);
    let (time, is_moved) = time_of(&loki, NOW, NOW);
    assert!(time <= there && there < time + Duration::from_secs(600) && is_moved);
    // Another request may have been made before that was known.
    assert_eq!(loki.verdict(5, &too_new), Verdict::Again);
    // Said again for what was placed by that, it is no matter of the clock.
    let later = Duration::from_secs(61);
    let still_too_new = refusal(there + later, NOW + later, "too new: 2026-11-22T02:30:00Z");
    assert_eq!(loki.verdict(5, &still_too_new), Verdict::Refused { too_large: false });
    // The clock is set, which the next good answer shows.
    let good = Answer { status: 204, ..refusal(NOW, NOW, "") };
    assert_eq!(loki.verdict(5, &good), Verdict::Accepted);
    assert_eq!(time_of(&loki, NOW, NOW), (NOW, false));
}

#[test]
fn without_a_time_in_the_answer_nothing_is_learned() {
    let loki = sink(&config(Encoding::Protobuf));
    for text in ["too new: 2026-11-22T02:30:00Z", "too old: soon, oldest acceptable timestamp is: later"] {
        let answer = Answer { headers: HeaderMap::new(), ..refusal(NOW, NOW, text) };
        assert_eq!(loki.verdict(5, &answer), Verdict::Refused { too_large: false });
        assert_eq!(time_of(&loki, NOW, NOW), (NOW, false));
    }
}

/// `reject_old_samples_max_age` is 168 h by default, and many have a day.
#[test]
fn how_old_events_may_be_is_what_loki_says() {
    let loki = sink(&config(Encoding::Protobuf));
    let (old, oldest) = (hours_ago(50), hours_ago(24));
    assert_eq!(time_of(&loki, old, NOW), (old, false));
    let too_old = refusal(
        NOW,
        NOW,
        "too old: 2026-11-20T00:30:00Z, oldest acceptable timestamp is: 2026-11-21T02:30:00Z",
    );
    assert_eq!(loki.verdict(5, &too_old), Verdict::Again);
    let (time, is_moved) = time_of(&loki, old, NOW);
    assert!(time > oldest && time < hours_ago(20) && is_moved);
    assert_eq!(loki.verdict(5, &too_old), Verdict::Refused { too_large: false });
    let newer = hours_ago(10);
    assert_eq!(time_of(&loki, newer, NOW), (newer, false));
}

/// A backlog of nothing but these would have nothing to compare them with.
#[test]
fn who_wants_too_old_events_rejected_gets_them_set_aside() {
    let config = config::Loki { too_old: TooOld::Reject, ..config(Encoding::Protobuf) };
    let loki = sink(&config);
    let text = "too old: 2026-11-01T00:00:00Z, oldest acceptable timestamp is: 2026-11-15T02:30:00Z";
    let too_old = refusal(NOW, NOW, text);
    assert_eq!(loki.verdict(5, &too_old), Verdict::Refused { too_large: false });
    let reason = too_old.excerpt();
    assert_eq!(loki.verdict(1, &too_old), Verdict::Each(vec![EventVerdict::Unfit { reason }]));
    // By our clock it is not that old: it is Loki's clock that is wrong.
    let ahead = NOW + 1000 * HOUR;
    let text = "too old: 2026-11-22T02:00:00Z, oldest acceptable timestamp is: 2026-12-26T18:30:00Z";
    assert_eq!(loki.verdict(1, &refusal(ahead, NOW, text)), Verdict::Again);
    let later = Duration::from_secs(61);
    let again = refusal(ahead + later, NOW + later, text);
    assert_eq!(loki.verdict(1, &again), Verdict::Refused { too_large: false });
}

#[test]
fn limits_are_kept() {
    assert_eq!(sink(&config(Encoding::Json)).limits().body_bytes, 4_000_000);
}

proptest! {
    #![proptest_config(cases(100))]

    /// However a batch is divided, and whatever the clock does within minutes, each event has the same stream, time and
    /// line in every try: so Loki stores none of them twice.
    #[test]
    fn an_event_is_the_same_entry_in_every_try(from in 0..900_u64, count in 2..100_u64, picks: u128, later in 0..5_u64) {
        let lines = recorded(from..from + count);
        let now = time_of_the_last(&lines);
        let all = events(lines.iter().map(Vec::as_slice));
        let some = all.at(all.places().filter(|place| picks >> (place % 128) & 1 == 1));
        prop_assume!(!some.is_empty());
        let entries = |events: &Events, now| {
            let push = decode(&request(Encoding::Protobuf, events, now));
            push.streams.into_iter().flat_map(|stream| {
                let labels = stream.labels.clone();
                stream.entries.into_iter().map(move |entry| (entry.line.clone(), (labels.clone(), entry.nanoseconds())))
            }).collect::<HashMap<_, _>>()
        };
        let first = entries(&all, now);
        for (line, place) in entries(&some, now + Duration::from_secs(later)) {
            prop_assert_eq!(Some(&place), first.get(&line));
        }
    }

    /// Whatever a line holds, it becomes an entry that others can read, in each form.
    #[test]
    fn any_line_becomes_an_entry(line in real_line(), changes in mutations(), offset: u64, now: i64) {
        let line = mutated(&line, &changes);
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let sink = sink(&config(encoding));
            let streams = sink.streams([sink.entry_of(&line, [b"", &line], offset, There { now, oldest_taken: time::OLDEST_TAKEN })].into_iter());
            let body = sink.body(&streams);
            if encoding == Encoding::Json {
                let read: serde_json::Result<decoded::Json> = serde_json::from_slice(&body.concat());
                prop_assert!(read.is_ok());
            } else {
                let plain = snap::raw::Decoder::new().decompress_vec(&body.concat()).unwrap();
                let push = decoded::RawPush::decode(&*plain).unwrap();
                prop_assert_eq!(&push.streams[0].entries[0].line, &line);
            }
        }
    }
}
