//! What of an event goes with its entry as structured metadata: what people search by, and too many values for labels.

use std::borrow::Cow;

use crate::event::{Field, Parts};
use crate::json;

/// Bytes of a value at most, so that all are far from Loki's limit of 64 KiB an entry: a client chooses some of them.
const MAX_VALUE_BYTES: usize = 2048;

/// Not `level`, which Loki takes for a severity.
const FIELDS: [(&str, Field); 4] = [
    ("auditID", Field::AuditId),
    ("auditLevel", Field::Level),
    ("stage", Field::Stage),
    ("verb", Field::Verb),
];

const MEMBERS: [(&str, Field, &str); 6] = [
    ("user", Field::User, "username"),
    ("namespace", Field::ObjectRef, "namespace"),
    ("resource", Field::ObjectRef, "resource"),
    ("subresource", Field::ObjectRef, "subresource"),
    ("name", Field::ObjectRef, "name"),
    ("code", Field::ResponseStatus, "code"),
];

/// Of the event `item`, whose fields are at `parts`.
pub(super) fn of<'a>(item: &'a [u8], parts: &Parts) -> Vec<(&'static str, Cow<'a, str>)> {
    let fields = FIELDS.into_iter().map(|(name, field)| (name, parts.value(item, field)));
    let members = MEMBERS.into_iter().map(|(name, field, key)| {
        let value = parts.value(item, field).and_then(|json| json.get(json::member(json, 0, key)?));
        (name, value)
    });
    fields.chain(members).filter_map(|(name, value)| Some((name, text(value?)?))).collect()
}

/// A string or a number that says something.
fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let text = match value.first()? {
        b'"' => json::unescaped(value)?,
        b'{' | b'[' | b'n' => return None,
        _ => Cow::Borrowed(str::from_utf8(value).ok()?),
    };
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=text.len().min(MAX_VALUE_BYTES)).rev().find(fits).unwrap_or_default();
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    };
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_people_search_by() {
        let long = "ü".repeat(2000);
        let item = format!(
            r#"{{"level":"Metadata","auditID":"1","stage":"Panic","verb":"g\u0065t","user":{{"username":"{long}"}},"objectRef":{{"resource":"pods","namespace":"","name":null,"subresource":[1]}},"responseStatus":{{"metadata":{{}},"code":404}}}}"#
        );
        let parts = Parts::find(item.as_bytes()).unwrap();
        let found = of(item.as_bytes(), &parts);
        let expect = [
            ("auditID", "1"),
            ("auditLevel", "Metadata"),
            ("stage", "Panic"),
            ("verb", "get"),
            ("user", &long[..2048]),
            ("resource", "pods"),
            ("code", "404"),
        ];
        assert_eq!(found, expect.map(|(name, value)| (name, Cow::Borrowed(value))));
    }
}
