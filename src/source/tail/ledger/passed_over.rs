//! Files that are not read: older than the beginning, spoiled.

use std::io;

use super::{Ledger, Tracked, mark};
use crate::checkpoint::{HEAD_BYTES, Head};
use crate::source::pins::Listed;
use crate::source::reader;
use crate::source::tail::trouble::is_damage;

/// A file as one that was read to its end, although it was not. `None` if it is not there.
///
/// # Errors
/// It cannot be read.
pub(in crate::source::tail) fn skipped(listed: &Listed) -> io::Result<Option<Tracked>> {
    let mut tracked = match end_of(listed) {
        Ok((head, offset)) => Tracked::new(mark(&listed.entry.base, head, offset)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if listed.entry.gz && is_damage(&e) => {
            let mut tracked = Tracked::new(mark(&listed.entry.base, Head::of(b""), 0));
            tracked.complete = Some(listed.id);
            tracked
        }
        Err(e) => return Err(e),
    };
    tracked.found(listed);
    Ok(Some(tracked))
}

fn end_of(listed: &Listed) -> io::Result<(Head, u64)> {
    let (held, gz) = (listed.open()?, listed.entry.gz);
    let offset =
        if gz { u64::from(reader::gz_trailer_bytes(&held)?) } else { reader::end_of_last_line(&held)? };
    let hashed = usize::try_from(offset).map_or(HEAD_BYTES, |offset| offset.min(HEAD_BYTES));
    Ok((Head::of(&reader::head_of(&held, gz, hashed)?), offset))
}

impl Ledger {
    /// Marks files as read although they were not.
    pub(in crate::source::tail) fn skip(&mut self, skipped: Vec<Tracked>) {
        self.tracked.extend(skipped);
        self.changed();
    }

    /// Nothing more can be got out of a compressed file. Returns how much of it was read.
    pub(in crate::source::tail) fn give_up(&mut self, listed: &Listed) -> u64 {
        if self.of(listed).is_none() {
            let mut tracked = Tracked::new(mark(&listed.entry.base, Head::of(b""), 0));
            tracked.found(listed);
            self.tracked.push(tracked);
        }
        let offset = self.of(listed).map_or(0, |tracked| {
            tracked.complete = Some(listed.id);
            tracked.mark.offset
        });
        self.changed();
        offset
    }
}
