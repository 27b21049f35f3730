//! What is written to get past us, or to make us work.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::properties::{cases, mutated, mutations, real_line};

/// Whether the canary can be read in `text`: as it is, behind escapes, or as base64.
fn sings(text: &str) -> bool {
    let plain = json::without_escapes(text);
    let plain = json::without_escapes(&plain);
    [text, &plain]
        .iter()
        .any(|text| text.contains(CANARY) || text.contains(base64(CANARY).trim_end_matches('=')))
}

#[test]
fn no_spelling_of_a_key_leads_past() {
    let data = base64(CANARY);
    for body in [
        format!(r#"{{"Data":{{"a":"{data}"}},"STRINGDATA":{{"a":"{CANARY}"}}}}"#),
        format!(r#"{{"d\u0061ta":{{"a":"{data}"}},"\u0073tringData":{{"a":"{CANARY}"}}}}"#),
        format!(r#"{{"data":{{"a":"{data}"}},"data":{{"a":"{data}","a":"{data}"}},"Data":"{CANARY}"}}"#),
        format!(r#"{{ "data" : {{ "a" : "{data}" }} , "data" :[ "{CANARY}" ] }}"#),
        format!(r#"{{"data":{{"a":"{}"}}}}"#, CANARY.replace('h', "\\u0068")),
        format!(r#"{{"data":{{"a":" {CANARY}","b":"{data}\n"}}}}"#),
        format!(r#"{{"data":true,"stringData":"{CANARY}"}}"#),
        format!(r#"[{{"OP":"add","Path":"/x","path":"/data/a","value":"{CANARY}"}}]"#),
        format!(r#"[{{"op":"add","path":"/data/a","path":"/x","value":"{CANARY}","VALUE":"{data}"}}]"#),
        format!(r#"[{{"op":"add","path":7,"value":["{CANARY}"]}}]"#),
        format!(r#"[{{"op":"test","path":"data/a","value":{{"x":["{CANARY}"]}}}}]"#),
        format!(r#"["{CANARY}",["{data}"]]"#),
    ] {
        let out = body_of("secrets", &body, &Redact::default());
        assert!(!sings(&out), "{body}\n{out}");
    }
    for body in [
        format!(r#"{{"kind":"ConfigMap","kind":"Secret","data":{{"a":"{data}"}}}}"#),
        format!(r#"{{"kind":"Secret","kind":"ConfigMap","data":{{"a":"{data}"}}}}"#),
        format!(r#"{{"stringData":{{"a":"{CANARY}"}},"x":[{{"kind":"ConfigMap"}}],"Kind":"Secret"}}"#),
        format!(r#"{{"k\u0069nd":"Secret","x":{{"y":{{"data":"{CANARY}"}}}}}}"#),
    ] {
        let out = body_of("things", &body, &Redact::default());
        assert!(!sings(&out), "{body}\n{out}");
    }
    // As it was sent, escapes and all.
    let patch = format!(r#"{{"spec":{{"kind":"\u0053ecret","data":{{"a":"{data}"}}}}}}"#);
    let line =
        event(&format!(r#""verb":"patch","objectRef":{{"resource":"things"}},"requestObject":{patch}"#));
    assert!(!sings(&applied(&line, &Redact::default()).0));
}

#[test]
fn depth_is_no_hiding_place_and_no_danger() {
    let deep = |inside: &str, levels: usize| {
        let (open, close) = (r#"{"a":["#.repeat(levels), "]}".repeat(levels));
        format!("{open}{inside}{close}")
    };
    for levels in [100, 50_000] {
        let secret = format!(r#"{{"data":{{"a":"{}"}},"kind":"Secret"}}"#, base64(CANARY));
        for resource in ["secrets", "things"] {
            assert!(
                !sings(&body_of(resource, &deep(&secret, levels), &Redact::default())),
                "{resource} {levels}"
            );
        }
        let below = format!(r#"{{"stringData":{}}}"#, deep(&format!("\"{CANARY}\""), levels));
        assert!(!sings(&body_of("secrets", &below, &Redact::default())));
    }
}

#[test]
fn an_event_of_many_tiny_values_does_not_grow_manifold() {
    for item in [r#""":0"#, r#""data":{"a":0}"#] {
        let mut body = String::from(r#"{"data":{"#);
        for _ in 0..200_000 {
            let _ = write!(body, "{item},");
        }
        body += r#""last":1}}"#;
        let out = body_of("secrets", &body, &Redact::default());
        assert!(out.len() < 3 * body.len() + (64 << 10), "{} from {}", out.len(), body.len());
    }
    // And a Secret with many keys is in order.
    let values: Vec<String> = (0..500).map(|n| format!(r#""k{n}":"""#)).collect();
    let out = body_of("secrets", &format!(r#"{{"data":{{{}}}}}"#, values.join(",")), &Redact::default());
    assert!(out.starts_with(r#"{"data":{"k0":"redacted:hmac-sha256:"#), "{out}");
}

#[test]
fn what_is_no_mark_is_masked() {
    let mark = mark_of("x");
    for (value, stays) in [
        (mark.clone(), true),
        (mark.to_uppercase(), false),
        (mark[..mark.len() - 1].to_owned(), false),
        (format!("{mark}0"), false),
        (mark.replace(&mark[mark.len() - 4..], "hunt"), false),
    ] {
        let body = format!(r#"{{"stringData":{{"a":"{value}"}}}}"#);
        assert_eq!(body_of("secrets", &body, &Redact::default()) == body, stays, "{value}");
    }
}

/// A value with canaries in it, as JSON.
fn singing() -> impl Strategy<Value = String> {
    let mut escaped = String::new();
    for byte in CANARY.bytes() {
        let _ = write!(escaped, "\\u{byte:04x}");
    }
    let leaf = prop::sample::select(vec![
        format!("\"{CANARY}\""),
        format!("\"{}\"", base64(CANARY)),
        format!("\"{escaped}\""),
        format!(" \"before {CANARY} behind\" "),
        format!("\"{{\\\"x\\\":\\\"{CANARY}\\\"}}\""),
    ]);
    leaf.prop_recursive(6, 20, 4, |inner| around(inner, "x"))
}

/// Objects and lists with `inner` and harmless values in them.
fn around(
    inner: impl Strategy<Value = String> + Clone + 'static,
    harmless: &'static str,
) -> BoxedStrategy<String> {
    let key = prop::sample::select(vec!["a", "metadata", "items", "\\u0061", "object", "value", "spec", ""]);
    let list = (inner.clone(), any::<bool>()).prop_map(move |(inner, first)| {
        if first { format!("[{inner},\"{harmless}\"]") } else { format!("[ null , {inner} ]") }
    });
    let object = (inner, key, any::<bool>()).prop_map(move |(inner, key, first)| {
        if first {
            format!("{{\"{key}\":{inner},\"h\":\"{harmless}\"}}")
        } else {
            format!("{{ \"h\" : {{}} , \"{key}\" : {inner} }}")
        }
    });
    prop_oneof![list, object].boxed()
}

/// A Secret whose values sing, anywhere in a body.
fn body() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["data", "stringData", "DATA", "d\\u0061ta"]);
    let kind =
        prop::sample::select(vec![r#""kind":"Secret""#, r#""kind":"SecretList""#, r#" "Kind" : "Secret" "#]);
    let secret = (key, singing(), kind, any::<bool>()).prop_map(|(key, value, kind, first)| {
        if first { format!("{{{kind},\"{key}\":{value}}}") } else { format!("{{\"{key}\":{value},{kind}}}") }
    });
    secret.prop_recursive(5, 10, 2, |inner| around(inner, "harmless"))
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever is in the values of a Secret, and wherever that is in a body, nothing of it is left.
    #[test]
    fn no_canary_survives(body in body(), resource in prop::sample::select(vec!["secrets", "things", "configmaps"])) {
        let out = body_of(resource, &body, &Redact::default());
        prop_assert!(!sings(&out), "{}\n{}", body, out);
    }

    /// Between the marks stands what stood there before, and an event that is masked again stays as it is.
    #[test]
    fn all_other_bytes_stay(body in body(), line in real_line()) {
        for line in [about("things", &format!("\"requestObject\":{body}")), String::from_utf8(line).unwrap()] {
            let (out, _) = applied(&line, &all());
            let mut rest = line.as_str();
            let pieces: Vec<&str> = out.split("redacted:hmac-sha256:").collect();
            for (index, piece) in pieces.iter().enumerate() {
                let piece = if index == 0 { piece } else { &piece[32..] };
                let at = rest.find(piece).expect("the bytes between two marks");
                prop_assert!(index > 0 || at == 0);
                rest = &rest[at + piece.len()..];
            }
            prop_assert!(pieces.len() > 1 || out == line);
            prop_assert!(line.ends_with(pieces[pieces.len() - 1].get(32..).unwrap_or(&out)));
        }
    }

    /// No bytes make it panic, and what it makes of an event is an event.
    #[test]
    fn any_bytes_are_survived(line in real_line(), body in body(), mutations in mutations(), real in any::<bool>()) {
        let line = if real { line } else { about("secrets", &format!("\"requestObject\":{body}")).into_bytes() };
        let line = mutated(&line, &mutations);
        let Some(parts) = Parts::find(&line) else { return Ok(()) };
        let mut out = Vec::new();
        if redaction_of(&all()).apply(&line, &parts, &mut out) && Event::parse(&line).is_ok() {
            prop_assert!(Event::parse(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
        }
    }
}
