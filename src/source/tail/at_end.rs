//! The held file has no more bytes: is that its end, and if so, what comes next?

use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::{Error, Tail};
use crate::batch::{Batch, Limits, Offer};
use crate::source::held::id_of;
use crate::source::pins::Listed;

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
        if !open.listed.live {
            if open.listed.entry.is_live() && !open.final_read_done {
                return self.look_for_writer();
            }
            return self.finish(batch, limits);
        }
        #[cfg(test)]
        if let Some(happen) = self.at_end_of_live.take() {
            happen();
        }
        let path = self.pins.series().live_path();
        let live = match std::fs::metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            // Not to know where the name leads is no sign that the held file is final.
            other => Some(other.map_err(|source| Error { path, source })?),
        };
        if let Some(live) = live.as_ref().filter(|live| id_of(live) == open.reader.held().id()) {
            if live.len() < open.reader.read_offset() || !open.is_intact() {
                self.replaced_in_place();
                return Ok(AtEnd::ReadOn);
            }
            return match self.look_for_older()? {
                AtEnd::Wait if self.is_final => self.take_torn_end(batch, limits),
                other => Ok(other),
            };
        }
        if !open.final_read_done {
            open.final_read_done = true;
            return Ok(AtEnd::ReadOn);
        }
        let unlinked = open.reader.held().metadata().map_or(true, |metadata| metadata.nlink() == 0);
        if live.is_none() && unlinked {
            // Deleted under its writer, who may still write to it until there is a new live file.
            open.final_read_done = false;
            return Ok(AtEnd::Wait);
        }
        self.finish(batch, limits)
    }

    /// What was the live file when it was deleted is read to its end. Its writer may still have it.
    fn look_for_writer(&mut self) -> Result<AtEnd, Error> {
        let listing = self.look()?;
        let Some(open) = &mut self.open else { return Ok(AtEnd::ReadOn) };
        let listed = listing.iter().find(|listed| open.is(listed));
        if listed.is_some_and(|listed| is_deleted_under_its_writer(listed, &listing)) {
            return Ok(AtEnd::Wait);
        }
        open.final_read_done = true;
        Ok(AtEnd::ReadOn)
    }

    /// Nobody will end the last line of the live file. One of a container may be ended in its next file.
    fn take_torn_end(&mut self, batch: &mut Batch, limits: &Limits) -> Result<AtEnd, Error> {
        let Some(open) = self.open.as_mut().filter(|open| open.format.is_plain()) else {
            return Ok(AtEnd::Wait);
        };
        let offer = open.take_remainder(batch, limits);
        self.after_taking()?;
        Ok(if offer == Offer::Full { AtEnd::BatchFull } else { AtEnd::Wait })
    }

    /// The live file is read to its end. If a backup is unread (it came late, or was written to after its rotation),
    /// leaves the live file for it; the mark leads back.
    fn look_for_older(&mut self) -> Result<AtEnd, Error> {
        if !self.may_have_changed() {
            return Ok(AtEnd::Wait);
        }
        let mut listing = self.look()?;
        let held = self.open.as_ref().map(|open| open.listed.sequence);
        self.resolve(&listing, held)?;
        if listing.iter().any(|listed| listed.live && Some(listed.sequence) != held) {
            // It has a successor by now.
            return Ok(AtEnd::ReadOn);
        }
        listing.retain(|listed: &Listed| Some(listed.sequence) != held && !listed.live);
        if self.oldest_unread(&listing)?.is_none() {
            return Ok(AtEnd::Wait);
        }
        if let Some(open) = self.open.take() {
            self.ledger.leave(&open.listed, open.mark(), false);
        }
        Ok(AtEnd::ReadOn)
    }

    /// The held file is final: takes what stands behind its last newline, and leaves it for the next.
    fn finish(&mut self, batch: &mut Batch, limits: &Limits) -> Result<AtEnd, Error> {
        let Some(open) = &mut self.open else { return Ok(AtEnd::ReadOn) };
        let left_open = open.left_open(self.max_line_bytes);
        if left_open.is_none() {
            let offer = open.take_remainder(batch, limits);
            self.after_taking()?;
            if offer == Offer::Full {
                return Ok(AtEnd::BatchFull);
            }
        }
        if let Some(open) = self.open.take() {
            self.observed.rotations +=
                u64::from(open.listed.live || self.ledger.came_later(open.listed.sequence));
            if let Some(left_open) = left_open {
                self.carry(open, left_open);
            } else {
                self.ledger.leave(&open.listed, open.mark(), true);
                self.finish_with(&open.listed);
            }
        }
        Ok(AtEnd::ReadOn)
    }

    /// The live file was truncated, and perhaps written anew: another content under the same name. What was there may be
    /// in a copy.
    pub(super) fn replaced_in_place(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        open.reader.discard();
        self.ledger.displace(open.mark());
    }
}

/// Whether a file was deleted under the live name, and none came after it: it may still be written to.
pub(super) fn is_deleted_under_its_writer(listed: &Listed, listing: &[Listed]) -> bool {
    let is_last = listing.last().is_some_and(|last| last.sequence == listed.sequence);
    let is_unlinked = || listed.open().and_then(|held| held.metadata()).is_ok_and(|found| found.nlink() == 0);
    is_last && listed.entry.is_live() && !listed.named && is_unlinked()
}
