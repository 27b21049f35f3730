//! serde_json is the oracle.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;
use crate::properties::{cases, mutated, mutations, real_line};

#[derive(Deserialize)]
struct Object<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, &'a RawValue>);

fn shown(text: &[u8], range: Range<usize>) -> &str {
    std::str::from_utf8(&text[range]).unwrap()
}

/// Compares each object and list below the value at `place` with what serde_json finds there.
fn check(text: &[u8], place: Range<usize>) {
    let value = shown(text, place.clone());
    assert_eq!(value_at(text, place.start), place, "{value}");
    match value.as_bytes()[0] {
        b'{' => {
            let Object(expected) = serde_json::from_str(value).unwrap();
            let found: Vec<Member> = members(text, place.start).collect();
            assert_eq!(found.len(), expected.len(), "{value}");
            for member in found {
                let key = unescaped(&text[member.key.clone()]).unwrap();
                assert_eq!(shown(text, member.value.clone()), expected[&key].get(), "{key}");
                assert!(is_text(&text[member.key], &key));
                check(text, member.value);
            }
        }
        b'[' => {
            let expected: Vec<&RawValue> = serde_json::from_str(value).unwrap();
            let found: Vec<Range<usize>> = items(text, place.start).collect();
            let found_text: Vec<&str> = found.iter().map(|item| shown(text, item.clone())).collect();
            assert_eq!(found_text, expected.iter().map(|item| item.get()).collect::<Vec<_>>());
            for item in found {
                check(text, item);
            }
        }
        b'"' => {
            let expected: String = serde_json::from_str(value).unwrap();
            assert_eq!(unescaped(value.as_bytes()).unwrap(), expected);
        }
        _ => assert_eq!(unescaped(value.as_bytes()), None),
    }
}

#[test]
fn values_are_found_whatever_stands_between_them() {
    for text in [
        "{}",
        "[ ]",
        "{ \"a\" : 1 ,\n\t\"b\":[ 1 , \"]\" , { } ] , \"c\" : null }",
        r#"{"\u0061\"":{"x}":"\\"},"":"","n":-1.5e+3,"t":[[],[[]],{"k":[true,false]}]}"#,
        r#""\u003c\ud83d\ude00\n\b\f\r\t\/\\""#,
    ] {
        check(text.as_bytes(), 0..text.len());
    }
    assert_eq!(unescaped(br#""a\ud83d\u0041\udc00""#).unwrap(), "a\u{fffd}A\u{fffd}");
}

#[test]
fn the_last_of_two_members_counts() {
    let text = br#"{"a":1,"b":2,"\u0061":3}"#;
    assert_eq!(shown(text, member(text, 0, "a").unwrap()), "3");
    assert_eq!(member(text, 0, "c"), None);
    assert_eq!(member(b"[1]", 0, "a"), None);
}

#[test]
fn members_go_with_one_comma_each() {
    for (text, goes, expected, stays) in [
        (r#"{"a":1,"b":2,"c":3}"#, "a", r#"{"b":2,"c":3}"#, true),
        (r#"{"a":1,"b":2,"c":3}"#, "b", r#"{"a":1,"c":3}"#, true),
        (r#"{"a":1,"b":2,"c":3}"#, "c", r#"{"a":1,"b":2}"#, true),
        (r#"{"a":1,"b":2,"c":3}"#, "ab", r#"{"c":3}"#, true),
        (r#"{"a":1,"b":2,"c":3}"#, "bc", r#"{"a":1}"#, true),
        (r#"{"a":1,"b":2,"c":3}"#, "ac", r#"{"b":2}"#, true),
        (r#"{"a":1,"b":2,"c":3}"#, "abc", "{}", false),
        (r#"{ "a" : 1 , "b" : 2 }"#, "a", r#"{ "b" : 2 }"#, true),
        (r#"{"a":1}"#, "", r#"{"a":1}"#, true),
        ("{}", "a", "{}", false),
    ] {
        let (mut edits, mut out) = (Edits::default(), Vec::new());
        let is_in = |key: &[u8]| goes.contains(unescaped(key).unwrap().as_ref());
        assert_eq!(edits.remove_members(text.as_bytes(), 0, is_in), stays, "{text} without {goes}");
        edits.apply(text.as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{text} without {goes}");
        assert!(edits.is_empty());
    }
}

#[test]
fn edits_may_come_in_any_order() {
    let (mut edits, mut out) = (Edits::default(), b"before".to_vec());
    edits.replace(8..9, b"three".to_vec());
    edits.replace(0..2, &b"1"[..]);
    edits.replace(4..4, &b"+"[..]);
    edits.apply(b"0123456789", &mut out);
    assert_eq!(out, b"123+4567three9");
    edits.replace(3..5, &b"inner"[..]);
    edits.replace(2..8, &b"outer"[..]);
    edits.replace(7..8, &b"inner"[..]);
    edits.apply(b"0123456789", &mut out);
    assert_eq!(out, b"01outer89");
}

proptest! {
    #![proptest_config(cases(200))]

    /// Of every real event, each object, list and string below it is found as serde_json finds it.
    #[test]
    fn real_events_are_seen_as_serde_json_sees_them(line in real_line()) {
        check(&line, 0..line.len());
    }

    /// Whatever the bytes are, nothing panics, and everything ends.
    #[test]
    fn no_bytes_do_harm(line in real_line(), mutations in mutations(), from in any::<prop::sample::Index>()) {
        let text = mutated(&line, &mutations);
        let start = from.index(text.len() + 1);
        for member in members(&text, start) {
            let _ = (unescaped(&text[member.key.clone()]), items(&text, member.value.start).count());
            let mut edits = Edits::default();
            edits.remove_members(&text, member.value.start, |key| is_text(key, "metadata"));
            edits.apply(&text, &mut Vec::new());
        }
        prop_assert!(value_at(&text, start).end <= text.len());
    }
}
