//! From an EventList to the lines of a log.
//!
//! kube-apiserver writes an event to its log as `{"kind":"Event","apiVersion":"V",REST}` and sends it to a webhook
//! as the *item* `{REST}` of a list of version V (kubernetes-audit.md, section 5.2). The way back is therefore a
//! splice of raw bytes, which leaves numbers, escapes and the order of keys as they were.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::seen::line_hash;

const VERSIONS: [&str; 3] = ["audit.k8s.io/v1", "audit.k8s.io/v1beta1", "audit.k8s.io/v1alpha1"];

/// Bytes of the lines of one request. A real event grows by a tenth at most; only a list of nothing but empty
/// events comes near this.
const MAX_BYTES: usize = 256 << 20;

/// The lines of one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// Each ends with a newline and contains no other.
    pub(super) bytes: Vec<u8>,
    /// One for each line, in order.
    pub(super) hashes: Vec<u128>,
}

/// Why a body is not accepted. The texts name places, never content: they go into our log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ListError {
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("not an EventList: {0}")]
    NotAList(String),
    #[error("items[{index}], at byte {offset} of the body, is not an object")]
    NotAnObject { index: usize, offset: usize },
    #[error("the events are larger than {MAX_BYTES} bytes")]
    TooLarge,
}

/// The list's own fields. Its items may come before its version, so they are looked into in a second pass.
#[derive(Deserialize)]
struct EventList<'a> {
    #[serde(borrow, default)]
    kind: Option<Str<'a>>,
    #[serde(borrow, default, rename = "apiVersion")]
    api_version: Option<Str<'a>>,
    /// `null` where a Go program had no events.
    #[serde(borrow, default)]
    items: Option<&'a RawValue>,
}

/// `Option<Cow<str>>` never borrows; this does.
#[derive(Deserialize)]
struct Str<'a>(#[serde(borrow)] Cow<'a, str>);

/// Turns a body into lines, or says what is wrong with it.
pub(super) fn lines(body: &[u8]) -> Result<Lines, ListError> {
    let list: EventList = serde_json::from_slice(body).map_err(|error| wrong_list(&error))?;
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ListError::NotAList("the body is not an object".to_owned()));
    }
    if list.kind.is_none_or(|kind| kind.0 != "EventList") {
        return Err(ListError::NotAList("its kind is not EventList".to_owned()));
    }
    let version = list
        .api_version
        .and_then(|sent| VERSIONS.into_iter().find(|known| *known == sent.0))
        .ok_or_else(|| ListError::NotAList(format!("its apiVersion is none of {}", VERSIONS.join(", "))))?;
    let Some(items) = list.items else { return Ok(Lines::default()) };

    let mut sink = Items { body, version, lines: Lines::default(), failure: None };
    let walked = serde_json::Deserializer::from_str(items.get()).deserialize_seq(&mut sink);
    match (sink.failure, walked) {
        (Some(failure), _) => Err(failure),
        (None, Err(_)) => Err(ListError::NotAList("its items are not an array".to_owned())),
        (None, Ok(())) => Ok(sink.lines),
    }
}

fn wrong_list(error: &serde_json::Error) -> ListError {
    if error.is_data() {
        // Its text may quote a value.
        let place = format!("wrong type at line {} column {}", error.line(), error.column());
        return ListError::NotAList(place);
    }
    ListError::NotJson(error.to_string())
}

/// Writes each item as a line while it walks over them.
struct Items<'b> {
    body: &'b [u8],
    version: &'static str,
    lines: Lines,
    /// serde_json's error carries text only; this is what stopped the walk.
    failure: Option<ListError>,
}

impl<'de> Visitor<'de> for &mut Items<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&'de RawValue>()? {
            if let Err(failure) = self.push(item.get()) {
                self.failure = Some(failure);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

impl Items<'_> {
    fn push(&mut self, item: &str) -> Result<(), ListError> {
        let typed: HasType = serde_json::from_str(item).map_err(|_| ListError::NotAnObject {
            index: self.lines.hashes.len(),
            offset: item.as_ptr().addr() - self.body.as_ptr().addr(),
        })?;
        if item.len() > MAX_BYTES - self.lines.bytes.len().min(MAX_BYTES) {
            return Err(ListError::TooLarge);
        }
        let item = if item.contains(['\n', '\r']) { Cow::Owned(compact(item)) } else { Cow::Borrowed(item) };
        let line = &mut self.lines.bytes;
        let start = line.len();
        if typed.0 {
            line.extend_from_slice(item.as_bytes());
        } else {
            let rest = item[1..].trim_start();
            line.extend_from_slice(br#"{"kind":"Event","apiVersion":""#);
            line.extend_from_slice(self.version.as_bytes());
            line.extend_from_slice(if rest == "}" { b"\"" } else { b"\"," });
            line.extend_from_slice(rest.as_bytes());
        }
        line.push(b'\n');
        self.lines.hashes.push(line_hash(&line[start..]));
        Ok(())
    }
}

/// Whether an object says itself what it is, so that nothing has to be added.
struct HasType(bool);

impl<'de> Deserialize<'de> for HasType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = HasType;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<HasType, A::Error> {
        let mut typed = false;
        while let Some(Str(key)) = fields.next_key()? {
            typed |= key == "kind" || key == "apiVersion";
            fields.next_value::<IgnoredAny>()?;
        }
        Ok(HasType(typed))
    }
}

/// The same JSON without whitespace between its tokens, hence on one line.
fn compact(json: &str) -> String {
    let mut in_string = false;
    let mut escaped = false;
    json.chars()
        .filter(|&char| {
            if in_string {
                in_string = escaped || char != '"';
                escaped = !escaped && char == '\\';
                return true;
            }
            in_string = char == '"';
            !char.is_ascii_whitespace()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str) -> String {
        let lines = lines(body.as_bytes()).unwrap();
        assert_eq!(lines.hashes.len(), memchr::memchr_iter(b'\n', &lines.bytes).count());
        String::from_utf8(lines.bytes).unwrap()
    }

    fn list(items: &str) -> String {
        format!(r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{{}},"items":[{items}]}}"#)
            + "\n"
    }

    #[test]
    fn an_item_becomes_the_line_of_the_log() {
        let written = text(&list(r#"{"level":"Metadata","n":1.50,"u":"\u003c"},{"level":"None"}"#));
        assert_eq!(
            written,
            concat!(
                r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","n":1.50,"u":"\u003c"}"#,
                "\n",
                r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"None"}"#,
                "\n"
            )
        );
        assert_eq!(text(&list("{ }")), "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\"}\n");
        assert_eq!(text(&list("")), "");
    }

    #[test]
    fn older_versions_and_any_order_of_fields() {
        let body = r#" {"items":[{"level":"None"}],"apiVersion":"audit.k8s.io/v1beta1","kind":"EventList"}"#;
        assert_eq!(
            text(body),
            "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1beta1\",\"level\":\"None\"}\n"
        );
        assert_eq!(text(r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1alpha1","items":null}"#), "");
        assert_eq!(text(r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1"}"#), "");
    }

    #[test]
    fn an_item_with_a_type_of_its_own_is_left_alone() {
        let item = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"None"}"#;
        assert_eq!(text(&list(item)), format!("{item}\n"));
        let nested = r#"{"requestObject":{"kind":"Pod","apiVersion":"v1"}}"#;
        assert!(
            text(&list(nested))
                .starts_with(r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","requestObject""#)
        );
    }

    #[test]
    fn an_item_over_several_lines_becomes_one() {
        let item = "{\n\t\"a\" : \"x \\\" \\\\\",\r\n \"b c\" : [ 1, 2 ]\n}";
        assert_eq!(
            text(&list(item)),
            "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"a\":\"x \\\" \\\\\",\"b c\":[1,2]}\n"
        );
    }

    #[test]
    fn wrong_bodies_are_refused_with_the_place() {
        let version = r#""apiVersion":"audit.k8s.io/v1""#;
        for (body, reason) in [
            (String::new(), "not JSON: EOF while parsing a value at line 1 column 0"),
            ("{\"kind\"".to_owned(), "not JSON: EOF while parsing an object at line 1 column 7"),
            (list("{}") + "{}", "not JSON: trailing characters at line 2 column 1"),
            (list("{}}"), "not JSON: expected `,` or `]` at line 1 column 77"),
            (
                r#"["EventList","audit.k8s.io/v1",[]]"#.to_owned(),
                "not an EventList: the body is not an object",
            ),
            ("{\"kind\":7}".to_owned(), "not an EventList: wrong type at line 1 column 9"),
            (format!("{{\"kind\":\"Event\",{version}}}"), "not an EventList: its kind is not EventList"),
            (format!("{{{version},\"items\":[]}}"), "not an EventList: its kind is not EventList"),
            (
                r#"{"kind":"EventList","apiVersion":"v1"}"#.to_owned(),
                "not an EventList: its apiVersion is none of audit.k8s.io/v1, audit.k8s.io/v1beta1, audit.k8s.io/v1alpha1",
            ),
            (
                format!("{{\"kind\":\"EventList\",{version},\"items\":{{}}}}"),
                "not an EventList: its items are not an array",
            ),
            (list("{},\"secret\""), "items[1], at byte 77 of the body, is not an object"),
            (list("{},[]"), "items[1], at byte 77 of the body, is not an object"),
        ] {
            let error = lines(body.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, reason, "{body}");
        }
        assert!(matches!(lines(b"{\"kind\":\"\xff\"}"), Err(ListError::NotJson(_))));
    }

    #[test]
    fn deep_events_are_no_danger() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(text(&list(&deep)).len(), deep.len() + 47);
    }
}
