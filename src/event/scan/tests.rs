use proptest::prelude::*;

use super::*;
use crate::demo::replay::Replay;
use crate::properties::{mutated, mutations, real_line};

/// What the quick way says, whatever the processor can do.
fn scan(line: &[u8]) -> Option<Event<'_>> {
    let said = super::scan(line);
    let shown = || String::from_utf8_lossy(line);
    for instructions in all_instructions() {
        assert_eq!(scan_with(instructions, line), said, "{instructions:?}: {}", shown());
    }
    said
}

/// Those that every processor has, and all others that this one has.
fn all_instructions() -> Vec<Instructions> {
    let newest = Instructions::new();
    let mut all = vec![Instructions::baseline(), newest];
    #[cfg(target_arch = "x86_64")]
    {
        all.extend(newest.as_sse4_2().map(Simd::level));
        all.extend(newest.as_avx2().map(Simd::level));
    }
    all
}

/// What the quick way says must be what the careful way says. Returns whether it said anything.
fn agrees(line: &[u8]) -> bool {
    let Some(quick) = scan(line) else { return false };
    assert_eq!(quick.parts, Parts::find(line), "{}", String::from_utf8_lossy(line));
    let careful = Event::parse_carefully(line);
    let shown = String::from_utf8_lossy(line);
    assert_eq!(Ok(Event { parts: None, ..quick }), careful, "{shown}");
    true
}

const HEAD: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","#;

/// An event with `value` somewhere in it, `padding` bytes later than it might be.
fn holding(value: &[u8], padding: usize) -> Vec<u8> {
    let before = format!(r#"{HEAD}"pad":"{}","requestObject":"#, "x".repeat(padding));
    [before.as_bytes(), value, br#","stageTimestamp":"t"}"#].concat()
}

#[test]
fn takes_every_event_that_kube_apiserver_wrote() {
    let replay = Replay::bundled();
    let mut line = Vec::new();
    for number in 0..1880 {
        replay.line(number, &mut line);
        line.pop();
        assert!(agrees(&line), "{}", String::from_utf8_lossy(&line));
    }
}

#[test]
fn takes_no_part_of_an_event_for_one() {
    let replay = Replay::bundled();
    let mut line = Vec::new();
    for number in 0..40 {
        replay.line(number, &mut line);
        line.pop();
        for end in 0..line.len() {
            assert!(scan(&line[..end]).is_none());
            assert!(scan(&line[line.len() - end..]).is_none());
        }
    }
}

/// JSON of all kinds, without blanks.
const TAKEN: [&[u8]; 31] = [
    b"0",
    b"-0",
    b"10",
    b"-1.5",
    b"0.0",
    b"1e5",
    b"1E+5",
    b"1.5e-05",
    b"1e999",
    b"true",
    b"false",
    b"null",
    b"\"\"",
    b"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    b"\"\\u00e9\\uD800\"",
    b"\"\\\\\"",
    b"\"\\\\\\\"\"",
    b"\"\x7f\"",
    b"\"\xc3\xa9\"",
    b"\"\xf0\x9f\x98\x80\"",
    b"{}",
    b"[]",
    b"[{}]",
    b"[[],[]]",
    b"{\"a\":{},\"b\":[]}",
    b"[1,\"a\",null,{\"kind\":\"x\",\"kind\":2}]",
    b"{\"\":\"\"}",
    b"{\"a\\n\":1}",
    b"\"{[,:]}\"",
    b"[\"a\",\"b\"]",
    b"\"spaces are fine in here\"",
];

/// No JSON, each for another reason.
const REFUSED: [&[u8]; 66] = [
    b"",
    b"01",
    b"-",
    b"-01",
    b"1.",
    b".5",
    b"+1",
    b"1e",
    b"1e+",
    b"1.e5",
    b"0x1",
    b"1a",
    b"--1",
    b"1-",
    b"NaN",
    b"True",
    b"tru",
    b"truee",
    b"nulll",
    b"\"",
    b"\"\\x\"",
    b"\"\\u12\"",
    b"\"\\u12g4\"",
    b"\"\\\"",
    b"\\\"\\\"",
    b"\"\x00\"",
    b"\"\x1f\"",
    b"\"\t\"",
    b"\"\n\"",
    b"\x00",
    b"\"\xff\"",
    b"\"\xc3\"",
    b"\"\xed\xa0\x80\"",
    b"\"\xc0\x80\"",
    b"\"\xf4\x90\x80\x80\"",
    b"\xc3\xa9",
    b"{",
    b"}",
    b"[",
    b"]",
    b"{]",
    b"[}",
    b"[1}",
    b"{\"a\":1]",
    b"[1,]",
    b"[,1]",
    b"[,]",
    b"[1 2]",
    b"[1\"a\"]",
    b"[\"a\"\"b\"]",
    b"[\"a\":1]",
    b"{\"a\"}",
    b"{\"a\":}",
    b"{\"a\":1,}",
    b"{,\"a\":1}",
    b"{1:1}",
    b"{\"a\",\"b\"}",
    b"{\"a\":1:2}",
    b"{\"a\"::1}",
    b"{\"a\"1}",
    b"{[]:1}",
    b"{{}:1}",
    b"[{}{}]",
    b"[[][]]",
    b"{\"a\":1,2}",
    b"1,\"x\"",
];

#[test]
fn knows_what_json_is_at_every_place_of_a_block() {
    for padding in 0..2 * BLOCK_BYTES {
        for value in TAKEN {
            assert!(agrees(&holding(value, padding)), "{} at {padding}", String::from_utf8_lossy(value));
        }
        for value in REFUSED {
            let line = holding(value, padding);
            let shown = String::from_utf8_lossy(value);
            assert!(Event::parse_carefully(&line).is_err(), "{shown} is no case of this test");
            assert!(scan(&line).is_none(), "{shown} at {padding}");
        }
    }
}

#[test]
fn knows_where_an_event_ends() {
    let event = String::from_utf8(holding(b"{}", 0)).unwrap();
    for wrong in ["", "}", "]", "{", ",", "x", "\0", " ", "\"", "\\", "{}"] {
        for padding in 0..BLOCK_BYTES {
            let line = [&event.as_bytes()[..event.len() - 1], "]".as_bytes()].concat();
            assert!(!agrees(&line));
            let line = event.replace(r#""t"}"#, &format!(r#""{}"}}{wrong}"#, "t".repeat(padding)));
            assert_eq!(agrees(line.as_bytes()), wrong.is_empty(), "{line}");
            let line = format!(r#"{HEAD}"requestObject":"{}"}}{wrong}"#, "t".repeat(padding));
            assert_eq!(agrees(line.as_bytes()), wrong.is_empty(), "{line}");
        }
    }
}

#[test]
fn leaves_what_is_seldom_to_the_careful_way() {
    let deep = |depth: usize| {
        format!(r#"{HEAD}"requestObject":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth)).into_bytes()
    };
    // One bit of the stack is the mark at its end, one is the event.
    let deepest = u64::BITS as usize - 2;
    assert!(agrees(&deep(deepest)));
    for depth in [deepest + 1, deepest + 2, 64, 65, 100_000] {
        assert!(scan(&deep(depth)).is_none() && Event::parse(&deep(depth)).is_ok(), "{depth}");
        let line = deep(depth);
        (1..9).for_each(|missing| assert!(scan(&line[..line.len() - missing]).is_none(), "{depth}"));
    }
    for (rest, is_event) in [
        (r#""stageTimestamp":"\u0071"}"#, true),
        (r#""st\u0061geTimestamp":"x"}"#, true),
        (r#""stageTimestamp": "x"}"#, true),
        (r#""stageTimestamp":null}"#, true),
        (r#""stageTimestamp":1}"#, false),
        (r#""stageTimestamp":"a","stageTimestamp":"b"}"#, false),
        (r#""l\u0065vel":"b"}"#, false),
        (r#""\ud800":1}"#, false),
        (r#""requestObject":1,"requestObject":2}"#, true),
        (r#""kind":"Event"}"#, false),
    ] {
        let line = format!("{HEAD}{rest}");
        assert!(scan(line.as_bytes()).is_none(), "{line}");
        assert_eq!(Event::parse(line.as_bytes()).is_ok(), is_event, "{line}");
    }
    let escaped = "stageTimestamp".bytes().map(|byte| format!("\\u{byte:04x}")).collect::<Vec<_>>().concat();
    let no_text = format!("{0}\\ud800{0}", "x".repeat(BLOCK_BYTES));
    for padding in 0..BLOCK_BYTES {
        let padding = "x".repeat(padding);
        for key in [&escaped, &no_text] {
            let line = format!(r#"{HEAD}"pad":"{padding}","{key}":"t","stageTimestamp":"t"}}"#);
            assert!(scan(line.as_bytes()).is_none() && Event::parse(line.as_bytes()).is_err(), "{line}");
        }
    }
    let unknown = br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Other"}"#;
    assert!(scan(unknown).is_none() && Event::parse(unknown).is_ok());
    for line in
        ["{}", "[]", "", "{", "\"\"", r#"{"kind":"Event"}"#, r#"["Event","audit.k8s.io/v1",null,null]"#]
    {
        assert!(scan(line.as_bytes()).is_none());
    }
}

/// Text that is JSON as often as not, from pieces of it.
fn token_soup() -> impl Strategy<Value = Vec<u8>> {
    const TOKENS: &str = r#"{ } [ ] , : " \ "a" "a": {"a": {} [] 1 - 0 . e true null \u 00e9 \" é "kind":"Event" ,"annotations":{}"#;
    let tokens: Vec<&[u8]> =
        TOKENS.split(' ').map(str::as_bytes).chain([&b" "[..], b"\xc3", &[b'x'; 50]]).collect();
    let token = prop::sample::select(tokens);
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

/// A JSON value without blanks.
fn json() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[a-z<&\u{e9}\u{1f600}\\\\\"\u{1}/{}:,\\[\\]]{0,90}"
            .prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("\"\\ud83d\\ude00\\u003c\\/\"".to_owned())
    ];
    let other = prop::sample::select(&["null", "true", "false", "0", "-12.50e+3", "{}", "[]"][..]);
    let leaf = prop_oneof![text, other.prop_map(str::to_owned)];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(("[a-z\"\\\\]{0,9}", inner), 0..6).prop_map(|pairs| {
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).unwrap()))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(crate::properties::cases(4000))]

    /// Whatever is JSON without blanks is taken, wherever it stands in an event.
    #[test]
    fn takes_any_json(value in json(), padding in 0..100_usize) {
        prop_assert!(agrees(&holding(value.as_bytes(), padding)));
    }

    /// Whatever was done to JSON in an event, what is taken is an event, and the same one.
    #[test]
    fn takes_no_spoilt_json(value in json(), mutations in mutations(), padding in 0..100_usize) {
        let line = holding(&mutated(value.as_bytes(), &mutations), padding);
        agrees(&line);
        agrees(&mutated(&line, &mutations));
    }

    /// Whatever stands in an event in the place of JSON, what is taken is an event, and the same one.
    #[test]
    fn takes_no_soup(soup in token_soup(), padding in 0..100_usize, bytes in prop::collection::vec(any::<u8>(), 0..90)) {
        agrees(&holding(&soup, padding));
        agrees(&[HEAD.as_bytes(), &soup].concat());
        agrees(&soup);
        agrees(&holding(&bytes, padding));
        agrees(&bytes);
    }
}

proptest! {
    #![proptest_config(crate::properties::cases(1000))]

    /// Whatever was done to a real event, or to two of them that became one, what is taken is an event, and the same one.
    #[test]
    fn takes_no_spoilt_event(
        lines in [real_line(), real_line()],
        mutations in mutations(),
        at in any::<prop::sample::Index>(),
    ) {
        let [a, b] = lines;
        agrees(&mutated(&a, &mutations));
        let at = at.index(a.len().min(b.len()));
        agrees(&[&a[..at], &b[at..]].concat());
        agrees(&[&a[..at], &b].concat());
    }
}
