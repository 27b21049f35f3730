//! Bytes into lines.
//!
//! A line ends at a newline, or at a NUL: JSON holds none, so one is no part of a line but of a *run*, which a truncated
//! file's stale writer or a power loss leaves, and which may be as long as the log. Runs are passed and counted; what
//! stands before one is a line of its own.
//!
//! A line over the limit is streamed past: its beginning, its length and its hash are kept. Which lines those are depends
//! on their length alone, so that reading them again gives the same.
//!
//! A line in which events are glued to something else is taken piece by piece ([`Reader::cut`]). Every piece is
//! consumed like a line, and the offset between two of them is one to go on from.
//!
//! In a file that a container runtime writes, a *span* is what is shown as a line (`spans`).

use super::Reader;
use crate::checkpoint::HEAD_BYTES;
use crate::fingerprint::Streamed;

/// What is kept of the beginning of a line that is too long.
const PREFIX_BYTES: usize = 4 << 10;
/// What a run of NULs is compared with.
const NULS: [u8; 4 << 10] = [0; 4 << 10];

/// What [`Reader::line`] finds at the current offset.
#[derive(Debug)]
pub enum Line<'a> {
    /// A line without its newline, or a span without its last one.
    Whole(&'a [u8]),
    /// A piece of a line that was cut.
    Piece(&'a [u8]),
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

/// A line over the limit, while it is streamed past.
#[derive(Debug, Default)]
pub(super) struct Skipping {
    prefix: Vec<u8>,
    pub(super) bytes: u64,
    hash: Streamed,
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

impl Reader {
    /// The next line with its offset, past the NULs before it; `None` until more has been read. It stays until
    /// [`Self::consume`].
    pub fn line(&mut self) -> Option<(u64, Line<'_>)> {
        if let Some(length) = self.pieces.front() {
            return Some((self.offset, Line::Piece(&self.buf[self.start..self.start + length])));
        }
        if self.spans.is_some() {
            return self.span();
        }
        if self.skipping.is_none() && self.scanned == 0 {
            self.pass_nuls();
        }
        let unread = &self.buf[self.start + self.scanned..self.end];
        let found = memchr::memchr2(b'\n', 0, unread);
        self.scanned += found.unwrap_or(unread.len());
        if self.skipping.is_some() || self.scanned > self.max_line_bytes {
            self.skip_scanned();
        }
        found.map(|_| self.scanned_line())
    }

    /// What stands behind the last newline, as a line: the file is final and nothing will follow.
    pub fn remainder(&mut self) -> Option<(u64, Line<'_>)> {
        let line = self.line().is_some();
        let rest = self.skipping.is_some() || self.scanned > 0;
        if rest && !line {
            self.end_last_span();
        }
        if line { self.line() } else { rest.then(|| self.scanned_line()) }
    }

    pub(super) fn scanned_line(&self) -> (u64, Line<'_>) {
        let line = match &self.skipping {
            Some(skipped) => Line::TooLong(skipped.finish()),
            None => Line::Whole(&self.buf[self.start..self.start + self.scanned]),
        };
        (self.offset, line)
    }

    /// Passes over the scanned bytes, which belong to a line that is too long.
    pub(super) fn skip_scanned(&mut self) {
        let skipping = self.skipping.get_or_insert_default();
        let piece = &self.buf[self.start..self.start + self.scanned];
        let missing = PREFIX_BYTES.saturating_sub(skipping.prefix.len()).min(piece.len());
        skipping.prefix.extend_from_slice(&piece[..missing]);
        skipping.bytes += piece.len() as u64;
        skipping.hash.update(piece);
        self.start += self.scanned;
        self.scanned = 0;
    }

    /// Has the line that [`Self::line`] or [`Self::remainder`] showed taken in pieces: up to each of `ends`, in turn.
    /// What is left behind the last of them is a line again.
    pub fn cut(&mut self, ends: &[usize]) {
        let mut begin = 0;
        self.pieces.extend(ends.iter().map(|end| end - std::mem::replace(&mut begin, *end)));
    }

    /// Moves past the line or piece that [`Self::line`] or [`Self::remainder`] showed.
    pub fn consume(&mut self) {
        let skipped = self.skipping.take();
        if let Some(skipped) = &skipped {
            let taken = skipped.prefix.len().min(HEAD_BYTES - self.head.len());
            self.head.extend_from_slice(&skipped.prefix[..taken]);
            self.offset += skipped.bytes;
        }
        let shown = self.pieces.pop_front().unwrap_or(self.scanned);
        let newline = self.buf[..self.end].get(self.start + shown) == Some(&b'\n');
        self.pass(shown + usize::from(newline));
        if let Some(spans) = &mut self.spans {
            spans.begin();
        }
    }

    /// Moves past bytes at the current offset.
    fn pass(&mut self, bytes: usize) {
        let taken = bytes.min(HEAD_BYTES - self.head.len());
        self.head.extend_from_slice(&self.buf[self.start..self.start + taken]);
        self.start += bytes;
        self.scanned = 0;
        self.offset += bytes as u64;
    }

    pub(super) fn pass_nuls(&mut self) {
        let unread = &self.buf[self.start..self.end];
        if unread.first() != Some(&0) {
            return;
        }
        let whole = unread.chunks_exact(NULS.len()).take_while(|chunk| **chunk == NULS).count() * NULS.len();
        let nuls = whole + unread[whole..].iter().take_while(|byte| **byte == 0).count();
        self.nul_bytes += nuls as u64;
        self.pass(nuls);
    }

    /// Bytes of the runs of NULs that were passed since the last call.
    pub fn take_nul_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.nul_bytes)
    }
}
