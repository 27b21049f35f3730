//! Docker's `json-file`: `{"log":"TEXT\n","stream":"stdout","attrs":{..},"time":"TIME"}`, always in this order.
//!
//! A text without a newline at its end is a part that is not the last of its line.

use memchr::memmem;

use super::{Part, Stream, Text};

const OPENING: &[u8] = br#"{"log":""#;
/// It cannot be within the text, where quotes are escaped.
const BEHIND_TEXT: &[u8] = br#"","stream":"std"#;

/// What a physical line holds; `None` if it is no line of this format.
///
/// In a line that a crash has torn, the text goes on with what was written next to it: then the escapes of that are
/// taken away too, and an event in it can be found.
pub(super) fn part(line: &[u8]) -> Option<Part<'_>> {
    let rest = line.strip_prefix(OPENING)?;
    let end = memmem::find(rest, BEHIND_TEXT)?;
    let (text, behind) = (str::from_utf8(&rest[..end]).ok()?, &rest[end + BEHIND_TEXT.len()..]);
    let (stream, behind) = match behind {
        [b'o', b'u', b't', b'"', behind @ ..] => (Stream::Stdout, behind),
        [b'e', b'r', b'r', b'"', behind @ ..] => (Stream::Stderr, behind),
        _ => return None,
    };
    // What was written next to a torn line must not be lost with it.
    if !behind.trim_ascii_end().ends_with(b"}") || memmem::find(behind, OPENING).is_some() {
        return None;
    }
    let (text, is_last) = match text.strip_suffix("\\n") {
        Some(before) if ends_in_whole_escapes(before) => (before, true),
        _ => (text, false),
    };
    Some(Part { stream, is_last, text: Text::Escaped(text) })
}

/// Whether a backslash behind it would begin an escape.
fn ends_in_whole_escapes(text: &str) -> bool {
    text.bytes().rev().take_while(|byte| *byte == b'\\').count().is_multiple_of(2)
}
