//! The live file: opened with care, appended to batch by batch, and renamed when it is full.
//!
//! - *Ours*: a regular file, not the tailed log, whose first line is a JSON object, and which nobody else has locked.
//!   Nothing else is ever written to or cut.
//! - *Torn*: what a crash left behind the last whole line, or anything from the first NUL on, which is what a file system
//!   may leave of bytes that it was not asked to keep. No batch was settled for it, so it is cut off, and sent again.
//!
//! Others may rename the file (logrotate does): before each batch its path is looked at, and a file that is no longer
//! there is left alone.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, OFlags, access};

use super::backups::Backups;
use super::{WriteError, pieces};
use crate::config;
use crate::durable::{cut_to, end_of_lines, is_at, sync_directory_of};
use crate::sink::Events;
use crate::source::series::directory_of;

/// More than a batch has unless memory was configured for far larger ones: what was never settled is among so many of
/// the last bytes.
const UNCERTAIN_BYTES: u64 = 64 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// The file and its backups.
#[derive(Debug)]
pub(super) struct Rotated {
    path: PathBuf,
    log: PathBuf,
    max_bytes: u64,
    mode: u32,
    live: Option<Live>,
    backups: Backups,
}

#[derive(Debug)]
struct Live {
    file: File,
    /// Bytes that are settled.
    length: u64,
    /// Whether a batch has failed, so that there may be more.
    torn: bool,
}

impl Drop for Live {
    /// A process that is being started has the lock too for an instant, if it is not given up.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl Rotated {
    pub(super) fn new(config: &config::File, log: &Path) -> Self {
        Self {
            path: config.path.clone(),
            log: log.to_owned(),
            max_bytes: config.max_size,
            mode: config.mode,
            live: None,
            backups: Backups::new(config),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns how many bytes are on the disk now that were not before.
    pub(super) fn write(&mut self, events: &Events) -> Result<u64, WriteError> {
        let bytes = pieces(events).map(|piece| piece.len() as u64).sum();
        let written = self.append(events, bytes);
        written.map_err(|failure| match failure {
            Failure::Told(error) => error,
            Failure::Io(error) => WriteError::of(&self.path, error),
        })?;
        Ok(bytes)
    }

    pub(super) fn probe(&self) -> Result<(), WriteError> {
        let file = match options().open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let may_write = access(directory_of(&self.path), Access::WRITE_OK | Access::EXEC_OK);
                return may_write.map_err(|error| WriteError::of(&self.path, error.into()));
            }
            opened => opened.map_err(|error| WriteError::of(&self.path, error))?,
        };
        match self.check_ours(&file) {
            Ok(()) => Ok(()),
            Err(Failure::Told(error)) => Err(error),
            Err(Failure::Io(error)) => Err(WriteError::of(&self.path, error)),
        }
    }

    /// Whether another has the lock. A lock that is shared holds up nobody who looks in the same way.
    pub(super) fn is_held(&self) -> bool {
        let Ok(file) = options().open(&self.path) else { return false };
        let is_held = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        let _ = file.unlock();
        is_held
    }

    fn append(&mut self, events: &Events, bytes: u64) -> Result<(), Failure> {
        let mut live = self.current()?;
        if live.length > 0 && live.length + bytes > self.max_bytes {
            live = self.rotate(live)?;
        }
        let written = write_all(&live.file, events).and_then(|()| live.file.sync_data());
        // Whoever has moved it away meanwhile may be done with it.
        let written = written.and_then(|()| {
            let is_whole = is_at(&live.file, &self.path)?
                && live.file.metadata()?.len() == live.length.saturating_add(bytes);
            if is_whole { Ok(()) } else { Err(io::Error::other("it was moved away or truncated meanwhile")) }
        });
        match written {
            Ok(()) => live.length += bytes,
            // If this fails too, it is done before anything else.
            Err(_) => live.torn = cut_to(&live.file, live.length).is_err(),
        }
        self.live = Some(live);
        Ok(written?)
    }

    /// The file at the path, with nothing behind what is settled.
    fn current(&mut self) -> Result<Live, Failure> {
        let Some(mut live) = self.live.take() else { return self.open() };
        if live.torn {
            if let Err(error) = cut_to(&live.file, live.length) {
                self.live = Some(live);
                return Err(error.into());
            }
            live.torn = false;
        }
        // Another length is another's doing, such as `copytruncate`.
        if is_at(&live.file, &self.path)? && live.file.metadata()?.len() == live.length {
            return Ok(live);
        }
        drop(live);
        self.open()
    }

    /// Makes the live file a backup, and a new one in its place.
    fn rotate(&mut self, live: Live) -> Result<Live, Failure> {
        let backup = self.backups.next_path()?;
        std::fs::rename(&self.path, &backup)?;
        drop(live);
        self.open()
    }

    fn open(&mut self) -> Result<Live, Failure> {
        let file = match options().open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let file = options().create_new(true).mode(0o600).open(&self.path)?;
                // Whatever the umask of the process is.
                file.set_permissions(Permissions::from_mode(self.mode))?;
                file
            }
            opened => opened?,
        };
        self.check_ours(&file)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => self.wrong("another process writes to it; name another file"),
            TryLockError::Error(error) => Failure::Io(error),
        })?;
        // Its name may be new, and not yet on the disk, even if it was made by an earlier try.
        sync_directory_of(&self.path)?;
        let length = self.cut_torn_end(&file)?;
        self.backups.tend();
        Ok(Live { file, length, torn: false })
    }

    fn check_ours(&self, mut file: &File) -> Result<(), Failure> {
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(self.wrong("is no regular file; for standard output there is `stdout`"));
        }
        if let Ok(log) = std::fs::metadata(&self.log)
            && (log.dev(), log.ino()) == (found.dev(), found.ino())
        {
            return Err(self.wrong("is the log that is tailed; name another file"));
        }
        let mut first = [0];
        file.seek(SeekFrom::Start(0))?;
        if file.read(&mut first)? == 1 && first != *b"{" {
            return Err(self.wrong("holds something else than events; move it away, or name another file"));
        }
        Ok(())
    }

    /// Cuts off what was not settled when the process or the machine died, and returns what is left.
    fn cut_torn_end(&self, file: &File) -> Result<u64, Failure> {
        let length = file.metadata()?.len();
        let mut end = end_of_lines(file, length)?;
        if let Some(nul) = first_nul(file, end.saturating_sub(UNCERTAIN_BYTES), end)? {
            end = end_of_lines(file, nul)?;
        }
        if end < length {
            let (path, bytes) = (self.path.display(), length - end);
            tracing::warn!(%path, bytes, "the last batch was not written to its end; it is cut off and written again");
            file.set_len(end)?;
            file.sync_data()?;
        }
        Ok(end)
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::Told(WriteError::misconfigured(self.path.display().to_string(), what))
    }
}

/// Something that is said already, or an error of the live file.
enum Failure {
    Told(WriteError),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self::Told(error)
    }
}

/// Whoever can write to the directory must not lead us elsewhere by a link, nor hold us up by a FIFO.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.read(true).append(true).custom_flags(flags.bits().cast_signed());
    options
}

fn write_all(file: &File, events: &Events) -> io::Result<()> {
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file);
    pieces(events).try_for_each(|piece| writer.write_all(piece))?;
    writer.flush()
}

/// Where the first NUL is between two places.
fn first_nul(mut file: &File, start: u64, end: u64) -> io::Result<Option<u64>> {
    file.seek(SeekFrom::Start(start))?;
    let (mut chunk, mut at) = (vec![0; BUFFER_BYTES], start);
    while at < end {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        if let Some(nul) = memchr::memchr(0, &chunk[..length]) {
            return Ok(Some(at + nul as u64).filter(|nul| *nul < end));
        }
        at += length as u64;
    }
    Ok(None)
}
