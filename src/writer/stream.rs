//! Standard output: what is written is gone, so a batch that failed half way goes on where it stopped.
//!
//! If it is a file, a process that was killed may have left half a line there. It stays, since the file is another's, and
//! ends before the first of ours: glued together neither would be a line.
//!
//! A reader that does not read must not hold the process up for ever: no write waits longer than some seconds.

use std::fs::File;
use std::io::{self, ErrorKind, Seek as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::{WriteError, pieces};
use crate::fingerprint;
use crate::sink::Events;

/// A pipe with any room has room for so many bytes (`PIPE_BUF` of Linux), so such a write does not block.
const PIPE_BYTES: usize = 4096;
const LONGEST_WAIT: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// A descriptor that somebody else has opened.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) file: File,
    is_file: bool,
    /// Whether nothing was written yet.
    is_fresh: bool,
    /// How long one write waits for a reader.
    pub(super) patience: Timespec,
    half: Option<Half>,
}

/// A batch of which the beginning was written.
#[derive(Debug)]
struct Half {
    bytes: usize,
    hash: u64,
    ends_line: bool,
}

impl Stream {
    /// Not by way of `std::io::Stdout`, which keeps what it could not write.
    pub(super) fn stdout() -> Result<Self, WriteError> {
        let descriptor = io::stdout().as_fd().try_clone_to_owned();
        Self::of(File::from(descriptor.map_err(error)?)).map_err(error)
    }

    pub(super) fn of(file: File) -> io::Result<Self> {
        let is_file = file.metadata()?.is_file();
        Ok(Self { file, is_file, is_fresh: true, patience: LONGEST_WAIT, half: None })
    }

    /// Returns how many bytes the lines have.
    pub(super) fn write(&mut self, events: &Events) -> Result<u64, WriteError> {
        let lines = pieces(events).collect::<Vec<_>>().concat();
        self.write_lines(&lines).map_err(error)?;
        Ok(lines.len() as u64)
    }

    pub(super) fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_fresh {
            self.begin()?;
            self.is_fresh = false;
        }
        let mut written = match self.half.take() {
            Some(half) if half.hash == fingerprint::short(lines) => half.bytes,
            Some(half) if !half.ends_line => {
                self.write_some(b"\n").inspect_err(|_| self.half = Some(half))?;
                0
            }
            _ => 0,
        };
        while written < lines.len() {
            match self.write_some(&lines[written..lines.len().min(written + PIPE_BYTES)]) {
                Ok(bytes) => written += bytes,
                Err(error) => {
                    if written > 0 {
                        let ends_line = lines[written - 1] == b'\n';
                        self.half = Some(Half { bytes: written, hash: fingerprint::short(lines), ends_line });
                    }
                    return Err(error);
                }
            }
        }
        if self.is_file { self.file.sync_data() } else { Ok(()) }
    }

    fn begin(&mut self) -> io::Result<()> {
        if is_nowhere(&self.file) {
            tracing::warn!(
                "standard output is closed or goes to /dev/null: whatever is written to it is lost"
            );
        }
        if self.is_file && self.is_in_a_line()? {
            self.write_some(b"\n")?;
        }
        Ok(())
    }

    /// Whether what will be written next comes behind half a line. Also said where that cannot be read: an empty line does
    /// less harm than half a one.
    fn is_in_a_line(&self) -> io::Result<bool> {
        let appends = rustix::fs::fcntl_getfl(&self.file)?.contains(OFlags::APPEND);
        let at = if appends { self.file.metadata()?.len() } else { (&self.file).stream_position()? };
        let Some(before) = at.checked_sub(1) else { return Ok(false) };
        // The descriptor itself is open for writing only.
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let mut last = [0];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut last, before));
        Ok(read.is_err() || last != *b"\n")
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut writable = [PollFd::new(&self.file, PollFlags::OUT)];
            match poll(&mut writable, Some(&self.patience)) {
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::TimedOut, "nobody has read it for some seconds"));
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            match self.file.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                result => return result,
            }
        }
    }
}

/// A closed one is there too: Rust opens `/dev/null` in its place, so that no other file gets its number.
fn is_nowhere(file: &File) -> bool {
    let device = |metadata: io::Result<std::fs::Metadata>| {
        metadata.ok().filter(|found| found.file_type().is_char_device()).map(|found| found.rdev())
    };
    device(file.metadata()).is_some_and(|here| device(std::fs::metadata("/dev/null")) == Some(here))
}

fn error(source: io::Error) -> WriteError {
    let place = "standard output".to_owned();
    if source.kind() == ErrorKind::BrokenPipe {
        return WriteError::misconfigured(
            place,
            "nobody reads it any more; start this process again with a reader",
        );
    }
    WriteError::Io { place, source }
}
