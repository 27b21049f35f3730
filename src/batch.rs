//! A batch: the events that travel in one request, and the position that is settled with them.
//!
//! *Line*: the bytes between two newlines, or a piece of them that holds an event glued to others. *Event*: a line that is an audit event. *Aside*: a line that will not be
//! shipped; it waits here, with its reason, until it has been written to the file of rejected events. *Item*: an event
//! as it stands in a list, which is its line without `kind` and `apiVersion` (kubernetes-audit.md, 5.2).
//!
//! Events are kept as items, each behind a comma, in buffers of one size: so the body of a list is these buffers, and
//! nothing is copied again. A batch is filled by `source::tail`, read by a sink, and gone when it is settled.

mod aside;
mod filtered;
mod offer;
mod skipped;
mod treatment;

use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;

use crate::buffers::{Buffer, Buffers};
use crate::checkpoint::Cursor;
use crate::event::{ApiVersion, Level};

pub use aside::{Aside, Origin, Reason};
pub use filtered::{Filtered, FilteredBy};
pub use skipped::{Skipped, may_be_torn_event};
pub use treatment::{Treating, Treatment};

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

/// One event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which buffer its item is in, and where.
    buffer: usize,
    range: Range<usize>,
    /// Whether its line does not begin as kube-apiserver's lines do, so that the item is the whole line.
    whole: bool,
    level: Level,
    /// Where its line came from; a gap record came from nowhere.
    origin: Option<Origin>,
}

/// What became of a line that was offered to a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is in the batch, as an event or as an aside; or the match or the policy has left it out.
    Taken,
    /// The batch is complete without it; offer it to the next one.
    Full,
    /// It is no event, but holds some: offer its pieces instead, each of which ends at one of these places.
    Glued(Vec<usize>),
}

/// The events that travel in one request.
#[derive(Debug)]
pub struct Batch {
    buffers: Buffers,
    treating: Option<Box<Treating>>,
    full: Vec<Bytes>,
    filling: Option<Buffer>,
    event_bytes: usize,
    records: Vec<Record>,
    asides: Vec<Aside>,
    aside_bytes: usize,
    truncated: u64,
    filtered: Filtered,
    skipped: Skipped,
    version: ApiVersion,
    first_stage_time: Option<Timestamp>,
    /// As it stands in the event, since most of them are never looked at.
    last_stage_time: String,
    log_bytes: u64,
    gap_record: bool,
    end: Option<Cursor>,
    finished: Vec<u64>,
}

impl Batch {
    /// An empty batch whose events go into `buffers`.
    #[must_use]
    pub fn new(buffers: Buffers) -> Self {
        Self {
            buffers,
            treating: None,
            full: Vec::new(),
            filling: None,
            event_bytes: 0,
            records: Vec::new(),
            asides: Vec::new(),
            aside_bytes: 0,
            truncated: 0,
            filtered: Filtered::default(),
            skipped: Skipped::default(),
            version: ApiVersion::V1,
            first_stage_time: None,
            last_stage_time: String::new(),
            log_bytes: 0,
            gap_record: false,
            end: None,
            finished: Vec::new(),
        }
    }

    /// The same, whose events are treated.
    #[must_use]
    pub fn with_treating(buffers: Buffers, treating: Option<Box<Treating>>) -> Self {
        Self { treating, ..Self::new(buffers) }
    }

    /// A batch of nothing but a gap record, which is a line of our own: it is in no book of what was read.
    #[must_use]
    pub fn of_gap_record(buffers: Buffers, line: &[u8]) -> Self {
        let mut batch = Self { gap_record: true, ..Self::new(buffers) };
        batch.append(line, Level::Metadata, None);
        batch
    }

    /// No more lines will be offered: from now on its events can be read. Gives back what has treated them, for the
    /// next batch.
    pub fn seal(&mut self) -> Option<Box<Treating>> {
        self.full.extend(self.filling.take().map(Buffer::freeze));
        let mut treating = self.treating.take();
        if let Some(treating) = &mut treating {
            treating.rest();
        }
        treating
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

    /// The item of event `index`, and whether it is the event's whole line. Sealed batches only.
    #[must_use]
    pub fn item(&self, index: usize) -> (&[u8], bool) {
        let record = &self.records[index];
        (&self.full[record.buffer][record.range.clone()], record.whole)
    }

    /// The same, as a part of its buffer.
    #[must_use]
    pub fn shared_item(&self, index: usize) -> (Bytes, bool) {
        let record = &self.records[index];
        (self.full[record.buffer].slice(record.range.clone()), record.whole)
    }

    /// The item of another line of its version, and whether that is the whole line.
    #[must_use]
    pub fn item_of_line(&self, line: &[u8]) -> (Bytes, bool) {
        let (opening, rest) = split(line, self.version);
        ([opening, rest].concat().into(), opening.is_empty())
    }

    /// Where the line of event `index` came from; a gap record came from nowhere.
    #[must_use]
    pub fn origin(&self, index: usize) -> Option<&Origin> {
        self.records[index].origin.as_ref()
    }

    /// The log line of event `index`, without its newline. Sealed batches only.
    #[must_use]
    pub fn line(&self, index: usize) -> Vec<u8> {
        let (item, is_line) = self.item(index);
        if is_line { item.to_vec() } else { [self.version.line_prefix().as_bytes(), &item[1..]].concat() }
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
        let origin = self.records[index].origin.clone();
        Aside { answer, ..Aside::of(&self.line(index), reason, detail, origin) }
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

    /// Events that were left out of it by the match or the policy.
    #[must_use]
    pub fn filtered(&self) -> &Filtered {
        &self.filtered
    }

    /// Lines that were passed over beside it, since they are none of an audit log.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
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

    /// Time of the last of its events that has one.
    #[must_use]
    pub fn last_stage_time(&self) -> Option<Timestamp> {
        self.last_stage_time.parse().ok()
    }

    /// Whether it is a gap record, and so nothing of the log.
    #[must_use]
    pub fn is_gap_record(&self) -> bool {
        self.gap_record
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

    /// Says how many bytes of the log the lines are that were taken since [`Self::log_bytes`] was `before`, where that is not
    /// their length.
    pub fn restate_log_bytes(&mut self, before: u64, bytes: u64) {
        self.log_bytes = before + bytes;
    }

    /// Position past its last line; `None` while nothing was read.
    #[must_use]
    pub fn end(&self) -> Option<&Cursor> {
        self.end.as_ref()
    }

    /// Files of which nothing is left to read once it is settled, by their sequence numbers.
    #[must_use]
    pub fn finished(&self) -> &[u64] {
        &self.finished
    }

    /// Says where reading stands, and which files that leaves behind.
    pub fn set_end(&mut self, end: Cursor, finished: Vec<u64>) {
        self.end = Some(end);
        self.finished.extend(finished);
    }
}

/// `line` as an item: what it begins with, and the rest of the line. Nothing and all of it, if the line does not begin
/// as kube-apiserver's lines do; `kind` and `apiVersion` are legal in an item.
#[must_use]
pub fn split(line: &[u8], version: ApiVersion) -> (&'static [u8], &[u8]) {
    line.strip_prefix(version.line_prefix().as_bytes()).map_or((b"", line), |rest| (b"{", rest))
}

#[cfg(test)]
mod tests;
