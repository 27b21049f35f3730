//! Files that are not read, or not now: older than the beginning, not complete yet, spoiled.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::{Ledger, POSTPONE, Tracked, id_of, mark};
use crate::checkpoint::{HEAD_BYTES, Head};
use crate::source::reader;
use crate::source::series::Entry;
use crate::source::tail::is_damage;

/// `entry` as a file that was read to its end, although it was not. `None` if it is not there.
///
/// # Errors
/// It cannot be read.
pub(in crate::source::tail) fn skipped(path: &Path, entry: &Entry) -> io::Result<Option<Tracked>> {
    let mut tracked = match end_of(path, entry.gz) {
        Ok((head, offset)) => Tracked::new(mark(&entry.base, head, offset)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if entry.gz && is_damage(&e) => {
            let mut tracked = Tracked::new(mark(&entry.base, Head::of(b""), 0));
            tracked.complete = std::fs::metadata(path).ok().map(|metadata| id_of(&metadata));
            tracked
        }
        Err(e) => return Err(e),
    };
    tracked.listed = Some(entry.base.clone());
    Ok(Some(tracked))
}

fn end_of(path: &Path, gz: bool) -> io::Result<(Head, u64)> {
    let offset =
        if gz { u64::from(reader::gz_trailer_bytes(path)?) } else { reader::end_of_last_line(path)? };
    let hashed = usize::try_from(offset).map_or(HEAD_BYTES, |offset| offset.min(HEAD_BYTES));
    Ok((Head::of(&reader::head_of(path, gz, hashed)?), offset))
}

impl Ledger {
    /// Marks files as read although they were not.
    pub(in crate::source::tail) fn skip(&mut self, skipped: Vec<Tracked>) {
        self.tracked.extend(skipped);
        self.changed();
    }

    /// Looks at a compressed file that is not complete again a little later.
    pub(in crate::source::tail) fn postpone(&mut self, entry: &Entry) {
        self.postponed.retain(|_, at| at.elapsed() < POSTPONE);
        self.postponed.insert(entry.base.clone(), Instant::now());
    }

    #[cfg(test)]
    pub(in crate::source::tail) fn forget_postponed(&mut self) {
        self.postponed.clear();
    }

    /// Nothing more can be got out of a compressed file.
    pub(in crate::source::tail) fn give_up(&mut self, entry: &Entry, metadata: &Metadata) {
        if self.of(entry).is_none() {
            let mut tracked = Tracked::new(mark(&entry.base, Head::of(b""), 0));
            tracked.listed = Some(entry.base.clone());
            self.tracked.push(tracked);
        }
        if let Some(tracked) = self.of(entry) {
            tracked.complete = Some(id_of(metadata));
        }
        self.changed();
    }
}
