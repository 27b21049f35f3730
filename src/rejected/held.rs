//! The file while it is held alone: by the daemon for one append, or by a command for one rewrite.
//!
//! The lock is on the file, not beside it, and ends with the process. A rewrite puts a new file in its place, so whoever
//! gets the lock of a file that is no longer at its path has to begin anew.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Take, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::durable::is_at;

/// Nobody holds the file for longer than it takes to rewrite it.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(2);

/// The file, and the right to change it.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    path: PathBuf,
}

impl Held {
    /// Holds the file at `path`, which is made if it does not exist.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        Self::with(OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600), path)
    }

    /// Holds the file at `path`; `None` if it does not exist.
    pub(super) fn take_existing(path: &Path) -> io::Result<Option<Self>> {
        found(Self::with(OpenOptions::new().read(true).write(true), path))
    }

    /// The lines that the file at `path` has now, whole ones as long as nobody has died while writing. What becomes of
    /// the file later does not matter to them. `None` if it does not exist.
    pub(super) fn look(path: &Path) -> io::Result<Option<Lines>> {
        let Some(Self { file, .. }) = found(Self::with(OpenOptions::new().read(true), path))? else {
            return Ok(None);
        };
        let bytes = file.metadata()?.len();
        file.unlock()?;
        Ok(Some(Lines::of(file, bytes)))
    }

    fn with(options: &mut OpenOptions, path: &Path) -> io::Result<Self> {
        // Commands may run with more rights than who owns the directory: a link there must not lead them elsewhere, and a
        // FIFO not hold them up.
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        let deadline = Instant::now() + LONGEST_WAIT;
        loop {
            if let Some(held) = Self::try_hold(options.open(path)?, path)? {
                return Ok(held);
            }
            if Instant::now() > deadline {
                let what = "others have held it for 10 s";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
            }
            std::thread::sleep(LOOK_AGAIN_AFTER);
        }
    }

    /// `None` if another holds it, or if it is no longer the file at `path`.
    fn try_hold(file: File, path: &Path) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(is_at(&file, path)?.then(|| Self { file, path: path.to_owned() })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Its lines. They share the lock, and must not outlive it.
    pub(super) fn lines(&self) -> io::Result<Lines> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Lines::of(file, u64::MAX))
    }

    /// Writes `entries` behind what is there and has the disk confirm them; all of them or, on an error, none.
    pub(super) fn append(&mut self, entries: &[u8]) -> io::Result<()> {
        let size = self.file.seek(SeekFrom::End(0))?;
        // Whoever moved it away meanwhile may be done with it.
        let written = self.write_at_end(size, entries).and_then(|()| self.has_its_place());
        if written.is_err() {
            // They will come again.
            let _ = self.file.set_len(size);
        }
        written
    }

    fn write_at_end(&mut self, size: u64, entries: &[u8]) -> io::Result<()> {
        if size == 0 {
            // It is new, or as good as new: neither its name nor its owner is certain.
            let directory = File::open(directory_of(&self.path))?;
            // An operator's command must not make a file that the daemon cannot write; where that is not allowed, the
            // directory is not the daemon's alone.
            let _ = give(&self.file, &directory.metadata()?);
            directory.sync_all()?;
        } else if !self.ends_with_newline()? {
            self.file.write_all(b"\n")?;
        }
        self.file.write_all(entries)?;
        self.file.sync_data()
    }

    /// An error if somebody has moved it away, which may be at any time.
    fn has_its_place(&self) -> io::Result<()> {
        if is_at(&self.file, &self.path)? {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "it was moved away meanwhile"))
    }

    /// False where a crash has torn the last entry.
    fn ends_with_newline(&mut self) -> io::Result<bool> {
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        Ok(last == *b"\n")
    }

    /// Puts a file in its place that has only the lines which are to be kept, and `entries` behind them, and holds that.
    /// Returns how many lines it lacks.
    pub(super) fn rewrite(
        self,
        mut is_kept: impl FnMut(&[u8]) -> bool,
        entries: &[u8],
    ) -> io::Result<(Self, u64)> {
        let fresh_path = self.path.with_extension("ndjson.new");
        // A crash may have left one, which may have been another user's.
        match std::fs::remove_file(&fresh_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let fresh =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&fresh_path)?;
        fresh.lock()?;
        let removed = self.copy(&fresh, &mut is_kept).and_then(|removed| {
            (&fresh).write_all(entries)?;
            fresh.sync_all()?;
            // What has come in its place since is not ours to replace.
            self.has_its_place()?;
            std::fs::rename(&fresh_path, &self.path)?;
            Ok(removed)
        });
        if removed.is_err() {
            let _ = std::fs::remove_file(&fresh_path);
        }
        let removed = removed?;
        File::open(directory_of(&self.path))?.sync_all()?;
        Ok((Self { file: fresh, path: self.path }, removed))
    }

    fn copy(&self, fresh: &File, is_kept: &mut impl FnMut(&[u8]) -> bool) -> io::Result<u64> {
        give(fresh, &self.file.metadata()?)?;
        fresh.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        let (mut writer, mut removed) = (BufWriter::new(fresh), 0);
        let mut lines = self.lines()?;
        while let Some(line) = lines.next_line()? {
            if is_kept(line) {
                writer.write_all(line)?;
                writer.write_all(b"\n")?;
            } else {
                removed += 1;
            }
        }
        writer.flush()?;
        Ok(removed)
    }
}

/// The lines of a file, one at a time in memory.
#[derive(Debug)]
pub struct Lines {
    reader: BufReader<Take<File>>,
    line: Vec<u8>,
}

impl Lines {
    fn of(file: File, bytes: u64) -> Self {
        Self { reader: BufReader::with_capacity(64 << 10, file.take(bytes)), line: Vec::new() }
    }

    /// The next line, without its newline.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        if self.reader.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        Ok(Some(self.line.strip_suffix(b"\n").unwrap_or(&self.line)))
    }
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Gives a file that we made to the owner of another.
fn give(file: &File, other: &std::fs::Metadata) -> io::Result<()> {
    if file.metadata()?.uid() == other.uid() {
        return Ok(());
    }
    fchown(file, Some(other.uid()), Some(other.gid()))
}

#[cfg(test)]
mod tests;
