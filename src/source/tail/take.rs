//! Lines of the held file into a batch.

use std::sync::Arc;

use super::Open;
use crate::batch::{Aside, Batch, Limits, Offer, Origin, Reason};
use crate::event::glued;
use crate::source::format::{Format, Wrong};
use crate::source::reader::{Line, Reader, TooLong};

impl Open {
    /// Takes all lines that were read, until the batch is full.
    pub(super) fn take_lines(&mut self, batch: &mut Batch, limits: &Limits) -> Offer {
        self.take_each(Reader::line, batch, limits)
    }

    /// Takes what stands behind the last newline too: the file is final.
    pub(super) fn take_remainder(&mut self, batch: &mut Batch, limits: &Limits) -> Offer {
        self.take_each(Reader::remainder, batch, limits)
    }

    fn take_each(
        &mut self,
        next: fn(&mut Reader) -> Option<(u64, Line<'_>)>,
        batch: &mut Batch,
        limits: &Limits,
    ) -> Offer {
        if !self.format.is_plain() {
            return self.take_spans(next, batch, limits);
        }
        let file: Arc<str> = self.listed.entry.base.as_str().into();
        while let Some((offset, line)) = next(&mut self.reader) {
            if let Line::Whole(whole) = &line
                && self.looks.is_wrong(self.format, whole)
            {
                return Offer::Full;
            }
            match take(line, || Origin { file: Arc::clone(&file), offset }, batch, limits) {
                Offer::Taken => self.reader.consume(),
                Offer::Glued(ends) => self.reader.cut(&ends),
                Offer::Full => {
                    self.note_before();
                    return Offer::Full;
                }
            }
        }
        self.note_before();
        Offer::Taken
    }
}

/// Whether the log looks like what it is said to be. That is asked of the first line that says anything since the file was
/// opened: in the middle of a file, a line of another format is a spoiled one.
#[derive(Debug, Default)]
pub(super) struct Looks {
    is_known: bool,
    pub(super) wrong: Option<Wrong>,
}

impl Looks {
    /// Whether this line shows that the log is in another format. It is not taken, now or ever.
    #[inline]
    pub(super) fn is_wrong(&mut self, format: Format, line: &[u8]) -> bool {
        !self.is_known && self.look(format, line)
    }

    fn look(&mut self, format: Format, line: &[u8]) -> bool {
        let Some((_, text)) = glued::text_of(line) else { return false };
        self.wrong = format.wrong(text);
        self.is_known = self.wrong.is_none();
        !self.is_known
    }
}

/// Offers one line to the batch. Empty lines are no events and no errors; neither are a mark of byte order before a line
/// and a carriage return behind it.
fn take(line: Line<'_>, origin: impl FnOnce() -> Origin, batch: &mut Batch, limits: &Limits) -> Offer {
    let (whole, is_piece) = match line {
        Line::Whole(line) => (line, false),
        Line::Piece(piece) => (piece, true),
        Line::TooLong(long) => return batch.offer_aside(too_large(long, origin()), limits),
    };
    let Some((mark_bytes, line)) = glued::text_of(whole) else { return Offer::Taken };
    if is_piece {
        return batch.offer_piece(line, origin, limits);
    }
    let mut offer = batch.offer(line, origin, limits);
    if let Offer::Glued(ends) = &mut offer {
        for end in ends {
            *end += mark_bytes;
        }
    }
    offer
}

pub(super) fn too_large(long: TooLong, origin: Origin) -> Aside {
    Aside {
        reason: Reason::TooLarge,
        detail: "longer than maxLineBytes".into(),
        answer: None,
        origin: Some(origin),
        line: long.prefix,
        line_bytes: long.line_bytes,
        sha256: long.sha256,
    }
}
