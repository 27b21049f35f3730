//! The loop that fills a batch. A batch ends before a gap, so that what tells of the gap goes between what is before and
//! what is behind it, and no cursor passes it earlier.

use std::io;

use jiff::Timestamp;

use super::at_end::AtEnd;
use super::records::first_time;
use super::{Error, Progress, Tail};
use crate::batch::{Batch, Limits, Offer};
use crate::checkpoint::Cursor;
use crate::source::pins::Listed;
use crate::source::reader::Line;

/// After dropping so many bytes by policy, or skipping them, reading pauses: that may be all of a long backlog, and
/// meanwhile nobody would hear of a position, or of a stop.
const PAUSE_AFTER_BYTES: u64 = 16 << 20;

impl Tail {
    /// Puts lines into `batch` until it is full, or a gap is found, or all lines that are there have been taken.
    ///
    /// # Errors
    /// A file or the directory cannot be read now. What was taken before stays taken.
    pub fn fill(&mut self, batch: &mut Batch, limits: &Limits) -> Result<Progress, Error> {
        let (before, lines) = (self.cursor(), batch.lines());
        let mut before_gap = None;
        let progress = self.fill_batch(batch, limits, &mut before_gap);
        self.note_time(batch);
        let now = before_gap.unwrap_or_else(|| self.cursor());
        // A file that was opened and left where it was opened is no new position: nobody need hear of it.
        if now != before || batch.lines() > lines || !self.finished.is_empty() {
            batch.set_end(now, std::mem::take(&mut self.finished));
        }
        progress
    }

    fn fill_batch(
        &mut self,
        batch: &mut Batch,
        limits: &Limits,
        before_gap: &mut Option<Cursor>,
    ) -> Result<Progress, Error> {
        let dropped = |batch: &Batch| batch.filtered().bytes() + batch.skipped().bytes;
        let dropped_before = dropped(batch);
        while !batch.is_full(limits) {
            if dropped(batch) - dropped_before >= PAUSE_AFTER_BYTES {
                return Ok(Progress::More);
            }
            if self.is_at_its_first_beginning() {
                return Ok(Progress::Full);
            }
            let offer = self.take_lines(batch, limits)?;
            let (read, is_intact) = match &mut self.open {
                None => (Ok(0), true),
                // To look for more would find the end, and an end is waited at.
                Some(_) if offer == Offer::Full || batch.is_full(limits) => return Ok(Progress::Full),
                Some(open) => (open.reader.read_more(), !open.listed.live || open.is_intact()),
            };
            if is_intact && read.as_ref().is_ok_and(|count| *count > 0) {
                continue;
            }
            // The files are looked at: only this comes upon gaps.
            self.note_time(batch);
            let (here, known) = (self.cursor(), self.observed.gaps.len());
            let step = match read {
                Err(source) => self.unreadable(source, batch, limits).map(|()| AtEnd::ReadOn),
                Ok(_) if self.look_for_missing() => Ok(AtEnd::ReadOn),
                Ok(_) if !is_intact => {
                    self.replaced_in_place();
                    Ok(AtEnd::ReadOn)
                }
                Ok(_) if self.open.is_some() => self.at_end(batch, limits),
                Ok(_) => self.open_next().map(|opened| if opened { AtEnd::ReadOn } else { AtEnd::Wait }),
            };
            if self.observed.gaps.len() > known {
                // An error beside it comes again.
                *before_gap = Some(here);
                return Ok(Progress::Gap);
            }
            match step? {
                AtEnd::Wait => return Ok(Progress::AtEnd),
                AtEnd::BatchFull => return Ok(Progress::Full),
                AtEnd::ReadOn => {}
            }
        }
        Ok(Progress::Full)
    }

    /// Takes what was read of the held file.
    fn take_lines(&mut self, batch: &mut Batch, limits: &Limits) -> Result<Offer, Error> {
        let Some(open) = &mut self.open else { return Ok(Offer::Taken) };
        let offer = open.take_lines(batch, limits);
        self.observed.saw_nuls(&open.listed.entry.base, open.reader.take_nul_bytes());
        self.after_taking()?;
        Ok(offer)
    }

    /// Something of the held file was taken, or was not since the log is in another format.
    pub(super) fn after_taking(&mut self) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let wrong = open.looks.wrong.map(|wrong| (open.listed.entry.path.clone(), wrong));
        if std::mem::take(&mut open.has_taken_carried) {
            self.settle_carried();
        }
        match wrong {
            Some((path, wrong)) => Err(Error { path, source: io::Error::other(wrong) }),
            None => Ok(()),
        }
    }

    /// Where the first file begins is a position to keep before anything is settled: if retention takes that file and then
    /// we are killed, somebody has to know that it was there.
    fn is_at_its_first_beginning(&mut self) -> bool {
        let begins = self.is_new && self.open.as_mut().is_some_and(super::Open::has_begun);
        self.is_new &= !begins;
        begins
    }

    pub(super) fn note_time(&mut self, batch: &Batch) {
        self.time = batch.last_stage_time().or(self.time);
    }

    /// Finds the files of the marks in a listing, and notes the gap if one is gone that has to be there.
    pub(super) fn resolve(&mut self, listing: &[Listed], held: Option<u64>) -> Result<(), Error> {
        if let Some(mut gap) = self.ledger.resolve(self.pins.series(), listing, held)? {
            gap.after = self.time;
            self.observed.gaps.push(gap);
        }
        Ok(())
    }

    /// Says of the gaps from number `known` on, found on the way to the file that is open now, what comes after them.
    pub(super) fn date_gaps(&mut self, known: usize) {
        if self.observed.gaps.len() == known {
            return;
        }
        let Some(next) = self.time_of_next() else { return };
        for gap in self.observed.gaps.iter_mut().skip(known) {
            // Lines that came late to an older file may be read next: they are not from behind the gap.
            if gap.after.is_none_or(|after| after <= next) {
                gap.before = gap.before.or(Some(next));
            }
        }
    }

    /// Time of the event that is read next, if it can be had without doing anything that cannot be done again: what a
    /// decompressor has failed at once it might not fail at twice.
    fn time_of_next(&mut self) -> Option<Timestamp> {
        let open = self.open.as_mut().filter(|open| !open.listed.entry.gz)?;
        open.reader.read_more().ok()?;
        match open.reader.line()? {
            (_, Line::Whole(line)) => first_time(self.format, line),
            _ => None,
        }
    }
}
