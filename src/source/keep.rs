//! The name under which a pin is kept over a restart, in systemd's descriptor store and in the spool alike.
//!
//! `pin-<log>-<sequence>-<kind>-<name>`: which log it is of, in 8 hexadecimal digits, since several may be kept at a time; the
//! sequence in 16, so that names sort by it; `gz` or `as` (as it was written); the file's name with `%XX` for each byte that
//! is not a plain one. That is what systemd takes as a descriptor's name and what any file system takes as a file's. A name
//! that would be too long loses its beginning: it is only a hint, a file is known by its content (invariant I10).

use std::fmt::Write as _;
use std::path::Path;

use crate::fingerprint;

/// The longest encoded key. systemd and the file systems stop at 255; the spool adds an ending of its own.
pub const KEY_BYTES: usize = 240;

const PREFIX: &str = "pin-";
const GZ: &str = "-gz-";
const AS_WRITTEN: &str = "-as-";
const LOG_DIGITS: usize = 8;
const SEQUENCE_DIGITS: usize = 16;
/// The longest form of a character: `%XX` for each of four bytes.
const LONGEST_CHAR: usize = 12;
const NAME_BYTES: usize = KEY_BYTES - PREFIX.len() - LOG_DIGITS - 1 - SEQUENCE_DIGITS - GZ.len();

/// Tells one log from another, by its path. A log whose directory has moved has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId(u32);

impl LogId {
    /// Of the log at `path`.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let hash = fingerprint::short(path.as_os_str().as_encoded_bytes());
        Self(u32::try_from(hash >> 32).unwrap_or_default())
    }
}

/// What is told of a pin beside its content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The log that it is a file of.
    pub log: LogId,
    /// Its place among the pins; the file that was written first has the lowest. Names it within one store.
    pub sequence: u64,
    /// Name of the file without directory and `.gz`; a hint, and not whole if it is very long.
    pub name: String,
    /// Whether the file is compressed.
    pub gz: bool,
}

impl Key {
    /// The key as text: at most [`KEY_BYTES`] plain ASCII characters, without blank, `:` and `/`.
    #[must_use]
    pub fn encode(&self) -> String {
        let kind = if self.gz { GZ } else { AS_WRITTEN };
        let pieces: Vec<String> = self.name.chars().map(encode_char).collect();
        let mut room = NAME_BYTES;
        let kept = pieces.iter().rev().take_while(|piece| {
            let fits = piece.len() <= room;
            room = room.saturating_sub(piece.len());
            fits
        });
        let name = pieces[pieces.len() - kept.count()..].concat();
        format!("{PREFIX}{:0LOG_DIGITS$x}-{:0SEQUENCE_DIGITS$x}{kind}{name}", self.log.0, self.sequence)
    }

    /// The key that [`Self::encode`] made `text` of; `None` for any other text.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let (log, rest) = text.strip_prefix(PREFIX)?.split_at_checked(LOG_DIGITS)?;
        let (sequence, rest) = rest.strip_prefix('-')?.split_at_checked(SEQUENCE_DIGITS)?;
        let log = LogId(u32::from_str_radix(log, 16).ok()?);
        let sequence = u64::from_str_radix(sequence, 16).ok()?;
        let (name, gz) = match (rest.strip_prefix(GZ), rest.strip_prefix(AS_WRITTEN)) {
            (Some(name), _) => (name, true),
            (_, Some(name)) => (name, false),
            _ => return None,
        };
        let key = Self { log, sequence, name: decode_name(name)?, gz };
        // One text for each key: nothing that merely looks like ours is taken, and no `/` comes in by `%2F`.
        (key.encode() == text).then_some(key)
    }
}

/// Whether a name that a key told may have lost its beginning.
#[must_use]
pub fn may_be_cut(name: &str) -> bool {
    let bytes: usize = name.chars().map(|c| encode_char(c).len()).sum();
    bytes + LONGEST_CHAR > NAME_BYTES
}

/// A base name holds neither `/` nor NUL; should one come nevertheless, the key stays a key.
fn encode_char(c: char) -> String {
    match c {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '-' | '_' => c.to_string(),
        '/' | '\0' => "_".to_owned(),
        _ => c.encode_utf8(&mut [0; 4]).bytes().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "%{byte:02X}");
            text
        }),
    }
}

fn decode_name(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => 16 * hex_digit(rest.next()?)? + hex_digit(rest.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_common_name_can_be_read() {
        let key = Key {
            log: LogId(0xbeef),
            sequence: 0x2a,
            name: "audit-2026-11-22T02-09-48.548.log".into(),
            gz: true,
        };
        assert_eq!(key.encode(), "pin-0000beef-000000000000002a-gz-audit-2026-11-22T02-09-48.548.log");
        let key = Key { log: LogId(u32::MAX), sequence: u64::MAX, name: "a b:%ü.log".into(), gz: false };
        assert_eq!(key.encode(), "pin-ffffffff-ffffffffffffffff-as-a%20b%3A%25%C3%BC.log");
        assert_eq!(Key::decode(&key.encode()), Some(key));
    }

    #[test]
    fn only_what_was_encoded_is_taken() {
        for text in [
            "",
            "stored",
            "pin-",
            "pin-0000beef",
            "pin-000000000000002a-gz-a",
            "pin-0000beef-000000000000002a",
            "pin-0000beef-000000000000002a-xx-a",
            "pin-0000beef-2a-gz-a",
            "pin-0000beef-+00000000000002a-gz-a",
            "pin-0000beef-000000000000002A-gz-a",
            "pin-0000BEEF-000000000000002a-gz-a",
            "pin-0000beefx000000000000002a-gz-a",
            "pin-0000beef-000000000000002a-gz-a%2Fb",
            "pin-0000beef-000000000000002a-gz-a%00",
            "pin-0000beef-000000000000002a-gz-a%61",
            "pin-0000beef-000000000000002a-gz-a%3a",
            "pin-0000beef-000000000000002a-gz-a%3",
            "pin-0000beef-000000000000002a-gz-a%",
            "pin-0000beef-000000000000002a-gz-%FF",
            "pin-0000beef-000000000000002a-gz-a/b",
            "pin-0000beef-000000000000002ü-gz-a",
            "pin-0000beeü-000000000000002a-gz-a",
        ] {
            assert_eq!(Key::decode(text), None, "{text}");
        }
        let too_long = format!("pin-0000beef-000000000000002a-gz-{}", "a".repeat(NAME_BYTES + 1));
        assert_eq!(Key::decode(&too_long), None);
    }

    proptest! {
        #![proptest_config(crate::properties::cases(256))]

        // Whatever the name, the key is one for systemd and for a file system, and it comes back as itself.
        #[test]
        fn any_key_is_a_name_and_comes_back(log: u32, sequence: u64, name: String, gz: bool, repeat in 0usize..40) {
            let key = Key { log: LogId(log), sequence, name: name.repeat(repeat), gz };
            let text = key.encode();
            prop_assert!(text.len() <= KEY_BYTES);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':' && byte != b'/'));
            let back = Key::decode(&text).unwrap();
            prop_assert_eq!((back.log, back.sequence, back.gz), (key.log, sequence, gz));
            let plain = key.name.replace(['/', '\0'], "_");
            prop_assert!(plain.ends_with(&back.name));
            prop_assert!(back.name == plain || (text.len() > KEY_BYTES - LONGEST_CHAR && may_be_cut(&back.name)));
            prop_assert_eq!(back.encode(), text);
        }

        #[test]
        fn no_text_makes_it_panic(text: String, tail: String) {
            let _ = Key::decode(&text);
            let _ = Key::decode(&format!("pin-0000beef-000000000000002a-gz-{tail}"));
        }

        #[test]
        fn keys_sort_by_sequence(a: u64, b: u64) {
            let text = |sequence| Key { log: LogId(7), sequence, name: "x".into(), gz: false }.encode();
            prop_assert_eq!(a.cmp(&b), text(a).cmp(&text(b)));
        }
    }
}
