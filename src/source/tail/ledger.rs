//! Which of the listed files were read, and how far: the tail's marks, matched to names by content.
//!
//! A match is by name and head where a name lasts (lumberjack's stamps), by head alone where it may have changed: the
//! live file becomes a backup, logrotate's numbers go up. Each mark stands for one file. A stamped backup never takes
//! over another's mark, so two backups with equal heads are never taken for each other.
//!
//! When in doubt a file is unread: duplicates before loss.

mod passed_over;

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Error, Gap, is_damage};
use crate::checkpoint::{Cursor, HEAD_BYTES, Head, Mark};
use crate::source::reader::{self, FileId, Reader};
use crate::source::series::{self, Entry, Series};

/// A mark whose file is not listed is kept this long: a listing made during renames may miss a file.
const FORGET_AFTER: Duration = Duration::from_secs(2);
/// A compressed file that was not complete is looked at again after this long.
const POSTPONE: Duration = Duration::from_secs(1);

/// What is unread of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    Nothing,
    From(u64),
}

#[derive(Debug)]
pub(super) struct Ledger {
    tracked: Vec<Tracked>,
    shared: Arc<[Mark]>,
    listed_at_start: Option<HashSet<String>>,
    postponed: HashMap<String, Instant>,
    /// Whether the file that was read last, before the restart, has yet to be found.
    resuming: bool,
}

/// A mark, and what is known of its file.
#[derive(Debug)]
pub(super) struct Tracked {
    mark: Mark,
    /// Name of the generation that it stands for in the last listing.
    listed: Option<String>,
    /// The file whose head was compared.
    verified: Option<FileId>,
    /// The file that was read to its very end.
    complete: Option<FileId>,
    missing_since: Option<Instant>,
}

impl Tracked {
    fn new(mark: Mark) -> Self {
        Self { mark, listed: None, verified: None, complete: None, missing_since: None }
    }
}

pub(super) use passed_over::skipped;

pub(super) fn mark(base: &str, head: Head, offset: u64) -> Mark {
    Mark { name: base.to_owned(), head, offset }
}

pub(super) fn id_of(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

pub(super) fn id_at(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|metadata| id_of(&metadata))
}

impl Ledger {
    pub(super) fn new(cursor: Option<&Cursor>) -> Self {
        let tracked: Vec<_> = cursor.iter().flat_map(|c| c.marks()).cloned().map(Tracked::new).collect();
        let resuming = !tracked.is_empty();
        let mut ledger = Self {
            tracked,
            shared: Arc::default(),
            listed_at_start: None,
            postponed: HashMap::new(),
            resuming,
        };
        ledger.changed();
        ledger
    }

    /// All marks, in the order in which their files were left.
    pub(super) fn marks(&self) -> Arc<[Mark]> {
        Arc::clone(&self.shared)
    }

    fn changed(&mut self) {
        self.shared = self.tracked.iter().map(|tracked| tracked.mark.clone()).collect();
    }

    /// Remembers what was there before anything was read: leaving such a file is no rotation that we saw.
    pub(super) fn listed_first(&mut self, entries: &[Entry]) {
        if self.listed_at_start.is_none() {
            self.listed_at_start = Some(entries.iter().map(|entry| entry.base.clone()).collect());
        }
    }

    pub(super) fn came_later(&self, base: &str) -> bool {
        self.listed_at_start.as_ref().is_some_and(|names| !names.contains(base))
    }

    /// Finds the file of each mark in a new listing. `held` is the file that is open: it needs no mark.
    pub(super) fn resolve(
        &mut self,
        series: &Series,
        entries: &[Entry],
        held: Option<FileId>,
    ) -> Result<Option<Gap>, Error> {
        for tracked in &mut self.tracked {
            tracked.listed = None;
        }
        let mut renamed = Vec::new();
        let mut outdated = false;
        for entry in entries {
            let path = series.path(entry);
            let id = id_at(&path);
            outdated |= id.is_none() && path.symlink_metadata().is_err();
            let Some(id) = id.filter(|id| Some(*id) != held) else { continue };
            if !self.match_by_name(&path, entry, id)? {
                renamed.push((entry, path, id));
            }
        }
        for (entry, path, id) in renamed {
            self.match_by_head(series, &path, entry, id)?;
        }
        // An empty directory is rather a missing mount than the end of all files; and if a file went away since the
        // listing, it may have got a name that is not in it. So what is not listed may be there.
        if entries.is_empty() || outdated {
            return Ok(None);
        }
        let gap = self.gap_on_resume();
        self.drop_vanished(series);
        Ok(gap)
    }

    fn match_by_name(&mut self, path: &Path, entry: &Entry, id: FileId) -> Result<bool, Error> {
        if entry.is_live() {
            return Ok(false); // the live file may be a new one; older files have the first right to its mark
        }
        let same_name = |tracked: &&mut Tracked| tracked.listed.is_none() && tracked.mark.name == entry.base;
        let Some(tracked) = self.tracked.iter_mut().find(same_name) else { return Ok(false) };
        let is_same = (tracked.verified == Some(id) && entry.keeps_its_name())
            || match reader::head_of(path, entry.gz, usize::from(tracked.mark.head.len)) {
                Ok(head) => tracked.mark.head.matches(&head),
                Err(e) if e.kind() == io::ErrorKind::NotFound => false,
                Err(e) if entry.gz && is_damage(&e) => true, // still being written; its name says what it is
                Err(source) => return Err(Error { path: path.to_owned(), source }),
            };
        if is_same {
            tracked.listed = Some(entry.base.clone());
            tracked.verified = Some(id);
        }
        Ok(is_same)
    }

    fn match_by_head(
        &mut self,
        series: &Series,
        path: &Path,
        entry: &Entry,
        id: FileId,
    ) -> Result<(), Error> {
        let may_be = |tracked: &Tracked| {
            tracked.listed.is_none() && series::may_be_renamed(series, &tracked.mark.name, &entry.base)
        };
        if !self.tracked.iter().any(may_be) {
            return Ok(());
        }
        let head = match reader::head_of(path, entry.gz, HEAD_BYTES) {
            Ok(head) => head,
            Err(e) if e.kind() == io::ErrorKind::NotFound || (entry.gz && is_damage(&e)) => return Ok(()),
            Err(source) => return Err(Error { path: path.to_owned(), source }),
        };
        let found = self
            .tracked
            .iter_mut()
            .find(|tracked| may_be(tracked) && tracked.mark.head.len > 0 && tracked.mark.head.matches(&head));
        if let Some(tracked) = found {
            tracked.listed = Some(entry.base.clone());
            tracked.verified = Some(id);
            if tracked.mark.name != entry.base {
                tracked.mark.name.clone_from(&entry.base);
                self.changed();
            }
        }
        Ok(())
    }

    /// Retention deletes the oldest first: while the file that was read last is there, no later one can be missing.
    fn gap_on_resume(&mut self) -> Option<Gap> {
        if !std::mem::take(&mut self.resuming) {
            return None;
        }
        let last = self.tracked.last().filter(|last| last.listed.is_none() && last.mark.offset > 0)?;
        let detail = format!(
            "{}, read up to byte {} before the restart, is gone; what was written after that and deleted meanwhile is unknown",
            last.mark.name, last.mark.offset
        );
        Some(Gap { certain: false, detail })
    }

    fn drop_vanished(&mut self, series: &Series) {
        let now = Instant::now();
        for tracked in &mut self.tracked {
            tracked.missing_since = match tracked.listed {
                Some(_) => None,
                None => tracked.missing_since.or(Some(now)),
            };
        }
        let before = self.tracked.len();
        self.tracked.retain(|tracked| {
            // A mark without a head tells nothing once its name leads elsewhere.
            let tells = tracked.mark.head.len > 0 || tracked.mark.name != series.live_name();
            tracked.missing_since.is_none_or(|since| tells && now - since < FORGET_AFTER)
        });
        if self.tracked.len() != before {
            self.changed();
        }
    }

    fn of(&mut self, entry: &Entry) -> Option<&mut Tracked> {
        self.tracked.iter_mut().find(|tracked| tracked.listed.as_deref() == Some(entry.base.as_str()))
    }

    /// What is unread of a file of the last listing.
    pub(super) fn unread(&mut self, path: &Path, entry: &Entry) -> io::Result<Unread> {
        if self.postponed.get(&entry.base).is_some_and(|at| at.elapsed() < POSTPONE) {
            return Ok(Unread::Nothing);
        }
        self.postponed.remove(&entry.base);
        let metadata = std::fs::metadata(path)?;
        let size = metadata.len();
        let Some(tracked) = self.of(entry) else {
            let nothing = size == 0 && !entry.is_live();
            return Ok(if nothing { Unread::Nothing } else { Unread::From(0) });
        };
        let offset = tracked.mark.offset;
        if entry.is_live() {
            return Ok(Unread::From(if size < offset { 0 } else { offset }));
        }
        if !entry.gz {
            return Ok(if size > offset { Unread::From(offset) } else { Unread::Nothing });
        }
        let id = id_of(&metadata);
        if tracked.complete != Some(id) {
            let trailer = reader::gz_trailer_bytes(path)?;
            #[expect(clippy::cast_possible_truncation, reason = "the trailer counts modulo 2^32")]
            if trailer != offset as u32 {
                return Ok(Unread::From(offset));
            }
            tracked.complete = Some(id);
        }
        Ok(Unread::Nothing)
    }

    /// Bytes that are unread of a file of the last listing, by what is known without opening it.
    pub(super) fn unread_bytes(&self, entry: &Entry, metadata: &Metadata) -> u64 {
        let found =
            self.tracked.iter().find(|tracked| tracked.listed.as_deref() == Some(entry.base.as_str()));
        match found {
            None => metadata.len(),
            Some(tracked) if entry.gz => {
                if tracked.complete.is_some() {
                    0
                } else {
                    metadata.len()
                }
            }
            Some(tracked) => metadata.len().saturating_sub(tracked.mark.offset),
        }
    }

    /// Whether `reader`, opened where a mark says, reads the file of that mark: since the listing its name may have
    /// come to lead to another one, which must not be read from the middle.
    pub(super) fn has_content_of(&mut self, entry: &Entry, reader: &Reader) -> bool {
        let Some(tracked) = self.of(entry) else { return true };
        let has = reader.offset() == 0 || reader.may_be(&tracked.mark.head);
        if !has {
            tracked.verified = None;
        }
        has
    }

    /// The file `base`, which may have got another name since, is open now: its position is the reader's, no mark's.
    pub(super) fn opened(&mut self, base: &str, id: FileId) {
        let before = self.tracked.len();
        self.tracked.retain(|tracked| match &tracked.listed {
            Some(listed) => listed != base && tracked.verified != Some(id),
            None => true,
        });
        if self.tracked.len() != before {
            self.changed();
        }
    }

    /// The open file is left; `to_its_end` if nothing more can follow.
    pub(super) fn leave(&mut self, base: &str, reader: &Reader, to_its_end: bool) {
        let mut tracked = Tracked::new(mark(base, reader.head(), reader.offset()));
        tracked.verified = Some(reader.id());
        tracked.complete = to_its_end.then_some(reader.id());
        tracked.listed = Some(base.to_owned());
        self.tracked.push(tracked);
        self.changed();
    }
}
