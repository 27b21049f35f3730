//! Lines out of one file, plain or compressed, from a given offset on.
//!
//! Bytes are read in large pieces into one buffer; a line is a slice of it. The buffer grows for a long line and
//! shrinks again after it. How bytes become lines is said in `lines`, and in `spans` where a line may be in parts; a
//! compressed file is decompressed `ahead`.

mod ahead;
mod lines;
mod spans;

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use crate::checkpoint::{HEAD_BYTES, Head};
use crate::source::held::{FromStart, Held};

use ahead::Ahead;
use lines::Skipping;
pub use lines::{Line, TooLong};
pub use spans::Open;
use spans::Spans;

/// Bytes asked for in one read.
const PIECE_BYTES: usize = 256 << 10;
/// Bytes before the position that tell whether the content in front of it is still the same.
const WINDOW_BYTES: usize = 4 << 10;

/// An open file of the series.
#[derive(Debug)]
pub struct Reader {
    held: Arc<Held>,
    /// If the file is compressed, or a pipe.
    content: Option<Ahead>,
    head: Vec<u8>,
    /// The last bytes before the last read, and where they end.
    window: Vec<u8>,
    window_end: u64,
    /// Offset of the next line in the uncompressed content.
    offset: u64,
    buf: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes from `start` on that are known to hold no end of a line.
    scanned: usize,
    skipping: Option<Skipping>,
    /// If it is a file that a container runtime writes.
    spans: Option<Spans>,
    /// Lengths of the pieces of the line at `start`, if it is to be taken in pieces.
    pieces: VecDeque<usize>,
    /// Bytes of NUL runs that were passed and not yet told of.
    nul_bytes: u64,
    max_line_bytes: usize,
}

impl Reader {
    /// Reads on in `file` at `offset` of its uncompressed content.
    ///
    /// # Errors
    /// It cannot be read, or ends before `offset` (`UnexpectedEof`).
    pub fn open(file: Arc<Held>, gz: bool, offset: u64, max_line_bytes: usize) -> io::Result<Self> {
        let head_bytes = usize::try_from(offset).map_or(HEAD_BYTES, |offset| offset.min(HEAD_BYTES));
        let (mut content, mut head) = (None, vec![0; head_bytes]);
        if gz {
            let mut ahead = Ahead::new(Arc::clone(&file))?;
            ahead.read_exact(&mut head)?;
            let rest = offset - head_bytes as u64;
            if io::copy(&mut ahead.by_ref().take(rest), &mut io::sink())? < rest {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            content = Some(ahead);
        } else if file.read_full_at(&mut head, 0)? < head_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self { head, window_end: offset, offset, ..Self::at_beginning(file, content, max_line_bytes) })
    }

    /// Reads `content`, which comes out of `file`, from its beginning on: a pipe can be read in no other way.
    ///
    /// # Errors
    /// There can be no further thread.
    pub fn of_stream(
        file: Arc<Held>,
        content: impl io::Read + Send + 'static,
        max_line_bytes: usize,
    ) -> io::Result<Self> {
        Ok(Self::at_beginning(file, Some(Ahead::of(content)?), max_line_bytes))
    }

    fn at_beginning(held: Arc<Held>, content: Option<Ahead>, max_line_bytes: usize) -> Self {
        Self {
            held,
            content,
            head: Vec::new(),
            window: Vec::with_capacity(2 * WINDOW_BYTES),
            window_end: 0,
            offset: 0,
            buf: vec![0; PIECE_BYTES],
            start: 0,
            end: 0,
            scanned: 0,
            skipping: None,
            spans: None,
            pieces: VecDeque::new(),
            nul_bytes: 0,
            max_line_bytes,
        }
    }

    /// Reads the next piece; 0 at the end of the file as it is now.
    ///
    /// # Errors
    /// Reading failed, or a compressed file is cut short or damaged.
    pub fn read_more(&mut self) -> io::Result<usize> {
        self.move_window();
        self.buf.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        self.make_room();
        let at = self.read_offset();
        let free = &mut self.buf[self.end..];
        let count = match &mut self.content {
            Some(ahead) => ahead.read(free)?,
            None => self.held.read_at(free, at)?,
        };
        self.end += count;
        Ok(count)
    }

    /// Takes the bytes of the last read into the window, as far as they fit.
    fn move_window(&mut self) {
        let end = self.read_offset();
        let fresh = usize::try_from(end - self.window_end).map_or(self.end, |fresh| fresh.min(self.end));
        let last = &self.buf[self.end - fresh.min(WINDOW_BYTES)..self.end];
        self.window.extend_from_slice(last);
        self.window.drain(..self.window.len().saturating_sub(WINDOW_BYTES));
        self.window_end = end;
    }

    /// Whether what was read before the last read is still what the file holds there: it may have been truncated and written anew. (Plain
    /// files only; a compressed one is never written again.)
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_intact(&self) -> io::Result<bool> {
        let mut now = [0; if WINDOW_BYTES > HEAD_BYTES { WINDOW_BYTES } else { HEAD_BYTES }];
        let head = &mut now[..self.head.len()];
        if self.held.read_full_at(head, 0)? < self.head.len() || *head != *self.head {
            return Ok(false);
        }
        let window = &mut now[..self.window.len()];
        let at = self.window_end - self.window.len() as u64;
        Ok(self.held.read_full_at(window, at)? == self.window.len() && *window == *self.window)
    }

    /// Forgets what was read and not consumed.
    pub fn discard(&mut self) {
        (self.end, self.scanned, self.skipping) = (self.start, 0, None);
        if let Some(spans) = &mut self.spans {
            spans.begin();
        }
    }

    /// Grows the buffer for a long line, and gives the memory back after it.
    fn make_room(&mut self) {
        if self.end + PIECE_BYTES / 2 > self.buf.len() {
            let most = self.max_line_bytes + 2 * PIECE_BYTES;
            self.buf.resize((2 * self.end).min(most), 0);
        } else if self.end < PIECE_BYTES / 2 && self.buf.len() > 4 * PIECE_BYTES {
            self.buf.truncate(PIECE_BYTES);
            self.buf.shrink_to_fit();
        }
    }

    /// Offset of the next line in the uncompressed content.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Identity of the last `most` bytes in front of [`Self::offset`]; `None` if they are not in memory any more.
    #[must_use]
    pub fn before(&self, most: usize) -> Option<Head> {
        let count = usize::try_from(self.offset).map_or(most, |offset| offset.min(most));
        Some(Head::of(&self.buf[self.start.checked_sub(count)?..self.start]))
    }

    /// Offset past the last whole line that was read.
    #[must_use]
    pub fn end_of_whole_lines(&self) -> u64 {
        let whole =
            memchr::memrchr(b'\n', &self.buf[self.start..self.end]).map_or(0, |newline| newline as u64 + 1);
        self.offset + if self.skipping.is_some() { 0 } else { whole }
    }

    /// Offset past the last byte that was read.
    #[must_use]
    pub fn read_offset(&self) -> u64 {
        self.offset
            + self.skipping.as_ref().map_or(0, |skipping| skipping.bytes)
            + (self.end - self.start) as u64
    }

    /// Identity by what was consumed so far.
    #[must_use]
    pub fn head(&self) -> Head {
        Head::of(&self.head)
    }

    /// Whether the file can be the one of this identity, as far as its head was read.
    #[must_use]
    pub fn may_be(&self, identity: &Head) -> bool {
        self.head.len() < usize::from(identity.len) || identity.matches(&self.head)
    }

    /// The file.
    #[must_use]
    pub fn held(&self) -> &Arc<Held> {
        &self.held
    }
}

/// The first `count` bytes of the content of a file, or all of them if there are fewer.
///
/// # Errors
/// It cannot be read, or is compressed and ends before `count` bytes and its own end.
pub fn head_of(held: &Arc<Held>, gz: bool, count: usize) -> io::Result<Vec<u8>> {
    let mut content = vec![0; count];
    if gz {
        content.clear();
        MultiGzDecoder::new(FromStart::new(Arc::clone(held))).take(count as u64).read_to_end(&mut content)?;
    } else {
        let read = held.read_full_at(&mut content, 0)?;
        content.truncate(read);
    }
    Ok(content)
}

/// What the trailer of a compressed file says about the length of its content, modulo 2^32.
///
/// # Errors
/// It cannot be read, or is too short to have a trailer (`UnexpectedEof`).
pub fn gz_trailer_bytes(held: &Held) -> io::Result<u32> {
    let mut trailer = [0; 4];
    let at = held.metadata()?.len().checked_sub(4).ok_or(io::ErrorKind::UnexpectedEof)?;
    if held.read_full_at(&mut trailer, at)? < trailer.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(u32::from_le_bytes(trailer))
}

/// Offset past the last newline of a plain file: where the line that is being written begins.
///
/// # Errors
/// It cannot be read.
pub fn end_of_last_line(held: &Held) -> io::Result<u64> {
    let mut end = held.metadata()?.len();
    let mut piece = vec![0; PIECE_BYTES];
    while end > 0 {
        let begin = end.saturating_sub(PIECE_BYTES as u64);
        let bytes = &mut piece[..usize::try_from(end - begin).unwrap_or(PIECE_BYTES)];
        let count = held.read_full_at(bytes, begin)?;
        if let Some(found) = memchr::memrchr(b'\n', &bytes[..count]) {
            return Ok(begin + found as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
