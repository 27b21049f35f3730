//! What becomes of each line of a log: an event that is added to a sum, or something strange that is counted.

use std::ops::ControlFlow;

use jiff::Timestamp;

use crate::batch::may_be_torn_event;
use crate::event::{Event, Malformed, Parts, glued};
use crate::source::format::{Records, What, legacy};
use crate::source::reader::Line;
use crate::tally::Amount;

/// Shows each line of a span of a log, and where in the span it begins: what a container wrote, put together, or the event that
/// a line tells of. What is nothing of an audit log in a container's output is passed over.
pub fn each_line(records: &mut Records, span: &[u8], mut show: impl FnMut(&[u8], usize)) {
    if records.format().is_plain() {
        return show(span, 0);
    }
    let _ = records.each(span, |record| {
        let is_output = matches!(record.what, What::Output(_) | What::Torn(_));
        let event = if record.is_legacy() { legacy::event(record.text) } else { None };
        if event.is_some() || !is_output || may_be_torn_event(record.text) {
            show(event.as_deref().unwrap_or(record.text), record.begin.1);
        }
        ControlFlow::Continue(())
    });
}

/// Shows each event of a line, and each piece of it that is none, with what is wrong.
pub fn each_event(line: &[u8], mut show: impl FnMut(&[u8], Result<&Event<'_>, Malformed>)) {
    let mut show = |text: &[u8], event: Result<Event<'_>, Malformed>| match event {
        Ok(event) => show(text, Ok(&event)),
        Err(malformed) => show(text, Err(malformed)),
    };
    let Some((_, text)) = glued::text_of(line) else { return };
    let event = Event::parse(text);
    let ends = if event.is_err() { glued::ends(text) } else { Vec::new() };
    if ends.is_empty() {
        return show(text, event);
    }
    let mut begin = 0;
    for end in ends {
        if let Some((_, piece)) = glued::text_of(&text[std::mem::replace(&mut begin, end)..end]) {
            show(piece, Event::parse(piece));
        }
    }
}

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
        match line {
            Line::Whole(span) | Line::Piece(span) => each_line(records, span, |line, begin| {
                self.line(Line::Whole(line), name, offset + begin as u64);
            }),
            Line::TooLong(_) => self.line(line, name, offset),
        }
    }

    /// Takes a line that was found at `offset` of the file called `name`.
    pub fn line(&mut self, line: Line<'_>, name: &str, offset: u64) {
        match line {
            Line::Whole(line) | Line::Piece(line) => each_event(line, |text, event| match event {
                Ok(event) => self.event(text, event, name, offset),
                Err(malformed) => self.strange(text.len() as u64, name, offset, &malformed),
            }),
            Line::TooLong(long) => {
                let why = "longer than any line that is looked at";
                self.strange(long.line_bytes, name, offset, &why);
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
