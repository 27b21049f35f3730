//! What a spool holds. Names and contents are believed only as far as they can be checked.

use std::ffi::OsString;
use std::fs::{DirEntry, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{COPY, TOMBSTONE, Tombstone, UNFINISHED};
use crate::source::keep::{Key, LogId};

/// More files than this are not taken in at one start; they wait for the next.
const MOST_FILES: usize = 4096;
/// A tombstone with more bytes than this was not written by us.
const TOMBSTONE_BYTES: u64 = 64 << 10;
/// The longest name that a file can have.
const NAME_BYTES: usize = 255;
/// What is kept of a reason.
const REASON_CHARS: usize = 400;

/// Something in the spool. [`remove`] it once it is settled or reported.
#[derive(Debug)]
pub enum Spooled {
    /// A copy. Offsets and identity are those of the original.
    File {
        /// Its place among the pins of the process that made it.
        sequence: u64,
        /// Name of the original, without directory and `.gz`; a hint.
        name: String,
        /// Whether it is compressed.
        gz: bool,
        /// The copy.
        path: PathBuf,
        /// The copy, open for reading.
        file: File,
    },
    /// A file that could not be copied: a certain gap.
    Lost {
        /// Its place among the pins of the process that had to give it up.
        sequence: u64,
        /// Its name, without directory and `.gz`.
        name: String,
        /// Whether it was compressed.
        gz: bool,
        /// The first byte of its uncompressed content that is lost.
        from: u64,
        /// Its size on the disk; of a plain file that is where its content ended. 0 if the record cannot be read.
        size: u64,
        /// Why it could not be copied.
        reason: String,
        /// The record.
        path: PathBuf,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Copy,
    Tombstone,
    Unfinished,
}

/// What the spool at `dir` holds of the logs that are `wanted`, by sequence, and nothing if it does not exist. What was not
/// finished is removed; what is not ours is left alone.
#[must_use]
pub fn load(dir: &Path, wanted: impl Fn(LogId) -> bool) -> Vec<Spooled> {
    let entries: Vec<DirEntry> = match std::fs::read_dir(dir).and_then(Iterator::collect) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::error!(directory = %dir.display(), %error, "the spool cannot be read");
            return Vec::new();
        }
    };
    let (mut ours, mut foreign) = (Vec::new(), Vec::new());
    for entry in entries {
        match ours_of(&entry) {
            Some((_, Kind::Unfinished)) => remove(&entry.path()),
            Some((key, kind)) if wanted(key.log) => ours.push((key, kind, entry.path())),
            Some(_) => {}
            None => foreign.push(entry.file_name()),
        }
    }
    say_foreign(dir, &foreign);
    // A copy comes before the tombstone that was written ahead of it.
    ours.sort_by(|(key, kind, _), (other, other_kind, _)| (key, kind).cmp(&(other, other_kind)));
    ours.dedup_by(|(key, kind, path), (before, _, _)| {
        let is_obsolete = key == before && *kind == Kind::Tombstone;
        if is_obsolete {
            remove(path);
        }
        is_obsolete
    });
    if ours.len() > MOST_FILES {
        tracing::warn!(
            directory = %dir.display(), files = ours.len(),
            "more files in the spool than are taken in at once; the others wait for the next start"
        );
    }
    ours.into_iter().take(MOST_FILES).filter_map(|(key, kind, path)| spooled(key, kind, path)).collect()
}

/// What an entry is, if [`super::save`] can have made it.
fn ours_of(entry: &DirEntry) -> Option<(Key, Kind)> {
    if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
        return None;
    }
    let name = entry.file_name().into_string().ok()?;
    let (key, ending) = name.rsplit_once('.')?;
    let kind = match ending {
        COPY => Kind::Copy,
        TOMBSTONE => Kind::Tombstone,
        UNFINISHED => Kind::Unfinished,
        _ => return None,
    };
    Some((Key::decode(key)?, kind))
}

fn say_foreign(dir: &Path, foreign: &[OsString]) {
    if let Some(example) = foreign.first() {
        tracing::warn!(
            directory = %dir.display(), files = foreign.len(), example = %example.display(),
            "the spool holds files that are not ours; they are left alone"
        );
    }
}

fn spooled(Key { sequence, name, gz, .. }: Key, kind: Kind, path: PathBuf) -> Option<Spooled> {
    let file = match open(&path) {
        Ok(file) => file,
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "a file in the spool cannot be opened; it is left there");
            return None;
        }
    };
    if kind == Kind::Copy {
        return Some(Spooled::File { sequence, name, gz, path, file });
    }
    // A record that cannot be read is still a record: something is lost.
    let Tombstone { name, gz, from, size, reason } = read(&file).unwrap_or_else(|| Tombstone {
        name,
        gz,
        from: 0,
        size: 0,
        reason: "it could not be copied, and the record of that cannot be read".to_owned(),
    });
    Some(Spooled::Lost { sequence, name, gz, from, size, reason, path })
}

/// Opens a regular file and nothing else, and never waits for it.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

fn read(file: &File) -> Option<Tombstone> {
    let mut json = Vec::new();
    file.take(TOMBSTONE_BYTES).read_to_end(&mut json).ok()?;
    let mut tombstone: Tombstone = serde_json::from_slice(&json).ok()?;
    tombstone.reason = tombstone.reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS).collect();
    let is_name = tombstone.name.len() <= NAME_BYTES && !tombstone.name.contains(['/', '\0']);
    is_name.then_some(tombstone)
}

/// Removes a file of the spool. One that is gone already is no mistake; one that stays is read again at the next start,
/// and found settled by its content.
pub fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "cannot be removed from the spool"),
    }
}
