//! Lines of a container that go on in the next file: kubelet renames a file while the runtime is within a line, whose next
//! part is in another file then.
//!
//! What is left open at the end of a file is *carried* into the file that is opened next, whose first span goes on with it.
//! Until that is taken, the mark of the old file stays where the open lines begin, and a restart reads it again from there.
//! Should the old file have grown meanwhile, it is not over, and is read again from there too: the runtime writes to it until
//! it has been told of the new one. So a physical line without its newline waits likewise. If the next file has no
//! part of an open line, but begins another one, the two are glued together, and each event in that is found.
//!
//! The file of another container goes on with nothing, nor does one in the middle of which reading goes on: what is carried
//! is torn there.

use std::sync::Arc;

use super::{Open, Tail};
use crate::source::pins::Listed;
use crate::source::reader;
use crate::source::series::Series;

/// What one file has left open.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) file: Arc<str>,
    /// Where in the file it begins.
    pub(super) offset: u64,
    /// Physical lines, each with its newline.
    pub(super) bytes: Vec<u8>,
    /// Whether it goes on with what is carried before it.
    pub(super) goes_on: bool,
    listed: Listed,
}

/// All that is carried, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Carried {
    left: Arc<Vec<Left>>,
    open: reader::Open,
}

impl Carried {
    /// Bytes of the file with this sequence number up to which it is in memory.
    pub(super) fn end_of(&self, sequence: u64) -> Option<u64> {
        let left = self.left.iter().find(|left| left.listed.sequence == sequence)?;
        Some(left.offset + left.bytes.len() as u64)
    }
}

impl Open {
    /// Goes on with what other files have left open, if it can be that these lines go on in it.
    pub(super) fn go_on_with(&mut self, carried: &Carried, series: &Series) {
        self.carried = Arc::clone(&carried.left);
        let Some(last) = self.carried.last() else { return };
        let is_successor = series.are_of_one_writer(&last.listed.entry.base, &self.listed.entry.base);
        self.goes_on = is_successor && self.reader.offset() == 0;
        if self.goes_on {
            self.reader.go_on_with(carried.open);
        }
    }

    /// What it leaves open at its end, unless that is too long to be kept.
    pub(super) fn left_open(&self, max_line_bytes: usize) -> Option<reader::Open> {
        let carried: usize = self.carried.iter().map(|left| left.bytes.len()).sum();
        self.reader.left_open().filter(|_| carried + self.reader.unconsumed().len() < max_line_bytes)
    }
}

impl Tail {
    /// Leaves a final file that leaves lines open.
    pub(super) fn carry(&mut self, mut open: Open, left_open: reader::Open) {
        open.carried = Arc::default();
        let mut bytes = open.reader.unconsumed().to_vec();
        if bytes.is_empty() {
            self.ledger.leave(&open.listed, open.mark(), true);
            self.finish_with(&open.listed);
            return;
        }
        let end = open.reader.read_offset();
        if bytes.last() != Some(&b'\n') {
            bytes.push(b'\n');
        }
        self.ledger.leave_open(&open.listed, open.mark(), end);
        let (file, offset) = (open.listed.entry.base.as_str().into(), open.reader.offset());
        let left = Left { file, offset, bytes, goes_on: open.goes_on, listed: open.listed };
        let known = std::mem::take(&mut self.carried.left);
        let mut all = Arc::try_unwrap(known).unwrap_or_default();
        all.push(left);
        self.carried = Carried { left: Arc::new(all), open: left_open };
    }

    /// What was carried is taken: the files that it is from are read to their end.
    pub(super) fn settle_carried(&mut self) {
        let Carried { left, .. } = std::mem::take(&mut self.carried);
        self.ledger.settle_left_open();
        for left in left.iter() {
            self.finish_with(&left.listed);
        }
    }

    /// A file that leaves lines open goes on itself: it is to be read again from there.
    pub(super) fn forget_carried(&mut self) {
        self.carried = Carried::default();
        self.ledger.forget_left_open();
    }
}
