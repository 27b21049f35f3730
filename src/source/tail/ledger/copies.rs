//! copytruncate: a rotator copies the live file and truncates it in place.

use std::sync::Arc;

use super::{Ledger, Tracked, gap};
use crate::checkpoint::{HEAD_BYTES, Mark};
use crate::gap::Gap;
use crate::source::held::Held;
use crate::source::pins::Listed;
use crate::source::series::Series;

/// Bytes at the end of a copy that are compared, beside its head.
const TAIL_BYTES: u64 = 4 << 10;

impl Ledger {
    /// Among files without a mark, finds those that hold the beginning of the live file and nothing else.
    pub(super) fn find_copies(&mut self, series: &Series, unmatched: &[&Listed], live: Option<&Listed>) {
        self.copies.clear();
        let Some(live) = live.and_then(|live| live.open().ok()) else { return };
        let candidates =
            unmatched.iter().filter(|listed| !listed.entry.gz && listed.entry.may_be_copy(series));
        let copies = candidates.filter(|listed| listed.open().is_ok_and(|copy| is_copy(&copy, &live)));
        self.copies.extend(copies.map(|listed| listed.sequence));
    }

    /// The live file has another content now; what was read of the old one may be continued in a copy.
    pub(in crate::source::tail) fn displace(&mut self, mark: Mark) {
        let mut tracked = Tracked::new(mark);
        tracked.displaced = true;
        self.tracked.push(tracked);
        self.changed();
    }

    /// The live file was truncated, and there is no copy of it.
    pub(super) fn gap_in_place(&mut self, series: &Series, listing: &[Listed]) -> Option<Gap> {
        let index = self.tracked.iter().position(|tracked| tracked.displaced)?;
        let Tracked { mark, .. } = self.tracked.remove(index);
        self.changed();
        // Of a file of which nothing was read there is nothing to compare; any unread copy may be its.
        let is_copied = mark.head.len == 0 && listing.iter().any(|listed| listed.entry.may_be_copy(series));
        let cause = "it was truncated in place; what had been written to it behind that is unknown";
        (!is_copied).then(|| gap(false, &mark.name, mark.offset, None, cause.to_owned()))
    }
}

fn is_copy(copy: &Arc<Held>, live: &Arc<Held>) -> bool {
    let bytes = |held: &Held| held.metadata().map(|metadata| metadata.len());
    let (Ok(length), Ok(live_length)) = (bytes(copy), bytes(live)) else { return false };
    if length == 0 || live_length < length || copy.id() == live.id() {
        return false;
    }
    let tail = length.min(TAIL_BYTES);
    same(copy, live, 0, length.min(HEAD_BYTES as u64)) && same(copy, live, length - tail, tail)
}

fn same(one: &Held, other: &Held, offset: u64, bytes: u64) -> bool {
    let read = |held: &Held| {
        let mut content = vec![0; usize::try_from(bytes).ok()?];
        let count = held.read_full_at(&mut content, offset).ok()?;
        content.truncate(count);
        (count as u64 == bytes).then_some(content)
    };
    read(one).is_some_and(|content| Some(content) == read(other))
}
