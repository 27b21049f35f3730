//! Lines out of one file, plain or compressed, from a given offset on.
//!
//! Bytes are read in large pieces into one buffer; a line is a slice of it. The buffer grows for a long line and
//! shrinks again after it. A line over the limit is streamed past: its beginning, its length and its hash are kept.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::checkpoint::{HEAD_BYTES, Head};
use crate::fingerprint::Streamed;

/// Bytes asked for in one read.
const PIECE_BYTES: usize = 256 << 10;
/// What is kept of the beginning of a line that is too long.
const PREFIX_BYTES: usize = 4 << 10;

/// Device and inode: tells whether a name still leads to a file that we hold open. No identity of a closed one.
pub type FileId = (u64, u64);

/// What [`Reader::line`] finds at the current offset.
#[derive(Debug)]
pub enum Line<'a> {
    /// A line without its newline.
    Whole(&'a [u8]),
    /// A line over the limit.
    TooLong(TooLong),
}

/// What is kept of a line that is too long to be held in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLong {
    /// Its first bytes.
    pub prefix: Vec<u8>,
    /// Its length, without the newline.
    pub line_bytes: u64,
    /// SHA-256 of all of it.
    pub sha256: String,
}

#[derive(Debug)]
enum Input {
    Plain(File),
    Gz(Box<MultiGzDecoder<BufReader<File>>>),
}

/// A line over the limit, while it is streamed past.
#[derive(Debug, Default)]
struct Skipping {
    prefix: Vec<u8>,
    bytes: u64,
    hash: Streamed,
}

/// An open file of the series.
#[derive(Debug)]
pub struct Reader {
    input: Input,
    id: FileId,
    head: Vec<u8>,
    /// Offset of the next line in the uncompressed content.
    offset: u64,
    buf: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes from `start` on that are known to hold no newline.
    scanned: usize,
    skipping: Option<Skipping>,
    max_line_bytes: usize,
}

impl Reader {
    /// Opens the file at `path` to read on at `offset` of its uncompressed content.
    ///
    /// # Errors
    /// It cannot be opened or read, or ends before `offset` (`UnexpectedEof`).
    pub fn open(path: &Path, gz: bool, offset: u64, max_line_bytes: usize) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut head = Vec::new();
        let head_bytes = offset.min(HEAD_BYTES as u64);
        let input = if gz {
            let mut decoder = Box::new(MultiGzDecoder::new(BufReader::with_capacity(PIECE_BYTES / 4, file)));
            decoder.by_ref().take(head_bytes).read_to_end(&mut head)?;
            let rest = offset - head_bytes;
            if io::copy(&mut decoder.by_ref().take(rest), &mut io::sink())? < rest {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Input::Gz(decoder)
        } else {
            file.by_ref().take(head_bytes).read_to_end(&mut head)?;
            file.seek(SeekFrom::Start(offset))?;
            Input::Plain(file)
        };
        if (head.len() as u64) < head_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self {
            input,
            id: (metadata.dev(), metadata.ino()),
            head,
            offset,
            buf: vec![0; PIECE_BYTES],
            start: 0,
            end: 0,
            scanned: 0,
            skipping: None,
            max_line_bytes,
        })
    }

    /// The line at the current offset; `None` until more has been read. It stays until [`Self::consume`].
    pub fn line(&mut self) -> Option<Line<'_>> {
        if self.skipping.is_some() {
            return self.end_of_skipped();
        }
        let unread = &self.buf[self.start..self.end];
        if let Some(found) = memchr::memchr(b'\n', &unread[self.scanned..]) {
            self.scanned += found;
            let line = &self.buf[self.start..self.start + self.scanned];
            return Some(Line::Whole(line));
        }
        self.scanned = unread.len();
        if self.scanned > self.max_line_bytes {
            self.skipping = Some(Skipping::default());
            self.skip_to(self.end);
        }
        None
    }

    /// What stands behind the last newline, as a line: the file is final and nothing will follow.
    pub fn remainder(&mut self) -> Option<Line<'_>> {
        if let Some(skipped) = &self.skipping {
            return Some(Line::TooLong(skipped.finish()));
        }
        let rest = &self.buf[self.start..self.end];
        (!rest.is_empty()).then_some(Line::Whole(rest))
    }

    fn end_of_skipped(&mut self) -> Option<Line<'_>> {
        let Some(found) = memchr::memchr(b'\n', &self.buf[self.start..self.end]) else {
            self.skip_to(self.end);
            return None;
        };
        self.skip_to(self.start + found);
        self.skipping.as_ref().map(|skipped| Line::TooLong(skipped.finish()))
    }

    /// Passes over the bytes up to `to`, which belong to a line that is too long.
    fn skip_to(&mut self, to: usize) {
        let Some(skipping) = &mut self.skipping else { return };
        let piece = &self.buf[self.start..to];
        let missing = PREFIX_BYTES.saturating_sub(skipping.prefix.len()).min(piece.len());
        skipping.prefix.extend_from_slice(&piece[..missing]);
        skipping.bytes += piece.len() as u64;
        skipping.hash.update(piece);
        self.start = to;
        self.scanned = 0;
    }

    /// Moves past the line that [`Self::line`] or [`Self::remainder`] showed.
    pub fn consume(&mut self) {
        let (skipped, in_buf) = match self.skipping.take() {
            Some(skipping) => {
                self.grow_head(&skipping.prefix);
                (skipping.bytes, 0)
            }
            None => (0, self.scanned.min(self.end - self.start)),
        };
        let newline = usize::from(self.start + in_buf < self.end);
        let consumed = in_buf + newline;
        if self.head.len() < HEAD_BYTES {
            let taken = consumed.min(HEAD_BYTES - self.head.len());
            self.head.extend_from_slice(&self.buf[self.start..self.start + taken]);
        }
        self.start += consumed;
        self.scanned = 0;
        self.offset += skipped + consumed as u64;
    }

    fn grow_head(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(HEAD_BYTES - self.head.len());
        self.head.extend_from_slice(&bytes[..taken]);
    }

    /// Reads the next piece; 0 at the end of the file as it is now.
    ///
    /// # Errors
    /// Reading failed, or a compressed file is cut short or damaged.
    pub fn read_more(&mut self) -> io::Result<usize> {
        self.buf.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        self.make_room();
        let free = &mut self.buf[self.end..];
        let count = loop {
            let result = match &mut self.input {
                Input::Plain(file) => file.read(free),
                Input::Gz(decoder) => decoder.read(free),
            };
            match result {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.end += count;
        Ok(count)
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

    /// Tells whether a name leads to this open file.
    #[must_use]
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Whether the file has lost its last name.
    ///
    /// # Errors
    /// The open file cannot be asked.
    pub fn is_unlinked(&self) -> io::Result<bool> {
        let file = match &self.input {
            Input::Plain(file) => file,
            Input::Gz(decoder) => decoder.get_ref().get_ref(),
        };
        Ok(file.metadata()?.nlink() == 0)
    }

    /// Whether the content is compressed.
    #[must_use]
    pub fn is_gz(&self) -> bool {
        matches!(self.input, Input::Gz(_))
    }
}

impl Skipping {
    fn finish(&self) -> TooLong {
        TooLong {
            prefix: self.prefix.clone(),
            line_bytes: self.bytes,
            sha256: self.hash.clone().finish_hex(),
        }
    }
}

/// The first `count` bytes of the content of the file at `path`, or all of them if there are fewer.
///
/// # Errors
/// It cannot be read, or is compressed and ends before `count` bytes and its own end.
pub fn head_of(path: &Path, gz: bool, count: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut head = Vec::with_capacity(count);
    if gz {
        MultiGzDecoder::new(file).take(count as u64).read_to_end(&mut head)?;
    } else {
        file.take(count as u64).read_to_end(&mut head)?;
    }
    Ok(head)
}

/// What the trailer of a compressed file says about the length of its content, modulo 2^32.
///
/// # Errors
/// It cannot be read, or is too short to have a trailer.
pub fn gz_trailer_bytes(path: &Path) -> io::Result<u32> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-4))?;
    let mut trailer = [0; 4];
    file.read_exact(&mut trailer)?;
    Ok(u32::from_le_bytes(trailer))
}

/// Offset past the last newline of the plain file at `path`: where the line that is being written begins.
///
/// # Errors
/// It cannot be read.
pub fn end_of_last_line(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut piece = vec![0; PIECE_BYTES];
    while end > 0 {
        let begin = end.saturating_sub(PIECE_BYTES as u64);
        let bytes = &mut piece[..usize::try_from(end - begin).unwrap_or(PIECE_BYTES)];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(bytes)?;
        if let Some(found) = memchr::memrchr(b'\n', bytes) {
            return Ok(begin + found as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
