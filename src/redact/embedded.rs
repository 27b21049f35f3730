//! Objects that have no business in a body and yet are in it: manifests in custom resources, in lists of anything, and
//! as JSON in strings.

use std::ops::Range;

use memchr::memmem::Finder;

use super::pair::Pair;
use crate::json::{self, Step, steps};

/// Go's own limit. Deeper than this nobody looks: such a value is taken for the worst that it may be.
const DEEPEST: usize = 10_000;

/// A kind of objects, found by its name.
#[derive(Debug)]
pub(super) struct Kind {
    name: &'static str,
    list: &'static str,
    /// Keys of what is masked in it.
    keys: &'static [&'static str],
    finder: Finder<'static>,
    /// Of the name.
    pair: Pair,
}

/// What there is of a kind in a text.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Objects of it, and lists of these. None is within another.
    pub(super) objects: Vec<Range<usize>>,
    /// Strings that hold one, and what is too deep to tell.
    pub(super) opaque: Vec<Range<usize>>,
}

impl Kind {
    pub(super) fn secret() -> Self {
        Self {
            name: "Secret",
            list: "SecretList",
            keys: &["data", "stringData"],
            finder: Finder::new("\"Secret"),
            pair: Pair::of(b"Secret", 0, 5),
        }
    }

    pub(super) fn config_map() -> Self {
        Self {
            name: "ConfigMap",
            list: "ConfigMapList",
            keys: &["data", "binaryData"],
            finder: Finder::new("\"ConfigMap"),
            pair: Pair::of(b"ConfigMap", 0, 6),
        }
    }

    /// Lists of environment variables, whose kind is their key: found in strings alone.
    pub(super) fn env() -> Self {
        Self {
            name: "env",
            list: "env",
            keys: &["value"],
            finder: Finder::new("\"env"),
            pair: Pair::of(b"\"env", 0, 3),
        }
    }

    /// Whether one may be in there: its name is, in quotes, which in a string may be escaped any number of times.
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        // As a rule the first look decides.
        self.pair.may_be_in(text)
            && self.finder.find_iter(text).any(|at| {
                let rest = &text[at + 1 + self.name.len()..];
                begins_with_quote(rest.strip_prefix(b"List").unwrap_or(rest))
            })
    }

    /// All of it in the value at `place`.
    pub(super) fn find(&self, text: &[u8], place: Range<usize>) -> Found {
        let mut found = Found::default();
        // Where each object and list around begins, and whether it is of this kind.
        let mut around: Vec<(usize, bool)> = Vec::new();
        let mut steps = steps(text, place);
        while let Some(step) = steps.next() {
            match step {
                Step::Open(start) if around.len() == DEEPEST => {
                    let place = json::value_at(text, start);
                    steps.pass(place.end);
                    found.opaque.push(place);
                }
                Step::Open(start) => around.push((start, false)),
                Step::Close(end) => {
                    if let Some((start, true)) = around.pop() {
                        let is_outside = |inner: &mut Range<usize>| inner.start > start;
                        while found.objects.pop_if(is_outside).is_some() {}
                        found.objects.push(start..end);
                    }
                }
                Step::Key(key) if is_key(&text[key.clone()], "kind") => {
                    // Not the whole of a value that is no string: such values may lie within each other.
                    let Some(Step::Scalar(value)) = steps.clone().next() else { continue };
                    let value = &text[value];
                    let is_it = json::is_text(value, self.name) || json::is_text(value, self.list);
                    if let Some(object) = around.last_mut().filter(|_| is_it) {
                        object.1 = true;
                    }
                }
                Step::Key(_) => {}
                Step::Scalar(scalar) => {
                    if self.is_in_string(&text[scalar.clone()]) {
                        found.opaque.push(scalar);
                    }
                }
            }
        }
        found
    }

    /// Whether the JSON that a string holds, escaped any number of times, holds one with something to mask.
    fn is_in_string(&self, quoted: &[u8]) -> bool {
        let Some(inside) = json::inside(quoted).filter(|inside| self.may_be_in(inside)) else { return false };
        let begins_with_key = |rest: &[u8]| {
            self.keys.iter().any(|key| {
                let word = rest.get(..key.len());
                word.is_some_and(|word| word.eq_ignore_ascii_case(key.as_bytes()))
                    && begins_with_quote(&rest[key.len()..])
            })
        };
        memchr::memchr_iter(b'"', inside).any(|quote| begins_with_key(&inside[quote + 1..]))
            || has_escaped_letters(inside)
    }
}

/// Whether a letter is written as an escape. No encoder does so; who does has something to hide.
pub(super) fn has_escaped_letters(text: &[u8]) -> bool {
    memchr::memmem::find_iter(text, b"\\u00").any(|at| matches!(text.get(at + 4), Some(b'4'..=b'7')))
}

/// Whether the key `quoted` says `plain`, whatever its case.
pub(super) fn is_key(quoted: &[u8], plain: &str) -> bool {
    match json::inside(quoted) {
        Some(inside) if !inside.contains(&b'\\') => inside.eq_ignore_ascii_case(plain.as_bytes()),
        _ => json::unescaped(quoted).is_some_and(|text| text.eq_ignore_ascii_case(plain)),
    }
}

fn begins_with_quote(text: &[u8]) -> bool {
    text.iter().find(|byte| **byte != b'\\') == Some(&b'"')
}
