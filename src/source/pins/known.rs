//! What is known of each file: its name, its handle, and who still waits for it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::kept::Keeping;
use super::{Missing, State, limits};
use crate::source::held::{self, FileId, Held, id_of};
use crate::source::reader;
use crate::source::series::{Entry, Series};

/// A file that is not held and not listed is missing after this long: a listing made during renames may miss a file.
pub(super) const MISSING_AFTER: Duration = Duration::from_secs(2);

/// A file that was seen.
#[expect(clippy::struct_excessive_bools, reason = "four facts, each of which is looked up on its own")]
pub(super) struct Known {
    pub(super) entry: Entry,
    pub(super) sequence: u64,
    pub(super) id: FileId,
    pub(super) size: u64,
    pub(super) modified: Option<SystemTime>,
    pub(super) held: Option<Arc<Held>>,
    /// Whether it has been held since it was first seen.
    pub(super) exact: bool,
    /// Whether its name leads to it.
    pub(super) named: bool,
    /// Whether it has no name anywhere: the disk holds it for us alone.
    pub(super) alone: bool,
    /// Whether what it was compressed to has a name.
    pub(super) compressed: bool,
    /// Outputs that have not settled it.
    pub(super) waiting: Vec<usize>,
    pub(super) missing_since: Option<Instant>,
    pub(super) keeping: Keeping,
}

impl State {
    /// `entry` leads to a file. Returns whether that is a file that was not known.
    pub(super) fn found(&mut self, entry: Entry, metadata: &Metadata, series: &Series) -> bool {
        let (id, size, modified) = (id_of(metadata), metadata.len(), metadata.modified().ok());
        // What is held is that file and no other; one that could not be held may have had the inode before it.
        let is_held = |known: &Known| known.id == id && known.held.is_some();
        let index = self.known.iter().position(is_held);
        let index = index.or_else(|| self.known.iter().position(|known| known.is(&entry, id, size)));
        if let Some(index) = index {
            let before = &self.known[index];
            if before.entry.is_live() && !entry.is_live() {
                self.unseen.moved(&before.entry.base, before.sequence);
            }
            self.rename(index, entry);
            let known = &mut self.known[index];
            (known.size, known.modified) = (size, modified);
            (known.named, known.alone, known.missing_since) = (true, false, None);
            return false;
        }
        if entry.gz && self.is_known_uncompressed(&entry, metadata, series) {
            return false;
        }
        // The name leads to another file now.
        let is_called_so = |known: &&mut Known| {
            known.named && known.entry.base == entry.base && known.entry.path == entry.path
        };
        for known in self.known.iter_mut().filter(is_called_so) {
            known.named = false;
            known.look_at_handle();
        }
        self.known.push(Known {
            entry,
            sequence: self.next_sequence,
            id,
            size,
            modified,
            held: None,
            exact: true,
            named: true,
            alone: false,
            compressed: false,
            waiting: self.readers(),
            missing_since: None,
            keeping: Keeping::default(),
        });
        self.next_sequence += 1;
        true
    }

    /// A file is called otherwise now. Whoever keeps it over a restart has to know: its name is a part of what marks are
    /// matched by.
    pub(super) fn rename(&mut self, index: usize, entry: Entry) {
        if self.known[index].entry.base != entry.base {
            self.drop_stored(index);
        }
        self.known[index].entry = entry;
    }

    /// A compressed file is not a new one if we have what it was made of.
    pub(super) fn is_known_uncompressed(&mut self, gz: &Entry, metadata: &Metadata, series: &Series) -> bool {
        if gz.uncompressed().path.exists() {
            return true; // it is being written
        }
        let plain = |known: &&mut Known| !known.entry.gz && !known.waiting.is_empty();
        let same_name =
            |known: &Known| known.entry.base == gz.base && known.entry.path.parent() == gz.path.parent();
        // Where names are passed on, one that was gone before it could be opened may have had this one too.
        let had_it = self.known.iter_mut().filter(plain).filter(|known| same_name(known));
        if let Some(known) = had_it.max_by_key(|known| (known.held.is_some(), known.sequence)) {
            let is_made_of_it = gz.has_own_name() || is_as_long(&gz.path, known.size);
            if known.held.is_none() && is_made_of_it {
                // It was never held; from now on it is read as what has become of it.
                (known.entry, known.id) = (gz.clone(), id_of(metadata));
                (known.size, known.modified) = (metadata.len(), metadata.modified().ok());
                (known.named, known.exact, known.missing_since) = (true, false, None);
            }
            known.compressed = true;
            return known.held.is_some() || is_made_of_it;
        }
        // It may have been renamed before it was compressed, and nobody told us.
        let renamed = self.known.iter_mut().position(|known| {
            plain(&known)
                && !known.named
                && series.may_be_renamed(&known.entry.base, &gz.base)
                && known.held.as_ref().is_some_and(|held| limits::is_compressed_from(&gz.path, held))
        });
        if let Some(index) = renamed {
            self.known[index].compressed = true;
            self.rename(index, gz.uncompressed());
            return true;
        }
        false
    }

    /// Files that the listing did not show.
    pub(super) fn update_nameless(&mut self, nothing_there: bool) {
        let now = Instant::now();
        let mut gone = Vec::new();
        for known in self.known.iter_mut().filter(|known| !known.named) {
            if known.held.is_some() {
                known.look_at_handle();
                continue;
            }
            // An empty directory is rather a missing mount than the end of all files.
            let since = *known.missing_since.get_or_insert(now);
            if !nothing_there && now - since >= MISSING_AFTER && !known.waiting.is_empty() {
                gone.push((known.waiting.clone(), known.as_missing()));
                known.waiting.clear();
            }
        }
        for (outputs, missing) in gone {
            self.tell(&outputs, &missing);
        }
    }

    /// Whether the file of this name is still there.
    pub(super) fn look_again(&mut self, path: &Path) {
        let id = held::id_at(path);
        for known in self.known.iter_mut().filter(|known| known.named && known.entry.path == path) {
            if Some(known.id) != id {
                known.named = false;
                known.look_at_handle();
            }
        }
    }

    /// Forgets nameless files that everybody has settled. Returns whether there were any.
    pub(super) fn forget_settled(&mut self) -> bool {
        let (unseen, store, before) = (&mut self.unseen, &mut self.store, self.known.len());
        self.known.retain_mut(|known| {
            let keep = known.named || !known.waiting.is_empty();
            if !keep {
                unseen.forgotten(&known.entry);
                store.let_go(std::mem::take(&mut known.keeping));
            }
            keep
        });
        self.known.len() < before
    }
}

impl Known {
    pub(super) fn is_live(&self) -> bool {
        self.named && self.entry.is_live()
    }

    /// Whether `entry`, which leads to the file `id`, is this one. The inode of a file that is not held may be another's
    /// by now; so then it has to have its name, or to be one that we wait for and that did not shrink.
    pub(super) fn is(&self, entry: &Entry, id: FileId, size: u64) -> bool {
        let may_be = || self.entry.path == entry.path || !self.waiting.is_empty();
        self.id == id && (self.held.is_some() || (size >= self.size && may_be()))
    }

    pub(super) fn look_at_handle(&mut self) {
        let Some(metadata) = self.held.as_ref().and_then(|held| held.metadata().ok()) else { return };
        (self.size, self.modified) = (metadata.len(), metadata.modified().ok());
        self.alone = metadata.nlink() == 0;
        if metadata.is_dir() {
            // No lines were ever in it, and nobody could read it to its end.
            self.held = None;
            self.waiting.clear();
        }
    }

    pub(super) fn as_missing(&self) -> Missing {
        Missing {
            sequence: Some(self.sequence),
            base: self.entry.base.clone(),
            from: None,
            content_bytes: (!self.entry.gz).then_some(self.size),
            certain: false,
            cause: "it could not be held open and is gone".to_owned(),
        }
    }
}

/// Whether the compressed file at `gz` has so many bytes of content.
fn is_as_long(gz: &Path, bytes: u64) -> bool {
    let content = Held::open(gz).and_then(|gz| reader::gz_trailer_bytes(&gz));
    #[expect(clippy::cast_possible_truncation, reason = "the trailer counts modulo 2^32")]
    content.is_ok_and(|content| content == bytes as u32)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use crate::config::Pins;
    use crate::source::pins::PinSet;

    /// A file that was compressed between the look at it and the try to open it, as if there were no handle left.
    #[test]
    fn what_was_never_held_goes_on_as_what_it_was_compressed_to() {
        for (content, is_it) in [("0123456789", true), ("another one", false)] {
            let directory = tempfile::tempdir().unwrap();
            let path = |name: &str| directory.path().join(name);
            let mut pins = PinSet::new(&path("audit.log"), Pins::on_any_disk(), 1, Box::new(|_, _| {}));
            pins.most_handles = 0;
            fs::write(path("audit.log.1"), "0123456789").unwrap();
            let [plain] = pins.list(0).unwrap().try_into().unwrap();
            let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
            gz.write_all(content.as_bytes()).unwrap();
            fs::write(path("audit.log.1.gz"), gz.finish().unwrap()).unwrap();
            fs::remove_file(path("audit.log.1")).unwrap();
            let [compressed] = pins.list(0).unwrap().try_into().unwrap();
            assert!(compressed.entry.gz && compressed.named);
            assert_eq!(compressed.sequence == plain.sequence, is_it, "{content}");
        }
    }
}
