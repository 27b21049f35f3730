//! The file that events are appended to.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use memchr::memchr_iter;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};
use tracing::warn;

use super::seen::{self, Seen};
use crate::durable;

/// How much of an existing file is read at start to recognise duplicates: more than [`Seen`] remembers of events of
/// ordinary size, and seconds of reading at most.
const LOOK_BACK: u64 = 4 << 30;
/// A torn line that is larger is certainly no whole event.
const MAX_EVENT: u64 = 256 << 20;
const CHUNK: usize = 256 << 10;

/// Where lines go, and which went there before.
pub(super) struct Output {
    target: Target,
    pub(super) seen: Seen,
}

enum Target {
    /// Synced before it is acknowledged; half a group is taken back.
    File {
        file: File,
        /// Length to go back to before anything else, after a failed group that could not be taken back.
        owed: Option<u64>,
    },
    /// A pipe, a terminal or a device: what is written is gone.
    Stream(Box<dyn Write + Send>),
}

impl Output {
    /// Opens the file, or creates it (0600: events hold what users sent), and repairs its end.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self { target: Target::Stream(Box::new(io::stdout())), seen: Seen::new() });
        }
        let existed = path.exists();
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(Self { target: Target::Stream(Box::new(file)), seen: Seen::new() });
        }
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => io::Error::other("another receiver writes to it"),
            std::fs::TryLockError::Error(error) => error,
        })?;
        if !existed {
            durable::sync_directory_of(path)?;
        }
        repair(&mut file, path)?;
        let seen = load(&mut file)?;
        Ok(Self { target: Target::File { file, owed: None }, seen })
    }

    /// Appends all of `lines` and syncs, or leaves the file as it was.
    pub(super) fn append(&mut self, lines: &[&[u8]]) -> io::Result<()> {
        match &mut self.target {
            Target::File { file, owed } => {
                if let Some(length) = *owed {
                    file.set_len(length)?;
                    *owed = None;
                }
                let before = file.metadata()?.len();
                write(file, lines).and_then(|()| file.sync_data()).inspect_err(|_| {
                    // Half a line that stays would be glued to the next group.
                    *owed = file.set_len(before).is_err().then_some(before);
                })
            }
            Target::Stream(stream) => write(stream, lines).and_then(|()| stream.flush()),
        }
    }
}

fn write(to: &mut impl Write, lines: &[&[u8]]) -> io::Result<()> {
    lines.iter().try_for_each(|lines| to.write_all(lines))
}

/// Ends a *torn* last line, one without a newline, so that the next starts clean. The answer to its request never
/// left, so the sender sends it again and the torn piece may go; only a whole event of whatever wrote the file
/// before us is kept.
fn repair(file: &mut File, path: &Path) -> io::Result<()> {
    let length = file.metadata()?.len();
    let start = durable::end_of_lines(file, length)?;
    if start == length {
        return Ok(());
    }
    let torn = length - start;
    if torn <= MAX_EVENT && is_whole(file, start)? {
        warn!(path = %path.display(), bytes = torn, "the last line had no newline; it is whole and gets one");
        file.write_all(b"\n")?;
    } else {
        warn!(path = %path.display(), bytes = torn, "the last line was torn and never acknowledged; it is cut off");
        file.set_len(start)?;
    }
    file.sync_data()
}

fn is_whole(file: &mut File, start: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(start))?;
    let mut line = Vec::new();
    file.read_to_end(&mut line)?;
    Ok(line.first() == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(&line).is_ok())
}

/// Remembers the lines of an existing file, so that duplicates over a restart are recognised.
fn load(file: &mut File) -> io::Result<Seen> {
    let start = file.metadata()?.len().saturating_sub(LOOK_BACK);
    file.seek(SeekFrom::Start(start))?;
    let mut seen = Seen::new();
    // Started in the midst of a line, its hash is that of no line: harmless.
    let mut line = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let filled = file.read(&mut chunk)?;
        if filled == 0 {
            return Ok(seen);
        }
        let mut begin = 0;
        for newline in memchr_iter(b'\n', &chunk[..filled]) {
            line.update(&chunk[begin..=newline]);
            seen.insert(seen::finish(std::mem::take(&mut line)));
            begin = newline + 1;
        }
        line.update(&chunk[begin..filled]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::line_hash;

    fn reopened(content: &[u8]) -> (Vec<u8>, Output) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.log");
        std::fs::write(&path, content).unwrap();
        let output = Output::open(&path).unwrap();
        (std::fs::read(&path).unwrap(), output)
    }

    #[test]
    fn a_torn_last_line_is_cut_off_or_completed() {
        for (before, after) in [
            (&b""[..], &b""[..]),
            (b"{\"a\":1}\n", b"{\"a\":1}\n"),
            (b"{\"a\":1}\n{\"b\"", b"{\"a\":1}\n"),
            (b"{\"b\"", b""),
            (b"{\"a\":1}\n7", b"{\"a\":1}\n"),
            (b"{\"a\":1}\n{\"b\":2}", b"{\"a\":1}\n{\"b\":2}\n"),
        ] {
            assert_eq!(reopened(before).0, after, "{}", before.escape_ascii());
        }
        let long = [b"{}\n".as_slice(), &vec![b'x'; 3 * CHUNK]].concat();
        assert_eq!(reopened(&long).0, b"{}\n");
    }

    #[test]
    fn lines_of_an_existing_file_are_remembered() {
        let long = vec![b'x'; 2 * CHUNK + 5];
        let (_, mut output) = reopened(&[b"{\"a\":1}\n".as_slice(), &long, b"\n{\"b\":2}\n"].concat());
        assert!(!output.seen.insert(line_hash(b"{\"a\":1}\n")));
        assert!(!output.seen.insert(line_hash(&[long.as_slice(), b"\n"].concat())));
        assert!(!output.seen.insert(line_hash(b"{\"b\":2}\n")));
        assert!(output.seen.insert(line_hash(b"{\"c\":3}\n")));
    }

    #[test]
    fn a_file_has_one_receiver() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.log");
        let first = Output::open(&path).unwrap();
        assert_eq!(Output::open(&path).err().unwrap().to_string(), "another receiver writes to it");
        drop(first);
        Output::open(&path).unwrap();
    }

    #[test]
    fn a_device_that_is_full_is_an_error() {
        let mut full = Output::open(Path::new("/dev/full")).unwrap();
        assert!(full.append(&[b"{}\n"]).is_err());
        Output::open(Path::new("/dev/null")).unwrap().append(&[b"{}\n"]).unwrap();
    }
}
