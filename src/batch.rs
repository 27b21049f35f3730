//! A batch: the events that travel in one request, and the position that is settled with them.
//!
//! *Line*: the bytes between two newlines. *Event*: a line that is an audit event. *Aside*: a line that will not be
//! shipped; it waits here, with its reason, until it has been written to the file of rejected events. *Item*: an event
//! as it stands in a list, which is its line without `kind` and `apiVersion` (kubernetes-audit.md, 5.2).
//!
//! Events are kept as items, each behind a comma, in buffers of one size: so the body of a list is these buffers, and
//! nothing is copied again. A batch is filled by `source::tail`, read by a sink, and gone when it is settled.

mod aside;

use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;

use crate::buffers::{Buffer, Buffers};
use crate::checkpoint::Cursor;
use crate::event::{ApiVersion, Event, Level};
use crate::truncate;

pub use aside::{Aside, Origin, Reason};

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
                    Aside::of(line, Reason::Malformed, malformed.to_string(), Some(origin())),
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
                return self.offer_aside(Aside::of(line, Reason::TooLarge, detail, Some(origin())), limits);
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
        Aside { answer, ..Aside::of(&self.line(index), reason, detail, None) }
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

#[cfg(test)]
mod tests;
