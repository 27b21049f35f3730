//! The way through a value, whatever its depth, without recursion and without a stack.

use std::ops::Range;

use super::{next_token, string_end, value_at};

/// What stands next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A key of an object, with its quotes; its value comes next.
    Key(Range<usize>),
    /// A string, a number, a boolean or null.
    Scalar(Range<usize>),
    /// An object or a list begins here.
    Open(usize),
    /// One ends before here.
    Close(usize),
}

/// All that is in the value at `place`, in the order of the text.
#[must_use]
pub fn steps(text: &[u8], place: Range<usize>) -> Steps<'_> {
    Steps { text: text.get(..place.end).unwrap_or(text), at: place.start }
}

/// See [`steps`].
#[derive(Debug, Clone)]
pub struct Steps<'a> {
    text: &'a [u8],
    at: usize,
}

impl Steps<'_> {
    /// The place of the value that comes next, which is passed over.
    pub fn pass_value(&mut self) -> Range<usize> {
        let place = value_at(self.text, next_token(self.text, self.at));
        self.at = place.end;
        place
    }

    /// Goes on behind `end`.
    pub fn pass(&mut self, end: usize) {
        self.at = end;
    }
}

impl Iterator for Steps<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            let start = self.at;
            match self.text.get(start)? {
                b'"' => {
                    let end = string_end(self.text, start);
                    let colon = next_token(self.text, end);
                    let is_key = self.text.get(colon) == Some(&b':');
                    self.at = if is_key { colon + 1 } else { end };
                    return Some(if is_key { Step::Key(start..end) } else { Step::Scalar(start..end) });
                }
                b'{' | b'[' => {
                    self.at += 1;
                    return Some(Step::Open(start));
                }
                b'}' | b']' => {
                    self.at += 1;
                    return Some(Step::Close(self.at));
                }
                b',' | b':' => self.at += 1,
                byte if byte.is_ascii_whitespace() => self.at += 1,
                _ => {
                    let place = value_at(self.text, start);
                    self.at = place.end;
                    return Some(Step::Scalar(place));
                }
            }
        }
    }
}
