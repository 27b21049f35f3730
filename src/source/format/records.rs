//! Spans into records.

use std::ops::ControlFlow;

use super::{Format, Part, Stream, Text};

/// What a container wrote as one line, or a physical line that is not the runtime's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// All of it, without the newline.
    pub text: &'a [u8],
    /// What it is.
    pub what: What,
    /// In which piece of the span it begins, and where in that.
    pub begin: (usize, usize),
    /// Bytes of its physical lines, with their newlines.
    pub file_bytes: u64,
}

impl Record<'_> {
    /// Whether an event is to be made of it. A line of kube-apiserver's own log may repeat such lines, of events that were
    /// lost; it is never there.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        match self.what {
            What::Legacy => true,
            What::Output(Stream::Stdout) => super::legacy::begins(self.text),
            What::Output(Stream::Stderr) | What::Torn(_) | What::Line => false,
        }
    }
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A whole line of a container's output.
    Output(Stream),
    /// The beginning of one; the rest is missing.
    Torn(Stream),
    /// A physical line that is nobody's output: in a file that a container runtime writes it is spoiled.
    Line,
    /// The same, of the form of `legacy`.
    Legacy,
}

/// Puts records together. Keeps the memory for the next span.
#[derive(Debug, Default)]
pub struct Records {
    format: Format,
    open: [Open; 2],
    text: String,
}

/// The parts of a line that is not whole yet.
#[derive(Debug, Default)]
struct Open {
    text: Vec<u8>,
    begin: Option<(usize, usize)>,
    file_bytes: u64,
}

/// More than this is not kept for the next span.
const KEPT_BYTES: usize = 1 << 20;

impl Records {
    /// Reads spans of this format.
    #[must_use]
    pub fn of(format: Format) -> Self {
        Self { format, ..Self::default() }
    }

    /// What the spans are made of.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Shows the records of a span in the order in which they become whole; what is torn comes last. Begins anew with each
    /// call.
    pub fn each(&mut self, span: &[u8], show: impl FnMut(Record<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        self.each_of([(true, span)], show)
    }

    /// The same of a span that is in several pieces, each of which goes on with the one before it, or begins anew: then what
    /// that left open is torn.
    pub fn each_of<'s>(
        &mut self,
        pieces: impl IntoIterator<Item = (bool, &'s [u8])>,
        mut show: impl FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.open.iter_mut().for_each(Open::clear);
        if self.text.capacity() > KEPT_BYTES {
            self.text = String::new();
        }
        for (index, (goes_on, piece)) in pieces.into_iter().enumerate() {
            if !goes_on {
                self.torn(&mut show)?;
            }
            let mut start = 0;
            while start < piece.len() {
                let end = memchr::memchr(b'\n', &piece[start..]).map_or(piece.len(), |at| start + at);
                let file_bytes = (end - start) as u64 + 1;
                self.line(&piece[start..end], (index, start), file_bytes, &mut show)?;
                start = end + 1;
            }
        }
        self.torn(&mut show)
    }

    /// Shows what is open: its rest is missing.
    fn torn(&mut self, show: &mut impl FnMut(Record<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        for (open, stream) in self.open.iter_mut().zip([Stream::Stdout, Stream::Stderr]) {
            if let Some(begin) = open.begin {
                let what = What::Torn(stream);
                show(Record { text: &open.text, what, begin, file_bytes: open.file_bytes })?;
                open.clear();
            }
        }
        ControlFlow::Continue(())
    }

    fn line(
        &mut self,
        line: &[u8],
        begin: (usize, usize),
        file_bytes: u64,
        show: &mut impl FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Self { format, open, text: unescaped } = self;
        let Some(Part { stream, is_last, text }) = format.part(line) else {
            let is_legacy = format.takes_legacy() && super::legacy::begins(line);
            let what = if is_legacy { What::Legacy } else { What::Line };
            return show(Record { text: line, what, begin, file_bytes });
        };
        let bytes = match text {
            Text::Plain(bytes) => bytes,
            Text::Escaped(text) => {
                unescaped.clear();
                crate::json::unescape_inside_into(text, unescaped);
                unescaped.as_bytes()
            }
        };
        let (open, what) = (&mut open[stream as usize], What::Output(stream));
        if is_last && open.begin.is_none() {
            return show(Record { text: bytes, what, begin, file_bytes });
        }
        open.text.extend_from_slice(bytes);
        open.file_bytes += file_bytes;
        let begin = *open.begin.get_or_insert(begin);
        if !is_last {
            return ControlFlow::Continue(());
        }
        let shown = show(Record { text: &open.text, what, begin, file_bytes: open.file_bytes });
        open.clear();
        shown
    }
}

impl Open {
    fn clear(&mut self) {
        if self.text.capacity() > KEPT_BYTES {
            self.text = Vec::new();
        }
        self.text.clear();
        (self.begin, self.file_bytes) = (None, 0);
    }
}
