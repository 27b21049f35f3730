//! The file of lines that were set aside: what the endpoint will never take, and what is no audit event.
//!
//! NDJSON, mode 0600, bounded. These lines are nowhere else once the log has gone, so an entry is on the disk before
//! the cursor passes its line. One entry:
//!
//! ```json
//! {"time":"2026-11-22T02:22:50.25Z","reason":"rejected","detail":"...","status":400,"answer":"...","file":"audit.log",
//!  "offset":123,"bytes":456,"sha256":"...","event":{...}}
//! ```
//!
//! The line is in `event` if it is JSON, else in `text`, else in `base64`. `bytes` and `sha256` are of the whole line;
//! one that was too long to be held is there by its beginning, in `beginning`.
//!
//! The daemon appends, and drops the oldest entries of a full file; operators' commands take entries out while it runs.
//! Each change of the file happens under a lock on it, see `held`.

mod entry;
mod held;

use std::io;
use std::path::{Path, PathBuf};

use crate::batch::Aside;
use crate::config::{self, OnFull};

pub use entry::Entry;
use held::Held;
pub use held::Lines;

/// What the names of these files end in.
pub const SUFFIX: &str = ".rejected.ndjson";

/// What is kept of a line that is longer than the whole file may be.
const BEGINNING_BYTES: usize = 4 << 10;

/// What was written.
#[derive(Debug, PartialEq, Eq)]
pub struct Appended {
    /// Oldest entries that had to go to make room, and new ones that had to be shortened; lost for good.
    pub dropped: u64,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `onFull: wait`, and it is full.
    #[error("{path} is full ({max_size} bytes); take entries out with `audit-shipper rejected`, or raise rejected.maxSize", path = path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// Its limit.
        max_size: u64,
    },
    /// The file system does not take it.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The file of one output.
#[derive(Debug)]
pub struct RejectedFile {
    path: PathBuf,
    limits: config::Rejected,
}

impl RejectedFile {
    /// The file of `output`; it is made when there is something to write.
    #[must_use]
    pub fn new(state_dir: &Path, output: &str, limits: config::Rejected) -> Self {
        Self { path: path(state_dir, output), limits }
    }

    /// Writes `asides` and has the disk confirm them.
    ///
    /// # Errors
    /// There is no room, or the file system does not take them. The same call may be made again.
    pub fn append(&self, asides: &[Aside]) -> Result<Appended, Error> {
        let io = |source| Error::Io { path: self.path.clone(), source };
        let (entries, mut dropped) = self.entries(asides).map_err(io)?;
        let mut held = Held::take(&self.path).map_err(io)?;
        let size = held.size().map_err(io)?;
        // An empty file takes them however many they are: nothing that anybody moves away would make more room.
        if size > 0 && size + entries.len() as u64 > self.limits.max_size {
            match self.limits.on_full {
                OnFull::Wait => {
                    return Err(Error::Full { path: self.path.clone(), max_size: self.limits.max_size });
                }
                OnFull::DropOldest => dropped += self.replace_oldest(held, size, &entries).map_err(io)?,
            }
        } else {
            held.append(&entries).map_err(io)?;
        }
        Ok(Appended { dropped })
    }

    /// `asides` as entries, and how many of them only by their beginning: they are longer than the file may be.
    fn entries(&self, asides: &[Aside]) -> io::Result<(Vec<u8>, u64)> {
        let (mut entries, mut shortened) = (Vec::new(), 0);
        for aside in asides {
            let mut entry = Entry::of(aside).to_line()?;
            if entry.len() as u64 > self.limits.max_size && aside.line.len() > BEGINNING_BYTES {
                shortened += 1;
                let line = aside.line[..BEGINNING_BYTES].to_vec();
                entry = Entry::of(&Aside { line, ..aside.clone() }).to_line()?;
            }
            entries.append(&mut entry);
        }
        Ok((entries, shortened))
    }

    /// Writes `entries` in place of the oldest ones, so many that the file is half full at most. It is one step: nothing
    /// is dropped that nobody hears of, for entries that then cannot be written.
    fn replace_oldest(&self, held: Held, size: u64, entries: &[u8]) -> io::Result<u64> {
        let room = (self.limits.max_size / 2).saturating_sub(entries.len() as u64);
        let mut excess = size.saturating_sub(room);
        let is_kept = |line: &[u8]| {
            let is_kept = excess == 0;
            excess = excess.saturating_sub(line.len() as u64 + 1);
            is_kept
        };
        Ok(held.rewrite(is_kept, entries)?.1)
    }
}

/// The file of an output.
#[must_use]
pub fn path(state_dir: &Path, output: &str) -> PathBuf {
    state_dir.join(format!("{output}{SUFFIX}"))
}

/// The lines of the file at `path` as it is now; `None` if there is none.
///
/// # Errors
/// It cannot be read.
pub fn look(path: &Path) -> io::Result<Option<Lines>> {
    Held::look(path)
}

/// Takes lines out of the file at `path`, and has the disk confirm that. Returns how many.
///
/// What is appended meanwhile stays, and a kill at any time leaves the file as it was before or as it is then.
///
/// # Errors
/// The file is as it was.
pub fn remove(path: &Path, mut is_removed: impl FnMut(&[u8]) -> bool) -> io::Result<u64> {
    let Some(held) = Held::take_existing(path)? else { return Ok(0) };
    let mut lines = held.lines()?;
    while let Some(line) = lines.next_line()? {
        if is_removed(line) {
            return Ok(held.rewrite(|line| !is_removed(line), b"")?.1);
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
