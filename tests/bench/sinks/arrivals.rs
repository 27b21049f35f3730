//! Which events of a log have arrived.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::events::numbers_in;

/// At least as large as the longest line.
const BUFFER_BYTES: usize = 4 << 20;

/// Each event counts once, however often it comes.
pub(super) struct Arrivals {
    seen: Mutex<Vec<bool>>,
}

impl Arrivals {
    /// Of a log with so many events.
    pub(super) fn of(events: u64) -> Self {
        Self { seen: Mutex::new(vec![false; usize::try_from(events).unwrap_or_default()]) }
    }

    /// How many have arrived.
    pub(super) fn count(&self) -> u64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|is_there| **is_there).count() as u64
    }

    /// Notes those in a body.
    pub(super) fn note(&self, body: &[u8]) {
        let numbers: Vec<u64> = numbers_in(body).collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for number in numbers {
            if let Some(is_there) = usize::try_from(number).ok().and_then(|number| seen.get_mut(number)) {
                *is_there = true;
            }
        }
    }

    /// Notes those in all lines until the end, and returns how many bytes they have.
    pub(super) fn note_lines(&self, mut reader: impl Read) -> io::Result<u64> {
        let (mut buffer, mut filled, mut bytes) = (vec![0; BUFFER_BYTES], 0, 0);
        loop {
            let count = reader.read(&mut buffer[filled..])?;
            if count == 0 {
                return if filled == 0 { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            filled += count;
            bytes += count as u64;
            if filled > BUFFER_BYTES / 2 || buffer[filled - 1] == b'\n' {
                let end = memchr::memrchr(b'\n', &buffer[..filled]).map_or(0, |newline| newline + 1);
                self.note(&buffer[..end]);
                buffer.copy_within(end..filled, 0);
                filled -= end;
            }
        }
    }

    /// The same of all files of a directory.
    pub(super) fn note_files(&self, directory: &Path) -> io::Result<u64> {
        let notes = std::fs::read_dir(directory)?.map(|entry| self.note_lines(File::open(entry?.path())?));
        notes.sum()
    }
}
