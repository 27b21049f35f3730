//! Changes to a text, by place.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Range;

use super::{members, next_token};

/// What takes the place of some ranges of a text. Everything else keeps its bytes. May be used again and again.
#[derive(Debug, Default)]
pub struct Edits {
    /// Not in order. Of two that lie within each other the outer one counts.
    edits: Vec<(Range<usize>, Cow<'static, [u8]>)>,
}

impl Edits {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Puts `text` in the place of `range`.
    pub fn replace(&mut self, range: Range<usize>, text: impl Into<Cow<'static, [u8]>>) {
        self.edits.push((range, text.into()));
    }

    /// Takes the members of the object that begins at `start` out of `text` for whose key (with its quotes) `goes` says
    /// so. Returns whether any members stay.
    pub fn remove_members(&mut self, text: &[u8], start: usize, mut goes: impl FnMut(&[u8]) -> bool) -> bool {
        let (mut stays, mut end_before) = (false, start + 1);
        let mut members = members(text, start).peekable();
        while let Some(member) = members.next() {
            if !goes(&text[member.key.clone()]) {
                stays = true;
            } else if stays {
                // With the comma before it.
                self.replace(end_before..member.value.end, &b""[..]);
            } else {
                // With the comma behind it, if there is one.
                let end = members.peek().map_or(member.value.end, |next| next.key.start);
                self.replace(member.key.start..end, &b""[..]);
            }
            end_before = member.value.end;
        }
        stays
    }

    /// Takes the members with these values out of an object in `text`. No key among them may hold a quote.
    pub fn remove_members_at<const N: usize>(&mut self, text: &[u8], mut values: [Option<Range<usize>>; N]) {
        values.sort_unstable_by_key(|value| value.as_ref().map(|value| value.start));
        let mut run: Option<Range<usize>> = None;
        for value in values.into_iter().flatten() {
            let Some(start) = key_start(text, value.start) else { continue };
            match &mut run {
                Some(run) if behind_comma(text, run.end) == start => run.end = value.end,
                _ => {
                    self.remove_run(text, run.take());
                    run = Some(start..value.end);
                }
            }
        }
        self.remove_run(text, run);
    }

    /// Takes out a run of members, and the comma before or behind it.
    fn remove_run(&mut self, text: &[u8], run: Option<Range<usize>>) {
        let Some(run) = run else { return };
        let before = last_token(text, run.start);
        let range = match before.filter(|before| text[*before] == b',') {
            Some(comma) => comma..run.end,
            None => run.start..behind_comma(text, run.end).max(run.end),
        };
        self.replace(range, &b""[..]);
    }

    /// Writes `text` with all changes to `out`, which is emptied first, and forgets them.
    pub fn apply(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.edits.sort_unstable_by_key(|(range, _)| (range.start, Reverse(range.end)));
        out.clear();
        let bytes = |bytes, (range, text): &(Range<usize>, Cow<'_, [u8]>)| {
            bytes + text.len() - range.len().min(bytes)
        };
        out.reserve(self.edits.iter().fold(text.len(), bytes));
        let mut from = 0;
        for (range, replacement) in self.edits.drain(..) {
            if range.start < from {
                continue;
            }
            out.extend_from_slice(text.get(from..range.start).unwrap_or_default());
            out.extend_from_slice(&replacement);
            from = range.end;
        }
        out.extend_from_slice(text.get(from..).unwrap_or_default());
    }
}

/// Where the last token before `end` ends: its last byte.
fn last_token(text: &[u8], end: usize) -> Option<usize> {
    text.get(..end)?.iter().rposition(|byte| !byte.is_ascii_whitespace())
}

/// Where the key begins whose value begins at `value_start`.
fn key_start(text: &[u8], value_start: usize) -> Option<usize> {
    let colon = last_token(text, value_start).filter(|at| text[*at] == b':')?;
    let close = last_token(text, colon).filter(|at| text[*at] == b'"')?;
    memchr::memrchr(b'"', &text[..close])
}

/// Where the token behind the comma behind `end` begins; `end` itself if there is no comma.
fn behind_comma(text: &[u8], end: usize) -> usize {
    let at = next_token(text, end);
    if text.get(at) == Some(&b',') { next_token(text, at + 1) } else { end }
}
