//! Places in JSON text: members of an object, items of a list, where a value ends. Nothing is decoded or built.
//!
//! The text was checked before (by [`crate::event::Event::parse`]), so it is taken to be valid JSON. On any other bytes
//! nothing panics and nothing loops; what is found then means nothing.
//!
//! A *place* is a range of bytes of the text, without blanks around. [`Edits`] changes a text by its places.

pub(crate) mod block;
mod container;
mod edits;
mod steps;

use std::borrow::Cow;
use std::ops::Range;

use container::container_end;
pub use edits::Edits;
pub use steps::{Step, Steps, steps};

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The key with its quotes.
    pub key: Range<usize>,
    /// The value.
    pub value: Range<usize>,
}

/// The members of the object that begins at `start`; none if there is another value.
#[must_use]
pub fn members(text: &[u8], start: usize) -> Members<'_> {
    let at = if text.get(start) == Some(&b'{') { start + 1 } else { text.len() };
    Members { text, at }
}

/// See [`members`].
#[derive(Debug, Clone)]
pub struct Members<'a> {
    text: &'a [u8],
    at: usize,
}

impl Iterator for Members<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        let start = next_token(self.text, self.at);
        if self.text.get(start) != Some(&b'"') {
            self.at = self.text.len();
            return None;
        }
        let key = start..string_end(self.text, start);
        let colon = next_token(self.text, key.end);
        let value = value_at(self.text, next_token(self.text, colon + 1));
        self.at = behind_comma(self.text, value.end);
        Some(Member { key, value })
    }
}

/// The places of the items of the list that begins at `start`; none if there is another value.
#[must_use]
pub fn items(text: &[u8], start: usize) -> Items<'_> {
    let at = if text.get(start) == Some(&b'[') { start + 1 } else { text.len() };
    Items { text, at }
}

/// See [`items`].
#[derive(Debug, Clone)]
pub struct Items<'a> {
    text: &'a [u8],
    at: usize,
}

impl Iterator for Items<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = next_token(self.text, self.at);
        if matches!(self.text.get(start), None | Some(b']' | b',')) {
            self.at = self.text.len();
            return None;
        }
        let value = value_at(self.text, start);
        self.at = behind_comma(self.text, value.end);
        Some(value)
    }
}

/// The value of the last member with this key, as Go's decoder has it, of the object that begins at `start`.
#[must_use]
pub fn member(text: &[u8], start: usize, key: &str) -> Option<Range<usize>> {
    members(text, start)
        .filter(|member| is_text(&text[member.key.clone()], key))
        .last()
        .map(|found| found.value)
}

/// The place of the value that begins at `start`.
#[must_use]
pub fn value_at(text: &[u8], start: usize) -> Range<usize> {
    let end = match text.get(start) {
        None => start,
        Some(b'"') => string_end(text, start),
        Some(b'{' | b'[') => container_end(text, start),
        Some(_) => {
            let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
            text[start..].iter().position(is_end).map_or(text.len(), |length| start + length)
        }
    };
    start..end
}

/// Whether the string `quoted` (with its quotes) says `plain`. Copies nothing.
#[must_use]
pub fn is_text(quoted: &[u8], plain: &str) -> bool {
    match inside(quoted) {
        // An escape is longer than what it says, so nothing as short as this holds one and says this.
        Some(inside) if inside.len() <= plain.len() => inside == plain.as_bytes(),
        Some(inside) if !inside.contains(&b'\\') => false,
        Some(inside) => std::str::from_utf8(inside).is_ok_and(|inside| {
            let mut rest = Some(plain);
            for piece in Pieces(inside) {
                rest = rest.and_then(|rest| match piece {
                    Piece::Plain(text) => rest.strip_prefix(text),
                    Piece::Escape(char) => rest.strip_prefix(char),
                });
            }
            rest == Some("")
        }),
        None => false,
    }
}

/// What the string `quoted` (with its quotes) says; `None` of any other value. Copied only if it holds an escape. Half a
/// surrogate pair, which Go's encoder never writes, becomes U+FFFD as Go's decoder has it.
#[must_use]
pub fn unescaped(quoted: &[u8]) -> Option<Cow<'_, str>> {
    Some(without_escapes(std::str::from_utf8(inside(quoted)?).ok()?))
}

/// The same of what stands between the quotes, or of a part of it that divides no escape.
#[must_use]
pub fn without_escapes(inside: &str) -> Cow<'_, str> {
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    let mut text = String::with_capacity(inside.len());
    Pieces(inside).add_to(&mut text);
    Cow::Owned(text)
}

/// Adds what the string `quoted` (with its quotes) says to `out`; nothing of any other value.
pub fn unescape_into(quoted: &[u8], out: &mut String) {
    Pieces(inside(quoted).and_then(|inside| std::str::from_utf8(inside).ok()).unwrap_or_default())
        .add_to(out);
}

/// Adds what the text between the quotes of a string says to `out`.
pub fn unescape_inside_into(inside: &str, out: &mut String) {
    Pieces(inside).add_to(out);
}

/// `text` as a JSON string, escaped as kube-apiserver's encoder does.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = serde_json::to_string(text).unwrap_or_default();
    for (plain, escaped) in [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ] {
        if out.contains(plain) {
            out = out.replace(plain, escaped);
        }
    }
    out
}

/// The bytes between the quotes.
#[must_use]
pub fn inside(quoted: &[u8]) -> Option<&[u8]> {
    quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Where the next token begins, at `at` or behind blanks.
fn next_token(text: &[u8], at: usize) -> usize {
    let blanks = text.get(at..).map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_whitespace()).count());
    at + blanks
}

fn behind_comma(text: &[u8], value_end: usize) -> usize {
    let at = next_token(text, value_end);
    if text.get(at) == Some(&b',') { at + 1 } else { text.len() }
}

/// Past the closing quote of the string that opens at `open`.
#[must_use]
pub fn string_end(text: &[u8], open: usize) -> usize {
    /// Most strings are shorter, and to search in them takes longer than to look.
    const SHORT_BYTES: usize = 24;
    let mut at = open + 1;
    while at <= open + SHORT_BYTES {
        at += match text.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => 2,
            Some(_) => 1,
            None => return text.len(),
        };
    }
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// What is between the quotes of a string, escape by escape.
struct Pieces<'a>(&'a str);

enum Piece<'a> {
    Plain(&'a str),
    Escape(char),
}

impl Pieces<'_> {
    fn add_to(self, out: &mut String) {
        for piece in self {
            match piece {
                Piece::Plain(text) => out.push_str(text),
                Piece::Escape(char) => out.push(char),
            }
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let Some(escape) = self.0.strip_prefix('\\') else {
            let (plain, rest) = self.0.split_at(self.0.find('\\').unwrap_or(self.0.len()));
            self.0 = rest;
            return (!plain.is_empty()).then_some(Piece::Plain(plain));
        };
        let (char, length) = match escape.as_bytes().first() {
            Some(b'u') => unicode_escape(escape),
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            Some(b'"') => ('"', 1),
            Some(b'\\') => ('\\', 1),
            Some(b'/') => ('/', 1),
            _ => (char::REPLACEMENT_CHARACTER, 0),
        };
        self.0 = &escape[length..];
        Some(Piece::Escape(char))
    }
}

/// The character that `escape`, from its `u` on, stands for, and how many bytes of it do.
fn unicode_escape(escape: &str) -> (char, usize) {
    const ONE: usize = "u0000".len();
    let unit = |at: usize| u16::from_str_radix(escape.get(at + 1..at + ONE)?, 16).ok();
    let Some(first) = unit(0) else { return (char::REPLACEMENT_CHARACTER, 1) };
    let second = escape[ONE..].starts_with("\\u").then(|| unit(ONE + 1)).flatten();
    match char::decode_utf16([first].into_iter().chain(second)).next() {
        Some(Ok(char)) => (char, if char.len_utf16() == 2 { 2 * ONE + 1 } else { ONE }),
        _ => (char::REPLACEMENT_CHARACTER, ONE),
    }
}

#[cfg(test)]
mod tests;
