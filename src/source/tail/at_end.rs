//! The held file has no more bytes: is that its end, and if so, what comes next?

use std::io;
use std::time::Duration;

use super::{Error, Gap, Tail, is_damage, ledger};
use crate::batch::{Batch, Limits, Offer};
use crate::source::series::Entry;

/// A directory that did not change is listed again after this long in any case.
const RELIST_AFTER: Duration = Duration::from_secs(10);
/// A compressed file that cannot be read is being written, as long as it was changed within this time.
pub(super) const GZ_SETTLES_AFTER: Duration = Duration::from_secs(30);

/// What to do at the end of the held file.
pub(super) enum AtEnd {
    Wait,
    ReadOn,
    BatchFull,
}

impl Tail {
    /// The held file has no more bytes now. Is it final?
    pub(super) fn at_end(&mut self, batch: &mut Batch, limits: &Limits) -> Result<AtEnd, Error> {
        let Some(open) = &mut self.open else { return Ok(AtEnd::ReadOn) };
        if !open.live {
            return self.finish(batch, limits);
        }
        let path = self.series.live_path();
        let live = match std::fs::metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            // Not to know where the name leads is no sign that the held file is final.
            other => Some(other.map_err(|source| Error { path, source })?),
        };
        if let Some(live) = live.as_ref().filter(|live| ledger::id_of(live) == open.reader.id()) {
            if live.len() < open.reader.read_offset() {
                self.replaced_in_place(live.len());
                return Ok(AtEnd::ReadOn);
            }
            return self.look_for_older();
        }
        if !open.final_read_done {
            open.final_read_done = true;
            return Ok(AtEnd::ReadOn);
        }
        let unlinked = open.reader.is_unlinked().unwrap_or(true);
        if live.is_none() && unlinked {
            // Deleted under its writer, who may still write to it until there is a new live file.
            open.final_read_done = false;
            return Ok(AtEnd::Wait);
        }
        self.finish(batch, limits)
    }

    /// The live file is read to its end. If a backup is unread (it came late, or was written to after its rotation),
    /// leaves the live file for it; the mark leads back.
    fn look_for_older(&mut self) -> Result<AtEnd, Error> {
        let changed =
            std::fs::metadata(self.series.directory()).and_then(|metadata| metadata.modified()).ok();
        let current =
            self.listed_at.is_some_and(|(at, as_of)| as_of == changed && at.elapsed() < RELIST_AFTER);
        if current {
            return Ok(AtEnd::Wait);
        }
        let entries = self.list()?;
        let held = self.open.as_ref().map(|open| open.reader.id());
        self.ledger.resolve(&self.series, &entries, held)?;
        let backups: Vec<Entry> = entries.into_iter().filter(|entry| !entry.is_live()).collect();
        if self.oldest_unread(&backups)?.is_none() {
            return Ok(AtEnd::Wait);
        }
        if let Some(open) = self.open.take() {
            self.ledger.leave(&open.base, &open.reader, false);
        }
        Ok(AtEnd::ReadOn)
    }

    /// The held file is final: takes what stands behind its last newline, and leaves it for the next.
    fn finish(&mut self, batch: &mut Batch, limits: &Limits) -> Result<AtEnd, Error> {
        let Some(open) = &mut self.open else { return Ok(AtEnd::ReadOn) };
        if open.take_remainder(batch, limits) == Offer::Full {
            return Ok(AtEnd::BatchFull);
        }
        let id = open.reader.id();
        let entries = self.list()?;
        let base = entries
            .into_iter()
            .find(|entry| !entry.gz && ledger::id_at(&self.series.path(entry)) == Some(id))
            .map(|entry| entry.base);
        if let Some(open) = self.open.take() {
            self.observed.rotations += u64::from(open.live || self.ledger.came_later(&open.base));
            self.ledger.leave(base.as_deref().unwrap_or(&open.base), &open.reader, true);
        }
        Ok(AtEnd::ReadOn)
    }

    /// The live file has become shorter than what was read of it: another content under the same inode.
    fn replaced_in_place(&mut self, size: u64) {
        let Some(open) = self.open.take() else { return };
        let detail = format!(
            "{} was truncated from at least {} to {size} bytes; what was written just before is unknown",
            open.base,
            open.reader.read_offset()
        );
        self.observed.gaps.push(Gap { certain: false, detail });
    }

    /// Reading the held file failed.
    pub(super) fn unreadable(&mut self, source: io::Error) -> Result<(), Error> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let Some(entry) =
            self.series.entry(&format!("{}{}", open.base, if open.reader.is_gz() { ".gz" } else { "" }))
        else {
            return Ok(());
        };
        self.ledger.leave(&open.base, &open.reader, false);
        if entry.gz && is_damage(&source) {
            self.damaged(&entry, &source);
            return Ok(());
        }
        Err(Error { path: self.series.path(&entry), source })
    }

    /// A compressed file is cut short or spoiled: it is being written, or it will never be better.
    pub(super) fn damaged(&mut self, entry: &Entry, source: &io::Error) {
        let path = self.series.path(entry);
        let Ok(metadata) = std::fs::metadata(&path) else { return };
        let age = metadata.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
        if age < GZ_SETTLES_AFTER {
            tracing::debug!(file = entry.name, error = %source, "compressed file is not complete; waiting");
            self.ledger.postpone(entry);
            return;
        }
        let detail = format!("{} cannot be decompressed to its end: {source}", entry.name);
        self.observed.gaps.push(Gap { certain: true, detail });
        self.ledger.give_up(entry, &metadata);
    }
}
