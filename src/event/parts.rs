//! Where the fields of an event are in its line.

use std::ops::Range;

use crate::json;

/// The fields that kube-apiserver writes into an event, in its order (kubernetes-audit.md, section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what the specification says")]
pub enum Field {
    Kind,
    ApiVersion,
    Level,
    AuditId,
    Stage,
    RequestUri,
    Verb,
    User,
    ImpersonatedUser,
    SourceIps,
    UserAgent,
    ObjectRef,
    ResponseStatus,
    RequestObject,
    ResponseObject,
    StageTimestamp,
    Annotations,
}

/// How many fields there are.
const COUNT: usize = Field::Annotations as usize + 1;

/// Each field with its key, quoted and with the colon, as kube-apiserver writes it.
const KEYS: [(Field, &str); COUNT] = [
    (Field::Kind, "\"kind\":"),
    (Field::ApiVersion, "\"apiVersion\":"),
    (Field::Level, "\"level\":"),
    (Field::AuditId, "\"auditID\":"),
    (Field::Stage, "\"stage\":"),
    (Field::RequestUri, "\"requestURI\":"),
    (Field::Verb, "\"verb\":"),
    (Field::User, "\"user\":"),
    (Field::ImpersonatedUser, "\"impersonatedUser\":"),
    (Field::SourceIps, "\"sourceIPs\":"),
    (Field::UserAgent, "\"userAgent\":"),
    (Field::ObjectRef, "\"objectRef\":"),
    (Field::ResponseStatus, "\"responseStatus\":"),
    (Field::RequestObject, "\"requestObject\":"),
    (Field::ResponseObject, "\"responseObject\":"),
    (Field::StageTimestamp, "\"stageTimestamp\":"),
    (Field::Annotations, "\"annotations\":"),
];

/// Where the values of an event's fields are in its line. Each field is there once at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// From and to; no value begins at 0.
    places: [(u32, u32); COUNT],
}

impl Parts {
    /// The places in `line`, a valid JSON object. `None` if one of the fields is there twice, so that nobody can tell
    /// which of them a reader would take; or if the line is longer than 4 GiB.
    #[must_use]
    pub fn find(line: &[u8]) -> Option<Self> {
        let mut parts = Self::default();
        let start = line.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let mut likely = 0;
        for member in json::members(line, start) {
            let key = &line[member.key];
            let is_plain = !key.contains(&b'\\');
            let is_it = |number: &usize| {
                let quoted = KEYS[*number].1;
                if is_plain {
                    quoted.strip_suffix(':').map(str::as_bytes) == Some(key)
                } else {
                    json::is_text(key, bare(quoted))
                }
            };
            // kube-apiserver writes them in this order.
            if let Some(number) = (likely..COUNT).chain(0..likely).find(is_it) {
                likely = number + 1;
                parts.note(number, member.value)?;
            }
        }
        Some(parts)
    }

    /// The place of a field's value.
    #[must_use]
    pub fn place(&self, field: Field) -> Option<Range<usize>> {
        let (start, end) = self.places[field as usize];
        (start > 0).then_some(start as usize..end as usize)
    }

    /// A field's value in `line`, which these are the places in.
    #[must_use]
    pub fn value<'a>(&self, line: &'a [u8], field: Field) -> Option<&'a [u8]> {
        line.get(self.place(field)?)
    }

    /// Notes the field of the event at `place`, which begins with its key; the key holds no escape, and nothing is blank.
    /// `likely` is the number of the field that most likely comes now. `None` if the field is there twice.
    #[expect(clippy::inline_always, reason = "as what calls it: the scan of a line has no time for calls")]
    #[inline(always)]
    pub(super) fn note_plain(&mut self, line: &[u8], place: Range<usize>, likely: &mut usize) -> Option<()> {
        let text = line.get(place.clone())?;
        // kube-apiserver writes them in this order, so the first guess is nearly always right.
        let is_it = |number: &usize| text.starts_with(KEYS[*number].1.as_bytes());
        let Some(number) = (*likely..COUNT).chain(0..*likely).find(is_it) else { return Some(()) };
        *likely = number + 1;
        self.note(number, place.start + KEYS[number].1.len()..place.end)
    }

    fn note(&mut self, number: usize, place: Range<usize>) -> Option<()> {
        let place = (u32::try_from(place.start).ok()?, u32::try_from(place.end).ok()?);
        (std::mem::replace(&mut self.places[number], place) == (0, 0)).then_some(())
    }
}

/// A key without its quotes and colon.
fn bare(quoted: &'static str) -> &'static str {
    quoted.trim_matches(['"', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn keys_stand_at_the_number_of_their_field() {
        assert!(KEYS.iter().enumerate().all(|(number, (field, _))| *field as usize == number));
    }

    #[test]
    fn fields_are_found_in_any_order_and_spelling() {
        let line = br#" { "stage" : "Panic", "x":{"verb":"no"}, "\u0076erb":"get" , "kind":"Event" } "#;
        let parts = Parts::find(line).unwrap();
        let value = |field| parts.value(line, field).map(|value| std::str::from_utf8(value).unwrap());
        assert_eq!(value(Field::Stage), Some("\"Panic\""));
        assert_eq!(value(Field::Verb), Some("\"get\""));
        assert_eq!(value(Field::Kind), Some("\"Event\""));
        assert_eq!(value(Field::User), None);
    }

    #[test]
    fn a_field_that_is_there_twice_has_no_place() {
        assert_eq!(Parts::find(br#"{"verb":"get","v\u0065rb":"list"}"#), None);
        assert!(Parts::find(br#"{"x":1,"x":2}"#).is_some(), "what nobody asks for may be there twice");
    }

    #[test]
    fn both_ways_find_the_same() {
        let line = br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","stage":"Panic","level":"Metadata","y":1,"annotations":{"a":"b"},"verb":"get"}"#;
        let event = Event::parse(line).unwrap();
        let quick = event.parts.unwrap();
        for (field, _) in KEYS {
            assert_eq!(quick.place(field), Parts::find(line).unwrap().place(field), "{field:?}");
        }
    }
}
