//! Strings of an event, cut short in its text.

use std::fmt::Write as _;

use super::{IDENTITY, ORIGINAL_SHA256, ORIGINAL_SIZE, TRUNCATED};
use crate::json;

/// What stands at the end of a string that was cut; kube-apiserver's own mark in user agents.
pub(super) const CUT_MARK: &str = "...TRUNCATED";

/// `event` with every string that is not part of its identity cut to at most `keep` bytes and a mark.
pub(super) fn cut_strings(event: &str, keep: usize) -> String {
    let mut out = String::with_capacity(event.len());
    let (mut containers, mut is_key) = (Vec::new(), false);
    // The keys that lead to the current value: the event's, and the one below it.
    let mut path: [&str; 2] = ["", ""];
    let mut at = 0;
    while let Some(byte) = event.as_bytes().get(at) {
        if *byte != b'"' {
            match byte {
                b'{' | b'[' => containers.push(*byte),
                b'}' | b']' => drop(containers.pop()),
                _ => {}
            }
            is_key = matches!(byte, b'{' | b',') && containers.last() == Some(&b'{');
            out.push(char::from(*byte));
            at += 1;
            continue;
        }
        let end = json::string_end(event.as_bytes(), at);
        let text = &event[at + 1..end - 1];
        if is_key && containers.len() <= 2 {
            path[containers.len() - 1] = text;
            path[containers.len()..].fill("");
        }
        let cut = !is_key && text.len() > keep + CUT_MARK.len() && !is_identity(path);
        if cut {
            let _ = write!(out, "\"{}{CUT_MARK}\"", &text[..boundary(text, keep)]);
        } else {
            out.push_str(&event[at..end]);
        }
        is_key = false;
        at = end;
    }
    out
}

fn is_identity(path: [&str; 2]) -> bool {
    match path {
        ["objectRef", _] | ["user", "username"] => true,
        ["annotations", key] => [TRUNCATED, ORIGINAL_SIZE, ORIGINAL_SHA256].contains(&key),
        [key, _] => IDENTITY.contains(&key),
    }
}

/// The last place at or before `keep` in the inside of a JSON string where it can be cut: not within a character, an
/// escape or a pair of surrogates.
pub(super) fn boundary(text: &str, keep: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < keep {
        let unit = match bytes[at] {
            b'\\' if bytes.get(at + 1) == Some(&b'u') => {
                let high = matches!(
                    bytes.get(at + 2..at + 4),
                    Some([b'd' | b'D', b'8'..=b'9' | b'a'..=b'b' | b'A'..=b'B'])
                );
                if high && bytes.get(at + 6..at + 8) == Some(b"\\u") { 12 } else { 6 }
            }
            b'\\' => 2,
            _ => text[at..].chars().next().map_or(1, char::len_utf8),
        };
        if at + unit > keep {
            break;
        }
        at += unit;
    }
    at
}
