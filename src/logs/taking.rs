//! What becomes of each line of a log: an event that is added to a sum, or something strange that is counted.

use std::ops::ControlFlow;

use jiff::Timestamp;

use crate::batch::may_be_torn_event;
use crate::event::{Event, Parts, glued};
use crate::source::format::{Records, What, legacy};
use crate::source::reader::Line;
use crate::tally::Amount;

/// What is made of the events of a log: by each thread one, and in the end all of them together.
pub trait Sum: Send {
    /// Adds an event.
    fn add(&mut self, line: &[u8], event: &Event<'_>, parts: &Parts);

    /// Adds all that `other` holds.
    fn merge(&mut self, other: Self);
}

/// What was found besides.
#[derive(Debug, Default)]
pub struct Found {
    /// The events that were added.
    pub events: Amount,
    /// Time of the earliest of them, and of the latest.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Events that are earlier than what was asked for.
    pub earlier: Amount,
    /// Events without a time, while one was asked for.
    pub undated: Amount,
    /// Lines that are no events.
    pub strange: Amount,
    /// Where the first of these is, and what is wrong with it.
    pub first_strange: Option<String>,
    /// Files that could not be read to their end, and why.
    pub failures: Vec<String>,
}

impl Found {
    /// Adds all that `other` found.
    pub fn merge(&mut self, other: Self) {
        self.events += other.events;
        self.earlier += other.earlier;
        self.undated += other.undated;
        self.strange += other.strange;
        self.times = match (self.times, other.times) {
            (Some(one), Some(two)) => Some((one.0.min(two.0), one.1.max(two.1))),
            (one, two) => one.or(two),
        };
        self.first_strange = self.first_strange.take().or(other.first_strange);
        self.failures.extend(other.failures);
    }
}

/// Takes line after line.
#[derive(Debug, Default)]
pub struct Taking<S> {
    /// What is made of the events.
    pub sum: S,
    /// What was found besides.
    pub found: Found,
    since: Option<Timestamp>,
}

impl<S: Sum> Taking<S> {
    /// Adds the events from `since` on to `sum`.
    #[must_use]
    pub fn new(sum: S, since: Option<Timestamp>) -> Self {
        Self { sum, found: Found::default(), since }
    }

    /// Takes a line, or what a container wrote: that is in `records`, and what in it is nothing of an audit log is passed over.
    pub fn span(&mut self, line: Line<'_>, records: &mut Records, name: &str, offset: u64) {
        let span = match line {
            Line::Whole(span) | Line::Piece(span) if !records.format().is_plain() => span,
            line => return self.line(line, name, offset),
        };
        let _ = records.each(span, |record| {
            let offset = offset + record.begin.1 as u64;
            let is_output = matches!(record.what, What::Output(_) | What::Torn(_));
            let event = if record.is_legacy() { legacy::event(record.text) } else { None };
            if event.is_some() || !is_output || may_be_torn_event(record.text) {
                self.line(Line::Whole(event.as_deref().unwrap_or(record.text)), name, offset);
            }
            ControlFlow::Continue(())
        });
    }

    /// Takes a line that was found at `offset` of the file called `name`.
    pub fn line(&mut self, line: Line<'_>, name: &str, offset: u64) {
        let line = match line {
            Line::Whole(line) | Line::Piece(line) => line,
            Line::TooLong(long) => {
                return self.strange(
                    long.line_bytes,
                    name,
                    offset,
                    &"longer than any line that is looked at",
                );
            }
        };
        let Some((_, text)) = glued::text_of(line) else { return };
        let malformed = match Event::parse(text) {
            Ok(event) => return self.event(text, &event, name, offset),
            Err(malformed) => malformed,
        };
        let ends = glued::ends(text);
        if ends.is_empty() {
            return self.strange(text.len() as u64, name, offset, &malformed);
        }
        let mut begin = 0;
        for end in ends {
            let piece = glued::text_of(&text[std::mem::replace(&mut begin, end)..end]);
            match piece.map(|(_, piece)| (piece, Event::parse(piece))) {
                Some((piece, Ok(event))) => self.event(piece, &event, name, offset),
                Some((piece, Err(malformed))) => self.strange(piece.len() as u64, name, offset, &malformed),
                None => {}
            }
        }
    }

    /// Takes a line that is an event.
    pub fn event(&mut self, line: &[u8], event: &Event<'_>, name: &str, offset: u64) {
        let Some(parts) = event.parts(line) else {
            let why = "a field is there twice, so nobody can tell what it says";
            return self.strange(line.len() as u64, name, offset, &why);
        };
        let amount = Amount::of_event(line.len() as u64 + 1);
        let time: Option<Timestamp> = event.stage_timestamp.as_deref().and_then(|time| time.parse().ok());
        match (self.since, time) {
            (Some(since), Some(time)) if time < since => return self.found.earlier += amount,
            (Some(_), None) => return self.found.undated += amount,
            _ => {}
        }
        if let Some(time) = time {
            let (first, last) = self.found.times.unwrap_or((time, time));
            self.found.times = Some((first.min(time), last.max(time)));
        }
        self.found.events += amount;
        self.sum.add(line, event, &parts);
    }

    /// Counts a line that is no event.
    pub fn strange(&mut self, bytes: u64, name: &str, offset: u64, why: &dyn std::fmt::Display) {
        self.found.strange += Amount::of_event(bytes + 1);
        self.found.first_strange.get_or_insert_with(|| format!("{name}, byte {offset}: {why}"));
    }
}
