//! A batch: the events that travel in one request, and the position that is settled with them.
//!
//! *Line*: the bytes between two newlines. *Event*: a line that is an audit event. *Aside*: a line that will not be
//! shipped; it waits here, with its reason, until it has been written to the file of rejected events. *Item*: an event
//! as it stands in a list, which is its line without `kind` and `apiVersion` (kubernetes-audit.md, 5.2).
//!
//! Events are kept as items, each behind a comma, in buffers of one size: so the body of a list is these buffers, and
//! nothing is copied again. A batch is filled by `source::tail`, read by a sink, and gone when it is settled.

use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;

use crate::buffers::{Buffer, Buffers};
use crate::checkpoint::Cursor;
use crate::event::{ApiVersion, Event, Level};
use crate::{fingerprint, truncate};

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
    /// Bytes of an event's line with its newline; a larger event is truncated. `None`: events stay as they are.
    pub max_event_size: Option<usize>,
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
    /// Which buffer its item is in, and where.
    buffer: usize,
    range: Range<usize>,
    /// Whether its line does not begin as kube-apiserver's lines do, so that the item is the whole line.
    whole: bool,
    level: Level,
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
    buffers: Buffers,
    full: Vec<Bytes>,
    filling: Option<Buffer>,
    event_bytes: usize,
    records: Vec<Record>,
    asides: Vec<Aside>,
    aside_bytes: usize,
    truncated: u64,
    version: ApiVersion,
    first_stage_time: Option<Timestamp>,
    log_bytes: u64,
    end: Option<Cursor>,
}

impl Batch {
    /// An empty batch whose events go into `buffers`.
    #[must_use]
    pub fn new(buffers: Buffers) -> Self {
        Self {
            buffers,
            full: Vec::new(),
            filling: None,
            event_bytes: 0,
            records: Vec::new(),
            asides: Vec::new(),
            aside_bytes: 0,
            truncated: 0,
            version: ApiVersion::V1,
            first_stage_time: None,
            log_bytes: 0,
            end: None,
        }
    }

    /// Takes one line (without its newline) if it fits: an audit event as a record, anything else as an aside.
    ///
    /// This is the order of the stages: check, truncate.
    pub fn offer(&mut self, line: &[u8], origin: impl FnOnce() -> Origin, limits: &Limits) -> Offer {
        let event = match Event::parse(line) {
            Ok(event) => event,
            Err(malformed) => {
                return self.offer_aside(
                    aside(line, Reason::Malformed, malformed.to_string(), Some(origin())),
                    limits,
                );
            }
        };
        if !self.records.is_empty() && self.version != event.version {
            return Offer::Full;
        }
        let mut cut = None;
        if let Some(max) = limits.max_event_size.filter(|max| line.len() >= *max) {
            cut = truncate::fit(line, event.level, max);
            if cut.is_none() {
                let detail = format!("larger than {max} bytes even without all that is not its identity");
                return self.offer_aside(aside(line, Reason::TooLarge, detail, Some(origin())), limits);
            }
        }
        let fitting = cut.as_deref().unwrap_or(line);
        if !self.has_room(fitting.len(), limits) {
            return Offer::Full;
        }
        if self.records.is_empty() {
            self.version = event.version;
            self.first_stage_time = event.stage_timestamp.as_deref().and_then(|time| time.parse().ok());
        }
        self.append(fitting, event.level);
        self.truncated += u64::from(cut.is_some());
        self.log_bytes += line.len() as u64 + 1;
        Offer::Taken
    }

    /// Takes a line that is not to be shipped, if there is room for it.
    pub fn offer_aside(&mut self, aside: Aside, limits: &Limits) -> Offer {
        if !self.has_room(aside.line.len(), limits) {
            return Offer::Full;
        }
        self.log_bytes += aside.line_bytes + 1;
        self.aside_bytes += aside.line.len();
        self.asides.push(aside);
        Offer::Taken
    }

    fn has_room(&self, line_bytes: usize, limits: &Limits) -> bool {
        if self.lines() == 0 {
            return line_bytes <= limits.max_first_line_bytes;
        }
        let bytes = FRAMING_BYTES + self.event_bytes + self.aside_bytes;
        !self.is_full(limits) && bytes + line_bytes < limits.max_bytes
    }

    /// Whether nothing more can be taken, whatever it is.
    #[must_use]
    pub fn is_full(&self, limits: &Limits) -> bool {
        self.lines() >= limits.max_lines
    }

    /// Adds an event to the buffers, as an item behind a comma.
    fn append(&mut self, line: &[u8], level: Level) {
        let (opening, rest) = split(line, self.version);
        let bytes = 1 + opening.len() + rest.len();
        let full = self.filling.take_if(|buffer| !buffer.has_room(bytes));
        self.full.extend(full.map(Buffer::freeze));
        let buffer = self.filling.get_or_insert_with(|| self.buffers.take(bytes));
        buffer.push(b',');
        let start = buffer.len();
        buffer.extend_from_slice(opening);
        buffer.extend_from_slice(rest);
        let range = start..buffer.len();
        self.event_bytes += bytes;
        self.records.push(Record { buffer: self.full.len(), range, whole: opening.is_empty(), level });
    }

    /// No more lines will be offered: from now on its events can be read.
    pub fn seal(&mut self) {
        self.full.extend(self.filling.take().map(Buffer::freeze));
    }

    /// The items of some of its events, in pieces, with commas between them. Sealed batches only.
    #[must_use]
    pub fn items(&self, events: Range<usize>) -> Vec<Bytes> {
        let Some(records) = self.records.get(events).filter(|records| !records.is_empty()) else {
            return Vec::new();
        };
        let (first, last) = (&records[0], &records[records.len() - 1]);
        (first.buffer..=last.buffer)
            .map(|index| {
                let buffer = &self.full[index];
                let start = if index == first.buffer { first.range.start } else { 0 };
                let end = if index == last.buffer { last.range.end } else { buffer.len() };
                buffer.slice(start..end)
            })
            .collect()
    }

    /// The item of another line of its version.
    #[must_use]
    pub fn items_of_line(&self, line: &Bytes) -> Vec<Bytes> {
        let (opening, rest) = split(line, self.version);
        vec![Bytes::from_static(opening), line.slice_ref(rest)]
    }

    /// The log line of event `index`, without its newline. Sealed batches only.
    #[must_use]
    pub fn line(&self, index: usize) -> Vec<u8> {
        let record = &self.records[index];
        let item = &self.full[record.buffer][record.range.clone()];
        if record.whole {
            item.to_vec()
        } else {
            [self.version.line_prefix().as_bytes(), &item[1..]].concat()
        }
    }

    /// How much kube-apiserver recorded of event `index`.
    #[must_use]
    pub fn level(&self, index: usize) -> Level {
        self.records[index].level
    }

    /// What is written to the file of rejected events when event `index` cannot be shipped. Sealed batches only.
    #[must_use]
    pub fn aside_of(
        &self,
        index: usize,
        reason: Reason,
        detail: String,
        answer: Option<(u16, String)>,
    ) -> Aside {
        Aside { answer, ..aside(&self.line(index), reason, detail, None) }
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

    /// Number of its events.
    #[must_use]
    pub fn events(&self) -> usize {
        self.records.len()
    }

    /// How many of its events were cut to fit.
    #[must_use]
    pub fn truncated(&self) -> u64 {
        self.truncated
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

    /// Bytes of the events and asides that it holds. Its last buffer may be larger than what is in it.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.event_bytes + self.aside_bytes
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

/// `line` as an item: what it begins with, and the rest of the line. Nothing and all of it, if the line does not begin
/// as kube-apiserver's lines do; `kind` and `apiVersion` are legal in an item.
#[must_use]
pub fn split(line: &[u8], version: ApiVersion) -> (&'static [u8], &[u8]) {
    line.strip_prefix(version.line_prefix().as_bytes()).map_or((b"", line), |rest| (b"{", rest))
}

fn aside(line: &[u8], reason: Reason, detail: String, origin: Option<Origin>) -> Aside {
    Aside {
        reason,
        detail,
        answer: None,
        origin,
        line: line.to_vec(),
        line_bytes: line.len() as u64,
        sha256: fingerprint::hex(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { max_lines: 3, max_bytes: 10_000, max_first_line_bytes: 20_000, max_event_size: None };

    fn event(version: &str, padding: usize) -> Vec<u8> {
        let text = "x".repeat(padding);
        format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/{version}","stageTimestamp":"2026-11-22T02:22:50.248816Z","verb":"{text}"}}"#).into_bytes()
    }

    fn offer(batch: &mut Batch, line: &[u8]) -> Offer {
        batch.offer(line, || Origin { file: "audit.log".into(), offset: 7 }, &LIMITS)
    }

    #[test]
    fn ends_at_the_number_of_lines_events_and_asides_alike() {
        let mut batch = Batch::new(Buffers::default());
        assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Taken);
        assert_eq!(offer(&mut batch, b"garbage"), Offer::Taken);
        assert!(!batch.is_full(&LIMITS));
        assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Taken);
        assert!(batch.is_full(&LIMITS));
        assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Full);
        assert_eq!((batch.events(), batch.lines()), (2, 3));
        let asides = batch.take_asides();
        assert_eq!(asides[0].line, b"garbage");
        assert_eq!(asides[0].origin, Some(Origin { file: "audit.log".into(), offset: 7 }));
    }

    #[test]
    fn ends_before_the_body_would_be_too_large_and_a_larger_event_goes_alone() {
        let mut batch = Batch::new(Buffers::default());
        assert_eq!(offer(&mut batch, &event("v1", 5_000)), Offer::Taken);
        assert_eq!(offer(&mut batch, &event("v1", 5_000)), Offer::Full);
        let mut alone = Batch::new(Buffers::default());
        assert_eq!(offer(&mut alone, &event("v1", 15_000)), Offer::Taken);
        assert_eq!(offer(&mut alone, &event("v1", 1)), Offer::Full);
    }

    #[test]
    fn a_first_line_that_memory_has_no_room_for_is_left_for_later() {
        let mut batch = Batch::new(Buffers::default());
        assert_eq!(offer(&mut batch, &event("v1", 20_000)), Offer::Full);
        assert!(batch.is_empty());
    }

    #[test]
    fn never_mixes_versions() {
        let mut batch = Batch::new(Buffers::default());
        assert_eq!(offer(&mut batch, &event("v1beta1", 1)), Offer::Taken);
        assert_eq!(offer(&mut batch, &event("v1", 1)), Offer::Full);
        assert_eq!(batch.version(), ApiVersion::V1beta1);
    }

    #[test]
    fn what_is_too_large_is_cut_and_what_cannot_be_cut_is_set_aside() {
        let event = |level: &str, padding: usize| {
            let text = "x".repeat(padding);
            format!(
                r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"{level}","requestObject":"{text}"}}"#
            )
        };
        let exactly = event("Request", 199);
        let limits = Limits { max_lines: 9, max_event_size: Some(exactly.len() + 1), ..LIMITS };
        let stubborn =
            format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"{}"}}"#, "x".repeat(999));
        let mut batch = Batch::new(Buffers::default());
        for line in [&exactly, &event("Request", 200), &stubborn, &event("Request", 0)] {
            let origin = || Origin { file: "audit.log".into(), offset: 0 };
            assert_eq!(batch.offer(line.as_bytes(), origin, &limits), Offer::Taken);
        }
        batch.seal();
        assert_eq!((batch.events(), batch.truncated()), (3, 1));
        assert_eq!(batch.line(0), exactly.as_bytes(), "equal fits");
        assert!(batch.line(1).ends_with(br#""annotations":{"audit.k8s.io/truncated":"true"}}"#));
        assert_eq!(batch.line(2), event("Request", 0).as_bytes());
        let asides = batch.take_asides();
        assert_eq!((asides.len(), asides[0].reason), (1, Reason::TooLarge));
        assert_eq!(asides[0].line, stubborn.as_bytes());
    }

    #[test]
    fn items_of_any_events_are_the_buffers_with_commas_between() {
        let limits =
            Limits { max_lines: 9, max_bytes: 1 << 30, max_first_line_bytes: 1 << 30, max_event_size: None };
        let lines: Vec<Vec<u8>> =
            [1, 200_000, 100_000, 300_000, 2, 3].map(|padding| event("v1", padding)).into();
        let mut batch = Batch::new(Buffers::default());
        for line in &lines {
            batch.offer(line, || unreachable!("no line is set aside"), &limits);
        }
        batch.seal();
        for (start, end) in [(0, 6), (0, 1), (1, 3), (2, 6), (5, 6), (3, 3)] {
            let expect: Vec<Vec<u8>> = lines[start..end]
                .iter()
                .map(|line| {
                    let (opening, rest) = split(line, ApiVersion::V1);
                    [opening, rest].concat()
                })
                .collect();
            assert_eq!(batch.items(start..end).concat(), expect.join(&b','), "{start}..{end}");
        }
        for (index, line) in lines.iter().enumerate() {
            assert_eq!(&batch.line(index), line);
        }
    }
}
