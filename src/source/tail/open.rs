//! The file that is being read.

use std::cell::OnceCell;
use std::sync::Arc;

use super::carried::Left;
use super::ledger;
use super::records::Taken;
use super::take::Looks;
use crate::checkpoint::{HEAD_BYTES, Head, Mark};
use crate::source::format::{Format, Records};
use crate::source::pins::Listed;
use crate::source::reader::{self, Reader};

/// Bytes before a position that tell a file whose head is blank from others.
const BEFORE_BYTES: usize = HEAD_BYTES;

pub(super) struct Open {
    pub(super) reader: Reader,
    /// What it was when it was opened.
    pub(super) listed: Listed,
    /// What its lines are.
    pub(super) format: Format,
    pub(super) looks: Looks,
    /// Of the span at the position.
    pub(super) taken: Taken,
    pub(super) records: Records,
    /// What other files have left open, and its first span goes on with.
    pub(super) carried: Arc<Vec<Left>>,
    /// Whether it really goes on with that, or begins anew behind it.
    pub(super) goes_on: bool,
    /// Whether that is taken, and nobody was told yet.
    pub(super) has_taken_carried: bool,
    /// Where reading began this time.
    pub(super) opened_at: u64,
    /// What it began with when nothing had been taken of it.
    beginning: Head,
    /// What it holds in front of the position, where its head tells nothing.
    before: Option<(u64, Head)>,
    /// Its head and whether that is blank, once it is complete: a position is told several times a look.
    whole_head: OnceCell<(Head, bool)>,
    /// The live name led elsewhere, and everything was read after that.
    pub(super) final_read_done: bool,
}

impl Open {
    pub(super) fn new(reader: Reader, listed: Listed, format: Format) -> Self {
        let mut open = Self {
            opened_at: reader.offset(),
            reader: reader.in_format(format),
            listed,
            format,
            looks: Looks::default(),
            taken: Taken::default(),
            records: Records::of(format),
            carried: Arc::default(),
            goes_on: true,
            has_taken_carried: false,
            beginning: Head::of(b""),
            before: None,
            whole_head: OnceCell::new(),
            final_read_done: false,
        };
        open.has_begun();
        open
    }

    pub(super) fn mark(&self) -> Mark {
        let (head, is_blank) =
            if self.reader.offset() == 0 { (self.beginning, self.beginning.is_blank()) } else { self.head() };
        let mark = ledger::mark(&self.listed.entry.base, head, self.reader.offset());
        let before = self.before.filter(|(offset, _)| is_blank && *offset == mark.offset);
        Mark { before: before.map(|(_, before)| before), ..mark }
    }

    /// What was consumed of its head, and whether that is blank.
    fn head(&self) -> (Head, bool) {
        let now = || {
            let head = self.reader.head();
            (head, head.is_blank())
        };
        let is_whole = self.reader.offset() >= HEAD_BYTES as u64;
        if is_whole { *self.whole_head.get_or_init(now) } else { now() }
    }

    /// Remembers what is in front of the position while it is there: the file may be truncated at any time.
    pub(super) fn note_before(&mut self) {
        let offset = self.reader.offset();
        let is_noted = self.before.is_some_and(|(noted, _)| noted == offset);
        if !is_noted && !self.listed.entry.gz && self.head().1 {
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
