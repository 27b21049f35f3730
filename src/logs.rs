//! Logs that are read once, from end to end, by commands: no cursor, no state, nothing is waited for.
//!
//! What may be given is a file, plain or compressed; a directory, which stands for the logs in it; a pipe; or `-`, the
//! standard input. A rotated series is given as its directory or by a pattern of the shell: a live file alone is that
//! file alone. All files are opened before the first is read, so that a rotation meanwhile takes none away and shows none
//! twice. While `x` and `x.gz` both are there, `x` is the truth, as in [`crate::source::series`].
//!
//! What a container runtime has written, and kube-apiserver's legacy format, are known by their first lines.
//!
//! Where the daemon has to know the order of files and lines, sums do not: so files are read in *parts*, by as many
//! threads as there are processors ([`read`]).

mod parts;
mod progress;
mod taking;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use rustix::process::{Resource, Rlimit};

use crate::config::DEFAULT_MAX_LINE_BYTES;
use crate::source::format::Format;
use crate::source::held::Held;
use crate::source::reader::{Reader, gz_trailer_bytes, head_of};

pub use parts::read;
pub use progress::Progress;
pub use taking::{Found, Sum, Taking, each_event, each_line};

/// What the standard input is called.
pub const STDIN: &str = "-";
/// Bytes at the beginning of a file that tell what it is made of.
const LOOKED_AT: usize = 64 << 10;
/// What every compressed file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Everything that is to be read.
#[derive(Debug, Default)]
pub struct Logs {
    files: Vec<LogFile>,
    notes: Vec<String>,
}

/// One file, open.
#[derive(Debug)]
pub struct LogFile {
    name: String,
    held: Arc<Held>,
    kind: Kind,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// So many bytes, which can be read at any place.
    Plain { bytes: u64 },
    /// Compressed; so many bytes of content, as far as that can be told.
    Gz { bytes: u64 },
    /// Whatever can be read only once, compressed or not.
    Stream,
}

impl Logs {
    /// Opens all that was given.
    ///
    /// # Errors
    /// What cannot be read, a sentence each.
    pub fn open(given: &[PathBuf]) -> Result<Self, Vec<String>> {
        allow_many_files();
        let (mut logs, mut mistakes) = (Self::default(), Vec::new());
        let mut paths = Vec::new();
        for path in given {
            match files_at(path) {
                Ok(found) => paths.extend(found),
                Err(why) => mistakes.push(format!("{}: {why}", path.display())),
            }
        }
        let all: HashSet<PathBuf> = paths.iter().cloned().collect();
        let mut seen = HashSet::new();
        for path in paths {
            if path.extension().is_some_and(|end| end == "gz") && all.contains(&path.with_extension("")) {
                logs.notes.push(format!("{} is not read: it is there uncompressed too", path.display()));
                continue;
            }
            match LogFile::open(&path) {
                Ok(file) if seen.insert(file.held.id()) => logs.files.push(file),
                Ok(file) => logs.notes.push(format!("{} is read once only", file.name)),
                Err(why) => mistakes.push(format!("{}: {why}", path.display())),
            }
        }
        if mistakes.is_empty() { Ok(logs) } else { Err(mistakes) }
    }

    /// How many files there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// What is to be said of what was given.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Bytes of all content, as far as that can be told before it is read.
    fn bytes(&self) -> Option<u64> {
        self.files.iter().map(LogFile::bytes).sum()
    }
}

impl LogFile {
    /// Opens `path`, or the standard input.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == STDIN {
            let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
            // Where others have read of it before, it goes on.
            return Ok(Self::stream("the standard input".to_owned(), Held::of(stdin)?));
        }
        let (name, metadata) = (path.display().to_string(), std::fs::metadata(path)?);
        if !metadata.is_file() {
            // A pipe is opened as everybody does it: that waits for its writer.
            return Ok(Self::stream(name, Held::of(File::open(path)?)?));
        }
        let held = Arc::new(Held::open(path)?);
        let mut first = [0; GZIP.len()];
        let kind = if held.read_full_at(&mut first, 0)? == GZIP.len() && first == GZIP {
            let content = gz_trailer_bytes(&held).map_or(0, u64::from);
            Kind::Gz { bytes: content.max(metadata.len()) }
        } else {
            Kind::Plain { bytes: metadata.len() }
        };
        // What cannot be read says so when it is.
        let beginning = head_of(&held, matches!(kind, Kind::Gz { .. }), LOOKED_AT).unwrap_or_default();
        Ok(Self { name, held, kind, format: format_of(&beginning) })
    }

    fn stream(name: String, held: Held) -> Self {
        Self { name, held: Arc::new(held), kind: Kind::Stream, format: Format::Auto }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is read once, as it comes.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.kind == Kind::Stream
    }

    /// Whether it is a compressed file, which does not grow.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        matches!(self.kind, Kind::Gz { .. })
    }

    /// What its lines are, by what its first ones look like.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    fn bytes(&self) -> Option<u64> {
        match self.kind {
            Kind::Plain { bytes } | Kind::Gz { bytes } => Some(bytes),
            Kind::Stream => None,
        }
    }

    /// Its lines from `offset` on; a file that can be read only from its beginning on is, whatever `offset` says.
    ///
    /// # Errors
    /// What the system says.
    pub fn reader(&self, offset: u64) -> io::Result<Reader> {
        let (held, max) = (Arc::clone(&self.held), DEFAULT_MAX_LINE_BYTES.get());
        match self.kind {
            Kind::Plain { .. } => Reader::open(held, false, offset, max),
            Kind::Gz { .. } => Reader::open(held, true, 0, max),
            Kind::Stream => {
                let mut stream = held.with(File::try_clone)?;
                let mut first = Vec::new();
                stream.by_ref().take(GZIP.len() as u64).read_to_end(&mut first)?;
                let is_gz = first == GZIP;
                let content = io::Cursor::new(first).chain(stream);
                if is_gz {
                    Reader::of_stream(held, MultiGzDecoder::new(BufReader::new(content)), max)
                } else {
                    Reader::of_stream(held, content, max)
                }
            }
        }
    }
}

/// What a file is made of that begins like this. What is nothing else is taken for kube-apiserver's own.
fn format_of(head: &[u8]) -> Format {
    let mut lines = head.split(|byte| *byte == b'\n');
    match lines.find_map(Format::of) {
        None | Some(Format::Json) => Format::Json,
        Some(_) => Format::Auto,
    }
}

/// The files that `path` stands for.
fn files_at(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.as_os_str() == STDIN || !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let is_log = entry.file_name().to_string_lossy().contains(".log");
        if is_log && std::fs::metadata(entry.path()).is_ok_and(|found| found.is_file()) {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    if files.is_empty() {
        return Err(io::Error::other("a directory without a file that has .log in its name"));
    }
    Ok(files)
}

/// A series may have more files than a process may open by default; as many as it may in the end do no harm.
fn allow_many_files() {
    let allowed = rustix::process::getrlimit(Resource::Nofile);
    // If not, opening them says so.
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: allowed.maximum, ..allowed });
}

#[cfg(test)]
mod tests;
