//! Makes an event fit that is larger than the endpoint takes: a ladder, each rung losing more, the first that fits wins.
//!
//! 1. kube-apiserver's rule: level Request or above -> `requestObject` and `responseObject` go, the annotation
//!    `audit.k8s.io/truncated: "true"` comes. (kubernetes-audit.md, section 4)
//! 2. Where kube-apiserver would drop the event: long strings are cut, as little as needed. Two annotations say what
//!    it was: `audit-shipper.io/original-size` and `-sha256`, both of the log line without its newline.
//! 3. Only the identity stays: auditID, stage, verb, user name, objectRef, status code, timestamps.
//! 4. Nothing fits: the event is set aside as `too_large`.
//!
//! Sizes count the log line with its newline, and equal fits. Everything that a rung does not touch keeps its bytes:
//! the line is edited by the places of its fields, never decoded and encoded again (invariant I7).

mod cut;

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::{Event, Field, Level, Parts};
use crate::fingerprint;
use crate::json::{self, Edits};
use cut::cut_strings;

const TRUNCATED: &str = "audit.k8s.io/truncated";
const ORIGINAL_SIZE: &str = "audit-shipper.io/original-size";
const ORIGINAL_SHA256: &str = "audit-shipper.io/original-sha256";

/// Fields of an event whose strings are never cut.
const IDENTITY: [&str; 10] = [
    "kind",
    "apiVersion",
    "metadata",
    "level",
    "timestamp",
    "auditID",
    "stage",
    "verb",
    "requestReceivedTimestamp",
    "stageTimestamp",
];

/// As [`fit`], of an event that was just read: where its check has found the parts, the first rung does not look at what
/// it drops.
#[must_use]
pub fn fit_event(line: &[u8], event: &Event<'_>, max_event_size: usize) -> Option<Vec<u8>> {
    let parts = event.parts.as_ref().filter(|_| event.level >= Level::Request);
    let without_bodies = parts.and_then(|parts| without_bodies(line, parts));
    without_bodies
        .filter(|line| line.len() < max_event_size)
        .or_else(|| fit(line, event.level, max_event_size))
}

/// The first rung, where the parts are known. `None` for an event that begins with a body.
fn without_bodies(line: &[u8], parts: &Parts) -> Option<Vec<u8>> {
    let added = [(TRUNCATED, "\"true\"".to_owned())];
    let mut edits = Edits::default();
    for (key, field) in [("requestObject", Field::RequestObject), ("responseObject", Field::ResponseObject)] {
        let Some(body) = parts.place(field) else { continue };
        let comma = body.start.checked_sub(key.len() + ",\"\":".len())?;
        if line.get(comma) != Some(&b',') {
            return None;
        }
        edits.replace(comma..body.end, &b""[..]);
    }
    if let Some(place) = parts.place(Field::Annotations) {
        let old = std::str::from_utf8(line.get(place.clone())?).ok()?;
        edits.replace(place, with_added(old, &added).into_bytes());
    } else {
        let close = line.len() - 1;
        edits.replace(close..close, format!(",\"annotations\":{}", object(&added)).into_bytes());
    }
    let mut out = Vec::new();
    edits.apply(line, &mut out);
    Some(out)
}

/// `line` (of an audit event, without its newline) on the first rung that fits into `max_event_size`.
#[must_use]
pub fn fit(line: &[u8], level: Level, max_event_size: usize) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(line).ok()?;
    let fields = Fields::of(text)?;
    let fits = |line: &String| line.len() < max_event_size;
    let truncated = (TRUNCATED, "\"true\"".to_owned());
    let bare = fields.without(&["requestObject", "responseObject"]);
    if level >= Level::Request {
        let line = annotated(&bare, std::slice::from_ref(&truncated))?;
        if fits(&line) {
            return Some(line.into_bytes());
        }
    }
    let annotations = [
        (ORIGINAL_SHA256, format!("\"{}\"", fingerprint::hex(line))),
        (ORIGINAL_SIZE, format!("\"{}\"", line.len())),
        truncated,
    ];
    let bare = annotated(&bare, &annotations)?;
    let mut keep = max_event_size / 2;
    while keep > 0 {
        let line = cut_strings(&bare, keep);
        if fits(&line) {
            return Some(line.into_bytes());
        }
        keep /= 2;
    }
    Some(identity_of(&fields, &annotations)).filter(fits).map(String::into_bytes)
}

/// The fields of a JSON object, in order, by their places in its text.
struct Fields<'a> {
    text: &'a str,
    fields: Vec<Place<'a>>,
}

struct Place<'a> {
    key: Cow<'a, str>,
    value: &'a str,
    /// Where the value ends in the object's text.
    end: usize,
}

impl<'a> Fields<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let Pairs(pairs) = serde_json::from_str(text).ok()?;
        let place = |value: &str| value.as_ptr() as usize - text.as_ptr() as usize + value.len();
        let fields = pairs
            .into_iter()
            .map(|(key, value)| Place { key, value: value.get(), end: place(value.get()) })
            .collect();
        Some(Self { text, fields })
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.fields.iter().find(|field| field.key == key).map(|field| field.value)
    }

    /// The object's text without the fields `keys`.
    fn without(&self, keys: &[&str]) -> String {
        let mut out = String::with_capacity(self.text.len().min(64 << 10));
        let mut from = self.text.find('{').map_or(0, |brace| brace + 1);
        out.push_str(&self.text[..from]);
        let empty = out.len();
        for field in &self.fields {
            if !keys.contains(&field.key.as_ref()) {
                let piece = &self.text[from..field.end];
                let comma = piece.find(',').filter(|comma| piece[..*comma].trim_start().is_empty());
                let behind_comma = comma.filter(|_| out.len() == empty).map_or(0, |comma| comma + 1);
                out.push_str(&piece[behind_comma..]);
            }
            from = field.end;
        }
        out.push_str(&self.text[from..]);
        out
    }
}

/// Key and raw value of each field, in order.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for InOrder<'a> {
            type Value = Pairs<'a>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'a>, A::Error> {
                let mut pairs = Vec::with_capacity(24);
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    pairs.push((key, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}

/// `event` with `added` among its annotations, which are sorted by key as Go's encoder does.
fn annotated(event: &str, added: &[(&str, String)]) -> Option<String> {
    let fields = Fields::of(event)?;
    let Some(old) = fields.fields.iter().find(|field| field.key == "annotations") else {
        let close = event.rfind('}')?;
        let comma = if fields.fields.is_empty() { "" } else { "," };
        return Some(format!(
            "{}{comma}\"annotations\":{}{}",
            &event[..close],
            object(added),
            &event[close..]
        ));
    };
    let start = old.end - old.value.len();
    let annotations = with_added(old.value, added);
    Some(format!("{}{annotations}{}", &event[..start], &event[old.end..]))
}

/// `annotations` (or null) with `added` among them.
fn with_added(annotations: &str, added: &[(&str, String)]) -> String {
    let Some(annotations) = Fields::of(annotations) else { return object(added) };
    let mut pairs: Vec<(String, &str)> = annotations
        .fields
        .iter()
        .filter(|field| added.iter().all(|(key, _)| field.key != *key))
        .map(|field| (json::quoted(&field.key), field.value))
        .collect();
    for (key, value) in added {
        let key = json::quoted(key);
        let at = pairs.iter().position(|(other, _)| *other > key).unwrap_or(pairs.len());
        pairs.insert(at, (key, value));
    }
    let mut out = String::from("{");
    for (index, (key, value)) in pairs.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{key}:{value}");
    }
    out.push('}');
    out
}

fn object(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", pairs.join(","))
}

/// What identifies the event, and `annotations`.
fn identity_of(fields: &Fields<'_>, annotations: &[(&str, String)]) -> String {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for field in &fields.fields {
        let key = field.key.as_ref();
        let within = |key: &str| Fields::of(field.value).and_then(|inner| inner.get(key));
        let (key, value) = match key {
            "user" => {
                ("user", within("username").map_or("{}".into(), |name| format!("{{\"username\":{name}}}")))
            }
            "responseStatus" => {
                let code = within("code").map(|code| format!(",\"code\":{code}")).unwrap_or_default();
                ("responseStatus", format!("{{\"metadata\":{{}}{code}}}"))
            }
            "requestURI" => ("requestURI", "\"\"".into()),
            "objectRef" => ("objectRef", field.value.into()),
            other => match IDENTITY.iter().find(|identity| **identity == other) {
                Some(identity) => (*identity, field.value.into()),
                None => continue,
            },
        };
        pairs.push((key, value));
    }
    pairs.push(("annotations", object(annotations)));
    object(&pairs)
}

#[cfg(test)]
mod tests;
