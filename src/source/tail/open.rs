//! The file that is being read.

use super::ledger;
use crate::checkpoint::{HEAD_BYTES, Head, Mark};
use crate::source::pins::Listed;
use crate::source::reader::{self, Reader};

/// Bytes before a position that tell a file whose head is blank from others.
const BEFORE_BYTES: usize = HEAD_BYTES;

pub(super) struct Open {
    pub(super) reader: Reader,
    /// What it was when it was opened.
    pub(super) listed: Listed,
    /// Where reading began this time.
    pub(super) opened_at: u64,
    /// What it began with when nothing had been taken of it.
    beginning: Head,
    /// What it holds in front of the position, where its head tells nothing.
    before: Option<(u64, Head)>,
    /// The live name led elsewhere, and everything was read after that.
    pub(super) final_read_done: bool,
}

impl Open {
    pub(super) fn new(reader: Reader, listed: Listed) -> Self {
        let (opened_at, beginning) = (reader.offset(), Head::of(b""));
        let mut open = Self { reader, listed, opened_at, beginning, before: None, final_read_done: false };
        open.has_begun();
        open
    }

    pub(super) fn mark(&self) -> Mark {
        let head = if self.reader.offset() == 0 { self.beginning } else { self.reader.head() };
        let mark = ledger::mark(&self.listed.entry.base, head, self.reader.offset());
        let before = self.before.filter(|(offset, _)| head.is_blank() && *offset == mark.offset);
        Mark { before: before.map(|(_, before)| before), ..mark }
    }

    /// Remembers what is in front of the position while it is there: the file may be truncated at any time.
    pub(super) fn note_before(&mut self) {
        let offset = self.reader.offset();
        let is_noted = self.before.is_some_and(|(noted, _)| noted == offset);
        if !is_noted && !self.listed.entry.gz && self.reader.head().is_blank() {
            let now = || ledger::before(self.reader.held(), offset, BEFORE_BYTES as u64);
            self.before = self.reader.before(BEFORE_BYTES).or_else(now).map(|before| (offset, before));
        }
    }

    /// Whether it holds so much that it can be told from others: all events begin alike.
    pub(super) fn has_begun(&mut self) -> bool {
        if self.reader.offset() == 0 && self.beginning.len == 0 {
            let head =
                reader::head_of(self.reader.held(), self.listed.entry.gz, HEAD_BYTES).unwrap_or_default();
            if head.len() == HEAD_BYTES || head.contains(&b'\n') {
                self.beginning = Head::of(&head);
            }
        }
        self.beginning.len > 0
    }

    /// Whether the live file still holds what was read of it.
    pub(super) fn is_intact(&self) -> bool {
        let begun = usize::from(self.beginning.len);
        let begins_so = || {
            reader::head_of(self.reader.held(), false, begun).is_ok_and(|head| self.beginning.matches(&head))
        };
        self.reader.is_intact().unwrap_or(true) && (self.reader.offset() > 0 || begun == 0 || begins_so())
    }

    pub(super) fn is(&self, listed: &Listed) -> bool {
        self.listed.sequence == listed.sequence
    }
}
