//! When the directory has to be listed, and when the last listing still says it all.
//!
//! A listing asks for each of its files, and a backlog may be of a thousand backups. To list them all at the end of each
//! is a million questions. So what was *ahead*, behind the file that was opened, is kept, and opened without another look
//! as long as no name has changed.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant, SystemTime};

use super::ledger::Unread;
use super::{Error, Tail};
use crate::source::pins::Listed;

/// A directory that did not change is listed again after this long in any case.
const RELIST_AFTER: Duration = Duration::from_secs(10);

/// When a look was made, and what tells whether names have changed since.
pub(super) struct Look {
    pub(super) at: Instant,
    changes: u64,
    modified: Vec<Option<SystemTime>>,
}

impl Tail {
    /// Lists the files, and remembers it as the last look.
    pub(super) fn look(&mut self) -> Result<Vec<Listed>, Error> {
        self.ahead.clear();
        let look = self.look_now();
        let listing = self.list()?;
        self.looked = Some(look);
        self.told_finished.retain(|sequence| listing.iter().any(|listed| listed.sequence == *sequence));
        self.trouble.keep_listed(&listing);
        Ok(listing)
    }

    fn look_now(&self) -> Look {
        let (changes, modified) = (self.pins.changes(), self.pins.series().modified());
        Look { at: Instant::now(), changes, modified }
    }

    /// Whether names may have changed since the last look.
    pub(super) fn may_have_changed(&self) -> bool {
        let is_current = |last: &Look| {
            last.at.elapsed() < RELIST_AFTER
                && last.changes == self.pins.changes()
                && last.modified == self.pins.series().modified()
        };
        !self.looked.as_ref().is_some_and(is_current)
    }

    /// Keeps what stands behind the file that was opened. Not the live one, which may have been written anew without a
    /// change of names; nor what nobody holds, since another look may hold it.
    pub(super) fn look_ahead(&mut self, listing: Vec<Listed>, opened: u64) {
        let behind = listing.into_iter().skip_while(|listed| listed.sequence != opened).skip(1);
        self.ahead = behind.take_while(|listed| !listed.live && listed.is_held()).collect();
    }

    /// Opens the file behind the one that was read last, if a look would show the same as the last one did. Everything
    /// that is not plain is left to a look.
    pub(super) fn open_ahead(&mut self) -> Result<bool, Error> {
        let mut ahead = mem::take(&mut self.ahead);
        let Some(listed) = ahead.pop_front() else { return Ok(false) };
        if self.may_have_changed() || self.leaves_out_files() {
            return Ok(false);
        }
        let Ok(Unread::From(offset)) = self.ledger.unread(&listed, self.pins.series()) else {
            return Ok(false);
        };
        let is_open = self.open_at(listed, offset)?;
        if is_open {
            self.ahead = ahead;
        }
        Ok(is_open)
    }

    /// What was ahead is not the next to be read any more.
    pub(super) fn look_again(&mut self) {
        self.ahead = VecDeque::new();
    }
}
