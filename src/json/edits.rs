//! Changes to a text, by place.

use std::borrow::Cow;
use std::ops::Range;

use super::members;

/// What takes the place of some ranges of a text. Everything else keeps its bytes. May be used again and again.
#[derive(Debug, Default)]
pub struct Edits {
    /// Not in order; none reaches into another.
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

    /// Writes `text` with all changes to `out`, which is emptied first, and forgets them.
    pub fn apply(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.edits.sort_unstable_by_key(|(range, _)| range.start);
        out.clear();
        let bytes = |bytes, (range, text): &(Range<usize>, Cow<'_, [u8]>)| {
            bytes + text.len() - range.len().min(bytes)
        };
        out.reserve(self.edits.iter().fold(text.len(), bytes));
        let mut from = 0;
        for (range, replacement) in self.edits.drain(..) {
            out.extend_from_slice(text.get(from..range.start).unwrap_or_default());
            out.extend_from_slice(&replacement);
            from = range.end;
        }
        out.extend_from_slice(text.get(from..).unwrap_or_default());
    }
}
