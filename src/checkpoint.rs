//! Where an output stands, in memory and on disk.
//!
//! A *mark* says how far one file of the series is settled; the file is known by its content (invariant I10). The
//! *cursor* of an output is its marks, the file that was read last at the end. Everything before a mark is settled:
//! acknowledged by the endpoint, or set aside.
//!
//! On disk a cursor is one file of two lines, the *slots*. They are written in turn, in place, after every settled
//! batch: a write that is torn by a power loss spoils one slot, and the other still holds the batch before. The page
//! cache survives SIGKILL, so fsync is needed against power loss alone and is left to [`Store::sync`].

mod lock;
mod slot;
mod time;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fingerprint;
use slot::Slot;

pub use lock::{Lock, LockError};

/// Bytes at the head of a file that identify it. Each event's auditID is within them.
pub const HEAD_BYTES: usize = 1024;

/// What the names of cursor files end in.
pub const SUFFIX: &str = ".cursor.json";

const SMALLEST_SLOT_BYTES: usize = 4096;
/// A cursor file with more bytes than this was not written by us.
const LARGEST_FILE_BYTES: u64 = 256 << 20;

/// Identity of a file: a hash of bytes that were already consumed from its head. Survives rename and compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of hashed bytes, at most [`HEAD_BYTES`].
    pub len: u16,
    /// [`fingerprint::short`] of them.
    pub hash: u64,
}

impl Head {
    /// The identity of a file of which `consumed` are the first bytes; what is beyond [`HEAD_BYTES`] is not looked at.
    #[must_use]
    pub fn of(consumed: &[u8]) -> Self {
        let bytes = &consumed[..consumed.len().min(HEAD_BYTES)];
        Self { len: u16::try_from(bytes.len()).unwrap_or(u16::MAX), hash: fingerprint::short(bytes) }
    }

    /// Whether it is of NULs alone, and so of no file in particular.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.len > 0 && *self == Self::of(&[0; HEAD_BYTES][..usize::from(self.len).min(HEAD_BYTES)])
    }

    /// Whether a file that begins with `bytes` can be the one of this identity.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        bytes.get(..usize::from(self.len)).is_some_and(|head| fingerprint::short(head) == self.hash)
    }
}

/// How far one file is settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Name when last seen, without directory and `.gz`; a hint, not the identity. Shared: a mark is in many cursors.
    pub name: Arc<str>,
    /// Which file.
    pub head: Head,
    /// Settled bytes, counted uncompressed.
    pub offset: u64,
    /// Identity of the last settled bytes, where the head tells nothing: files that a writer left behind a hole begin with
    /// NULs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Head>,
}

/// Where an output stands: the marks of the files it has touched that are still there, the last one at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// Files that were settled before; shared, since it changes only at a rotation.
    pub settled: Arc<[Mark]>,
    /// The file that was read last.
    pub last: Option<Mark>,
    /// Time of the last event before it, to tell people where a gap is. It says nothing of the position.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time")]
    pub time: Option<Timestamp>,
}

impl Cursor {
    /// All marks, the file that was read last at the end.
    pub fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.settled.iter().chain(&self.last)
    }
}

/// What a cursor file held.
#[derive(Debug)]
pub enum Loaded {
    /// There is none: this output is new here.
    Never,
    /// The position of the last settled batch.
    Cursor(Cursor),
    /// There is one, and no slot of it can be read; the reason is in words.
    Unreadable(String),
}

/// The cursor file of one output.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: Option<Arc<File>>,
    slot_bytes: usize,
    /// Bytes of the longest line in a slot; what is behind it is blank.
    longest: usize,
    sequence: u64,
    writer: slot::Writer,
}

impl Store {
    /// Path of the cursor file of `output`.
    #[must_use]
    pub fn path(state_dir: &Path, output: &str) -> PathBuf {
        state_dir.join(format!("{output}{SUFFIX}"))
    }

    /// Opens the cursor of `output` and reads it. The file is created at the first commit.
    #[must_use]
    pub fn open(state_dir: &Path, output: &str) -> (Self, Loaded) {
        let path = Self::path(state_dir, output);
        let (sequence, loaded) = match read(&path) {
            Ok(None) => (0, Loaded::Never),
            Ok(Some(Slot { sequence, cursor, .. })) => (sequence, Loaded::Cursor(cursor)),
            Err(reason) => (0, Loaded::Unreadable(reason)),
        };
        (
            Self { path, file: None, slot_bytes: 0, longest: 0, sequence, writer: slot::Writer::default() },
            loaded,
        )
    }

    /// Makes `cursor` the position that a restart goes on from. Reaches the page cache, not the disk.
    ///
    /// # Errors
    /// The file cannot be written; the position before it stays in force.
    pub fn commit(&mut self, cursor: &Cursor) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let mut line = self.writer.line(sequence, cursor).map_err(io::Error::other)?;
        let file = match &self.file {
            Some(file) if line.len() < self.slot_bytes => Arc::clone(file),
            _ => self.lay_out(&line)?,
        };
        self.longest = self.longest.max(line.len());
        line.resize(self.longest, b' ');
        let at = if sequence.is_multiple_of(2) { 0 } else { self.slot_bytes as u64 };
        file.write_all_at(&line, at)?;
        self.sequence = sequence;
        Ok(())
    }

    /// Replaces the file by one whose slots are large enough for `line`, which is in both of them.
    fn lay_out(&mut self, line: &[u8]) -> io::Result<Arc<File>> {
        let slot_bytes = (line.len() * 2).next_power_of_two().max(SMALLEST_SLOT_BYTES);
        let fresh = self.path.with_extension("json.new");
        // What a crash has left is worth nothing, and a link must not lead a command elsewhere, which may have more
        // rights than who owns the directory.
        let _ = std::fs::remove_file(&fresh);
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&fresh)?;
        let padded = pad(line, slot_bytes);
        file.write_all(&padded)?;
        file.write_all(&padded)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        let file = Arc::new(file);
        (self.slot_bytes, self.longest) = (slot_bytes, line.len());
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// A handle whose [`File::sync_data`] makes all commits so far survive a power loss. `None` before the first.
    #[must_use]
    pub fn sync_handle(&self) -> Option<Arc<File>> {
        self.file.clone()
    }

    /// Makes all commits so far survive a power loss.
    ///
    /// # Errors
    /// The disk does not take them.
    pub fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.sync_data())
    }
}

/// `line` as a slot of `slot_bytes`: blanks up to its newline.
fn pad(line: &[u8], slot_bytes: usize) -> Vec<u8> {
    let mut bytes = line.to_vec();
    bytes.resize(slot_bytes - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// The newest slot that can be read. `Ok(None)`: there is no file.
fn read(path: &Path) -> Result<Option<Slot>, String> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| e.to_string())?,
    };
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE_BYTES).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    let mut newest: Option<Slot> = None;
    let mut reasons = Vec::new();
    for (number, line) in
        bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate().take(2)
    {
        match read_slot(line) {
            Ok(slot) if newest.as_ref().is_none_or(|other| other.sequence < slot.sequence) => {
                newest = Some(slot);
            }
            Ok(_) => {}
            Err(reason) => reasons.push(format!("slot {}: {reason}", number + 1)),
        }
    }
    if newest.is_none() && reasons.is_empty() {
        return Err("the file holds nothing but line breaks".into());
    }
    newest.map(Some).ok_or_else(|| reasons.join("; "))
}

fn read_slot(line: &[u8]) -> Result<Slot, String> {
    let text = std::str::from_utf8(line).map_err(|_| "not text")?.trim_end();
    let (checksum, json) = text.split_once(' ').ok_or("no checksum")?;
    if checksum != format!("{:016x}", fingerprint::short(json.as_bytes())) {
        return Err("the checksum does not fit".into());
    }
    let slot: Slot = serde_json::from_str(json).map_err(|e| format!("not a cursor: {e}"))?;
    if slot.version != slot::VERSION {
        return Err(format!("written by another version of audit-shipper (format {})", slot.version));
    }
    Ok(slot)
}

#[cfg(test)]
mod tests;
