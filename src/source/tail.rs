//! Whole lines of a rotated log, each once, across renames, compression and restarts.
//!
//! The tail holds one file open. At its end it looks whether the live name still leads to it. If so, more may come. If
//! not, the writer closed it before the rename, so one more read, made *after* that look, sees its true end; then the
//! oldest unread file is next, the live one last.
//!
//! *Unread* is what is listed and not covered by a mark (see `checkpoint`). The order of names is a hint; what was read
//! is known by content. So a restart needs no special way in: the cursor's marks are the tail's marks.
//!
//! Plain blocking code (invariant I3): the route runs it off the async threads.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use crate::batch::{Aside, Batch, Limits, Offer, Origin, Reason};
use crate::checkpoint::Cursor;
use crate::config::StartAt;
use crate::source::reader::{Line, Reader};
use crate::source::series::{Entry, Series};

mod at_end;
mod ledger;
#[cfg(test)]
mod tests;

use at_end::AtEnd;
use ledger::{Ledger, Unread};

/// Reading stopped; the position is kept and the same call may be made again.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}", path = path.display())]
pub struct Error {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// How far [`Tail::fill`] got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The batch takes nothing more.
    Full,
    /// All lines that are there were taken.
    AtEnd,
}

/// Events that may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whether it is known that something is missing.
    pub certain: bool,
    /// What happened, with the names of the files.
    pub detail: String,
}

/// What the tail saw since it was last asked.
#[derive(Debug, Default)]
pub struct Observed {
    /// Files that were left behind because the log had been rotated.
    pub rotations: u64,
    /// Events that may be missing.
    pub gaps: Vec<Gap>,
}

/// Reads one series.
#[derive(Debug)]
pub struct Tail {
    series: Series,
    max_line_bytes: usize,
    start_at: Option<StartAt>,
    ledger: Ledger,
    open: Option<Open>,
    listed_at: Option<(Instant, Option<SystemTime>)>,
    waiting_said: bool,
    observed: Observed,
}

#[derive(Debug)]
struct Open {
    reader: Reader,
    /// Name of the generation when it was opened.
    base: String,
    live: bool,
    /// The live name led elsewhere, and everything was read after that.
    final_read_done: bool,
}

impl Tail {
    /// A tail that goes on from `cursor`, or begins where `start_at` says if there has never been one.
    #[must_use]
    pub fn new(log: &Path, cursor: Option<&Cursor>, start_at: StartAt, max_line_bytes: usize) -> Self {
        Self {
            series: Series::new(log),
            max_line_bytes,
            start_at: cursor.is_none().then_some(start_at),
            ledger: Ledger::new(cursor),
            open: None,
            listed_at: None,
            waiting_said: false,
            observed: Observed::default(),
        }
    }

    /// Puts lines into `batch` until it is full or all lines that are there have been taken.
    ///
    /// # Errors
    /// A file or the directory cannot be read now. What was taken before stays taken.
    pub fn fill(&mut self, batch: &mut Batch, limits: &Limits) -> Result<Progress, Error> {
        let (before, lines) = (self.cursor(), batch.lines());
        let progress = self.fill_batch(batch, limits);
        let now = self.cursor();
        // A file that was opened and left where it was opened is no new position: nobody need hear of it.
        if now != before || batch.lines() > lines {
            batch.set_end(now);
        }
        progress
    }

    fn fill_batch(&mut self, batch: &mut Batch, limits: &Limits) -> Result<Progress, Error> {
        while !batch.is_full(limits) {
            if self.open.is_none() && !self.open_next()? {
                return Ok(Progress::AtEnd);
            }
            let Some(open) = &mut self.open else { continue };
            if open.take_lines(batch, limits) == Offer::Full {
                return Ok(Progress::Full);
            }
            match open.reader.read_more() {
                Ok(0) => match self.at_end(batch, limits)? {
                    AtEnd::Wait => return Ok(Progress::AtEnd),
                    AtEnd::BatchFull => return Ok(Progress::Full),
                    AtEnd::ReadOn => {}
                },
                Ok(_) => {}
                Err(source) => self.unreadable(source)?,
            }
        }
        Ok(Progress::Full)
    }

    /// Everything that was taken so far, as a cursor.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let last = self
            .open
            .as_ref()
            .filter(|open| open.reader.offset() > 0)
            .map(|open| ledger::mark(&open.base, open.reader.head(), open.reader.offset()));
        Cursor { settled: self.ledger.marks(), last }
    }

    /// What was seen since the last call.
    pub fn take_observed(&mut self) -> Observed {
        std::mem::take(&mut self.observed)
    }

    /// Bytes of the log that have not been taken yet, a compressed file at its compressed size.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn unread_bytes(&self) -> Result<u64, Error> {
        let directory = self.series.directory();
        let entries = self.series.list().map_err(|source| Error { path: directory.to_owned(), source })?;
        let mut bytes = 0;
        for entry in &entries {
            let Ok(metadata) = std::fs::metadata(self.series.path(entry)) else { continue };
            let held = self.open.as_ref().filter(|open| open.reader.id() == ledger::id_of(&metadata));
            bytes += match held {
                Some(_) if entry.gz => 0,
                Some(open) => metadata.len().saturating_sub(open.reader.offset()),
                None => self.ledger.unread_bytes(entry, &metadata),
            };
        }
        Ok(bytes)
    }

    fn list(&mut self) -> Result<Vec<Entry>, Error> {
        let directory = self.series.directory();
        let changed = std::fs::metadata(directory).and_then(|metadata| metadata.modified()).ok();
        let entries = self.series.list().map_err(|source| Error { path: directory.to_owned(), source })?;
        self.listed_at = Some((Instant::now(), changed));
        Ok(entries)
    }

    /// Opens the oldest file with unread lines; the live file is held even if there are none.
    fn open_next(&mut self) -> Result<bool, Error> {
        loop {
            let entries = self.list()?;
            if !self.begin(&entries)? {
                continue;
            }
            if let Some(gap) = self.ledger.resolve(&self.series, &entries, None)? {
                self.observed.gaps.push(gap);
            }
            let Some((entry, offset)) = self.oldest_unread(&entries)? else {
                self.say_waiting(&entries);
                return Ok(false);
            };
            if self.open_at(entry, offset)? {
                return Ok(true);
            }
        }
    }

    /// Opens a listed file; false if it is not, or no longer, the one to be read next: look again.
    fn open_at(&mut self, entry: Entry, offset: u64) -> Result<bool, Error> {
        let path = self.series.path(&entry);
        let reader = match Reader::open(&path, entry.gz, offset, self.max_line_bytes) {
            Ok(reader) => reader,
            // Renamed, compressed or deleted since the listing.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) if entry.gz && is_damage(&source) => {
                self.damaged(&entry, &source);
                return Ok(false);
            }
            Err(source) => return Err(Error { path, source }),
        };
        if !self.ledger.has_content_of(&entry, &reader) || (entry.is_live() && self.overtaken(&reader)?) {
            return Ok(false);
        }
        tracing::debug!(file = entry.name, offset, "reading");
        self.waiting_said = false;
        self.ledger.opened(&entry.base, reader.id());
        self.open = Some(Open { reader, live: entry.is_live(), base: entry.base, final_read_done: false });
        Ok(true)
    }

    /// At the first look ever: marks what `startAt: newest` leaves out. False if the files changed meanwhile: look again.
    fn begin(&mut self, entries: &[Entry]) -> Result<bool, Error> {
        self.ledger.listed_first(entries);
        if self.start_at == Some(StartAt::Newest) {
            let mut skipped = Vec::new();
            for entry in entries {
                let path = self.series.path(entry);
                let tracked = ledger::skipped(&path, entry).map_err(|source| Error { path, source })?;
                skipped.extend(tracked);
            }
            if self.list()? != entries {
                return Ok(false);
            }
            self.ledger.skip(skipped);
        }
        self.start_at = None;
        Ok(true)
    }

    fn oldest_unread(&mut self, entries: &[Entry]) -> Result<Option<(Entry, u64)>, Error> {
        for entry in entries {
            let path = self.series.path(entry);
            match self.ledger.unread(&path, entry) {
                Ok(Unread::From(offset)) => return Ok(Some((entry.clone(), offset))),
                Ok(Unread::Nothing) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(source) if entry.gz && is_damage(&source) => self.damaged(entry, &source),
                Err(source) => return Err(Error { path, source }),
            }
        }
        Ok(None)
    }

    /// Whether the log was rotated between the listing and the opening of its live file, so that a backup is unread
    /// which is older than what was opened.
    fn overtaken(&mut self, reader: &Reader) -> Result<bool, Error> {
        let entries = self.list()?;
        self.ledger.resolve(&self.series, &entries, None)?;
        for entry in entries.iter().filter(|entry| !entry.is_live()) {
            let path = self.series.path(entry);
            let is_ours = ledger::id_at(&path).is_some_and(|id| id == reader.id());
            if !is_ours && matches!(self.ledger.unread(&path, entry), Ok(Unread::From(_))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn say_waiting(&mut self, entries: &[Entry]) {
        if !entries.iter().any(Entry::is_live) && !self.waiting_said {
            let path = self.series.live_path();
            if !path.exists() {
                tracing::info!(path = %path.display(), "the log does not exist yet; waiting for it");
                self.waiting_said = true;
            }
        }
    }
}

impl Open {
    fn take_lines(&mut self, batch: &mut Batch, limits: &Limits) -> Offer {
        loop {
            let (base, offset) = (&self.base, self.reader.offset());
            let Some(line) = self.reader.line() else { return Offer::Taken };
            if take(line, || Origin { file: base.clone(), offset }, batch, limits) == Offer::Full {
                return Offer::Full;
            }
            self.reader.consume();
        }
    }

    fn take_remainder(&mut self, batch: &mut Batch, limits: &Limits) -> Offer {
        let offset = self.reader.offset();
        let base = &self.base;
        let Some(line) = self.reader.remainder() else { return Offer::Taken };
        let offer = take(line, || Origin { file: base.clone(), offset }, batch, limits);
        if offer == Offer::Taken {
            self.reader.consume();
        }
        offer
    }
}

/// Offers one line to the batch. Empty lines are no events and no errors.
fn take(line: Line<'_>, origin: impl FnOnce() -> Origin, batch: &mut Batch, limits: &Limits) -> Offer {
    match line {
        Line::Whole(line) => {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.iter().all(u8::is_ascii_whitespace) {
                return Offer::Taken;
            }
            batch.offer(line, origin, limits)
        }
        Line::TooLong(long) => batch.offer_aside(
            Aside {
                reason: Reason::TooLarge,
                detail: "longer than maxLineBytes".into(),
                answer: None,
                origin: Some(origin()),
                line: long.prefix,
                line_bytes: long.line_bytes,
                sha256: long.sha256,
            },
            limits,
        ),
    }
}

/// Whether a compressed file is to blame, not the way to it.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | InvalidData | InvalidInput)
}
