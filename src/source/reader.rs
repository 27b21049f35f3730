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
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn gz(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// All lines from `offset` on, the remainder included; a long one as its length, prefixed by `>`.
    fn lines(content: &[u8], compress: bool, offset: u64, max: usize) -> (Vec<Vec<u8>>, u64, Head) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&if compress { gz(content) } else { content.to_vec() }).unwrap();
        let mut reader = Reader::open(file.path(), compress, offset, max).unwrap();
        let mut lines = Vec::new();
        let own = |line: Line<'_>| match line {
            Line::Whole(bytes) => bytes.to_vec(),
            Line::TooLong(long) => format!(">{}", long.line_bytes).into_bytes(),
        };
        loop {
            while let Some(line) = reader.line() {
                lines.push(own(line));
                reader.consume();
            }
            if reader.read_more().unwrap() == 0 {
                break;
            }
        }
        if let Some(line) = reader.remainder() {
            lines.push(own(line));
            reader.consume();
        }
        assert_eq!(reader.offset(), reader.read_offset());
        (lines, reader.offset(), reader.head())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the lengths of the lines, compressed or not, they come out as they went in, those over the limit
        /// as their length, and the offset ends at the end.
        #[test]
        fn lines_come_out_as_they_went_in(
            lengths in prop::collection::vec(prop_oneof![0..200_usize, 250_000..270_000_usize, 500_000..800_000_usize], 0..8),
            compress: bool,
            final_newline: bool,
        ) {
            let max = 600_000;
            let mut written: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(n, len)| vec![b'a' + u8::try_from(n).unwrap(); *len]).collect();
            let mut content = written.join(&b'\n');
            if final_newline && !written.is_empty() {
                content.push(b'\n');
            } else if written.last().is_some_and(Vec::is_empty) {
                written.pop();
            }
            let (read, offset, head) = lines(&content, compress, 0, max);
            prop_assert_eq!(offset, content.len() as u64);
            prop_assert_eq!(head, Head::of(&content));
            prop_assert_eq!(read.len(), written.len());
            for (read, written) in read.iter().zip(&written) {
                // The limit is looked at when a piece has been read, so a line just over it may still come out whole.
                let cut = format!(">{}", written.len()).into_bytes();
                prop_assert!(read == written || (written.len() > max && *read == cut));
            }
        }
    }

    #[test]
    fn goes_on_at_an_offset_with_the_same_identity() {
        let content: Vec<u8> = (0..500).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let offset = content.windows(8).position(|w| w == b"line 300").unwrap();
        for compress in [false, true] {
            let (read, end, head) = lines(&content, compress, offset as u64, 1 << 20);
            assert_eq!((read.len(), end, head), (200, content.len() as u64, Head::of(&content)));
            assert_eq!(read[0], b"line 300");
        }
    }

    #[test]
    fn keeps_the_beginning_the_length_and_the_hash_of_a_line_that_is_too_long() {
        let long = vec![b'x'; 3 << 20];
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&long).unwrap();
        file.write_all(b"\nnext\n").unwrap();
        let mut reader = Reader::open(file.path(), false, 0, 1 << 20).unwrap();
        let found = loop {
            if let Some(Line::TooLong(found)) = reader.line() {
                break found;
            }
            assert!(reader.buf.len() <= 4 << 20, "memory stays bounded");
            assert!(reader.read_more().unwrap() > 0);
        };
        assert_eq!((found.prefix.len(), found.line_bytes), (PREFIX_BYTES, 3 << 20));
        assert_eq!(found.sha256, crate::fingerprint::hex(&long));
        reader.consume();
        assert_eq!(reader.offset(), (3 << 20) + 1);
        assert!(matches!(reader.line(), Some(Line::Whole(b"next"))));
    }

    #[test]
    fn finds_where_the_last_line_begins() {
        for (content, expect) in [(&b""[..], 0), (b"ab", 0), (b"ab\n", 3), (b"ab\ncd", 3), (b"\n\n", 2)] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(content).unwrap();
            assert_eq!(end_of_last_line(file.path()).unwrap(), expect);
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"a\n").unwrap();
        file.write_all(&vec![b'x'; 3 * PIECE_BYTES]).unwrap();
        assert_eq!(end_of_last_line(file.path()).unwrap(), 2);
    }
}
