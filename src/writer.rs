//! Where batches go that no server takes: a file that is rotated by size, or standard output.
//!
//! Blocking std code that knows nothing of retries: whoever calls it does that, with one batch at a time, in order. What
//! could not be written is given again until it could.
//!
//! A batch is the lines of its events, as kube-apiserver would have logged them. In a file it counts as taken once the disk
//! has it, and an error leaves none of it behind.

mod backups;
mod rotated;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;

use crate::body::Size;
use crate::config;
use crate::sink::Events;
use rotated::Rotated;
use stream::Stream;

/// Writes the events of one output.
#[derive(Debug)]
pub struct Writer(Target);

#[derive(Debug)]
enum Target {
    File(Box<Rotated>),
    Stream(Stream),
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody has to change something first.
    #[error("{place}: {what}")]
    Misconfigured {
        /// The file.
        place: String,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// It may be well the next time.
    #[error("{place}: {source}")]
    Io {
        /// The file.
        place: String,
        /// What the system says.
        source: io::Error,
    },
}

impl Writer {
    /// Writes to the file that is configured, but never to `log`, which is tailed. Nothing is opened before the first batch.
    #[must_use]
    pub fn file(config: &config::File, log: &Path) -> Self {
        Self(Target::File(Box::new(Rotated::new(config, log))))
    }

    /// Writes to standard output.
    ///
    /// # Errors
    /// There is none.
    pub fn stdout() -> Result<Self, WriteError> {
        Ok(Self(Target::Stream(Stream::stdout()?)))
    }

    /// Writes the lines of `events`, all or, on an error, none: they are to be given again before any others.
    ///
    /// It may block for as long as the disk does; on standard output, for some seconds.
    ///
    /// # Errors
    /// They cannot be written now.
    pub fn write(&mut self, events: &Events) -> Result<Size, WriteError> {
        let bytes = match &mut self.0 {
            Target::File(file) => file.write(events)?,
            Target::Stream(stream) => stream.write(events)?,
        };
        Ok(Size { body_bytes: bytes, sent_bytes: bytes })
    }

    /// Whether it looks as if events could be written; nothing is made or changed.
    ///
    /// # Errors
    /// They could not.
    pub fn probe(&self) -> Result<(), WriteError> {
        match &self.0 {
            Target::File(file) => file.probe(),
            Target::Stream(_) => Ok(()),
        }
    }
}

impl Writer {
    /// Whether another process, or another output, has the file for itself now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        match &self.0 {
            Target::File(file) => file.is_held(),
            Target::Stream(_) => false,
        }
    }
}

/// For logs: where it writes to.
impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Target::File(file) => file.path().display().fmt(f),
            Target::Stream(_) => f.write_str("standard output"),
        }
    }
}

impl WriteError {
    fn misconfigured(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Misconfigured { place: place.into(), what: what.into() }
    }

    /// What the system says of a file at `path`.
    fn of(path: &Path, error: io::Error) -> Self {
        use io::ErrorKind;
        let place = path.display().to_string();
        // Rust has a kind for it that it does not show yet.
        if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            return Self::misconfigured(
                place,
                "is a symbolic link, which is not followed; name the file itself",
            );
        }
        let what = match error.kind() {
            ErrorKind::NotFound => "its directory does not exist; make it, or name another",
            ErrorKind::NotADirectory => "a part of it that must be a directory is none",
            ErrorKind::IsADirectory => "is a directory; name a file",
            ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
            ErrorKind::PermissionDenied => "permission denied; let the user of this process write to it",
            _ => return Self::Io { place, source: error },
        };
        Self::misconfigured(place, what)
    }
}

/// The bytes of the lines, piece by piece.
fn pieces(events: &Events) -> impl Iterator<Item = &[u8]> {
    events.iter().flat_map(|event| {
        let [head, rest] = event.line();
        [head, rest, b"\n"]
    })
}
