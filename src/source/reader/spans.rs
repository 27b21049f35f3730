//! Physical lines of a container runtime's file into spans: up to the one behind which no line of the container is open.
//!
//! A span is in one piece in the buffer, so it must not become longer than a line may be. Where it would:
//! - If it is nothing but parts of one line, that line is too long: it is streamed past, up to its last part or to
//!   whatever is no part of it.
//! - If other lines are in it too, it ends before the physical line that is too much, and what is open is torn.
//! - A single physical line that is too long is streamed past as in any other file.
//!
//! So nothing follows an open line for ever, and a span depends on nothing but the bytes from its beginning on. A NUL ends
//! it, whatever is open: nobody writes one within a line.
//!
//! A line of kube-apiserver's own log keeps no span open, or events would wait until somebody ends it: it is torn where the
//! span ends, and passed over in parts.

use super::{Line, Reader};
use crate::source::format::{Format, Part, Stream};

/// How far the span at the current offset is known.
#[derive(Debug)]
pub(super) struct Spans {
    format: Format,
    /// The streams of which a line is open.
    open: Open,
    /// The stream of which all of it is.
    only: Option<Stream>,
    is_mixed: bool,
    /// Bytes of its whole physical lines, with their newlines.
    lines_bytes: usize,
    is_whole: bool,
    /// The beginning of the physical line was streamed past.
    is_cut: bool,
}

/// The streams of which a line is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open([bool; 2]);

impl Open {
    /// Whether any is.
    #[must_use]
    pub fn any(self) -> bool {
        self.0.contains(&true)
    }

    fn note(&mut self, step: Step) {
        let open = &mut self.0[step.stream as usize];
        *open = !step.is_last && (*open || step.opens);
    }
}

/// What a part is of its line.
#[derive(Debug, Clone, Copy)]
struct Step {
    stream: Stream,
    is_last: bool,
    /// What goes on with it has to be waited for.
    opens: bool,
}

impl Step {
    fn of(part: Part<'_>) -> Self {
        Self { stream: part.stream, is_last: part.is_last, opens: part.may_open_event() }
    }
}

impl Spans {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            open: Open::default(),
            only: None,
            is_mixed: false,
            lines_bytes: 0,
            is_whole: false,
            is_cut: false,
        }
    }

    /// The next span begins.
    pub(super) fn begin(&mut self) {
        *self = Self::new(self.format);
    }

    fn note(&mut self, step: Step) {
        self.open.note(step);
        self.is_mixed |= self.only.is_some_and(|only| only != step.stream);
        self.only = Some(step.stream);
    }
}

impl Reader {
    /// Reads a file of this format.
    #[must_use]
    pub fn in_format(mut self, format: Format) -> Self {
        self.spans = format.has_parts().then(|| Spans::new(format));
        self
    }

    /// The file goes on with lines that another one has left open.
    pub fn go_on_with(&mut self, open: Open) {
        if let Some(spans) = &mut self.spans {
            for stream in [Stream::Stdout, Stream::Stderr].into_iter().filter(|s| open.0[*s as usize]) {
                spans.note(Step { stream, is_last: false, opens: true });
            }
        }
    }

    /// The next span; as [`Reader::line`].
    pub(super) fn span(&mut self) -> Option<(u64, Line<'_>)> {
        if self.skipping.is_none() && self.scanned == 0 {
            self.pass_nuls();
        }
        loop {
            if self.spans.as_ref()?.is_whole {
                return Some(self.scanned_line());
            }
            let unread = &self.buf[self.start + self.scanned..self.end];
            let found = memchr::memchr2(b'\n', 0, unread);
            self.scanned += found.unwrap_or(unread.len());
            if self.spans.as_ref()?.is_cut {
                self.skip_scanned();
            } else if self.scanned > self.max_line_bytes {
                self.shorten();
                continue;
            }
            found?;
            self.end_physical_line(false);
        }
    }

    /// The span would be too long with what was scanned.
    fn shorten(&mut self) {
        let Some(spans) = &mut self.spans else { return };
        let lines_bytes = std::mem::take(&mut spans.lines_bytes);
        if lines_bytes == 0 {
            spans.is_cut = true;
        } else if spans.is_mixed {
            (self.scanned, spans.is_whole) = (lines_bytes - 1, true);
        } else {
            let last = self.scanned - lines_bytes;
            self.scanned = lines_bytes;
            self.skip_scanned();
            self.scanned = last;
        }
    }

    /// The file ends, and the span with it.
    pub(super) fn end_last_span(&mut self) {
        match &mut self.spans {
            Some(spans) if self.scanned == spans.lines_bytes => spans.is_whole = true,
            Some(_) => self.end_physical_line(true),
            None => {}
        }
    }

    /// The scanned bytes end with a physical line. Nothing goes on behind the end of the file, or a NUL.
    fn end_physical_line(&mut self, is_end_of_file: bool) {
        let Some(spans) = &mut self.spans else { return };
        let scanned = self.start + self.scanned;
        let is_end = is_end_of_file || self.buf[..self.end].get(scanned) == Some(&0);
        let line = &self.buf[self.start + spans.lines_bytes..scanned];
        let part = spans.format.part(line).map(Step::of);
        if spans.is_cut {
            spans.is_whole = true;
        } else if self.skipping.is_some() {
            let own = part.filter(|step| Some(step.stream) == spans.only);
            spans.is_whole = own.is_none_or(|step| step.is_last || is_end);
            if own.is_some() {
                self.scanned += usize::from(!spans.is_whole);
                self.skip_scanned();
            } else {
                // What is no part of it begins the next span.
                self.scanned = 0;
            }
        } else {
            match part {
                Some(step) => spans.note(step),
                None => spans.is_mixed = true,
            }
            spans.is_whole = is_end || !spans.open.any();
            if !spans.is_whole {
                self.scanned += 1;
                spans.lines_bytes = self.scanned;
            }
        }
    }

    /// The lines that are left open where the file ends, if there are any, or the last physical line is not whole: what is
    /// not consumed belongs to them.
    #[must_use]
    pub fn left_open(&self) -> Option<Open> {
        let spans = self.spans.as_ref().filter(|spans| !spans.is_whole && self.skipping.is_none())?;
        let torn = &self.buf[self.start + spans.lines_bytes..self.end];
        let mut open = spans.open;
        if let Some(part) = spans.format.part(torn) {
            open.note(Step::of(part));
        }
        (open.any() || !torn.is_empty()).then_some(open)
    }

    /// What was read and not consumed.
    #[must_use]
    pub fn unconsumed(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }
}
