//! An open file of the log, read by position, that can be let go of under its readers.
//!
//! Several outputs read the same file at their own places, so nobody moves a shared position. And when a pin has to go
//! because the disk is needed, its space must come back at once, whoever is reading.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

/// Device and inode: tells whether a name leads to a file that is open. No identity of a closed one.
pub type FileId = (u64, u64);

/// What `metadata` says a file is.
#[must_use]
pub fn id_of(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// The file that `path` leads to now.
#[must_use]
pub fn id_at(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|metadata| id_of(&metadata))
}

/// An open file.
#[derive(Debug)]
pub struct Held {
    id: FileId,
    file: RwLock<Option<File>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the file was given up")]
struct GivenUp;

/// Whether reading failed because the file was given up.
#[must_use]
pub fn is_given_up(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<GivenUp>)
}

impl Held {
    /// Opens `path`. Does not wait if that is a pipe.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        Self::of(OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?)
    }

    /// Takes over an open file.
    ///
    /// # Errors
    /// It cannot be asked what it is.
    pub fn of(file: File) -> io::Result<Self> {
        let id = id_of(&file.metadata()?);
        Ok(Self { id, file: RwLock::new(Some(file)) })
    }

    /// Which file it is, as long as it is open.
    #[must_use]
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Closes it under all who share it.
    pub fn give_up(&self) {
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Runs `work` on the open file.
    ///
    /// # Errors
    /// What `work` says, or that the file was given up ([`is_given_up`]).
    pub fn with<T>(&self, work: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        work(file.as_ref().ok_or_else(|| io::Error::other(GivenUp))?)
    }

    /// What the system knows of it now.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.with(File::metadata)
    }

    /// Reads at `offset`; 0 at the end.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.with(|file| file.read_at(buffer, offset)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Reads all of `buffer` at `offset`, or up to the end.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], offset + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }
}

/// Reads a held file from its beginning on, at a position of its own.
#[derive(Debug)]
pub struct FromStart {
    held: Arc<Held>,
    offset: u64,
}

impl FromStart {
    /// At the beginning of `held`.
    #[must_use]
    pub fn new(held: Arc<Held>) -> Self {
        Self { held, offset: 0 }
    }
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.held.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_is_closed_under_its_readers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "content").unwrap();
        let held = Arc::new(Held::open(&path).unwrap());
        let mut reader = FromStart::new(Arc::clone(&held));
        let mut text = [0; 3];
        reader.read_exact(&mut text).unwrap();
        assert_eq!((&text, Some(held.id())), (b"con", id_at(&path)));
        held.give_up();
        let error = reader.read_exact(&mut text).unwrap_err();
        assert!(is_given_up(&error) && !is_given_up(&io::Error::other("x")));
    }
}
