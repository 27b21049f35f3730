//! Which of the listed files were read, and how far: the tail's marks, matched to files by content.
//!
//! A file that has been held since it was first seen is known by its sequence number. After a restart, or where the pins
//! could not hold it, a match is by name and head where a name lasts (stamps), by head alone where it may have changed:
//! the live file becomes a backup, logrotate's numbers go up. Each mark stands for one file. A stamped backup never takes
//! over another's mark, so two backups with equal heads are never taken for each other.
//!
//! A *copy* is what a rotator makes of the live file before it truncates that (copytruncate). While the live file still
//! holds the same, the copy is no file of its own. When it has been truncated, its mark goes over to the copy.
//!
//! When in doubt a file is unread: duplicates before loss.

mod copies;
mod left_open;
mod matching;
mod passed_over;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Error;
use super::trouble::gap;
use crate::checkpoint::{Cursor, Head, Mark};
use crate::gap::Gap;
use crate::source::held::FileId;
use crate::source::pins::Listed;
use crate::source::reader::{self, Reader};
use crate::source::series::Series;

/// A mark whose file is not listed is kept this long: a listing made during renames may miss a file.
const FORGET_AFTER: Duration = Duration::from_secs(2);

/// What is unread of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    Nothing,
    /// Nothing that is not in the live file too, or in memory.
    Covered,
    From(u64),
}

#[derive(Debug)]
pub(super) struct Ledger {
    tracked: Vec<Tracked>,
    shared: Arc<[Mark]>,
    listed_at_start: Option<HashSet<u64>>,
    /// Sequences of copies of the live file, as of the last listing.
    copies: HashSet<u64>,
    /// Compressed files that are not complete, and may be what a mark stands for.
    unclear: HashSet<u64>,
    /// Whether a file of the last listing was gone before it could be compared: it may be there under another name.
    outdated: bool,
    /// Whether the file that was read last, before the restart, has yet to be found.
    resuming: bool,
}

/// A mark, and what is known of its file.
#[derive(Debug)]
pub(super) struct Tracked {
    mark: Mark,
    /// Sequence of the file that it stands for in the last listing.
    listed: Option<u64>,
    /// Sequence of the file whose content was compared.
    verified: Option<u64>,
    /// The compressed file that was read to its very end.
    complete: Option<FileId>,
    /// What is behind the mark is in memory up to here, where the file ends: lines that go on in the next file.
    left_open: Option<u64>,
    /// It was the live file, which has another content now.
    displaced: bool,
    missing_since: Option<Instant>,
    /// It was missing when a gap was reported: if no listing has it again, a cursor need not have it either, or each
    /// restart would report the gap anew.
    reported: bool,
}

impl Tracked {
    fn new(mark: Mark) -> Self {
        let (listed, verified, complete, missing_since) = (None, None, None, None);
        let (left_open, displaced, reported) = (None, false, false);
        Self { mark, listed, verified, complete, left_open, displaced, missing_since, reported }
    }

    fn found(&mut self, listed: &Listed) {
        self.listed = Some(listed.sequence);
        self.verified = Some(listed.sequence);
        self.displaced = false;
    }
}

pub(super) use matching::before;
pub(super) use passed_over::skipped;

pub(super) fn mark(base: &str, head: Head, offset: u64) -> Mark {
    Mark { name: base.into(), head, offset, before: None }
}

impl Ledger {
    pub(super) fn new(cursor: Option<&Cursor>) -> Self {
        let tracked: Vec<_> = cursor.iter().flat_map(|c| c.marks()).cloned().map(Tracked::new).collect();
        let resuming = !tracked.is_empty();
        let (shared, copies, unclear) = (Arc::default(), HashSet::new(), HashSet::new());
        let mut ledger =
            Self { tracked, shared, listed_at_start: None, copies, unclear, outdated: false, resuming };
        ledger.changed();
        ledger
    }

    /// All marks, in the order in which their files were left.
    pub(super) fn marks(&self) -> Arc<[Mark]> {
        Arc::clone(&self.shared)
    }

    fn changed(&mut self) {
        let is_told = |tracked: &&Tracked| !tracked.reported || tracked.listed.is_some();
        self.shared = self.tracked.iter().filter(is_told).map(|tracked| tracked.mark.clone()).collect();
    }

    /// Remembers what was there before anything was read: leaving such a file is no rotation that we saw.
    pub(super) fn listed_first(&mut self, listing: &[Listed]) {
        if self.listed_at_start.is_none() {
            self.listed_at_start = Some(listing.iter().map(|listed| listed.sequence).collect());
        }
    }

    pub(super) fn came_later(&self, sequence: u64) -> bool {
        self.listed_at_start.as_ref().is_some_and(|sequences| !sequences.contains(&sequence))
    }

    /// How much was read of a file that need not be listed any more.
    pub(super) fn offset_of(&self, sequence: u64, base: &str) -> u64 {
        let by_sequence = self.tracked.iter().find(|tracked| tracked.verified == Some(sequence));
        let by_name =
            || self.tracked.iter().find(|tracked| tracked.verified.is_none() && *tracked.mark.name == *base);
        by_sequence.or_else(by_name).map_or(0, |tracked| tracked.mark.offset)
    }

    /// Finds the file of each mark in a new listing. `held` is the file that is open: it needs no mark. Tells what
    /// cannot be found any more.
    pub(super) fn resolve(
        &mut self,
        series: &Series,
        listing: &[Listed],
        held: Option<u64>,
    ) -> Result<Option<Gap>, Error> {
        for tracked in &mut self.tracked {
            tracked.listed = None;
        }
        self.unclear.clear();
        self.outdated = false;
        let mut renamed = Vec::new();
        for listed in listing.iter().filter(|listed| Some(listed.sequence) != held) {
            if !self.match_exactly(listed) && !self.match_by_name(listed)? {
                renamed.push(listed);
            }
        }
        self.find_copies(series, &renamed, listing.iter().find(|listed| listed.live));
        renamed.retain(|listed| !self.copies.contains(&listed.sequence));
        for listed in renamed {
            self.match_by_head(series, listed)?;
        }
        // An empty directory is rather a missing mount than the end of all files; and what could not be compared may be
        // what is looked for.
        if listing.is_empty() || self.outdated || !self.unclear.is_empty() {
            return Ok(None);
        }
        let gap = self.gap_on_resume().or_else(|| self.gap_in_place(series, listing));
        self.drop_vanished(series);
        Ok(gap)
    }

    /// Retention deletes the oldest first: while the file that was read last is there, no later one can be missing.
    fn gap_on_resume(&mut self) -> Option<Gap> {
        if !std::mem::take(&mut self.resuming) {
            return None;
        }
        let last = self.tracked.last().filter(|last| last.listed.is_none() && last.mark.head.len > 0)?;
        let cause = "it was read up to there before the restart and is gone; \
                     what was written after that and deleted meanwhile is unknown";
        let gap = gap(false, &last.mark.name, last.mark.offset, None, cause.to_owned());
        for tracked in &mut self.tracked {
            tracked.reported = tracked.listed.is_none();
        }
        self.changed();
        Some(gap)
    }

    fn drop_vanished(&mut self, series: &Series) {
        let now = Instant::now();
        for tracked in &mut self.tracked {
            tracked.missing_since = match tracked.listed {
                Some(_) => None,
                None => tracked.missing_since.or(Some(now)),
            };
        }
        let (before, last) = (self.tracked.len(), self.tracked.len().saturating_sub(1));
        let mut index = 0;
        self.tracked.retain(|tracked| {
            index += 1;
            // The last one tells a restart that something was there, as long as there is no other.
            if index > last && tracked.mark.head.len > 0 && !tracked.reported {
                return true;
            }
            // A mark without a head tells nothing once its name leads elsewhere.
            let tells = tracked.mark.head.len > 0 || !series.is_live_name(&tracked.mark.name);
            tracked.missing_since.is_none_or(|since| tells && now - since < FORGET_AFTER)
        });
        if self.tracked.len() != before {
            self.changed();
        }
    }

    fn of(&mut self, listed: &Listed) -> Option<&mut Tracked> {
        self.tracked.iter_mut().find(|tracked| tracked.listed == Some(listed.sequence))
    }

    /// What is unread of a file of the last listing.
    pub(super) fn unread(&mut self, listed: &Listed, series: &Series) -> io::Result<Unread> {
        if self.copies.contains(&listed.sequence) {
            return Ok(Unread::Covered);
        }
        if self.unclear.contains(&listed.sequence) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(tracked) = self.of(listed) else {
            return Ok(match listed.size {
                // A copy that is still to be written.
                0 if !listed.live && listed.named && listed.entry.may_be_copy(series) => Unread::Covered,
                0 if !listed.live && !listed.entry.gz => Unread::Nothing,
                _ => Unread::From(0),
            });
        };
        if !listed.live && tracked.left_open.is_some_and(|end| listed.entry.gz || listed.size <= end) {
            return Ok(Unread::Covered);
        }
        let offset = tracked.mark.offset;
        if listed.live {
            return Ok(Unread::From(if listed.size < offset { 0 } else { offset }));
        }
        if !listed.entry.gz {
            return Ok(if listed.size > offset { Unread::From(offset) } else { Unread::Nothing });
        }
        if tracked.complete != Some(listed.id) {
            let trailer = reader::gz_trailer_bytes(&*listed.open()?)?;
            #[expect(clippy::cast_possible_truncation, reason = "the trailer counts modulo 2^32")]
            if trailer != offset as u32 {
                return Ok(Unread::From(offset));
            }
            tracked.complete = Some(listed.id);
        }
        Ok(Unread::Nothing)
    }

    /// Bytes that are unread of a file of the last listing, by what is known without opening it.
    pub(super) fn unread_bytes(&self, listed: &Listed) -> u64 {
        if self.copies.contains(&listed.sequence) {
            return 0;
        }
        let by_sequence = |tracked: &&Tracked| tracked.listed.or(tracked.verified) == Some(listed.sequence);
        match self.tracked.iter().find(by_sequence) {
            None => listed.size,
            Some(tracked) if listed.entry.gz => {
                if tracked.complete.is_some() {
                    0
                } else {
                    listed.size
                }
            }
            Some(tracked) => listed.size.saturating_sub(tracked.mark.offset),
        }
    }

    /// Whether `reader`, opened where a mark says, reads the file of that mark: since the listing its name may have
    /// come to lead to another one, which must not be read from the middle.
    pub(super) fn has_content_of(&mut self, listed: &Listed, reader: &Reader) -> bool {
        let Some(tracked) = self.of(listed) else { return true };
        let has = reader.offset() == 0 || reader.may_be(&tracked.mark.head);
        if !has {
            tracked.verified = None;
        }
        has
    }

    /// A file is open now: its position is the reader's, no mark's.
    pub(super) fn opened(&mut self, sequence: u64) {
        let before = self.tracked.len();
        let is_open =
            |tracked: &Tracked| !tracked.displaced && tracked.listed.or(tracked.verified) == Some(sequence);
        self.resuming &= !self.tracked.last().is_some_and(is_open);
        for tracked in &mut self.tracked {
            // It was this file, which has another content now: truncated while others were read.
            tracked.displaced |= tracked.listed.is_none() && tracked.mark.head.len > 0 && is_open(tracked);
        }
        self.tracked.retain(|tracked| !is_open(tracked));
        if self.tracked.len() != before {
            self.changed();
        }
    }

    /// The open file is left; `to_its_end` if nothing more can follow.
    pub(super) fn leave(&mut self, listed: &Listed, mark: Mark, to_its_end: bool) {
        let mut tracked = Tracked::new(mark);
        tracked.found(listed);
        tracked.complete = to_its_end.then_some(listed.id);
        self.tracked.push(tracked);
        self.changed();
    }
}
