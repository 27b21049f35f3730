use std::ops::ControlFlow;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::event::Event;
use crate::properties::{cases, mutated, mutations};

/// What a part says, unescaped.
fn said(format: Format, line: &str) -> Option<(Stream, bool, String)> {
    let part = format.part(line.as_bytes())?;
    let text = match part.text {
        Text::Plain(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Text::Escaped(text) => crate::json::without_escapes(text).into_owned(),
    };
    Some((part.stream, part.is_last, text))
}

const TIME: &str = "2026-11-22T02:16:11.462030123Z";

#[test]
fn lines_of_the_container_runtime_interface() {
    let cases = [
        ("stdout F {\"a\":1}", Some((Stream::Stdout, true, "{\"a\":1}"))),
        ("stderr P I1122 x", Some((Stream::Stderr, false, "I1122 x"))),
        ("stdout F:tag:other x", Some((Stream::Stdout, true, "x"))),
        ("stdout P:tag x", Some((Stream::Stdout, false, "x"))),
        ("stdout F  x ", Some((Stream::Stdout, true, " x "))),
        ("stdout F ", Some((Stream::Stdout, true, ""))),
        ("stdout F", Some((Stream::Stdout, true, ""))),
        ("stdout X x", None),
        ("stdin F x", None),
        ("stdout", None),
        ("AUDIT: id=\"1\"", None),
        ("", None),
    ];
    for (rest, expect) in cases {
        let expect = expect.map(|(stream, is_last, text)| (stream, is_last, text.to_owned()));
        assert_eq!(said(Format::Cri, &format!("{TIME} {rest}")), expect, "{rest}");
        assert_eq!(said(Format::Auto, &format!("{TIME} {rest}")), expect, "{rest}");
    }
    for time in ["2016-10-06T00:17:09.669794202+00:00", "2016-10-06T00:17:09Z"] {
        assert!(said(Format::Cri, &format!("{time} stdout F x")).is_some(), "{time}");
    }
    for time in [
        "",
        "I1122",
        "2016-10-06",
        "2016-10-06T00:17:09.669794202669794202669794202Z",
        "2016-10-06 00:17:09Z",
    ] {
        assert!(said(Format::Cri, &format!("{time} stdout F x")).is_none(), "{time}");
    }
}

#[test]
fn lines_of_docker() {
    let line = |log: &str, rest: &str| format!(r#"{{"log":"{log}",{rest}}}"#);
    let rest = r#""stream":"stdout","time":"2026-11-22T02:16:11.462030123Z""#;
    let attributes = r#""stream":"stderr","attrs":{"a":"b"},"time":"2026-11-22T02:16:11.462030123Z""#;
    let cases = [
        (line(r#"{\"a\":\"\\\\u003c\"}\n"#, rest), Some((Stream::Stdout, true, r#"{"a":"\\u003c"}"#))),
        (line(r"no newline", rest), Some((Stream::Stdout, false, "no newline"))),
        (
            line(r"a backslash and an n: \\n", rest),
            Some((Stream::Stdout, false, r"a backslash and an n: \n")),
        ),
        (
            line(r"the same and a newline: \\n\n", rest),
            Some((Stream::Stdout, true, r"the same and a newline: \n")),
        ),
        (line(r"\u003ctab\t\u003e\n", attributes), Some((Stream::Stderr, true, "<tab\t>"))),
        (line(r"\n", rest), Some((Stream::Stdout, true, ""))),
        (line("torn\\n", r#""stream":"stdout","time":"2026"#).trim_end_matches('}').to_owned(), None),
        (r#"{"log":"no end"#.to_owned(), None),
        (r#"{"kind":"Event"}"#.to_owned(), None),
    ];
    for (line, expect) in cases {
        let expect = expect.map(|(stream, is_last, text)| (stream, is_last, text.to_owned()));
        assert_eq!(said(Format::Docker, &line), expect, "{line}");
        assert_eq!(said(Format::Auto, &line), expect, "{line}");
    }
    // What was written next to a torn line is not lost with it.
    let torn = line(r"a\n", rest).trim_end_matches("Z\"}").to_owned();
    assert_eq!(said(Format::Docker, &format!("{torn}{}", line(r"b\n", rest))), None);
    let torn = r#"{"log":"{\"kind\":\"Ev"#;
    let found = said(Format::Docker, &format!("{torn}{}", line(r#"{\"kind\":\"Event\"}\n"#, rest))).unwrap();
    assert!(found.2.ends_with(r#"{"kind":"Event"}"#), "{found:?}");
}

#[test]
fn a_line_of_another_format_names_the_setting() {
    let event = format!("{}\"level\":\"Metadata\"}}", ApiVersion::V1.line_prefix());
    let cri = format!("{TIME} stderr F I1122 klog");
    let docker = r#"{"log":"I1122 klog\n","stream":"stderr","time":"2026-11-22T02:16:11.462030123Z"}"#;
    let legacy = format!("{TIME} AUDIT: id=\"1\"");
    let lines = [
        (Format::Json, event.as_str(), "json"),
        (Format::Cri, &cri, "cri"),
        (Format::Docker, docker, "docker"),
        (Format::Legacy, &legacy, "legacy"),
    ];
    for (format, _, _) in lines {
        for (other, line, name) in lines {
            let wrong = format.wrong(line.as_bytes());
            assert_eq!(wrong.is_none(), format == other, "{format:?}: {line}");
            assert!(wrong.is_none_or(|wrong| wrong.contains(&format!("source.format: {name} (or auto)"))));
        }
        for line in ["", "I1122 klog", "{", "{\"kind\":\"Event\"}", "2026-11-22T02:16:11Z"] {
            assert_eq!(format.wrong(line.as_bytes()), None, "{line}");
        }
    }
    assert!(lines.iter().all(|(_, line, _)| Format::Auto.wrong(line.as_bytes()).is_none()));
}

fn legacy_event(line: &str) -> Option<String> {
    legacy::event(line.as_bytes()).map(|event| String::from_utf8(event).unwrap())
}

#[test]
fn a_legacy_line_becomes_an_event() {
    let line = r#"2026-11-22T02:16:03.680582541Z AUDIT: id="a4994286" stage="ResponseComplete" ip="127.0.0.1" method="list" user="system:apiserver" groups="\"system:masters\",\"a,\\\"b\"" as="<self>" asgroups="<lookup>" namespace="kube-system" uri="/api/v1/namespaces/kube-system/configmaps?limit=500&resourceVersion=0" response="200""#;
    let expect = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a4994286","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/kube-system/configmaps?limit=500\u0026resourceVersion=0","verb":"list","user":{"username":"system:apiserver","groups":["system:masters","a,\"b"]},"sourceIPs":["127.0.0.1"],"objectRef":{"resource":"configmaps","namespace":"kube-system","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-11-22T02:16:03.680582Z","stageTimestamp":"2026-11-22T02:16:03.680582Z","annotations":{"audit-shipper.io/source-format":"legacy"}}"#;
    assert_eq!(legacy_event(line).unwrap(), expect);
    assert_eq!(Event::parse(expect.as_bytes()).unwrap().version, ApiVersion::V1);
}

#[test]
fn what_a_legacy_line_does_not_say_the_event_does_not_have() {
    let line = r#"2026-11-22T04:16:03+02:00 AUDIT: id="" stage="RequestReceived" ip="<unknown>" method="get" user="<none>" groups="<none>" as="bob" asgroups="\"dev\"" user-agent="curl \"7\"" namespace="<none>" uri="/readyz" response="<deferred>""#;
    let expect = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"","stage":"RequestReceived","requestURI":"/readyz","verb":"get","user":{},"impersonatedUser":{"username":"bob","groups":["dev"]},"userAgent":"curl \"7\"","requestReceivedTimestamp":"2026-11-22T02:16:03.000000Z","stageTimestamp":"2026-11-22T02:16:03.000000Z","annotations":{"audit-shipper.io/source-format":"legacy"}}"#;
    assert_eq!(legacy_event(line).unwrap(), expect);
    let patched =
        line.replace("/readyz", "/apis/apps/v1/namespaces/a/deployments/b/scale").replace("get", "patch");
    let named = legacy_event(&patched.replace("namespace=\"<none>\"", "namespace=\"a\"")).unwrap();
    let object = r#""objectRef":{"resource":"deployments","namespace":"a","name":"b","apiGroup":"apps","apiVersion":"v1","subresource":"scale"}"#;
    assert!(named.contains(object), "{named}");
}

#[test]
fn texts_are_read_as_go_quotes_them() {
    let line = |user: &str| {
        format!(
            r#"{TIME} AUDIT: id="1" stage="s" ip="i" method="m" user="{user}" groups="<none>" as="<self>" asgroups="<lookup>" namespace="<none>" uri="/" response="200""#
        )
    };
    for (quoted, expect) in [
        (r"\a\b\f\n\r\t\v\\", r#""\u0007\b\f\n\r\t\u000b\\""#),
        (r"\x01\x7f\xff", "\"\\u0001\u{7f}\u{fffd}\""),
        (r"\u200b\U0001f600é<", "\"\u{200b}\u{1f600}é\\u003c\""),
        (r"\u2028", r#""\u2028""#),
    ] {
        let event = legacy_event(&line(quoted)).unwrap();
        assert!(event.contains(&format!(r#""username":{expect}}}"#)), "{quoted}: {event}");
    }
    for broken in [r"\q", r"\x1", r"\u12", r"\U0011", "\\"] {
        assert_eq!(legacy_event(&line(broken)), None, "{broken}");
    }
    let whole = line("a");
    for cut in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
        assert_eq!(legacy_event(&whole[..cut]), None, "{}", &whole[..cut]);
        // Its successor's first line is found behind a torn one.
        let glued = format!("{}{whole}", &whole[..cut]);
        assert_eq!(legacy::glued(glued.as_bytes()), Some(cut).filter(|cut| *cut > 0), "{glued}");
    }
    assert_eq!(legacy_event(&format!("{whole} more=\"1\"")), None);
}

#[derive(Deserialize)]
struct User {
    username: String,
    groups: Vec<String>,
}

#[derive(Deserialize)]
struct Said {
    user: User,
    #[serde(rename = "requestURI")]
    request_uri: String,
}

/// What a container wrote: lines of two streams.
fn written() -> impl Strategy<Value = Vec<(Stream, Vec<u8>)>> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let bytes = prop_oneof![Just(b'\\'), Just(b'"'), Just(b'n'), Just(b' '), b'a'..=b'z', Just(b'\t')];
    prop::collection::vec((stream, prop::collection::vec(bytes, 0..40)), 0..12)
}

/// The same as a runtime writes it, cut into parts as `cuts` say, and the streams' lines as `turns` say between each
/// other. Returns in which order the lines end, too.
pub(in crate::source) fn wrapped(
    format: Format,
    written: &[(Stream, Vec<u8>)],
    cuts: &[usize],
    turns: &[bool],
) -> (Vec<Vec<u8>>, Vec<usize>) {
    let (mut cuts, mut turns) = (cuts.iter().cycle(), turns.iter().cycle());
    let mut parts: [std::collections::VecDeque<(usize, &[u8], bool)>; 2] = Default::default();
    for (number, (stream, line)) in written.iter().enumerate() {
        let mut rest = line.as_slice();
        loop {
            let length = (*cuts.next().unwrap()).min(rest.len());
            let (part, behind) = rest.split_at(length);
            let is_last = behind.is_empty();
            parts[*stream as usize].push_back((number, part, is_last));
            rest = behind;
            if is_last {
                break;
            }
        }
    }
    let (mut lines, mut ends) = (Vec::new(), Vec::new());
    while parts.iter().any(|parts| !parts.is_empty()) {
        let stream = usize::from(*turns.next().unwrap());
        let stream = if parts[stream].is_empty() { 1 - stream } else { stream };
        let (number, part, is_last) = parts[stream].pop_front().unwrap();
        lines.push(physical(
            format,
            if stream == 0 { Stream::Stdout } else { Stream::Stderr },
            part,
            is_last,
        ));
        ends.extend(is_last.then_some(number));
    }
    (lines, ends)
}

/// A physical line of a runtime, with its newline.
pub(in crate::source) fn physical(format: Format, stream: Stream, part: &[u8], is_last: bool) -> Vec<u8> {
    let stream = if stream == Stream::Stdout { "stdout" } else { "stderr" };
    if format == Format::Docker {
        let newline = if is_last { "\n" } else { "" };
        let text = format!("{}{newline}", str::from_utf8(part).unwrap());
        let log = serde_json::to_string(&text).unwrap();
        return format!("{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"{TIME}\"}}\n").into_bytes();
    }
    let tag = if is_last { "F" } else { "P" };
    [format!("{TIME} {stream} {tag} ").as_bytes(), part, b"\n"].concat()
}

/// Owned records: text, stream, bytes in the file.
fn records(format: Format, pieces: &[&[u8]]) -> Vec<(Vec<u8>, What, u64)> {
    let mut all = Vec::new();
    let mut records = Records::of(format);
    let _ = records.each_of(pieces.iter().map(|piece| (true, *piece)), |record| {
        all.push((record.text.to_vec(), record.what, record.file_bytes));
        ControlFlow::Continue(())
    });
    all
}

proptest! {
    #![proptest_config(cases(300))]

    /// However a container's lines are cut into parts, and whatever stands between these: they come out as they went in, in
    /// the order of their ends, and each byte of the file counts once.
    #[test]
    fn records_are_what_the_container_wrote(
        written in written(),
        cuts in prop::collection::vec(1..20_usize, 1..5),
        turns in prop::collection::vec(any::<bool>(), 1..9),
        docker: bool,
        auto: bool,
        piece: prop::sample::Index,
    ) {
        let format = if docker { Format::Docker } else { Format::Cri };
        let (lines, ends) = wrapped(format, &written, &cuts, &turns);
        let file = lines.concat();
        let at: usize = lines[..piece.index(lines.len() + 1)].iter().map(Vec::len).sum();
        let found = records(if auto { Format::Auto } else { format }, &[&file[..at], &file[at..]]);
        let expected: Vec<_> = ends.iter().map(|end| (written[*end].1.clone(), What::Output(written[*end].0))).collect();
        let counted: u64 = found.iter().map(|(_, _, bytes)| bytes).sum();
        prop_assert_eq!(counted, file.len() as u64);
        prop_assert_eq!(found.into_iter().map(|(text, what, _)| (text, what)).collect::<Vec<_>>(), expected);
    }

    /// No bytes make it panic, and each counts once.
    #[test]
    fn any_bytes(
        written in written(),
        cuts in prop::collection::vec(1..20_usize, 1..5),
        turns in prop::collection::vec(any::<bool>(), 1..9),
        mutations in mutations(),
        format in prop::sample::select(&[Format::Cri, Format::Docker, Format::Legacy, Format::Auto][..]),
    ) {
        let (lines, _) = wrapped(format, &written, &cuts, &turns);
        let file = mutated(&lines.concat(), &mutations);
        let counted: u64 = records(format, &[&file]).iter().map(|(_, _, bytes)| bytes).sum();
        prop_assert_eq!(counted, file.len() as u64 + u64::from(file.last().is_some_and(|last| *last != b'\n')));
        for line in file.split(|byte| *byte == b'\n') {
            let _ = (format.wrong(line), legacy::glued(line));
            if let Some(event) = legacy::event(line) {
                prop_assert!(Event::parse(&event).is_ok());
            }
        }
    }

    /// A legacy line says what Go wrote into it, and its event says the same.
    #[test]
    fn what_a_legacy_line_says_its_event_says(user: String, groups: Vec<String>, uri: String) {
        prop_assume!(!user.is_empty() && user != "<none>" && !groups.is_empty());
        let go = |text: &str| -> String { format!("\"{}\"", text.escape_default().to_string().replace("\\'", "'").replace("\\u{", "\\U{")) };
        // Rust writes \u{1f600} where Go writes \U0001f600.
        let go = |text: &str| {
            let mut out = String::new();
            let mut rest = go(text);
            while let Some(at) = rest.find("\\U{") {
                let end = at + rest[at..].find('}').unwrap();
                let number = u32::from_str_radix(&rest[at + 3..end], 16).unwrap();
                out.push_str(&rest[..at]);
                let digits = format!("{number:08x}");
                out.extend(["\\U", digits.as_str()]);
                rest = rest[end + 1..].to_owned();
            }
            out + &rest
        };
        let list: Vec<_> = groups.iter().map(|group| go(group)).collect();
        let line = format!(
            "{TIME} AUDIT: id=\"1\" stage=\"Panic\" ip=\"::1\" method=\"get\" user={} groups={} as=\"<self>\" asgroups=\"<lookup>\" namespace=\"<none>\" uri={} response=\"500\"",
            go(&user), go(&list.join(",")), go(&uri)
        );
        let event = legacy::event(line.as_bytes()).unwrap();
        let said: Said = serde_json::from_slice(&event).unwrap();
        prop_assert_eq!((said.user.username, said.user.groups, said.request_uri), (user, groups, uri));
    }
}
