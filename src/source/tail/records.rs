//! What a container wrote, or what is in the legacy form, into a batch: each span of the file record by record.
//!
//! The position is the beginning of a span until all of it is taken. Of a span that does not fit into one batch it is
//! remembered, in memory alone, how much is taken: a restart in between brings that once more.

use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::Timestamp;

use super::Open;
use super::carried::Left;
use super::take::too_large;
use crate::batch::{Batch, Limits, Offer, Origin, may_be_torn_event};
use crate::event::{Event, glued};
use crate::source::format::{Format, Record, Records, Stream, What, legacy};
use crate::source::reader::{Line, Reader};

const NOT_LEGACY: &str = "not a whole line of the legacy format";
/// A client chooses what is in a body, and of a long one also what stands where the runtime cuts the line.
const MAY_BE_WITHIN: &str = "it is the end of a torn line, of which it may be a part that a client wrote: no event is taken from there";

/// How much of the span at the reader's position is in batches that do not end behind it.
#[derive(Debug, Default)]
pub(super) struct Taken {
    records: usize,
    /// Of the record behind these, if events are glued together in it.
    pieces: usize,
}

/// What events may be glued together in.
#[derive(Clone, Copy)]
enum Kind {
    /// A physical line.
    Line,
    /// What a container wrote, which need not be an event.
    Output,
    /// The same without its end.
    Torn,
}

/// Where the pieces of a span are from.
struct Places<'a> {
    carried: &'a [Left],
    file: Arc<str>,
    offset: u64,
}

/// Where the records of one span go.
struct Taking<'a> {
    format: Format,
    places: Places<'a>,
    /// Whether the file goes on with what is carried.
    goes_on: bool,
    taken: &'a mut Taken,
    batch: &'a mut Batch,
    limits: &'a Limits,
}

impl Open {
    /// Whether a part of the span at the position is taken.
    pub(super) fn is_within_span(&self) -> bool {
        self.taken.records > 0 || self.taken.pieces > 0
    }

    /// Takes the spans that `next` shows, until the batch is full or a line shows that the log is in another format.
    pub(super) fn take_spans(
        &mut self,
        next: fn(&mut Reader) -> Option<(u64, Line<'_>)>,
        batch: &mut Batch,
        limits: &Limits,
    ) -> Offer {
        let file: Arc<str> = self.listed.entry.base.as_str().into();
        while let Some((offset, line)) = next(&mut self.reader) {
            if let Line::Whole(span) = &line
                && self.looks.is_wrong(self.format, first_line(span))
            {
                return Offer::Full;
            }
            let places = Places { carried: &self.carried, file: Arc::clone(&file), offset };
            let (format, goes_on, taken) = (self.format, self.goes_on, &mut self.taken);
            let mut taking = Taking { format, places, goes_on, taken, batch, limits };
            if taking.take_span(line, &mut self.records) == Offer::Full {
                self.note_before();
                return Offer::Full;
            }
            self.reader.consume();
            self.taken = Taken::default();
            self.has_taken_carried |= !self.carried.is_empty();
            self.carried = Arc::default();
        }
        self.note_before();
        Offer::Taken
    }
}

fn first_line(span: &[u8]) -> &[u8] {
    span.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

impl Places<'_> {
    /// The place of what stands `within` bytes behind the beginning of a record.
    fn of(&self, (piece, begin): (usize, usize), within: usize) -> Origin {
        let (file, offset) = match self.carried.get(piece) {
            Some(left) => (&left.file, left.offset),
            None => (&self.file, self.offset),
        };
        Origin { file: Arc::clone(file), offset: offset + (begin + within) as u64 }
    }
}

impl Taking<'_> {
    fn take_span(&mut self, line: Line<'_>, records: &mut Records) -> Offer {
        let (span, too_long) = match line {
            Line::Whole(span) | Line::Piece(span) => (Some(span), None),
            Line::TooLong(long) => (None, Some(long)),
        };
        let carried = self.places.carried;
        let own = span.map(|span| (self.goes_on, span));
        let pieces = carried.iter().map(|left| (left.goes_on, left.bytes.as_slice())).chain(own);
        let (done, mut number) = (self.taken.records, 0);
        let flow = records.each_of(pieces, |record| {
            number += 1;
            if number <= done {
                return ControlFlow::Continue(());
            }
            if self.take_record(&record) == Offer::Full {
                return ControlFlow::Break(());
            }
            self.taken.records += 1;
            self.taken.pieces = 0;
            ControlFlow::Continue(())
        });
        match too_long {
            _ if flow.is_break() => Offer::Full,
            Some(long) => {
                let origin = self.places.of((carried.len(), 0), 0);
                self.batch.offer_aside(too_large(long, origin), self.limits)
            }
            None => Offer::Taken,
        }
    }

    fn take_record(&mut self, record: &Record<'_>) -> Offer {
        let (before, is_begun) = (self.batch.log_bytes(), self.taken.pieces > 0);
        let offer = self.offer_record(record);
        if offer != Offer::Full && !is_begun {
            self.batch.restate_log_bytes(before, record.file_bytes);
        }
        offer
    }

    fn offer_record(&mut self, record: &Record<'_>) -> Offer {
        let Some((mark_bytes, text)) = glued::text_of(record.text) else {
            if matches!(record.what, What::Output(_)) {
                self.batch.skip(record.text.len());
            }
            return Offer::Taken;
        };
        let place = |within: usize| (record.begin, mark_bytes + within);
        if record.is_legacy() {
            return self.offer_legacy(text, place);
        }
        match record.what {
            What::Output(_) => self.offer_text(text, place, Kind::Output),
            // It is none of its line, which ends in another span.
            What::Torn(Stream::Stderr) if !may_be_torn_event(text) => {
                self.batch.skip_part(text.len());
                Offer::Taken
            }
            What::Torn(_) => self.offer_text(text, place, Kind::Torn),
            What::Line | What::Legacy => match self.format.wrong(text) {
                Some(why) => self.offer_foreign(text, why, place(0)),
                None if self.format == Format::Legacy => self.offer_legacy(text, place),
                None => self.offer_text(text, place, Kind::Line),
            },
        }
    }

    fn offer_foreign(&mut self, text: &[u8], why: &str, place: ((usize, usize), usize)) -> Offer {
        let Self { places, batch, limits, .. } = self;
        batch.offer_foreign(text, why, || places.of(place.0, place.1), limits)
    }

    /// Offers a text as it is, or, if events are glued together in it, each piece of it. What a container wrote need not be
    /// an event.
    fn offer_text(
        &mut self,
        text: &[u8],
        place: impl Fn(usize) -> ((usize, usize), usize),
        kind: Kind,
    ) -> Offer {
        let Self { places, taken, batch, limits, .. } = self;
        let origin = |within: usize| {
            let (record, within) = place(within);
            places.of(record, within)
        };
        let offer = match (taken.pieces, kind) {
            (0, Kind::Line) => batch.offer(text, || origin(0), limits),
            (0, Kind::Output | Kind::Torn) => batch.offer_output(text, || origin(0), limits),
            _ => Offer::Glued(glued::ends(text)),
        };
        let Offer::Glued(ends) = offer else { return offer };
        let mut begin = 0;
        for (number, end) in ends.into_iter().enumerate() {
            let from = std::mem::replace(&mut begin, end);
            if number < taken.pieces {
                continue;
            }
            if let Some((mark_bytes, piece)) = glued::text_of(&text[from..end]) {
                let origin = || origin(from + mark_bytes);
                let offer = match kind {
                    Kind::Line => batch.offer_piece(piece, origin, limits),
                    Kind::Torn if from > 0 && end == text.len() && Event::parse(piece).is_ok() => {
                        batch.offer_foreign(piece, MAY_BE_WITHIN, origin, limits)
                    }
                    Kind::Output | Kind::Torn => batch.offer_piece_of_output(piece, origin, limits),
                };
                if offer == Offer::Full {
                    return Offer::Full;
                }
            }
            taken.pieces += 1;
        }
        Offer::Taken
    }

    /// Offers the event that a line of the legacy form tells of; of two that are glued together, that of the second.
    fn offer_legacy(&mut self, text: &[u8], place: impl Fn(usize) -> ((usize, usize), usize)) -> Offer {
        let (torn, whole) = match legacy::event(text) {
            Some(event) => (None, Some((0, event))),
            None => match legacy::glued(text).map(|at| (at, legacy::event(&text[at..]))) {
                Some((at, Some(event))) => (Some(&text[..at]), Some((at, event))),
                _ => (Some(text), None),
            },
        };
        if let Some(torn) = torn.filter(|_| self.taken.pieces == 0) {
            if self.offer_foreign(torn, NOT_LEGACY, place(0)) == Offer::Full {
                return Offer::Full;
            }
            self.taken.pieces = 1;
        }
        let Some((at, event)) = whole else { return Offer::Taken };
        let ((record, within), Self { places, batch, limits, .. }) = (place(at), self);
        batch.offer_piece(&event, || places.of(record, within), limits)
    }
}

/// Time of the first event that can be read in `text`, some lines of the log.
pub(super) fn first_time(format: Format, text: &[u8]) -> Option<Timestamp> {
    let time_of = |line: &[u8]| Event::parse(line).ok()?.stage_timestamp?.parse().ok();
    if format.is_plain() {
        return time_of(first_line(text));
    }
    let mut time = None;
    let _ = Records::of(format).each(text, |record| {
        let made = if record.is_legacy() { legacy::event(record.text) } else { None };
        time = time_of(made.as_deref().unwrap_or(record.text));
        if time.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    time
}
