//! Credentials in the query of a `requestURI`.
//!
//! The URI stands in the event as the client sent it, as a JSON string, in which Go's encoder writes `&` as `\u0026`.
//! Nothing is decoded but the name of a parameter, and the value of one that is masked.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2};

use super::key::{Key, is_mark};
use super::names::{is_credential_of_query, is_ordinary, percent_decoded};
use crate::json::{self, Edits};

/// A character that divides queries, plain and as an escape.
type Sign = (u8, &'static [u8]);

const AMPERSAND: Sign = (b'&', b"\\u0026");
const EQUALS: Sign = (b'=', b"\\u003d");

/// Masks the credentials in the query of the string at `place`.
pub(super) fn mask(text: &[u8], place: Range<usize>, key: &Key, edits: &mut Edits) {
    let Some(question) = text.get(place.clone()).and_then(|uri| memchr(b'?', uri)) else { return };
    // Without the closing quote.
    let end = place.end - 1;
    let mut from = place.start + question + 1;
    while from < end {
        if let Some(next) = behind_ordinary(text, from..end) {
            from = next;
            continue;
        }
        let next = find(text, from..end, AMPERSAND).unwrap_or(end..end);
        if let Some(value) = credential(text, from..next.start)
            && let Some(mark) = marked(&text[value.clone()], key)
        {
            edits.replace(value, mark.into_bytes());
        }
        from = next.end.max(from + 1);
    }
}

/// Where the next parameter begins, if this one is ordinary, as nearly all are.
fn behind_ordinary(text: &[u8], query: Range<usize>) -> Option<usize> {
    const ENDS_NAME: [bool; 256] = among(b"=&\\;?%");
    const ENDS_VALUE: [bool; 256] = among(b"&\\;?");
    let first = |from: usize, ends: &[bool; 256]| {
        let mut rest = text[from..query.end].iter();
        rest.position(|byte| ends[usize::from(*byte)]).map_or(query.end, |at| from + at)
    };
    let equals = first(query.start, &ENDS_NAME);
    if text[equals] != b'=' || !is_ordinary(&text[query.start..equals]) {
        return None;
    }
    let value_end = first(equals + 1, &ENDS_VALUE);
    let rest = &text[value_end..query.end];
    let (plain, escaped) = AMPERSAND;
    match rest.first() {
        None => Some(query.end),
        Some(byte) if *byte == plain => Some(value_end + 1),
        Some(_) => rest.starts_with(escaped).then_some(value_end + escaped.len()),
    }
}

/// A table of these bytes.
const fn among(bytes: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
}

/// The first `sign` within `range`. Escapes are passed over as a whole.
fn find(text: &[u8], range: Range<usize>, (plain, escaped): Sign) -> Option<Range<usize>> {
    let mut at = range.start;
    while let Some(found) = memchr2(plain, b'\\', text.get(at..range.end)?) {
        at += found;
        if text[at] == plain {
            return Some(at..at + 1);
        }
        if text[at..range.end].get(..escaped.len()).is_some_and(|six| six.eq_ignore_ascii_case(escaped)) {
            return Some(at..at + escaped.len());
        }
        at += 2;
    }
    None
}

/// The place of a parameter's value, if it is a credential. Some servers take `;` for `&`, and some clients add a query
/// to what has one already.
fn credential(text: &[u8], parameter: Range<usize>) -> Option<Range<usize>> {
    let mut from = parameter.start;
    loop {
        let end = memchr2(b';', b'?', &text[from..parameter.end]).map_or(parameter.end, |found| from + found);
        if let Some(sign) = find(text, from..end, EQUALS)
            && is_credential_name(&text[from..sign.start])
        {
            return Some(sign.end..parameter.end).filter(|value| !value.is_empty());
        }
        if end == parameter.end {
            return None;
        }
        from = end + 1;
    }
}

fn is_credential_name(raw: &[u8]) -> bool {
    if memchr2(b'%', b'\\', raw).is_none() {
        return is_credential_of_query(raw);
    }
    is_credential_of_query(&percent_decoded(&unescaped(raw)))
}

/// `None` if it is masked already.
fn marked(raw: &[u8], key: &Key) -> Option<String> {
    let text = unescaped(raw);
    let value = percent_decoded(&text);
    (!is_mark(&value)).then(|| key.mark(&value))
}

fn unescaped(raw: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(raw).map(json::without_escapes) {
        Ok(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        _ => Cow::Borrowed(raw),
    }
}
