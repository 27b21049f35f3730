//! Real audit events, as many as one likes.
//!
//! `events.log.gz` holds lines recorded from a kube-apiserver: all verbs, all stages, up to 143 KB each. They are
//! replayed in *cycles*: the first as recorded; from the second on with new audit IDs, so that each line of a demo is
//! unique and can be found again by its content.

use std::io::Read;
use std::ops::Range;

use flate2::read::GzDecoder;
use memchr::{memchr_iter, memmem};
use sha2::{Digest, Sha256};

static EVENTS: &[u8] = include_bytes!("events.log.gz");
const AUDIT_ID: &[u8] = b"\"auditID\":\"";

/// An endless sequence of lines, the same at each run.
pub struct Replay {
    text: Vec<u8>,
    lines: Vec<Line>,
}

/// Where a line and its audit ID are in the text.
struct Line {
    line: Range<usize>,
    id: Range<usize>,
}

impl Replay {
    /// The events that come with the program.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the bundled events are part of the program")]
    pub fn bundled() -> Self {
        let mut text = Vec::new();
        GzDecoder::new(EVENTS).read_to_end(&mut text).expect("the bundled events are whole");
        Self::of(text)
    }

    fn of(text: Vec<u8>) -> Self {
        let mut start = 0;
        let lines = memchr_iter(b'\n', &text)
            .map(|newline| {
                let line = start..newline + 1;
                start = line.end;
                let id = id_in(&text[line.clone()]).expect("every bundled event has an audit ID");
                Line { id: line.start + id.start..line.start + id.end, line }
            })
            .collect();
        Self { text, lines }
    }

    /// Bytes of the longest line.
    pub(super) fn longest(&self) -> usize {
        self.lines.iter().map(|line| line.line.len()).max().unwrap_or_default()
    }

    /// Bytes of a line on average.
    pub(super) fn mean(&self) -> usize {
        self.text.len() / self.lines.len()
    }

    /// Puts the `n`-th line, with its newline, into `buffer`.
    #[expect(clippy::missing_panics_doc, reason = "a remainder is smaller than its divisor")]
    pub fn line(&self, n: u64, buffer: &mut Vec<u8>) {
        let count = self.lines.len() as u64;
        let cycle = n / count;
        let index = usize::try_from(n % count).expect("it is below a length");
        let Line { line, id } = &self.lines[index];
        buffer.clear();
        buffer.extend_from_slice(&self.text[line.clone()]);
        if cycle > 0 {
            let renamed = renamed(&self.text[id.clone()], cycle);
            buffer[id.start - line.start..id.end - line.start].copy_from_slice(renamed.as_bytes());
        }
    }
}

/// The audit ID of a line.
pub(super) fn audit_id(line: &[u8]) -> Option<&str> {
    str::from_utf8(&line[id_in(line)?]).ok()
}

/// The first key of that name is the event's own: only `kind`, `apiVersion` and `level` come before it.
fn id_in(line: &[u8]) -> Option<Range<usize>> {
    let start = memmem::find(line, AUDIT_ID)? + AUDIT_ID.len();
    Some(start..start + memchr::memchr(b'"', &line[start..])?)
}

/// Another UUID of version 4. It follows from the old one, so all stages of a request get the same.
fn renamed(id: &[u8], cycle: u64) -> String {
    let digest: [u8; 32] = Sha256::new_with_prefix(id).chain_update(cycle.to_be_bytes()).finalize().into();
    let bits = digest.iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn every_line_of_several_cycles_is_unique_and_the_first_is_as_recorded() {
        let replay = Replay::bundled();
        let count = replay.lines.len() as u64;
        let mut first_cycle = Vec::new();
        let mut unique = HashSet::new();
        let mut line = Vec::new();
        for n in 0..3 * count {
            replay.line(n, &mut line);
            if n < count {
                first_cycle.extend_from_slice(&line);
            }
            assert!(unique.insert(crate::receive::line_hash(&line)), "line {n}");
            assert_eq!(audit_id(&line).unwrap().len(), 36);
        }
        assert!(first_cycle == replay.text);
    }

    #[test]
    fn stages_of_a_request_stay_together() {
        let replay = Replay::bundled();
        let count = replay.lines.len() as u64;
        let mut new_ids: HashMap<String, String> = HashMap::new();
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for n in 0..count {
            replay.line(n, &mut old);
            replay.line(n + count, &mut new);
            assert_eq!(old.len(), new.len());
            let id = audit_id(&new).unwrap().to_owned();
            assert_eq!((&id[14..15], id[19..20].find(['8', '9', 'a', 'b'])), ("4", Some(0)), "{id}");
            let known = new_ids.entry(audit_id(&old).unwrap().to_owned()).or_insert_with(|| id.clone());
            assert_eq!(*known, id);
        }
        assert!(new_ids.len() < replay.lines.len(), "some requests have several stages");
    }

    #[test]
    fn the_mix_is_worth_a_demo() {
        let replay = Replay::bundled();
        let text = str::from_utf8(&replay.text).unwrap();
        for verb in ["create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"] {
            assert!(text.contains(&format!(r#""verb":"{verb}""#)), "{verb}");
        }
        for stage in ["RequestReceived", "ResponseStarted", "ResponseComplete"] {
            assert!(text.contains(&format!(r#""stage":"{stage}""#)), "{stage}");
        }
        assert!(replay.longest() > 100 << 10);
        assert!((500..5000).contains(&replay.mean()));
    }
}
