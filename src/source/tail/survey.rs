//! What the tail knows of all files of the log: for the forecast of when they are deleted (`retention`).

use std::collections::HashMap;
use std::time::SystemTime;

use super::{Error, Tail};
use crate::retention::{LogFile, Look, Place};
use crate::source::held::FileId;
use crate::source::pins::Listed;
use crate::source::reader;

/// What a compressed file is taken to hold that does not tell: audit logs shrink to a tenth at least.
const USUAL_RATIO: u64 = 10;

/// What compressed files hold that were asked before.
pub(super) type Contents = HashMap<FileId, u64>;

impl Tail {
    /// The files of the log as they are now, while so many bytes are in memory.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn survey(&mut self, in_memory_bytes: u64) -> Result<Look, Error> {
        let mut listing = self.list()?;
        self.contents.retain(|id, _| listing.iter().any(|listed| listed.id == *id));
        let live = listing.iter().find(|listed| listed.live).map(|listed| listed.entry.clone());
        // The compressed form of a settled file has a higher number than it had itself.
        let is_former = |listed: &Listed| self.pins.series().is_of_former(&listed.entry, live.as_ref());
        listing.sort_by(|one, other| {
            is_former(other).cmp(&is_former(one)).then_with(|| one.entry.compare(&other.entry))
        });
        let files = listing.iter().map(|listed| {
            let place = if !listed.named && !listed.compressed {
                Place::Deleted
            } else if listed.live {
                Place::Live
            } else if is_former(listed) {
                Place::Former
            } else {
                Place::Backup
            };
            self.surveyed(listed, place)
        });
        let files: Vec<_> = files.collect();
        let (files, contents): (Vec<LogFile>, Vec<_>) = files.into_iter().unzip();
        self.contents.extend(contents.into_iter().flatten());
        Ok(Look { at: SystemTime::now(), files, in_memory_bytes })
    }

    /// One file, and what was learnt of its content.
    fn surveyed(&self, listed: &Listed, place: Place) -> (LogFile, Option<(FileId, u64)>) {
        let (content_bytes, learnt) = self.content_bytes(listed);
        let unread_bytes = match self.open.as_ref().filter(|open| open.is(listed)) {
            // How much is left of it only its end tells.
            Some(_) if listed.entry.gz => 1,
            Some(open) => listed.size.saturating_sub(open.reader.offset()),
            None if listed.entry.gz && self.ledger.unread_bytes(listed) > 0 => content_bytes,
            None => self.ledger.unread_bytes(listed),
        };
        let file = LogFile {
            sequence: listed.sequence,
            place,
            compressed: listed.entry.gz,
            content_bytes,
            unread_bytes: unread_bytes.min(content_bytes),
            modified: listed.modified.unwrap_or(SystemTime::UNIX_EPOCH),
        };
        (file, learnt)
    }

    fn content_bytes(&self, listed: &Listed) -> (u64, Option<(FileId, u64)>) {
        if !listed.entry.gz {
            return (listed.size, None);
        }
        if let Some(bytes) = self.contents.get(&listed.id) {
            return (*bytes, None);
        }
        match listed.open().and_then(|held| reader::gz_trailer_bytes(&held)) {
            // The trailer speaks of the last part only, and counts modulo 2^32.
            Ok(told) if u64::from(told) >= listed.size => (told.into(), Some((listed.id, told.into()))),
            _ => (listed.size.saturating_mul(USUAL_RATIO), None),
        }
    }
}
