//! Files that cannot be read, now or ever; and what is gone.
//!
//! A compressed file that ends too early or is spoiled may still be being written: it is looked at again when it has
//! changed, and given up when it has not for a while. A file that the system does not let us read is tried again and
//! again, and holds up nothing but itself.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use super::records::first_time;
use super::{Error, Open, Tail};
use crate::batch::{Batch, Limits};
use crate::gap::Gap;
use crate::source::held;
use crate::source::pins::{Listed, Missing};
use crate::source::reader;

/// A compressed file that cannot be read is being written, as long as it was changed within this time.
pub(super) const GZ_SETTLES_AFTER: Duration = Duration::from_secs(30);
/// A file is not tried more often than this.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Bytes that are looked at for the time of an event.
const LONGEST_PEEK: usize = 64 << 10;

/// Files that could not be read, by sequence.
#[derive(Default)]
pub(super) struct Trouble(HashMap<u64, Failed>);

struct Failed {
    tried: Instant,
    /// How the file looked when it could not be read, and since when.
    looked: (u64, Option<SystemTime>),
    since: Instant,
    /// Whether its content is to blame, not the way to it.
    damaged: bool,
}

impl Trouble {
    /// Whether it makes no sense to try this file now.
    pub(super) fn is_to_wait(&self, listed: &Listed) -> bool {
        self.0.get(&listed.sequence).is_some_and(|failed| {
            let unchanged = failed.damaged && failed.looked == (listed.size, listed.modified);
            failed.tried.elapsed() < RETRY_AFTER || (unchanged && failed.age() < GZ_SETTLES_AFTER)
        })
    }

    /// Notes a failure. Returns whether it is the first one, and for how long the file has looked like this.
    fn failed(&mut self, listed: &Listed, damaged: bool) -> (bool, Duration) {
        let (now, looked) = (Instant::now(), (listed.size, listed.modified));
        let fresh = Failed { tried: now, looked, since: now, damaged };
        let is_first = !self.0.contains_key(&listed.sequence);
        let failed = self.0.entry(listed.sequence).or_insert(fresh);
        if failed.looked != looked {
            (failed.looked, failed.since) = (looked, now);
        }
        failed.tried = now;
        (is_first, failed.age())
    }

    pub(super) fn is_over(&mut self, listed: &Listed) {
        if self.0.remove(&listed.sequence).is_some_and(|failed| !failed.damaged) {
            tracing::warn!(file = %listed.entry.path.display(), "the file can be read again");
        }
    }

    pub(super) fn keep_listed(&mut self, listing: &[Listed]) {
        self.0.retain(|sequence, _| listing.iter().any(|listed| listed.sequence == *sequence));
    }

    #[cfg(test)]
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// As if the time had come to try again.
    #[cfg(test)]
    pub(super) fn make_due(&mut self) {
        for failed in self.0.values_mut() {
            failed.tried -= RETRY_AFTER;
        }
    }
}

impl Failed {
    fn age(&self) -> Duration {
        let unchanged = self.looked.1.and_then(|at| at.elapsed().ok()).unwrap_or_default();
        unchanged.max(self.since.elapsed())
    }
}

impl Tail {
    /// Whether there are files that could not be read when they were tried last.
    #[must_use]
    pub fn leaves_out_files(&self) -> bool {
        !self.trouble.0.is_empty()
    }

    /// Reading the held file failed.
    pub(super) fn unreadable(
        &mut self,
        source: io::Error,
        batch: &mut Batch,
        limits: &Limits,
    ) -> Result<(), Error> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        // It may go on under another name, before what was behind it.
        self.look_again();
        open.refresh();
        let torn = open.reader.remainder().is_some();
        let given_up = held::is_given_up(&source);
        // A handle is given up for the compressed form of its file too, where the line goes on.
        let lost = given_up && self.is_missing(open.listed.sequence);
        if torn && (lost || (is_damage(&source) && self.is_beyond_hope(&open.listed))) {
            // Nobody will ever read the rest of this line.
            open.take_remainder(batch, limits);
            if open.has_taken_carried {
                self.settle_carried();
            }
        }
        self.ledger.leave(&open.listed, open.mark(), false);
        if given_up {
            return Ok(());
        }
        // Other files may have been read before it was opened, so only what it gave itself is from before the gap.
        let after = self.time.filter(|_| open.reader.offset() > open.opened_at);
        self.cannot_read(&open.listed, source, Some(End { torn, after }))
    }

    fn is_missing(&mut self, sequence: u64) -> bool {
        self.take_missing();
        self.missing.iter().any(|(missing, _)| missing.sequence == Some(sequence))
    }

    fn is_beyond_hope(&mut self, listed: &Listed) -> bool {
        self.trouble.failed(listed, true).1 >= GZ_SETTLES_AFTER
    }

    /// A file cannot be read. If it is not the live one, others are read before it is tried again.
    pub(super) fn cannot_read(
        &mut self,
        listed: &Listed,
        source: io::Error,
        end: Option<End>,
    ) -> Result<(), Error> {
        let path = listed.entry.path.clone();
        let damaged = listed.entry.gz && is_damage(&source);
        if !damaged && (listed.live || is_shortage(&source)) {
            return Err(Error { path, source });
        }
        let (is_first, age) = self.trouble.failed(listed, damaged);
        if !damaged {
            if is_first {
                tracing::error!(file = %path.display(), error = %source, "the file cannot be read; trying again until it can");
            }
        } else if age < GZ_SETTLES_AFTER {
            tracing::debug!(file = %path.display(), error = %source, "the compressed file is not complete; waiting");
        } else {
            let cause = format!("its .gz cannot be decompressed to its end: {source}");
            let from = self.ledger.give_up(listed);
            let End { torn, after } = end.unwrap_or_default();
            let gap = gap(torn, &listed.entry.base, from, None, cause);
            self.observed.gaps.push(Gap { after, ..gap });
        }
        Ok(())
    }

    /// Turns what the pins had to give up into gaps. Returns whether there were any.
    pub(super) fn look_for_missing(&mut self) -> bool {
        self.take_missing();
        let held = self.open.as_ref().map(|open| open.listed.sequence);
        // What has been read of the open file is still taken; its end comes as an error.
        let (later, now): (Vec<_>, Vec<_>) = std::mem::take(&mut self.missing)
            .into_iter()
            .partition(|(missing, _)| missing.sequence.is_some() && missing.sequence == held);
        self.missing = later;
        let known = self.observed.gaps.len();
        for (missing, told) in now {
            if let Some(gap) = self.gap_of(&missing) {
                self.observed.gaps.push(Gap { told, ..gap });
                self.observed.gone.extend(missing.sequence);
            } else {
                // Nothing of it is missed here, so the record of it need not be kept for this output.
                self.finished.extend(missing.sequence);
            }
        }
        self.observed.gaps.len() > known
    }

    /// The same for our own log and the metrics, at once: it may be long before their turn in the stream comes.
    pub fn take_news(&mut self) -> Vec<Gap> {
        self.take_missing();
        let news = self.missing.iter().filter(|(_, told)| !told);
        let gaps = news.filter_map(|(missing, _)| self.gap_of(missing)).collect();
        for (_, told) in &mut self.missing {
            *told = true;
        }
        gaps
    }

    fn take_missing(&mut self) {
        self.missing.extend(self.pins.take_missing(self.output).into_iter().map(|missing| (missing, false)));
    }

    /// What of a missing file was not read; nothing if it was read to its end.
    fn gap_of(&self, missing: &Missing) -> Option<Gap> {
        let Missing { sequence, base, from, content_bytes, certain, cause } = missing;
        let open = self.open.as_ref().filter(|open| Some(open.listed.sequence) == *sequence);
        let carried = sequence.and_then(|sequence| self.carried.end_of(sequence));
        let read = || match open {
            Some(open) => open.reader.end_of_whole_lines(),
            None if carried.is_some() => carried.unwrap_or_default(),
            None => sequence.map_or(0, |sequence| self.ledger.offset_of(sequence, base)),
        };
        // What was noted of it is what all outputs had settled; this one may have settled more.
        let from = from.unwrap_or_default().max(read());
        if content_bytes.is_some_and(|bytes| bytes <= from) {
            return None;
        }
        let before = self.time_behind(*sequence);
        let gap = gap(*certain, base, from, *content_bytes, cause.clone());
        Some(Gap { after: self.time, before, ..gap })
    }

    /// Time of the first event of the first file behind another one.
    fn time_behind(&self, sequence: Option<u64>) -> Option<Timestamp> {
        let listing = self.list().ok()?;
        let next = listing.iter().find(|listed| Some(listed.sequence) > sequence && listed.waiting)?;
        let head = reader::head_of(&next.open().ok()?, next.entry.gz, LONGEST_PEEK).ok()?;
        let time = first_time(self.format, &head)?;
        self.time.is_none_or(|after| after <= time).then_some(time)
    }
}

/// What is known of the end of a file that is damaged.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Whether a line is there of which the rest is missing.
    torn: bool,
    /// Time of the last event that was got out of it.
    after: Option<Timestamp>,
}

impl Open {
    /// Looks at the file again.
    fn refresh(&mut self) {
        if let Ok(metadata) = self.reader.held().metadata() {
            (self.listed.size, self.listed.modified) = (metadata.len(), metadata.modified().ok());
        }
    }
}

pub(super) fn gap(certain: bool, base: &str, from: u64, to: Option<u64>, cause: String) -> Gap {
    Gap { certain, file: base.to_owned(), from, to, after: None, before: None, cause, told: false }
}

/// Whether nothing can be opened now, whatever it is: for want of handles, of memory, or of a thread to decompress.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN];
    shortages.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether a compressed file is to blame, not the way to it.
pub(super) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | InvalidData | InvalidInput)
}
