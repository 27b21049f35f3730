//! Pins that outlive the process where there is no systemd: a bounded copy in the state directory, made on a stop.
//!
//! | file in the spool | what it is |
//! |---|---|
//! | `<key>.spool` | a copy of a file that had lost its last name, with what is unsettled of it |
//! | `<key>.lost` | a *tombstone*: what could not be copied, so that the next start reports a certain gap |
//! | `<key>.new` | a copy that was not finished; worth nothing |
//!
//! The copy of a plain file is sparse: the bytes that identify it, a hole over what is settled, the rest. Its offsets are
//! those of the original, and so is its identity ([`HEAD_BYTES`]). A compressed file is copied whole.
//!
//! The tombstones of all files are written first, and each goes when its copy is in place. So whenever the process is
//! killed, and however full the disk becomes, what is not in the spool is said to be lost. Where both are there, the copy
//! counts.

mod load;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::keep::{Key, LogId};
use crate::checkpoint::HEAD_BYTES;

pub use load::{Spooled, load, remove};

const COPY: &str = "spool";
const TOMBSTONE: &str = "lost";
const UNFINISHED: &str = "new";
/// Bytes that are copied at a time.
const PIECE_BYTES: usize = 256 << 10;
const INTERRUPTED: &str = "the process ended before it was copied";

/// Where the spool is.
#[must_use]
pub fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("spool")
}

/// A file that has lost its last name, and that is not settled by every output.
#[derive(Debug, Clone, Copy)]
pub struct Unsettled<'a> {
    /// Its place among the pins; the lowest is copied first.
    pub sequence: u64,
    /// Its name when it had one, without directory and `.gz`.
    pub name: &'a str,
    /// Whether it is compressed.
    pub gz: bool,
    /// The open file. Its position is neither used nor moved.
    pub file: &'a File,
    /// Bytes of its uncompressed content that every output has settled; 0 if it is not known.
    pub settled: u64,
}

/// What the spool may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes that the spool holds at most, with what is in it already.
    pub max_bytes: u64,
    /// Bytes that stay free on the file system of the state directory.
    pub min_free_bytes: u64,
}

/// What became of the files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Files that were copied.
    pub files: usize,
    /// Bytes that were copied.
    pub bytes: u64,
    /// What could not be copied.
    pub lost: Vec<Unsaved>,
}

/// A file that could not be copied.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsaved {
    /// Its name.
    pub name: String,
    /// The first byte of its uncompressed content that is lost.
    pub from: u64,
    /// Its size on the disk; of a plain file that is where its content ends.
    pub size: u64,
    /// Why.
    pub reason: String,
}

/// What a tombstone holds.
#[derive(Debug, Serialize, Deserialize)]
struct Tombstone {
    name: String,
    gz: bool,
    from: u64,
    size: u64,
    reason: String,
}

/// Why a file was not copied.
enum Failure {
    TooLarge { needed: u64, room: u64 },
    DiskFull { needed: u64, free: u64 },
    Grew,
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { needed, room } => {
                write!(f, "the spool has room for {room} bytes, {needed} are needed")
            }
            Self::DiskFull { needed, free } => {
                write!(f, "{free} bytes are free on the disk, {needed} are needed beside what must stay free")
            }
            Self::Grew => write!(f, "it was still written to, past the room that it was given"),
            Self::Io(error) => write!(f, "it could not be copied: {error}"),
        }
    }
}

/// A file on its way into the spool.
struct Job<'a> {
    pin: Unsettled<'a>,
    key: Key,
    size: u64,
    /// Whether its tombstone stands.
    recorded: bool,
}

/// Copies what is unsettled of `pins`, which are files of `log`, into `dir`, the oldest first. What cannot be copied gets a tombstone; if not even
/// that can be written, our own log says so. Everything has reached the disk on return.
///
/// A file that is settled to its end needs no copy and gets none. A pin whose file is in the spool already must not be
/// among `pins`, and the sequence numbers must be above those in the spool.
#[must_use]
pub fn save(dir: &Path, log: LogId, pins: &[Unsettled<'_>], limits: Limits) -> Saved {
    let mut saved = Saved::default();
    let mut jobs = jobs(dir, log, pins);
    if jobs.is_empty() {
        return saved;
    }
    let mut room = limits.max_bytes.saturating_sub(used(dir));
    if let Err(error) = make(dir) {
        tracing::error!(directory = %dir.display(), %error, "the spool cannot be made");
    }
    for job in &mut jobs {
        job.recorded = record(dir, job, INTERRUPTED, false).is_ok();
    }
    for job in &jobs {
        match copy(dir, job, room, limits.min_free_bytes) {
            Ok(bytes) => {
                saved.files += 1;
                saved.bytes += bytes;
                room = room.saturating_sub(bytes);
                remove(&path(dir, &job.key, TOMBSTONE));
            }
            Err(failure) => saved.lost.push(give_up(dir, job, &failure.to_string())),
        }
    }
    if let Err(error) = File::open(dir).and_then(|dir| dir.sync_all()) {
        tracing::error!(directory = %dir.display(), %error, "the spool may not outlive a power loss");
    }
    saved
}

/// The files of which something is unsettled, the oldest first.
fn jobs<'a>(dir: &Path, log: LogId, pins: &[Unsettled<'a>]) -> Vec<Job<'a>> {
    let mut taken = BTreeSet::new();
    let mut jobs: Vec<Job<'a>> = Vec::new();
    for pin in pins {
        // Of a file that does not even say how large it is, reading tells more.
        let size = pin.file.metadata().ok().map(|metadata| metadata.len());
        if !pin.gz && size.is_some_and(|size| pin.settled >= size) {
            continue;
        }
        // The sequence moves on rather than that one file takes the place of another.
        let key = |on| {
            let sequence = pin.sequence.wrapping_add(on);
            Key { log, sequence, name: pin.name.to_owned(), gz: pin.gz }
        };
        let is_free = |key: &Key| {
            !taken.contains(key)
                && [COPY, TOMBSTONE].iter().all(|kind| path(dir, key, kind).symlink_metadata().is_err())
        };
        let key = (0..=u64::MAX).map(key).find(is_free).unwrap_or_else(|| key(0));
        taken.insert(key.clone());
        jobs.push(Job { pin: *pin, key, size: size.unwrap_or(pin.settled), recorded: false });
    }
    jobs.sort_by(|a, b| a.key.cmp(&b.key));
    jobs
}

fn make(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => dir.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all()),
    }
}

fn path(dir: &Path, key: &Key, kind: &str) -> PathBuf {
    dir.join(format!("{}.{kind}", key.encode()))
}

/// Bytes of disk that the spool takes now.
fn used(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let sizes = entries.filter_map(|entry| entry.ok()?.metadata().ok());
    sizes.map(|metadata| metadata.blocks().saturating_mul(512)).sum()
}

/// Bytes that can be written before less than `min_free_bytes` is left.
fn free(dir: &Path, min_free_bytes: u64) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(min_free_bytes))
}

/// Copies one file and puts it in place; returns the bytes that were copied.
fn copy(dir: &Path, job: &Job<'_>, room: u64, min_free_bytes: u64) -> Result<u64, Failure> {
    let Job { pin, key, size, .. } = job;
    let settled = if pin.gz { 0 } else { pin.settled };
    let identity = settled.min(HEAD_BYTES as u64);
    let needed = size.saturating_sub(settled).saturating_add(identity);
    if needed > room {
        return Err(Failure::TooLarge { needed, room });
    }
    let free = free(dir, min_free_bytes)?;
    if needed > free {
        return Err(Failure::DiskFull { needed, free });
    }
    let unfinished = path(dir, key, UNFINISHED);
    let finish = || {
        let _ = std::fs::remove_file(&unfinished);
        let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        copy_range(pin.file, &to, 0, identity)?;
        // To the end as it is now, should somebody still write; but never beyond what there is room for.
        let most = room.min(free) - identity;
        let rest = copy_range(pin.file, &to, settled, most)?;
        if rest == most && pin.file.read_at(&mut [0], settled.saturating_add(rest))? > 0 {
            return Err(Failure::Grew);
        }
        // By when files ended, the next start knows how fast the log is written.
        if let Ok(modified) = pin.file.metadata().and_then(|found| found.modified()) {
            let _ = to.set_modified(modified);
        }
        to.sync_all()?;
        std::fs::rename(&unfinished, path(dir, key, COPY))?;
        Ok(identity + rest)
    };
    finish().inspect_err(|_| {
        let _ = std::fs::remove_file(&unfinished);
    })
}

/// Copies at most `most` bytes, which stand at `at` in both files, and no further than the end. Returns how many.
fn copy_range(from: &File, to: &File, at: u64, most: u64) -> io::Result<u64> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut done = 0;
    while done < most {
        let wanted = usize::try_from(most - done).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        match from.read_at(&mut piece[..wanted], at + done) {
            Ok(0) => break,
            Ok(read) => {
                to.write_all_at(&piece[..read], at + done)?;
                done += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Leaves the tombstone of a file that could not be copied, now with the reason.
fn give_up(dir: &Path, job: &Job<'_>, reason: &str) -> Unsaved {
    let (name, from, size) = (job.pin.name, job.pin.settled, job.size);
    if let Err(error) = record(dir, job, reason, true) {
        // The one that was written before the copy says as much, without the reason.
        if job.recorded {
            tracing::warn!(file = name, reason, %error, "why a file was not copied to the spool could not be written");
        } else {
            tracing::error!(
                file = name, from, size, reason, %error,
                "events are lost, and the next start cannot know of it: neither a copy nor a record could be written"
            );
        }
    }
    Unsaved { name: name.to_owned(), from, size, reason: reason.to_owned() }
}

/// Writes the tombstone of a file; whoever looks sees the old one or the new one, never half of one.
fn record(dir: &Path, job: &Job<'_>, reason: &str, sync: bool) -> io::Result<()> {
    let Job { pin, key, size, .. } = job;
    let tombstone = Tombstone {
        name: pin.name.to_owned(),
        gz: pin.gz,
        from: pin.settled,
        size: *size,
        reason: reason.to_owned(),
    };
    let json = serde_json::to_vec(&tombstone).map_err(io::Error::other)?;
    let unfinished = path(dir, key, UNFINISHED);
    let finish = || {
        let _ = std::fs::remove_file(&unfinished);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(&json)?;
        if sync {
            file.sync_all()?;
        }
        std::fs::rename(&unfinished, path(dir, key, TOMBSTONE))
    };
    finish().inspect_err(|_| {
        let _ = std::fs::remove_file(&unfinished);
    })
}

#[cfg(test)]
mod tests;
