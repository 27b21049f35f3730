//! The format of the Container Runtime Interface: `TIME STREAM TAGS TEXT`.
//!
//! The first of the tags, which are separated by colons, is `P` for a part that is not the last of its line and `F` for
//! one that is.

use super::{LONGEST_TIME, Part, Stream, Text, is_time, word};

/// More than any tags that there are.
const LONGEST_TAGS: usize = 64;

/// What a physical line holds; `None` if it is no line of this format.
pub(super) fn part(line: &[u8]) -> Option<Part<'_>> {
    let (time, rest) = word(line, LONGEST_TIME)?;
    let (stream, rest) = word(rest, "stdout".len())?;
    let stream = match stream {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    // Without a text the blank before it may be missing too.
    let (tags, text) = word(rest, LONGEST_TAGS).unwrap_or((rest, b""));
    let is_last = match tags.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    is_time(time).then_some(Part { stream, is_last, text: Text::Plain(text) })
}
