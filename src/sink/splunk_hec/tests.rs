use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::config::{Login, Server, ServerTls};
use crate::event::Event;
use crate::properties::{cases, mutated, mutations, real_line};
use crate::sink::identity::tests::identity;
use crate::sink::tests::{answer, sealed};

const LOG: &str = "/var/log/kubernetes/audit.log";
const GOLDEN_EVENTS: &[u8] = include_bytes!("../../../tests/data/sinks/splunk_hec/events.log");
const GOLDEN_REQUEST: &[u8] = include_bytes!("../../../tests/data/sinks/splunk_hec/request.body");

/// An envelope as somebody else reads it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    host: Option<String>,
    source: Option<String>,
    sourcetype: String,
    index: Option<String>,
    #[serde(borrow)]
    fields: Option<&'a RawValue>,
    #[serde(borrow)]
    event: &'a RawValue,
}

/// The defaults.
pub(crate) fn config(ack: Ack) -> config::SplunkHec {
    config::SplunkHec {
        server: Server {
            place: "outputs[0].splunkHec".to_owned(),
            url: "https://splunk.test:8088".parse().unwrap(),
            headers: Vec::new(),
            login: Login::None,
            tls: ServerTls::default(),
            proxy_url: None,
        },
        host: None,
        source: Some(LOG.to_owned()),
        sourcetype: "kube:apiserver:audit".to_owned(),
        index: None,
        fields: BTreeMap::new(),
        ack,
    }
}

fn sink(ack: Ack) -> SplunkHec {
    SplunkHec::new(&config(ack), &Identity::default())
}

fn events<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Events {
    let lines: Vec<Vec<u8>> = lines.into_iter().map(<[u8]>::to_vec).collect();
    Events::all(Arc::new(sealed(&lines)))
}

fn body(sink: &SplunkHec, events: &Events) -> Vec<u8> {
    sink.request(events, SystemTime::UNIX_EPOCH).body.concat()
}

fn envelopes(body: &[u8]) -> Vec<Envelope<'_>> {
    serde_json::Deserializer::from_slice(body).into_iter().map(Result::unwrap).collect()
}

#[test]
fn the_request_is_the_golden_one() {
    let fields = [("zone", "a")];
    let config = config::SplunkHec {
        host: Some("master-0".to_owned()),
        index: Some("k8s_audit".to_owned()),
        fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..config(Ack::Off)
    };
    let sink = SplunkHec::new(&config, &identity());
    let events = events(GOLDEN_EVENTS.trim_ascii_end().split(|byte| *byte == b'\n'));
    let request = sink.request(&events, SystemTime::now());
    assert!(request.body.concat() == GOLDEN_REQUEST);
    assert_eq!(request.target, "/services/collector/event");
    assert_eq!(request.headers, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
}

#[test]
fn where_events_come_from_is_told_unless_the_configuration_says_otherwise() {
    let told = |config: &config::SplunkHec, identity: &Identity| {
        let body = body(
            &SplunkHec::new(config, identity),
            &events(GOLDEN_EVENTS.split(|byte| *byte == b'\n').take(1)),
        );
        let [envelope] = <[Envelope<'_>; 1]>::try_from(envelopes(&body)).unwrap();
        assert_eq!(envelope.source.as_deref(), Some(LOG));
        (envelope.host, envelope.fields.map(|fields| fields.get().to_owned()))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(told(&config(Ack::Off), &Identity::default()), (None, None));
    assert_eq!(told(&config(Ack::Off), &identity()), (None, some(r#"{"cluster":"c1"}"#)));
    let other = config::SplunkHec {
        host: some("h"),
        fields: [("cluster", "c2"), ("a", "b")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..config(Ack::Off)
    };
    assert_eq!(told(&other, &identity()), (some("h"), some(r#"{"a":"b","cluster":"c2"}"#)));
}

#[test]
fn the_channel_is_told_unless_acknowledgements_are_off() {
    let sinks = [sink(Ack::Auto), sink(Ack::On)];
    let channels: Vec<String> = (0..6)
        .map(|number| {
            let (sink, lane) = (&sinks[number % 2], number as u64 / 2);
            let (name, channel) = sink.lane(lane).unwrap();
            assert_eq!(name, "x-splunk-request-channel");
            assert_eq!(Some((name, channel.clone())), sink.lane(lane), "it is kept");
            channel.to_str().unwrap().to_owned()
        })
        .collect();
    let different: std::collections::BTreeSet<_> = channels.iter().collect();
    assert_eq!(different.len(), 6);
    let first = &channels[0];
    let form: Vec<usize> = first.split('-').map(str::len).collect();
    assert_eq!((form, &first[14..15]), (vec![8, 4, 4, 4, 12], "4"), "{first}");
    assert_eq!(guid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(guid(0), "00000000-0000-4000-8000-000000000000");
    assert_eq!(sink(Ack::Off).lane(0), None);
}

#[test]
fn what_is_configured_survives_any_spelling() {
    let hostile = "\"\\\n\u{0}{}\u{1F600},\"event\":".to_owned();
    let config = config::SplunkHec {
        host: Some(hostile.clone()),
        source: Some(hostile.clone()),
        sourcetype: hostile.clone(),
        index: Some(hostile.clone()),
        fields: [(hostile.clone(), hostile.clone())].into(),
        ..config(Ack::Auto)
    };
    let sink = SplunkHec::new(&config, &Identity::default());
    let line = GOLDEN_EVENTS.split(|byte| *byte == b'\n').next().unwrap();
    let body = body(&sink, &events([line]));
    let [envelope] = <[Envelope<'_>; 1]>::try_from(envelopes(&body)).unwrap();
    let texts = [envelope.host, envelope.source, Some(envelope.sourcetype), envelope.index];
    assert!(texts.iter().all(|text| text.as_ref() == Some(&hostile)));
    let fields: BTreeMap<String, String> = serde_json::from_str(envelope.fields.unwrap().get()).unwrap();
    assert_eq!(fields, [(hostile.clone(), hostile)].into());
    assert_eq!(envelope.event.get().as_bytes(), line);
}

#[test]
fn an_event_without_a_usable_time_gets_none() {
    for (stamp, time) in [
        (r#""stageTimestamp":"2025-01-01T00:00:01.234567Z""#, Some("1735689601.234567")),
        (r#""stageTimestamp":"2025-01-01T00:00:01Z""#, Some("1735689601.000000")),
        (r#""stageTimestamp":"2025-01-01T01:00:01.2345678+01:00""#, Some("1735689601.234567")),
        (r#""stageTimestamp":"2025-01-01T00:00:01.000001\u005a""#, Some("1735689601.000001")),
        (r#""stageTimestamp":"1970-01-01T00:00:00Z""#, Some("0.000000")),
        (r#""stageTimestamp":"9999-12-30T00:00:00Z""#, Some("253402128000.000000")),
        (r#""stageTimestamp":"1969-12-31T23:59:59.5Z""#, None),
        (r#""stageTimestamp":"yesterday""#, None),
        (r#""stageTimestamp":null"#, None),
        (r#""x":1"#, None),
    ] {
        let line = format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1",{stamp}}}"#);
        let body = body(&sink(Ack::Off), &events([line.as_bytes()]));
        let envelopes = envelopes(&body);
        assert_eq!(envelopes[0].time.map(RawValue::get), time, "{stamp}");
        assert_eq!((envelopes[0].source.as_deref(), envelopes[0].event.get()), (Some(LOG), line.as_str()));
    }
}

/// The sheet, "Replies", and the list of codes in Splunk's troubleshooting page.
#[test]
fn answers_mean_what_the_sheet_says() {
    let hold = |reread_credentials| Verdict::Hold { reread_credentials };
    let refused = |too_large| Verdict::Refused { too_large };
    let retry = Verdict::Retry { after: None };
    let cases = [
        (200, r#"{"text":"Success","code":0}"#, Verdict::Accepted),
        (200, r#"{"text":"Queue is approaching its capacity","code":24}"#, Verdict::Accepted),
        (200, "", Verdict::Accepted),
        (204, "", Verdict::Accepted),
        (200, "\"OK\"", Verdict::Accepted),
        (200, "\n<!doctype html><title>Splunk</title>", hold(false)),
        (403, r#"{"text":"Token disabled","code":1}"#, hold(true)),
        (401, r#"{"text":"Token is required","code":2}"#, hold(true)),
        (401, r#"{"text":"Invalid authorization","code":3}"#, hold(true)),
        (403, r#"{"text":"Invalid token","code":4}"#, hold(true)),
        (400, r#"{"text":"No data","code":5}"#, refused(false)),
        (400, r#"{"text":"Invalid data format","code":6}"#, refused(false)),
        (400, r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#, hold(false)),
        (500, r#"{"text":"Internal server error","code":8}"#, retry.clone()),
        (503, r#"{"text":"Server is busy","code":9,"invalid-event-number":2}"#, retry.clone()),
        (429, r#"{"text":"Server is busy","code":9}"#, retry.clone()),
        (400, r#"{"text":"Data channel is missing","code":10}"#, hold(false)),
        (400, r#"{"text":"Invalid data channel","code":11,"invalid-event-number":0}"#, hold(false)),
        (400, r#"{"text":"Event field is required","code":12,"invalid-event-number":3}"#, refused(false)),
        (
            400,
            r#"{"text":"Event field cannot be blank","code":13,"invalid-event-number":-1}"#,
            refused(false),
        ),
        (400, r#"{"text":"ACK is disabled","code":14}"#, hold(false)),
        (400, r#"{"text":"Error in handling indexed fields","code":15}"#, refused(false)),
        (400, r#"{"text":"Query string authorization is not enabled","code":16}"#, hold(false)),
        (503, r#"{"text":"Server is shutting down","code":23}"#, retry.clone()),
        (429, r#"{"text":"Queue at capacity","code":26}"#, retry.clone()),
        (503, r#"{"text":"Ack channel at capacity","code":27}"#, retry),
        (400, "<html>Bad Request</html>", refused(false)),
        (413, "<html>Request Entity Too Large</html>", refused(true)),
        (404, r#"{"text":"The requested URL was not found on this server.","code":404}"#, hold(false)),
    ];
    for (status, reply, verdict) in cases {
        assert_eq!(sink(Ack::Auto).verdict(3, &answer(status, reply)), verdict, "{status} {reply}");
    }
    let busy = Answer { retry_after: Some(Duration::from_secs(7)), ..answer(503, "") };
    let after = Verdict::Retry { after: Some(Duration::from_secs(7)) };
    assert_eq!(sink(Ack::Auto).verdict(3, &busy), after);
}

#[test]
fn the_event_that_is_wrong_is_refused_and_the_others_are_sent_again() {
    for code in [5, 6, 12, 13, 15, 99] {
        let reply = format!(r#"{{"text":"No","code":{code},"invalid-event-number":1}}"#);
        let reason = reply.clone();
        let expect = [EventVerdict::Again, EventVerdict::Refused { reason }, EventVerdict::Again];
        let answer = answer(400, &reply);
        assert_eq!(sink(Ack::Auto).verdict(3, &answer), Verdict::Each(expect.into()));
        // One that is not there helps nobody.
        assert_eq!(sink(Ack::Auto).verdict(1, &answer), Verdict::Refused { too_large: false });
    }
    let alone = answer(400, r#"{"text":"No","code":6,"invalid-event-number":0}"#);
    assert_eq!(
        sink(Ack::Auto).verdict(1, &alone),
        Verdict::Refused { too_large: false },
        "it needs no number"
    );
}

#[test]
fn acknowledgements_are_asked_for_as_configured() {
    let (with, without) = (r#"{"text":"Success","code":0,"ackId":5}"#, r#"{"text":"Success","code":0}"#);
    let hold = Verdict::Hold { reread_credentials: false };
    for (ack, reply, verdict) in [
        (Ack::Auto, with, Verdict::Poll { ticket: 5 }),
        (Ack::Auto, without, Verdict::Accepted),
        (Ack::On, with, Verdict::Poll { ticket: 5 }),
        (Ack::On, without, hold.clone()),
        (Ack::On, "", hold),
        (Ack::Off, with, Verdict::Accepted),
    ] {
        assert_eq!(sink(ack).verdict(2, &answer(200, reply)), verdict, "{ack:?} {reply}");
    }
}

#[test]
fn a_question_names_the_channel_and_the_tickets() {
    let sink = sink(Ack::Auto);
    let taken = answer(200, "");
    let request = sink.poll(3, u64::MAX, &taken).unwrap();
    let (name, channel) = sink.lane(3).unwrap();
    assert_eq!(request.target, format!("/services/collector/ack?channel={}", channel.to_str().unwrap()));
    assert_eq!(request.body.concat(), br#"{"acks":[18446744073709551615]}"#);
    assert_eq!(request.headers, [JSON, (name, channel)]);
}

/// Acknowledgements live in the collector that took the request.
#[test]
fn a_question_goes_to_where_the_cookies_of_the_answer_lead() {
    for (set, sent) in [
        (&["AWSALB=a/b+c=; Expires=Sun, 29 Nov 2026 00:00:00 GMT; Path=/"][..], Some("AWSALB=a/b+c=")),
        (&["A=1;Path=/", " B = 2 ; Secure"], Some("A=1; B = 2")),
        (&["A=1", "nonsense", ""], Some("A=1")),
        (&["nonsense"], None),
        (&[], None),
    ] {
        let mut taken = answer(200, "");
        for cookie in set {
            taken.headers.append(SET_COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        let request = sink(Ack::Auto).poll(0, 0, &taken).unwrap();
        let cookie = request.headers.iter().find(|(name, _)| name == COOKIE).map(|(_, value)| value);
        assert_eq!(cookie.map(|value| value.to_str().unwrap()), sent);
        assert!(cookie.is_none_or(HeaderValue::is_sensitive));
    }
}

#[test]
fn only_what_is_said_to_be_true_is_settled() {
    let settled = |status, reply: &str| {
        let answer = answer(status, reply);
        [0, 1, 2].map(|ticket| sink(Ack::Auto).is_settled(ticket, &answer))
    };
    let all = settled(200, r#"{"acks":{"0":true,"1":false,"2":true,"3":true}}"#);
    assert_eq!(all, [Some(true), Some(false), Some(true)]);
    assert_eq!(settled(200, r#"{"acks":{}}"#), [Some(false); 3]);
    for (status, reply) in [
        (200, r#"{"acks":{"0":"true"}}"#),
        (200, r#"{"acks":[0,1]}"#),
        (200, r#"{"text":"Success","code":0}"#),
        (200, "<html>"),
        (200, ""),
        (400, r#"{"text":"ACK is disabled","code":14}"#),
        (503, r#"{"acks":{"0":true}}"#),
    ] {
        assert_eq!(settled(status, reply), [None; 3], "{status} {reply}");
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    /// A time is plain decimal with six digits behind the point, and the microsecond that it was.
    #[test]
    fn a_time_never_has_an_exponent(nanos in 0..i64::MAX) {
        let mut text = Vec::new();
        write_time(Timestamp::from_nanosecond(i128::from(nanos)).unwrap(), &mut text);
        let text = String::from_utf8(text).unwrap();
        let number = text.strip_prefix("\"time\":").and_then(|rest| rest.strip_suffix(',')).unwrap();
        let (seconds, micros) = number.split_once('.').unwrap();
        prop_assert!(seconds.bytes().chain(micros.bytes()).all(|byte| byte.is_ascii_digit()) && micros.len() == 6);
        let value = seconds.parse::<i64>().unwrap() * 1_000_000 + micros.parse::<i64>().unwrap();
        prop_assert_eq!(value, nanos / 1000);
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever is an event arrives as the very bytes of its line, in an envelope that is JSON.
    #[test]
    fn any_event_arrives_as_it_was(line in real_line(), mutations in mutations()) {
        let line = mutated(&line, &mutations);
        if Event::parse(&line).is_ok() {
            let body = body(&sink(Ack::Auto), &events([&line[..], &line[..]]));
            let envelopes = envelopes(&body);
            prop_assert_eq!(envelopes.len(), 2);
            for envelope in envelopes {
                prop_assert_eq!(envelope.event.get().as_bytes(), line.trim_ascii());
            }
        }
    }

    /// No bytes in the place of an answer are a reason to panic, and no answer settles what it does not name.
    #[test]
    fn no_bytes_are_too_strange(mutations in mutations(), status in 100..600_u16) {
        let reply = mutated(br#"{"text":"No","code":6,"invalid-event-number":1,"ackId":3,"acks":{"0":true}}"#, &mutations);
        let answer = Answer { body: Bytes::from(reply), ..answer(status, "") };
        let verdict = sink(Ack::Auto).verdict(2, &answer);
        prop_assert_eq!(matches!(verdict, Verdict::Accepted | Verdict::Poll { .. }), (200..300).contains(&status) && !matches!(verdict, Verdict::Hold { .. }));
        prop_assert!(sink(Ack::Auto).is_settled(7, &answer) != Some(true));
    }
}
