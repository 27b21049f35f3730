//! Events that stand on one line with something else: a writer that died within a line leaves a torn one, and its
//! successor's first event is glued to it.
//!
//! An event is found if it begins as kube-apiserver's do, or is the first thing that is left of the line, is whole and
//! checks, and is not followed by what goes on with a body that it is part of. That last rule is what keeps a torn line
//! from being a way in: a body holds what a client wrote, which may look like an event. In JSON a comma or a closing
//! bracket must follow it there, and neither can follow what a writer wrote next.
//!
//! What is found in a line depends only on what is left of it, so reading may go on between any two pieces.
//!
//! The work is linear in the line, whatever is in it. Where a text that was followed from one opening stops to be JSON,
//! every opening within it either was closed and had a comma or a bracket behind it, or would stop there as well; only
//! what was closed last can stand for itself. So the search goes on where it stopped.

use std::ops::Range;

use memchr::memmem;

use super::Event;

/// What kube-apiserver's lines begin with, in every version. It cannot be within a string, where quotes are escaped.
const OPENING: &[u8] = br#"{"kind":"Event","apiVersion":"audit.k8s.io/"#;
/// Bytes of an opening that may pass for JSON in the middle of a string: its brace and the quote that ends the string.
const OVERLAP: usize = 2;

/// UTF-8's mark of byte order, which some editors put before everything else.
pub const BOM: &[u8] = b"\xef\xbb\xbf";

/// What `line` or a piece of it says, without what is no part of an event: a mark of byte order before it and a carriage
/// return behind it. `None` if that is nothing. The length of the mark comes first.
#[must_use]
pub fn text_of(line: &[u8]) -> Option<(usize, &[u8])> {
    let text = line.strip_prefix(BOM).unwrap_or(line);
    let mark_bytes = line.len() - text.len();
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    (!text.iter().all(u8::is_ascii_whitespace)).then_some((mark_bytes, text))
}

/// Where `line`, which is no event itself, is to be cut so that each event in it is a piece of its own: the ends of all
/// pieces, the last of them its length. Empty if there is no event in it.
#[must_use]
pub fn ends(line: &[u8]) -> Vec<usize> {
    let opening = memmem::Finder::new(OPENING);
    let mut ends = Vec::new();
    let (mut at, mut free) = (0, 0);
    while let Some(start) = next_start(line, at, free, &opening) {
        let (stopped, last) = follow(line, start);
        at = stopped.saturating_sub(OVERLAP).max(start + 1);
        let Some(event) = last.filter(|last| stands_alone(line, last)) else { continue };
        if event.start > free {
            ends.push(event.start);
        }
        ends.push(event.end);
        (at, free) = (event.end, event.end);
    }
    if free > 0 && free < line.len() {
        ends.push(line.len());
    }
    ends
}

/// Where the next event may begin, at or after `at`; what is before `free` belongs to another.
fn next_start(line: &[u8], at: usize, free: usize, opening: &memmem::Finder<'_>) -> Option<usize> {
    if at == free {
        let bom = if line[at..].starts_with(BOM) { BOM.len() } else { 0 };
        let first = at + bom + blanks(&line[at + bom..]);
        if line.get(first) == Some(&b'{') {
            return Some(first);
        }
    }
    opening.find(&line[at..]).map(|found| at + found)
}

fn stands_alone(line: &[u8], event: &Range<usize>) -> bool {
    let rest = &line[event.end..];
    !matches!(rest.get(blanks(rest)), Some(b',' | b'}' | b']')) && Event::parse(&line[event.clone()]).is_ok()
}

fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count()
}

/// Follows the object that begins at `start` to its end, or to where it cannot be JSON. Returns that place, and the
/// object that was closed just before it, if it is the one at `start` or begins with an opening.
///
/// It takes whatever is JSON, and more (brackets that do not match, numbers of any form): that is for [`Event::parse`].
fn follow(line: &[u8], start: usize) -> (usize, Option<Range<usize>>) {
    let mut open: Vec<(usize, usize)> = Vec::new();
    let (mut at, mut depth, mut after_value, mut closed) = (start, 0_usize, false, None);
    while let Some(byte) = line.get(at) {
        let from = at;
        at += 1;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'{' | b'[' if !after_value => {
                depth += 1;
                if from == start || line[from..].starts_with(OPENING) {
                    open.push((depth, from));
                }
                closed = None;
                continue;
            }
            b'}' | b']' => {
                closed = open.pop_if(|(at_depth, _)| *at_depth == depth).map(|(_, begun)| begun..at);
                depth -= 1;
                if depth == 0 {
                    return (at, closed);
                }
                after_value = true;
                continue;
            }
            b',' if after_value => after_value = false,
            // An object is no key.
            b':' if after_value && closed.is_none() => after_value = false,
            b'"' if !after_value => {
                at += string(&line[at..]);
                after_value = true;
            }
            b'a'..=b'z' | b'0'..=b'9' | b'A'..=b'Z' | b'-' if !after_value => {
                at += scalar(&line[at..]);
                after_value = true;
            }
            _ => return (from, closed),
        }
        closed = None;
    }
    (line.len(), closed)
}

/// Length of the rest of a string, with its closing quote.
fn string(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &rest[at..]) {
        at += found + 1;
        if rest[at - 1] == b'"' {
            return at;
        }
        at = (at + 1).min(rest.len());
    }
    rest.len()
}

/// Length of the rest of a number or a word.
fn scalar(rest: &[u8]) -> usize {
    rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-')).count()
}

#[cfg(test)]
mod tests;
