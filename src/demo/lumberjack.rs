//! The writer of kube-apiserver's log: natefinch/lumberjack v2.2.1, as kube-apiserver uses it.
//!
//! The *live* file is renamed to a *backup* that carries the time of the rotation, and a new live file takes its
//! place. The *mill*, one background thread, then deletes backups beyond the number to keep and compresses the
//! others. Every step, mode and order is the original's (kubernetes-audit.md, section 7), down to what is awkward
//! for a reader: the name is missing for an instant, a backup may be deleted before it was read, a `.gz` grows under
//! its final name, and a file made by a rotation is written at the writer's own offset, without `O_APPEND`.
//!
//! Left out: MaxAge, which counts in days.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;

use mill::Mill;

mod mill;

/// How the log is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of the live file at most; a longer line is refused.
    pub max_bytes: u64,
    /// Backups to keep; 0 keeps all.
    pub max_backups: usize,
    /// Whether backups are compressed.
    pub compress: bool,
    /// Wait for the next millisecond where the original would give two backups the same name and so lose the first
    /// one. Off is faithful; on is for a writer whose every line counts.
    pub avoid_name_clash: bool,
}

/// Appends lines to a file and rotates it.
pub struct Lumberjack {
    path: PathBuf,
    options: Options,
    clock: Box<dyn FnMut() -> Timestamp + Send>,
    live: Option<Live>,
    rotations: u64,
    mill: Option<(SyncSender<()>, JoinHandle<()>)>,
}

struct Live {
    file: File,
    size: u64,
}

impl Lumberjack {
    /// A writer of `path`; nothing is opened before the first line.
    pub fn new(path: impl Into<PathBuf>, options: Options) -> Self {
        Self::with_clock(path, options, Timestamp::now)
    }

    /// The same with another clock for the names of backups. With `avoid_name_clash` the clock must advance.
    pub fn with_clock(
        path: impl Into<PathBuf>,
        options: Options,
        clock: impl FnMut() -> Timestamp + Send + 'static,
    ) -> Self {
        Self { path: path.into(), options, clock: Box::new(clock), live: None, rotations: 0, mill: None }
    }

    /// Writes `line`, which brings its own newline, with one `write`; the file is rotated before if it would become
    /// too large.
    ///
    /// # Errors
    ///
    /// If the line is longer than a file may be, or what the system says.
    pub fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if length > self.options.max_bytes {
            let limit = self.options.max_bytes;
            return Err(io::Error::other(format!("write length {length} exceeds maximum file size {limit}")));
        }
        let mut current = match self.live.take() {
            Some(open) => open,
            None => self.open_existing_or_new(length)?,
        };
        if current.size + length > self.options.max_bytes {
            current = self.rotated(Some(current))?;
        }
        let written = current.file.write(line);
        current.size += *written.as_ref().unwrap_or(&0) as u64;
        self.live = Some(current);
        if written? < line.len() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }

    /// Renames the live file to a backup and starts a new one.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn rotate(&mut self) -> io::Result<()> {
        let live = self.live.take();
        self.live = Some(self.rotated(live)?);
        Ok(())
    }

    /// Backups made so far.
    #[must_use]
    pub fn rotations(&self) -> u64 {
        self.rotations
    }

    /// Closes the file and waits until the mill has done its work.
    pub fn finish(self) {
        drop(self.live);
        if let Some((wake, mill)) = self.mill {
            drop(wake);
            // A mill that panicked leaves plain backups, which are as good.
            let _ = mill.join();
        }
    }

    fn open_existing_or_new(&mut self, length: u64) -> io::Result<Live> {
        self.wake_mill()?;
        let size = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.open_new(),
            Err(error) => return Err(error),
        };
        // The original compares with >= here and with > once the file is open.
        if size + length >= self.options.max_bytes {
            return self.rotated(None);
        }
        match OpenOptions::new().append(true).open(&self.path) {
            Ok(file) => Ok(Live { file, size }),
            Err(_) => self.open_new(),
        }
    }

    /// The writer closes the file before it renames it, so a renamed file is complete.
    fn rotated(&mut self, live: Option<Live>) -> io::Result<Live> {
        drop(live);
        let new = self.open_new()?;
        self.wake_mill()?;
        Ok(new)
    }

    fn open_new(&mut self) -> io::Result<Live> {
        DirBuilder::new().recursive(true).mode(0o755).create(directory(&self.path))?;
        let mut mode = 0o600;
        if let Ok(old) = fs::metadata(&self.path) {
            mode = old.permissions().mode() & 0o7777;
            let backup = self.backup_name();
            fs::rename(&self.path, backup)?;
            self.rotations += 1;
            // Made, closed, given to the old owner, and opened again below.
            drop(create_truncated(&self.path, mode)?);
            chown(&self.path, Some(old.uid()), Some(old.gid()))?;
        }
        Ok(Live { file: create_truncated(&self.path, mode)?, size: 0 })
    }

    fn backup_name(&mut self) -> PathBuf {
        let series = Series::of(&self.path);
        loop {
            let name = series.backup((self.clock)());
            let taken = name.exists() || series.compressed(&name).exists();
            if !(taken && self.options.avoid_name_clash) {
                return name;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Triggers coalesce: one that waits is as good as two.
    fn wake_mill(&mut self) -> io::Result<()> {
        if self.options.max_backups == 0 && !self.options.compress {
            return Ok(());
        }
        if self.mill.is_none() {
            let (wake, woken) = sync_channel(1);
            let mill = Mill { series: Series::of(&self.path), options: self.options };
            let thread = thread::Builder::new().name("lumberjack-mill".to_owned()).spawn(move || {
                for () in woken {
                    mill.run();
                }
            })?;
            self.mill = Some((wake, thread));
        }
        if let Some((wake, _)) = &self.mill {
            let _ = wake.try_send(());
        }
        Ok(())
    }
}

fn create_truncated(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The names of one log: `STEM EXT` is live, `STEM-TIME EXT` a backup, `STEM-TIME EXT.gz` a compressed one.
struct Series {
    directory: PathBuf,
    stem: String,
    extension: String,
}

impl Series {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (stem, extension) = name.split_at(name.rfind('.').unwrap_or(name.len()));
        Self { directory: directory(path).to_owned(), stem: stem.to_owned(), extension: extension.to_owned() }
    }

    fn backup(&self, time: Timestamp) -> PathBuf {
        let time = time.strftime("%Y-%m-%dT%H-%M-%S%.3f");
        self.directory.join(format!("{}-{time}{}", self.stem, self.extension))
    }

    fn compressed(&self, backup: &Path) -> PathBuf {
        let mut name = backup.file_name().unwrap_or_default().to_owned();
        name.push(".gz");
        self.directory.join(name)
    }
}

#[cfg(test)]
mod tests;
