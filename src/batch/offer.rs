//! What goes into a batch, and as what.

use super::skipped::may_be_torn_event;
use super::treatment::Outcome;
use super::{Aside, Batch, FilteredBy, Limits, Offer, Origin, Reason, Record, split};
use crate::buffers::Buffer;
use crate::event::{Event, Level, Malformed, glued};
use crate::truncate;

/// Bytes that a request needs around its events: the list's head and tail.
const FRAMING_BYTES: usize = 128;
/// Bytes of a time of RFC 3339 with nanoseconds and an offset.
const LONGEST_TIME: usize = 35;

impl Batch {
    /// Takes one line (without its newline) if it fits: an audit event as a record, anything else as an aside, but for a
    /// line with events in it.
    ///
    /// This is the order of the stages: check, match, policy, redact, truncate.
    pub fn offer(&mut self, line: &[u8], origin: impl FnOnce() -> Origin, limits: &Limits) -> Offer {
        let malformed = match Event::parse(line) {
            Ok(event) => return self.offer_event(line, &event, origin, limits),
            Err(malformed) => malformed,
        };
        match glued::ends(line) {
            ends if ends.is_empty() => self.offer_malformed(line, &malformed, origin, limits),
            ends => Offer::Glued(ends),
        }
    }

    /// Takes a piece of a line with events in it: one of these, or what stands between them.
    pub fn offer_piece(&mut self, piece: &[u8], origin: impl FnOnce() -> Origin, limits: &Limits) -> Offer {
        match Event::parse(piece) {
            Ok(event) => self.offer_event(piece, &event, origin, limits),
            Err(malformed) => self.offer_malformed(piece, &malformed, origin, limits),
        }
    }

    /// Takes a line that a container wrote: an audit event or what may be left of one; anything else is passed over.
    pub fn offer_output(&mut self, line: &[u8], origin: impl FnOnce() -> Origin, limits: &Limits) -> Offer {
        let malformed = match Event::parse(line) {
            Ok(event) => return self.offer_event(line, &event, origin, limits),
            Err(malformed) => malformed,
        };
        match glued::ends(line) {
            ends if ends.is_empty() => self.offer_other_output(line, &malformed, origin, limits),
            ends => Offer::Glued(ends),
        }
    }

    /// Takes a piece of such a line, with events in it.
    pub fn offer_piece_of_output(
        &mut self,
        piece: &[u8],
        origin: impl FnOnce() -> Origin,
        limits: &Limits,
    ) -> Offer {
        match Event::parse(piece) {
            Ok(event) => self.offer_event(piece, &event, origin, limits),
            Err(malformed) => self.offer_other_output(piece, &malformed, origin, limits),
        }
    }

    fn offer_other_output(
        &mut self,
        text: &[u8],
        malformed: &Malformed,
        origin: impl FnOnce() -> Origin,
        limits: &Limits,
    ) -> Offer {
        if may_be_torn_event(text) {
            return self.offer_malformed(text, malformed, origin, limits);
        }
        self.skip(text.len());
        Offer::Taken
    }

    /// A line of so many bytes is passed over.
    pub fn skip(&mut self, bytes: usize) {
        self.skip_part(bytes + 1);
        self.skipped.lines += 1;
    }

    /// So many bytes of a line are passed over before its end.
    pub fn skip_part(&mut self, bytes: usize) {
        self.skipped.bytes += bytes as u64;
        self.log_bytes += bytes as u64;
    }

    /// Takes a line that is no event, for a reason of its own.
    pub fn offer_foreign(
        &mut self,
        line: &[u8],
        why: &str,
        origin: impl FnOnce() -> Origin,
        limits: &Limits,
    ) -> Offer {
        self.offer_aside(Aside::of(line, Reason::Malformed, why.to_owned(), Some(origin())), limits)
    }

    fn offer_malformed(
        &mut self,
        line: &[u8],
        malformed: &Malformed,
        origin: impl FnOnce() -> Origin,
        limits: &Limits,
    ) -> Offer {
        self.offer_aside(Aside::of(line, Reason::Malformed, malformed.to_string(), Some(origin())), limits)
    }

    fn offer_event(
        &mut self,
        line: &[u8],
        event: &Event<'_>,
        origin: impl FnOnce() -> Origin,
        limits: &Limits,
    ) -> Offer {
        if self.is_full(limits) || !self.records.is_empty() && self.version != event.version {
            return Offer::Full;
        }
        let Some(mut treating) = self.treating.take() else {
            return self.offer_result(line, line.len(), event, origin, limits);
        };
        let offer = match treating.treat(line, event) {
            Ok(Outcome::Unchanged) => self.offer_result(line, line.len(), event, origin, limits),
            Ok(Outcome::Changed(level)) => {
                // Only truncation asks for its parts, and finds them itself.
                let event = Event { level, parts: None, ..event.clone() };
                self.offer_result(treating.changed(), line.len(), &event, origin, limits)
            }
            Ok(Outcome::Filtered(by)) => {
                self.leave_out(by, line.len(), event);
                Offer::Taken
            }
            Err(malformed) => self.offer_malformed(line, &malformed, origin, limits),
        };
        // What it changes stands in it, so it was not here meanwhile.
        self.treating = Some(treating);
        offer
    }

    /// Takes what the treatment has left of an event of `log_bytes` bytes, cut to size.
    fn offer_result(
        &mut self,
        line: &[u8],
        log_bytes: usize,
        event: &Event<'_>,
        origin: impl FnOnce() -> Origin,
        limits: &Limits,
    ) -> Offer {
        let mut cut = None;
        if let Some(max) = limits.max_event_size.filter(|max| line.len() >= *max) {
            cut = truncate::fit_event(line, event, max);
            if cut.is_none() {
                let detail = format!("larger than {max} bytes even without all that is not its identity");
                let aside = Aside::of(line, Reason::TooLarge, detail, Some(origin()));
                return self.offer_aside_for(aside, log_bytes, limits);
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
        self.note_time(event.stage_timestamp.as_deref());
        self.append(fitting, event.level, Some(origin()));
        self.truncated += u64::from(cut.is_some());
        self.log_bytes += log_bytes as u64 + 1;
        Offer::Taken
    }

    /// An event of `log_bytes` bytes is not shipped, as this says.
    fn leave_out(&mut self, by: FilteredBy, log_bytes: usize, event: &Event<'_>) {
        let bytes = log_bytes as u64 + 1;
        self.note_time(event.stage_timestamp.as_deref());
        self.log_bytes += bytes;
        self.filtered.note(by, bytes);
    }

    /// Takes a line that is not to be shipped, if there is room for it.
    pub fn offer_aside(&mut self, aside: Aside, limits: &Limits) -> Offer {
        let log_bytes = usize::try_from(aside.line_bytes).unwrap_or(usize::MAX);
        self.offer_aside_for(aside, log_bytes, limits)
    }

    /// The same of a line that stands in the log with so many bytes.
    fn offer_aside_for(&mut self, aside: Aside, log_bytes: usize, limits: &Limits) -> Offer {
        if !self.has_room(aside.line.len(), limits) {
            return Offer::Full;
        }
        self.log_bytes += log_bytes as u64 + 1;
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

    fn note_time(&mut self, time: Option<&str>) {
        if let Some(time) = time.filter(|time| time.len() <= LONGEST_TIME) {
            self.last_stage_time.clear();
            self.last_stage_time.push_str(time);
        }
    }

    /// Adds an event to the buffers, as an item behind a comma.
    pub(super) fn append(&mut self, line: &[u8], level: Level, origin: Option<Origin>) {
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
        let (buffer, whole) = (self.full.len(), opening.is_empty());
        self.records.push(Record { buffer, range, whole, level, origin });
    }
}
