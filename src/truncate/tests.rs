use proptest::prelude::*;

use super::cut::{CUT_MARK, boundary};
use super::*;
use crate::demo::replay::Replay;
use crate::event::Event;
use crate::properties::{mutated, mutations, real_line};

/// Go's answer to what kube-apiserver makes of an event, from kube-apiserver-observed.md, section 4.
const OBSERVED: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"403f198f-0382-4887-aa8f-47376f9e749e","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/trd-ci/configmaps","verb":"create","user":{"username":"a"},"responseStatus":{"metadata":{},"code":201},REQUESTANDRESPONSE"requestReceivedTimestamp":"2026-11-22T02:15:06.166346Z","stageTimestamp":"2026-11-22T02:15:06.252999Z","annotations":{TRUNCATED"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}"#;

fn observed(objects: &str, truncated: &str) -> String {
    OBSERVED.replace("REQUESTANDRESPONSE", objects).replace("TRUNCATED", truncated)
}

fn fitted(line: &str, level: Level, max: usize) -> Option<String> {
    fit(line.as_bytes(), level, max).map(|line| String::from_utf8(line).unwrap())
}

#[test]
fn does_to_bodies_what_kube_apiserver_does() {
    let expect = observed("", r#""audit.k8s.io/truncated":"true","#);
    let body = format!(r#"{{"data":{{"k":"{}"}}}}"#, "\\u003c".repeat(500));
    for objects in [
        format!(r#""requestObject":{body},"responseObject":{body},"#),
        format!(r#""requestObject":{body},"#),
        format!(r#""responseObject":{body},"#),
        String::new(),
    ] {
        let line = observed(&objects, "");
        assert_eq!(fitted(&line, Level::Request, expect.len() + 1), Some(expect.clone()));
    }
}

#[test]
fn annotations_are_added_where_there_were_none() {
    let line = format!(r#"{{"auditID":"1","requestObject":"{}"}}"#, "x".repeat(500));
    let expect = r#"{"auditID":"1","annotations":{"audit.k8s.io/truncated":"true"}}"#;
    assert_eq!(fitted(&line, Level::Request, 100).as_deref(), Some(expect));
    let first = format!(r#"{{"requestObject":"{}","auditID":"1","annotations":null}}"#, "x".repeat(500));
    assert_eq!(fitted(&first, Level::Request, 100).as_deref(), Some(expect));
}

#[test]
fn a_metadata_event_is_cut_not_dropped_and_says_what_it_was() {
    let uri = "/api/v1/pods?labelSelector=".to_owned() + &"\\u0026\u{e9}\\ud83d\\ude00".repeat(400);
    let line = format!(
        r#"{{"kind":"Event","level":"Metadata","auditID":"1","stage":"ResponseComplete","requestURI":"{uri}","verb":"list","user":{{"username":"u","groups":["{}"]}},"objectRef":{{"resource":"pods"}}}}"#,
        "g".repeat(3000)
    );
    let cut = fitted(&line, Level::Metadata, 2000).unwrap();
    assert!(cut.len() < 2000 && cut.len() > 1000, "as little as needed: {}", cut.len());
    for kept in [
        r#""auditID":"1""#,
        r#""verb":"list""#,
        r#""username":"u""#,
        r#""objectRef":{"resource":"pods"}"#,
        CUT_MARK,
    ] {
        assert!(cut.contains(kept), "{kept} in {cut}");
    }
    assert!(cut.contains(&format!(r#""audit-shipper.io/original-sha256":"{}","audit-shipper.io/original-size":"{}","audit.k8s.io/truncated":"true""#, fingerprint::hex(line.as_bytes()), line.len())));
    assert!(Fields::of(&cut).is_some());
}

#[test]
fn at_last_only_the_identity_stays_and_what_is_larger_is_refused() {
    let groups = vec!["\"g\""; 2000].join(",");
    let line = format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"ResponseComplete","requestURI":"/x","verb":"get","user":{{"username":"u","groups":[{groups}]}},"responseStatus":{{"metadata":{{}},"message":"m","code":200}},"stageTimestamp":"t"}}"#
    );
    let cut = fitted(&line, Level::Metadata, 600).unwrap();
    assert!(cut.starts_with(r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"1","stage":"ResponseComplete","requestURI":"","verb":"get","user":{"username":"u"},"responseStatus":{"metadata":{},"code":200},"stageTimestamp":"t","annotations":{"#), "{cut}");
    assert_eq!(fitted(&line, Level::Metadata, 100), None);
}

#[test]
fn bodies_go_the_same_way_whether_their_places_are_known_or_not() {
    const HEAD: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","#;
    let body = format!(r#"{{"annotations":{{"a":"{}"}}}}"#, "x".repeat(300));
    let orders = [
        format!(r#"{HEAD}"requestObject":{body},"responseObject":{body},"annotations":{{"z":"1"}}}}"#),
        format!(r#"{HEAD}"responseObject":{body},"annotations":{{}},"requestObject":{body}}}"#),
        format!(r#"{HEAD}"annotations":null,"requestObject":{body}}}"#),
        format!(r#"{HEAD}"requestObject":{body}}}"#),
        format!(r#"{{"requestObject":{body},{}"responseObject":{body}}}"#, &HEAD[1..]),
        format!(
            r#"{HEAD}"annotations":{{"audit.k8s.io/truncated":"x","a\u003c":"\u00e9é"}},"requestObject":{body}}}"#
        ),
        format!(r#"{HEAD} "requestObject":{body}}}"#),
    ];
    for (number, line) in orders.iter().enumerate() {
        let event = Event::parse(line.as_bytes()).unwrap();
        let quick = event.parts.as_ref().and_then(|parts| without_bodies(line.as_bytes(), parts));
        assert_eq!(quick.is_some(), ![4, 6].contains(&number), "{line}");
        let careful = fit(line.as_bytes(), event.level, 300);
        assert!(careful.is_some());
        assert_eq!(fit_event(line.as_bytes(), &event, 300), careful);
        assert!(quick.is_none() || quick == careful);
    }
}

#[test]
fn the_places_of_bodies_are_known_in_every_event_that_kube_apiserver_wrote() {
    let replay = Replay::bundled();
    let (mut line, mut cut) = (Vec::new(), 0);
    for number in 0..1880 {
        replay.line(number, &mut line);
        line.pop();
        let event = Event::parse(&line).unwrap();
        let quick = without_bodies(&line, event.parts.as_ref().unwrap()).unwrap();
        if event.level >= Level::Request {
            assert_eq!(Some(quick), fit(&line, event.level, usize::MAX));
            cut += 1;
        }
    }
    assert!(cut > 500, "{cut}");
}

fn json() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[a-z<&\u{e9}\u{1f600}\\\\\"\u{1}]{0,80}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("\"\\ud83d\\ude00\\u003c\"".to_owned())
    ];
    let leaf = prop_oneof![text, Just("null".to_owned()), Just("12.50".to_owned())];
    leaf.prop_recursive(3, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(("[a-z\"]{0,9}", inner), 0..6).prop_map(|pairs| {
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(key, value)| format!("{}: {value}", serde_json::to_string(key).unwrap()))
                    .collect();
                format!("{{{}}}", pairs.join(" ,"))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(crate::properties::cases(256))]

    /// Whatever the event and the limit, what comes out fits, is a JSON object, and has the auditID that went in.
    #[test]
    fn what_comes_out_fits_and_is_the_same_event(
        values in prop::collection::vec(json(), 6),
        max in 60..1500_usize,
        bodies: bool,
    ) {
        let [uri, user, object, status, body, annotation] = values.as_slice() else { unreachable!() };
        let line = format!(
            r#"{{"auditID":"42","requestURI":{uri},"user":{user},"objectRef":{object},"responseStatus":{status},"requestObject":{body},"unknown":{body},"annotations":{{"z":{annotation}}}}}"#
        );
        let level = if bodies { Level::RequestResponse } else { Level::Metadata };
        if let Some(cut) = fitted(&line, level, max) {
            prop_assert!(cut.len() < max);
            let fields = Fields::of(&cut).expect("a JSON object");
            prop_assert_eq!(fields.get("auditID"), Some("\"42\""));
            prop_assert_eq!(fields.get("requestObject"), None);
            let annotations = Fields::of(fields.get("annotations").unwrap()).unwrap();
            prop_assert_eq!(annotations.get(TRUNCATED), Some("\"true\""));
        } else {
            let identity = identity_of(&Fields::of(&line).unwrap(), &[]);
            let annotations = 200; // bytes of the three, at most
            prop_assert!(identity.len() + annotations >= max, "{} bytes would have fitted", identity.len());
        }
    }
}

proptest! {
    #![proptest_config(crate::properties::cases(1000))]

    /// Whatever was done to a real event, cutting it does not panic, and what comes out fits, is a JSON object, and says
    /// the same of who it is; an event stays one.
    #[test]
    fn a_spoilt_event_comes_out_as_what_it_was(
        line in real_line(),
        mutations in mutations(),
        max in 1..3000_usize,
        level in prop::sample::select(&[Level::None, Level::Metadata, Level::Request][..]),
    ) {
        let line = mutated(&line, &mutations);
        let cut = fit(&line, level, max);
        if let Ok(event) = Event::parse(&line) {
            prop_assert_eq!(&fit_event(&line, &Event { level, ..event }, max), &cut);
        }
        let Some(cut) = cut else { return Ok(()) };
        prop_assert!(cut.len() < max);
        let (before, after) = (std::str::from_utf8(&line).unwrap(), std::str::from_utf8(&cut).unwrap());
        let (before, after) = (Fields::of(before).unwrap(), Fields::of(after).expect("a JSON object"));
        for key in ["kind", "apiVersion", "auditID", "stage", "verb", "level", "stageTimestamp"] {
            prop_assert_eq!(before.get(key), after.get(key));
        }
        prop_assert!(Event::parse(&line).is_err() || Event::parse(&cut).is_ok());
    }
}

#[test]
fn a_body_that_comes_first_goes_with_the_blanks_behind_it() {
    for blanks in ["", " ", "\t\r\n "] {
        let body = "x".repeat(500);
        let line = format!(
            r#"{{{blanks}"requestObject":"{body}"{blanks},{blanks}"responseObject":"{body}"{blanks},{blanks}"auditID":"1"}}"#
        );
        let cut = fitted(&line, Level::Request, 200).unwrap();
        assert_eq!(
            cut,
            format!(r#"{{{blanks}"auditID":"1","annotations":{{"audit.k8s.io/truncated":"true"}}}}"#)
        );
    }
}

#[test]
fn half_a_pair_of_surrogates_is_an_escape_of_its_own() {
    // Go writes no such thing, but a client's patch is logged as it came.
    for text in
        ["\\ud800\\n\\n\u{1f600}", "\\ud800\\ud800\u{e9}", "\\ud800\\u00e9\u{e9}", "\\ud83d\\ude00\u{e9}"]
    {
        let text = text.repeat(20);
        for keep in 0..text.len() {
            let at = boundary(&text, keep);
            assert!(at <= keep && keep - at < 12 && text.is_char_boundary(at), "{keep} {at}");
            assert!(
                serde_json::from_str::<&RawValue>(&format!("\"{}\"", &text[..at])).is_ok(),
                "{keep} {at}"
            );
        }
    }
}
