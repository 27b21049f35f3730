//! The quick check of a line: JSON by its bytes' neighbours, 64 bytes at a time.
//!
//! **Contract.** [`scan`] either proves that the line is one whole JSON object without blanks between its tokens, and an
//! event of a level that we know, whose texts hold no escapes; then it returns what the careful way of [`Event::parse`]
//! would. Or it returns `None`, which says nothing: the careful way decides. So what is seldom (blanks, a key with an
//! escape, a field that is there twice, more than 63 containers within each other) need not be understood here.
//!
//! # How
//!
//! To read token by token is to guess at each token what comes next, and the processor guesses wrong most of the time.
//! Here no byte is asked what it is. Each *block* becomes *masks*, one bit for a byte: its quotes, its commas, and so on
//! ([`crate::json::block`]). Which bytes are within strings follows from the quotes, and then almost all of JSON's grammar is about
//! neighbours: a comma comes after a value, a colon after a key and nowhere else. Such a rule is one operation for all 64
//! bytes. Masks are carried from block to block by a bit each.
//!
//! Only three things are looked at one by one: brackets, since a comma in an object is followed by a key; numbers and
//! words, which begin seldom; and what follows a backslash.
//!
//! A processor may compare 16 bytes at a time, 32 or all 64. It is asked which, and all of this is compiled for each.

use std::borrow::Cow;
use std::ops::Range;

use fearless_simd::{Level as Instructions, Simd, dispatch};

use super::{ApiVersion, Event, Field, Level, Parts};
use crate::json::block::{BLOCK_BYTES, FILLER, Marks, escaped, parity};

/// The stack of containers without any, and with nothing but the event itself.
const NOWHERE: u64 = 1;
const IN_EVENT: u64 = 0b11;

/// `line` as an event, if that can be told quickly.
pub(super) fn scan(line: &[u8]) -> Option<Event<'_>> {
    scan_with(Instructions::new(), line)
}

/// The same with `instructions`, whatever else this processor has.
fn scan_with(instructions: Instructions, line: &[u8]) -> Option<Event<'_>> {
    dispatch!(instructions, simd => scan_line(simd, line))
}

#[expect(clippy::inline_always, reason = "it is compiled for the instructions of its caller")]
#[inline(always)]
fn scan_line<S: Simd>(simd: S, line: &[u8]) -> Option<Event<'_>> {
    if line.first() != Some(&b'{') {
        return None;
    }
    let mut scan = Scan { line, containers: NOWHERE, field_start: 1, ..Scan::default() };
    let (blocks, rest) = line.as_chunks();
    for (index, block) in blocks.iter().enumerate() {
        scan.block(simd, block, u64::MAX, index * BLOCK_BYTES)?;
    }
    if !rest.is_empty() {
        let mut block = [FILLER; BLOCK_BYTES];
        block[..rest.len()].copy_from_slice(rest);
        scan.block(simd, &block, (1 << rest.len()) - 1, line.len() - rest.len())?;
    }
    scan.event()
}

/// What is known of the bytes before a block. A `u64` with no word about it is the bit of a mask for the byte just before.
#[derive(Default)]
struct Scan<'a> {
    line: &'a [u8],
    /// All ones within a string.
    in_string: u64,
    is_escaped: u64,
    ends_value: u64,
    opens: u64,
    is_scalar: u64,
    wants_key: u64,
    is_in_key: u64,
    ends_key: u64,
    /// The containers around, the innermost in the lowest bit, 1 for an object. Above the outermost stands a 1.
    containers: u64,
    /// The last blocks in a row with bytes outside ASCII.
    non_ascii: Range<usize>,
    /// Where the current field of the event begins.
    field_start: usize,
    parts: Parts,
    /// The field that most likely comes next.
    likely: usize,
}

/// The bytes behind those in `mask`.
#[expect(clippy::inline_always, reason = "the carried bits have to stay in registers")]
#[inline(always)]
fn behind(mask: u64, carried: &mut u64) -> u64 {
    let behind = mask << 1 | *carried;
    *carried = mask >> (u64::BITS - 1);
    behind
}

#[expect(clippy::inline_always, reason = "the state has to stay in registers: a third of the speed")]
impl<'a> Scan<'a> {
    /// Checks the block at `start` of the line; `valid` are its bytes that are of the line.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, block: &[u8; BLOCK_BYTES], valid: u64, start: usize) -> Option<()> {
        let marks = Marks::of(simd, block);
        if marks.has_non_ascii {
            if self.non_ascii.end < start {
                self.check_text()?;
                self.non_ascii.start = start;
            }
            self.non_ascii.end = self.line.len().min(start + BLOCK_BYTES);
        }
        if marks.has_control {
            return None;
        }
        let quotes = marks.quotes & !self.escaped(marks.backslashes, start)?;
        if quotes == 0 && self.in_string & !self.is_in_key == u64::MAX {
            return Some(());
        }
        // From an opening quote to before the closing one.
        let strings = parity(quotes) ^ self.in_string;
        self.in_string = (strings >> (u64::BITS - 1)).wrapping_neg();
        let outside = !strings;
        let (begins, ends) = (quotes & strings, quotes & outside);
        let (opening, closing) = (marks.opening & outside, marks.closing & outside);
        let (colons, commas) = (marks.colons & outside, marks.commas & outside);
        // Numbers and words, and whatever does not belong there.
        let scalars = outside & !(ends | opening | closing | colons | commas) & valid;
        let scalar_begins = scalars & !behind(scalars, &mut self.is_scalar);
        let (in_object, in_event) = self.enter_and_leave(opening, closing, marks.curly, start)?;

        let after_value = behind(ends | closing | scalars, &mut self.ends_value);
        let after_opening = behind(opening, &mut self.opens);
        let wants_key = behind(opening & marks.curly | commas & in_object, &mut self.wants_key);
        // To add a bit at the begin of a string clears the string and sets the bit behind it: that is its closing quote.
        let (sum, carried) = strings.overflowing_add(begins & wants_key | self.is_in_key);
        self.is_in_key = u64::from(carried);
        let (keys, key_ends) = (strings & !sum, outside & sum);
        let after_key = behind(key_ends, &mut self.ends_key);

        let wrong = commas & !after_value
            | closing & !after_value & !after_opening
            | (begins | opening | scalar_begins) & after_value
            | wants_key & valid & !(begins | closing)
            | colons ^ after_key
            | marks.backslashes & keys & in_event;
        if wrong != 0 {
            return None;
        }
        each(scalar_begins, |bit| self.scalar(start + bit))?;
        each(commas & in_event, |bit| self.field(start + bit))
    }

    /// The bytes that a backslash stands before, if they may stand there.
    #[inline(always)]
    fn escaped(&mut self, backslashes: u64, start: usize) -> Option<u64> {
        let escaped = escaped(backslashes, &mut self.is_escaped);
        each(escaped, |bit| match self.line.get(start + bit..)? {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(()),
            [b'u', hex @ ..] => hex.get(..4)?.iter().all(u8::is_ascii_hexdigit).then_some(()),
            _ => None,
        })?;
        Some(escaped)
    }

    /// Follows the brackets. Returns which bytes have an object around them, and which have nothing but the event.
    #[inline(always)]
    fn enter_and_leave(
        &mut self,
        opening: u64,
        closing: u64,
        curly: u64,
        start: usize,
    ) -> Option<(u64, u64)> {
        // What is empty has nothing within it.
        let empty = opening & closing >> 1 & !(curly ^ curly >> 1);
        let brackets = (opening | closing) & !(empty | empty << 1);
        let all_if = |condition: bool| u64::from(condition).wrapping_neg();
        let mut in_object = all_if(self.containers & 1 == 1);
        let mut in_event = all_if(self.containers == IN_EVENT);
        let mut wrong = 0;
        each(brackets, |bit| {
            let (opens, kind) = (opening >> bit & 1, curly >> bit & 1);
            let too_deep = opens & self.containers >> (u64::BITS - 1);
            let other_kind = (1 ^ opens) & (self.containers ^ kind);
            wrong |= too_deep | other_kind & 1;
            let (entered, left) = (self.containers << 1 | kind, self.containers >> 1);
            self.containers = if opens == 1 { entered } else { left };
            // The event ends where the line does.
            if self.containers <= NOWHERE && start + bit + 1 != self.line.len() {
                return None;
            }
            let from = u64::MAX << bit;
            in_object = in_object & !from | all_if(self.containers & 1 == 1) & from;
            in_event = in_event & !from | all_if(self.containers == IN_EVENT) & from;
            Some(())
        })?;
        (wrong == 0).then_some((in_object, in_event))
    }

    /// The field of the event that ends before `end`.
    #[inline(always)]
    fn field(&mut self, end: usize) -> Option<()> {
        self.parts.note_plain(self.line, self.field_start..end, &mut self.likely)?;
        self.field_start = end + 1;
        Some(())
    }

    /// A number or word, and what comes behind it.
    fn scalar(&self, start: usize) -> Option<()> {
        let text = self.line.get(start..)?;
        let rest = match text.first()? {
            b't' => text.strip_prefix(b"true")?,
            b'f' => text.strip_prefix(b"false")?,
            b'n' => text.strip_prefix(b"null")?,
            _ => behind_number(text)?,
        };
        matches!(rest.first()?, b',' | b'}' | b']').then_some(())
    }

    /// Checks UTF-8 where there is more than ASCII. No character reaches beyond such blocks, since each of its bytes is
    /// outside ASCII.
    fn check_text(&self) -> Option<()> {
        simdutf8::basic::from_utf8(self.line.get(self.non_ascii.clone())?).is_ok().then_some(())
    }

    /// The event, once all blocks were checked.
    fn event(mut self) -> Option<Event<'a>> {
        if self.containers != NOWHERE {
            return None;
        }
        self.field(self.line.len() - 1)?;
        self.check_text()?;
        let quoted = |field| self.parts.value(self.line, field);
        if quoted(Field::Kind)? != b"\"Event\"" {
            return None;
        }
        let version = match quoted(Field::ApiVersion)? {
            b"\"audit.k8s.io/v1\"" => ApiVersion::V1,
            b"\"audit.k8s.io/v1beta1\"" => ApiVersion::V1beta1,
            b"\"audit.k8s.io/v1alpha1\"" => ApiVersion::V1alpha1,
            _ => return None,
        };
        let level = match quoted(Field::Level)? {
            b"\"RequestResponse\"" => Level::RequestResponse,
            b"\"Request\"" => Level::Request,
            b"\"Metadata\"" => Level::Metadata,
            _ => return None,
        };
        let stage_timestamp = match quoted(Field::StageTimestamp) {
            Some(time) => Some(Cow::Borrowed(plain_text(time)?)),
            None => None,
        };
        Some(Event { version, level, stage_timestamp, parts: Some(self.parts) })
    }
}

/// What a string without escapes says.
fn plain_text(quoted: &[u8]) -> Option<&str> {
    let inside = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inside.contains(&b'\\') { None } else { str::from_utf8(inside).ok() }
}

/// Calls `check` with the number of each bit in `mask`, until one fails.
#[expect(clippy::inline_always, reason = "as the methods that call it")]
#[inline(always)]
fn each(mut mask: u64, mut check: impl FnMut(usize) -> Option<()>) -> Option<()> {
    while mask != 0 {
        check(mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
    }
    Some(())
}

/// What is behind the number that `text` begins with.
fn behind_number(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let mut rest = match text.strip_prefix(b"0") {
        Some(rest) => rest,
        None => behind_digits(text)?,
    };
    if let Some(fraction) = rest.strip_prefix(b".") {
        rest = behind_digits(fraction)?;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let digits = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        rest = behind_digits(digits)?;
    }
    Some(rest)
}

fn behind_digits(text: &[u8]) -> Option<&[u8]> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 { None } else { text.get(count..) }
}

#[cfg(test)]
mod tests;
