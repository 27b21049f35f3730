//! A batch: the events that travel in one request, in one buffer, and the position that is settled with them.
//!
//! *Line*: the bytes between two newlines. *Event*: a line that is an audit event. *Aside*: a line that will not be
//! shipped; it waits here, with its reason, until it has been written to the file of rejected events.
//! A batch is filled by `source::tail`, changed by `truncate`, encoded by a sink, and gone when it is settled.

use std::ops::Range;

use jiff::Timestamp;

use crate::checkpoint::Cursor;
use crate::event::{ApiVersion, Event};

/// Bytes that a request needs around its events: the list's head and tail.
const FRAMING_BYTES: usize = 128;

/// What may go into one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Lines, events and asides alike.
    pub max_lines: usize,
    /// Bytes of a request's body; a single larger event goes alone.
    pub max_bytes: usize,
    /// Bytes of the first line: what memory has room for. A longer one is left for later.
    pub max_first_line_bytes: usize,
}

/// Where a line came from, for the people who read the file of rejected events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Name of the file at the time, without its directory.
    pub file: String,
    /// Offset of the line in the uncompressed file.
    pub offset: u64,
}

/// A line that will not be shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Why.
    pub reason: Reason,
    /// What is wrong with it, in words without content.
    pub detail: String,
    /// The status and the beginning of the body of the endpoint's answer, where there was one.
    pub answer: Option<(u16, String)>,
    /// Where it came from; events that a sink refused no longer know.
    pub origin: Option<Origin>,
    /// The line, or the beginning of one that is too long to keep.
    pub line: Vec<u8>,
    /// Length of the whole line in bytes.
    pub line_bytes: u64,
    /// SHA-256 of the whole line.
    pub sha256: String,
}

/// Why a line is set aside; the `reason` of `error_total` and `audit_shipper_set_aside_events_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not an audit event.
    Malformed,
    /// The endpoint will not take it.
    Rejected,
    /// Too long to be held, cut or taken.
    TooLarge,
    /// An operator said `cursor skip`.
    Skipped,
}

impl Reason {
    /// The reasons that a running daemon has; `Skipped` is an operator's.
    pub const COUNTED: [Self; 3] = [Self::Malformed, Self::Rejected, Self::TooLarge];

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
            Self::Skipped => "skipped",
        }
    }
}

/// One event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    range: Range<usize>,
    /// How much kube-apiserver recorded.
    pub level: crate::event::Level,
}

/// What became of a line that was offered to a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is in the batch, as an event or as an aside.
    Taken,
    /// The batch is complete without it; offer it to the next one.
    Full,
}

/// The events that travel in one request.
#[derive(Debug)]
pub struct Batch {
    buf: Vec<u8>,
    records: Vec<Record>,
    asides: Vec<Aside>,
    aside_bytes: usize,
    version: ApiVersion,
    first_stage_time: Option<Timestamp>,
    log_bytes: u64,
    end: Option<Cursor>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            buf: Vec::new(),
            records: Vec::new(),
            asides: Vec::new(),
            aside_bytes: 0,
            version: ApiVersion::V1,
            first_stage_time: None,
            log_bytes: 0,
            end: None,
        }
    }
}

impl Batch {
    /// Takes one line (without its newline) if it fits: an audit event as a record, anything else as an aside.
    pub fn offer(&mut self, line: &[u8], origin: impl FnOnce() -> Origin, limits: &Limits) -> Offer {
        if !self.has_room(line.len(), limits) {
            return Offer::Full;
        }
        match Event::parse(line) {
            Ok(event) => {
                if self.records.is_empty() {
                    self.version = event.version;
                    self.first_stage_time = event.stage_timestamp.as_deref().and_then(|t| t.parse().ok());
                } else if self.version != event.version {
                    return Offer::Full;
                }
                let start = self.buf.len();
                self.buf.extend_from_slice(line);
                self.records.push(Record { range: start..self.buf.len(), level: event.level });
            }
            Err(malformed) => self.set_aside(Aside {
                reason: Reason::Malformed,
                detail: malformed.to_string(),
                answer: None,
                origin: Some(origin()),
                line: line.to_vec(),
                line_bytes: line.len() as u64,
                sha256: crate::fingerprint::hex(line),
            }),
        }
        self.log_bytes += line.len() as u64 + 1;
        Offer::Taken
    }

    /// Takes a line that is not to be shipped, if there is room for it.
    pub fn offer_aside(&mut self, aside: Aside, limits: &Limits) -> Offer {
        if !self.has_room(aside.line.len(), limits) {
            return Offer::Full;
        }
        self.log_bytes += aside.line_bytes + 1;
        self.set_aside(aside);
        Offer::Taken
    }

    fn has_room(&self, line_bytes: usize, limits: &Limits) -> bool {
        let lines = self.lines();
        if lines == 0 {
            return line_bytes <= limits.max_first_line_bytes;
        }
        let bytes = FRAMING_BYTES + self.buf.len() + self.records.len() + self.aside_bytes;
        lines < limits.max_lines && bytes + line_bytes < limits.max_bytes
    }

    /// Whether nothing more can be taken, whatever it is.
    #[must_use]
    pub fn is_full(&self, limits: &Limits) -> bool {
        self.lines() >= limits.max_lines
    }

    fn set_aside(&mut self, aside: Aside) {
        self.aside_bytes += aside.line.len();
        self.asides.push(aside);
    }

    /// Turns record `index` into other bytes, or into an aside; the other records keep their places.
    pub(crate) fn replace(&mut self, index: usize, line: &[u8]) {
        let start = self.buf.len();
        self.buf.extend_from_slice(line);
        self.records[index].range = start..self.buf.len();
    }

    /// Takes records out of the batch and sets them aside.
    pub(crate) fn evict(&mut self, evicted: Vec<(usize, Reason, String)>) {
        for (index, reason, detail) in evicted.into_iter().rev() {
            let aside = self.aside_of(index, reason, detail, None);
            self.records.remove(index);
            self.set_aside(aside);
        }
    }

    /// What is written to the file of rejected events when record `index` cannot be shipped.
    #[must_use]
    pub fn aside_of(
        &self,
        index: usize,
        reason: Reason,
        detail: String,
        answer: Option<(u16, String)>,
    ) -> Aside {
        let line = self.line(index);
        Aside {
            reason,
            detail,
            answer,
            origin: None,
            line: line.to_vec(),
            line_bytes: line.len() as u64,
            sha256: crate::fingerprint::hex(line),
        }
    }

    /// Whether it holds neither events nor asides.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines() == 0
    }

    /// Lines that it holds.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.records.len() + self.asides.len()
    }

    /// Its events.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The line of event `index`, without its newline.
    #[must_use]
    pub fn line(&self, index: usize) -> &[u8] {
        &self.buf[self.records[index].range.clone()]
    }

    /// Version of all its events.
    #[must_use]
    pub fn version(&self) -> ApiVersion {
        self.version
    }

    /// Time of its first event.
    #[must_use]
    pub fn first_stage_time(&self) -> Option<Timestamp> {
        self.first_stage_time
    }

    /// Takes the lines that will not be shipped out of it.
    pub fn take_asides(&mut self) -> Vec<Aside> {
        self.aside_bytes = 0;
        std::mem::take(&mut self.asides)
    }

    /// Bytes of memory that it and its request's body take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        2 * self.buf.len() + self.aside_bytes
    }

    /// Bytes of its lines as they stand in the log.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// Position past its last line; `None` while nothing was read.
    #[must_use]
    pub fn end(&self) -> Option<&Cursor> {
        self.end.as_ref()
    }

    /// Says where reading stands.
    pub fn set_end(&mut self, end: Cursor) {
        self.end = Some(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_lines: 3, max_bytes: 10_000, max_first_line_bytes: 20_000 };

    fn event(version: &str, padding: usize) -> Vec<u8> {
        let text = "x".repeat(padding);
        format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/{version}","stageTimestamp":"2026-11-22T02:22:50.248816Z","verb":"{text}"}}"#).into_bytes()
    }

    fn offer(batch: &mut Batch, line: &[u8]) -> Offer {
        batch.offer(line, || Origin { file: "audit.log".into(), offset: 7 }, &LIMITS)
    }

    #[test]
    fn ends_at_the_number_of_lines_events_and_asides_alike() {
        let mut batch = Batch::default();
        assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Taken);
        assert_eq!(offer(&mut batch, b"garbage"), Offer::Taken);
        assert!(!batch.is_full(&LIMITS));
        assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Taken);
        assert!(batch.is_full(&LIMITS));
        assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Full);
        assert_eq!((batch.records().len(), batch.lines()), (2, 3));
        let asides = batch.take_asides();
        assert_eq!(asides[0].line, b"garbage");
        assert_eq!(asides[0].origin, Some(Origin { file: "audit.log".into(), offset: 7 }));
    }

    #[test]
    fn ends_before_the_body_would_be_too_large_and_a_larger_event_goes_alone() {
        let mut batch = Batch::default();
        assert_eq!(offer(&mut batch, &event("v1", 5_000)), Offer::Taken);
        assert_eq!(offer(&mut batch, &event("v1", 5_000)), Offer::Full);
        let mut alone = Batch::default();
        assert_eq!(offer(&mut alone, &event("v1", 15_000)), Offer::Taken);
        assert_eq!(offer(&mut alone, &event("v1", 1)), Offer::Full);
    }

    #[test]
    fn a_first_line_that_memory_has_no_room_for_is_left_for_later() {
        let mut batch = Batch::default();
        assert_eq!(offer(&mut batch, &event("v1", 20_000)), Offer::Full);
        assert!(batch.is_empty());
    }

    #[test]
    fn never_mixes_versions() {
        let mut batch = Batch::default();
        assert_eq!(offer(&mut batch, &event("v1beta1", 1)), Offer::Taken);
        assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Full);
        assert_eq!(batch.version(), ApiVersion::V1beta1);
    }

    #[test]
    fn evicted_records_become_asides_and_the_others_keep_their_order() {
        let mut batch = Batch::default();
        for padding in [1, 2, 3] {
            offer(&mut batch, &event("v1", padding));
        }
        batch.evict(vec![(0, Reason::TooLarge, "a".into()), (2, Reason::TooLarge, "c".into())]);
        assert_eq!(batch.records().len(), 1);
        assert_eq!(batch.line(0), event("v1", 2));
        assert_eq!(batch.take_asides().len(), 2);
    }
}
