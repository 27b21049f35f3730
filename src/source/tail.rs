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

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::checkpoint::Cursor;
use crate::config::StartAt;
use crate::gap::Gap;
use crate::source::format::Format;
use crate::source::held;
use crate::source::pins::{Listed, Missing, PinSet};
use crate::source::reader::Reader;

mod at_end;
mod carried;
mod fill;
mod ledger;
mod looks;
mod open;
mod records;
mod survey;
mod take;
#[cfg(test)]
mod tests;
mod trouble;

use carried::Carried;
use ledger::{Ledger, Unread};
use looks::Look;
use open::Open;
use trouble::Trouble;

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
    /// There is more, and the batch has room; but the policy has dropped so much that the position is worth a look.
    More,
    /// A gap was found behind what was taken; [`Tail::take_observed`] tells of it. The batch's end stands before it, and
    /// [`Tail::cursor`] past it.
    Gap,
}

/// What the tail saw since it was last asked.
#[derive(Debug, Default)]
pub struct Observed {
    /// Files that were left behind because the log had been rotated.
    pub rotations: u64,
    /// Events that are or may be missing.
    pub gaps: Vec<Gap>,
    /// Sequence numbers of the files of these gaps: they are settled with them.
    pub gone: Vec<u64>,
    /// Runs of NULs that were passed.
    pub nuls: Vec<Nuls>,
}

/// NULs in a file of the log, where nothing was written or where a crash has spoiled it.
#[derive(Debug, PartialEq, Eq)]
pub struct Nuls {
    /// Name of the file when it was opened.
    pub file: String,
    /// Bytes of its runs of NULs.
    pub bytes: u64,
}

impl Observed {
    /// The runs of one file are told of together: a long run comes in many pieces.
    fn saw_nuls(&mut self, file: &str, bytes: u64) {
        if bytes == 0 {
            return;
        }
        match self.nuls.last_mut().filter(|last| last.file == file) {
            Some(last) => last.bytes += bytes,
            None => self.nuls.push(Nuls { file: file.to_owned(), bytes }),
        }
    }
}

/// Reads one series for one output.
pub struct Tail {
    pins: Arc<PinSet>,
    output: usize,
    max_line_bytes: usize,
    format: Format,
    start_at: Option<StartAt>,
    /// Whether there has never been a cursor.
    is_new: bool,
    ledger: Ledger,
    open: Option<Open>,
    carried: Carried,
    looked: Option<Look>,
    /// What was behind the file that was opened last.
    ahead: VecDeque<Listed>,
    waiting_said: bool,
    /// Nobody writes to the log any more.
    is_final: bool,
    observed: Observed,
    /// What the pins had to give up, and whether that is told already.
    missing: Vec<(Missing, bool)>,
    trouble: Trouble,
    /// Files of which nothing is left to read, since the last batch; and all of them that are known to the pins.
    finished: Vec<u64>,
    told_finished: HashSet<u64>,
    /// Time of the last event that was taken.
    time: Option<Timestamp>,
    contents: survey::Contents,
    /// What happens between the end of the live file and the look at its name: schedules alone do not hit that instant.
    #[cfg(test)]
    at_end_of_live: Option<Box<dyn FnOnce() + Send>>,
}

impl Tail {
    /// A tail that goes on from `cursor`, or begins where `start_at` says if there has never been one. `output` is the
    /// number of the output in `pins`.
    #[must_use]
    pub fn new(
        pins: Arc<PinSet>,
        output: usize,
        cursor: Option<&Cursor>,
        start_at: StartAt,
        max_line_bytes: usize,
    ) -> Self {
        Self {
            pins,
            output,
            max_line_bytes,
            format: Format::Json,
            start_at: cursor.is_none().then_some(start_at),
            is_new: cursor.is_none(),
            ledger: Ledger::new(cursor),
            open: None,
            carried: Carried::default(),
            looked: None,
            ahead: VecDeque::new(),
            waiting_said: false,
            is_final: false,
            observed: Observed::default(),
            missing: Vec::new(),
            trouble: Trouble::default(),
            finished: Vec::new(),
            told_finished: HashSet::new(),
            time: cursor.and_then(|cursor| cursor.time),
            contents: survey::Contents::new(),
            #[cfg(test)]
            at_end_of_live: None,
        }
    }

    /// The same, of a log in this format.
    #[must_use]
    pub fn in_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// From now on nobody writes to the log any more, or somebody may: what stands behind the last newline is its end, or is
    /// still being written.
    pub fn is_final(&mut self, is: bool) {
        self.is_final = is;
    }

    /// Everything that was taken so far, as a cursor.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let last = self.open.as_ref().map(Open::mark).filter(|mark| mark.head.len > 0);
        Cursor { settled: self.ledger.marks(), last, time: self.time }
    }

    /// What was seen since the last call.
    pub fn take_observed(&mut self) -> Observed {
        std::mem::take(&mut self.observed)
    }

    /// Bytes of the log that have not been taken yet, a compressed file at its compressed size.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn unread_bytes(&mut self) -> Result<u64, Error> {
        let listing = self.list()?;
        let unread = |listed: &Listed| match self.open.as_ref().filter(|open| open.is(listed)) {
            Some(_) if listed.entry.gz => 0,
            Some(open) => listed.size.saturating_sub(open.reader.offset()),
            None => self.ledger.unread_bytes(listed),
        };
        Ok(listing.iter().map(unread).sum())
    }

    /// Whether something of what is taken is behind the position: it stands at the beginning of several lines of a container
    /// that are in each other, of which some are taken.
    #[must_use]
    pub fn is_within_span(&self) -> bool {
        self.open.as_ref().is_some_and(Open::is_within_span)
    }

    /// Whether the file that is being read is a compressed one.
    #[must_use]
    pub fn reads_compressed(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.listed.entry.gz)
    }

    fn list(&self) -> Result<Vec<Listed>, Error> {
        let at_directory = |source| Error { path: self.pins.series().directory().to_owned(), source };
        self.pins.list(self.output).map_err(at_directory)
    }

    /// Opens the oldest file with unread lines; the live file is held even if there are none.
    fn open_next(&mut self) -> Result<bool, Error> {
        let known = self.observed.gaps.len();
        let opened = self.open_oldest_unread()?;
        self.date_gaps(known);
        Ok(opened)
    }

    fn open_oldest_unread(&mut self) -> Result<bool, Error> {
        if self.open_ahead()? {
            return Ok(true);
        }
        loop {
            let listing = self.look()?;
            if !self.begin(&listing)? {
                continue;
            }
            self.resolve(&listing, None)?;
            let Some((listed, offset)) = self.oldest_unread(&listing)? else {
                self.say_waiting(&listing);
                return Ok(false);
            };
            let sequence = listed.sequence;
            if self.open_at(listed, offset)? {
                self.look_ahead(listing, sequence);
                return Ok(true);
            }
        }
    }

    /// Opens a listed file; false if it is not, or no longer, the one to be read next: look again.
    fn open_at(&mut self, listed: Listed, offset: u64) -> Result<bool, Error> {
        if self.ledger.is_left_open(&listed) {
            self.forget_carried();
            return Ok(false);
        }
        let opened =
            listed.open().and_then(|held| Reader::open(held, listed.entry.gz, offset, self.max_line_bytes));
        let reader = match opened {
            Ok(reader) => reader,
            // Renamed, compressed or deleted since the listing.
            Err(e) if e.kind() == io::ErrorKind::NotFound || held::is_given_up(&e) => return Ok(false),
            Err(source) => {
                self.cannot_read(&listed, source, None)?;
                return Ok(false);
            }
        };
        if !self.ledger.has_content_of(&listed, &reader) {
            return Ok(false);
        }
        tracing::debug!(file = %listed.entry.path.display(), offset, "reading");
        self.waiting_said = false;
        self.trouble.is_over(&listed);
        self.ledger.opened(listed.sequence);
        let mut open = Open::new(reader, listed, self.format);
        open.go_on_with(&self.carried, self.pins.series());
        self.open = Some(open);
        Ok(true)
    }

    /// At the first look ever: marks what `startAt: newest` leaves out. False if the files changed meanwhile: look again.
    fn begin(&mut self, listing: &[Listed]) -> Result<bool, Error> {
        self.ledger.listed_first(listing);
        if self.start_at == Some(StartAt::Newest) {
            let mut skipped = Vec::new();
            for listed in listing {
                let path = || listed.entry.path.clone();
                let tracked = ledger::skipped(listed).map_err(|source| Error { path: path(), source })?;
                skipped.extend(tracked);
            }
            let again = self.list()?;
            let same = |(one, other): (&Listed, &Listed)| {
                (one.sequence, &one.entry) == (other.sequence, &other.entry)
            };
            if again.len() != listing.len() || !again.iter().zip(listing).all(same) {
                return Ok(false);
            }
            self.ledger.skip(skipped);
        }
        self.start_at = None;
        Ok(true)
    }

    fn oldest_unread(&mut self, listing: &[Listed]) -> Result<Option<(Listed, u64)>, Error> {
        for listed in listing {
            if self.trouble.is_to_wait(listed) {
                continue;
            }
            match self.ledger.unread(listed, self.pins.series()) {
                Ok(Unread::From(offset)) => return Ok(Some((listed.clone(), offset))),
                Ok(Unread::Nothing)
                    if self.open.is_none() && at_end::is_deleted_under_its_writer(listed, listing) => {}
                Ok(Unread::Nothing) => self.finish_with(listed),
                Ok(Unread::Covered) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound || held::is_given_up(&e) => {}
                Err(source) => self.cannot_read(listed, source, None)?,
            }
        }
        Ok(None)
    }

    /// Nothing is left to read in a file: when this is settled, it need not be held.
    fn finish_with(&mut self, listed: &Listed) {
        if listed.waiting && self.told_finished.insert(listed.sequence) {
            self.finished.push(listed.sequence);
        }
    }

    fn say_waiting(&mut self, listing: &[Listed]) {
        // Between a rotation and the next live file there is none for an instant.
        if !listing.iter().any(|listed| listed.named) && !self.waiting_said {
            let path = self.pins.series().live_path();
            if !path.exists() {
                tracing::info!(path = %path.display(), "the log does not exist yet; waiting for it");
                self.waiting_said = true;
            }
        }
    }
}
