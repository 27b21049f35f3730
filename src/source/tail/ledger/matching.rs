//! Which file a mark stands for.

use std::io;

use super::{Error, Ledger, Tracked};
use crate::checkpoint::{HEAD_BYTES, Head, Mark};
use crate::source::held::{Held, is_given_up};
use crate::source::pins::Listed;
use crate::source::reader;
use crate::source::series::Series;
use crate::source::tail::trouble::{is_damage, is_shortage};

impl Ledger {
    /// A file that has been held all the time is the same one, whatever it is called. The live file may have been
    /// truncated meanwhile.
    pub(super) fn match_exactly(&mut self, listed: &Listed) -> bool {
        if listed.live {
            return false;
        }
        let is_it = |tracked: &&mut Tracked| {
            tracked.verified == Some(listed.sequence)
                && (listed.exact || (listed.entry.has_own_name() && *tracked.mark.name == *listed.entry.base))
        };
        let Some(tracked) = self.tracked.iter_mut().find(is_it) else { return false };
        tracked.found(listed);
        if *tracked.mark.name != *listed.entry.base {
            tracked.mark.name = listed.entry.base.as_str().into();
            self.changed();
        }
        true
    }

    pub(super) fn match_by_name(&mut self, listed: &Listed) -> Result<bool, Error> {
        if listed.live {
            return Ok(false); // the live file may be a new one; older files have the first right to its mark
        }
        // Where names are used again, a mark without a head could be anybody's.
        let same_name = |tracked: &Tracked| {
            tracked.listed.is_none()
                && !tracked.displaced
                && *tracked.mark.name == *listed.entry.base
                && (tracked.mark.head.len > 0 || listed.entry.has_own_name())
        };
        if !self.tracked.iter().any(same_name) {
            return Ok(false);
        }
        let head = listed.open().and_then(|held| reader::head_of(&held, listed.entry.gz, HEAD_BYTES));
        let is_same = |tracked: &Tracked| match &head {
            Ok(head) => is_of(&tracked.mark, head, listed),
            Err(e) => listed.entry.gz && is_damage(e), // still being written; its name says what it is
        };
        let found = self.tracked.iter_mut().find(|tracked| same_name(tracked) && is_same(tracked));
        if let Some(tracked) = found {
            tracked.found(listed);
            return Ok(true);
        }
        if let Err(source) = head {
            self.outdated |= is_gone(&source);
            not_there(listed, source)?;
        }
        Ok(false)
    }

    pub(super) fn match_by_head(&mut self, series: &Series, listed: &Listed) -> Result<(), Error> {
        let may_be = |tracked: &Tracked| {
            tracked.listed.is_none()
                && tracked.mark.head.len > 0
                && !(tracked.displaced && listed.live)
                && series.may_be_renamed(&tracked.mark.name, &listed.entry.base)
        };
        if !self.tracked.iter().any(may_be) {
            return Ok(());
        }
        let head = match listed.open().and_then(|held| reader::head_of(&held, listed.entry.gz, HEAD_BYTES)) {
            Ok(head) => head,
            Err(e) if listed.entry.gz && is_damage(&e) => {
                self.unclear.insert(listed.sequence);
                return Ok(());
            }
            Err(source) => {
                self.outdated |= is_gone(&source);
                return not_there(listed, source);
            }
        };
        let found =
            self.tracked.iter_mut().find(|tracked| may_be(tracked) && is_of(&tracked.mark, &head, listed));
        if let Some(tracked) = found {
            tracked.found(listed);
            if *tracked.mark.name != *listed.entry.base {
                tracked.mark.name = listed.entry.base.as_str().into();
                self.changed();
            }
        }
        Ok(())
    }
}

/// Identity of at most `most` bytes in front of `offset`.
pub(in crate::source::tail) fn before(held: &Held, offset: u64, most: u64) -> Option<Head> {
    let mut bytes = vec![0; usize::try_from(offset.min(most)).ok()?];
    let count = held.read_full_at(&mut bytes, offset - offset.min(most)).ok()?;
    (count == bytes.len()).then(|| Head::of(&bytes))
}

/// Whether a file that begins with `head` is the one of `mark`.
fn is_of(mark: &Mark, head: &[u8], listed: &Listed) -> bool {
    let ends_so = |expected: Head| {
        let file = listed.open().ok().filter(|_| !listed.entry.gz);
        file.and_then(|held| before(&held, mark.offset, u64::from(expected.len))) == Some(expected)
    };
    mark.head.matches(head) && (!mark.head.is_blank() || mark.before.is_some_and(ends_so))
}

/// A file that is not there any more is no error; look again.
fn not_there(listed: &Listed, source: io::Error) -> Result<(), Error> {
    if is_gone(&source) {
        return Ok(());
    }
    // What cannot be read has no content to compare; it will be said when it is its turn.
    if !listed.live && !is_shortage(&source) {
        return Ok(());
    }
    Err(Error { path: listed.entry.path.clone(), source })
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || is_given_up(error)
}
