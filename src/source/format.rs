//! What the lines of the log's files are: events as kube-apiserver writes them, or something around or instead of them.
//!
//! kube-apiserver with `--audit-log-path=-` writes events to standard output, and a container runtime writes that to
//! files, with what else comes out of the container. There, a *physical line* is what stands between two newlines of the
//! file; it holds a *part* of what the container wrote to one of its two streams, as a rule all of a line (`cri`,
//! `docker`). A line that is too long for the runtime is in several parts, and those of the two streams may stand between
//! each other. A *span* is a stretch of physical lines, as short as possible, behind which no line is open that may be an event;
//! nearly every span is one physical line. A *record* is what `records` puts together from a span: a whole line of the container.
//!
//! In the `legacy` form each line says something of an event, and an event is made of it.
//!
//! Everything here is pure: bytes in, bytes out.

mod cri;
mod docker;
pub mod legacy;
mod records;
#[cfg(test)]
pub(in crate::source) mod tests;

use serde::{Deserialize, Serialize};

use crate::event::ApiVersion;

pub use records::{Record, Records, What};

/// `source.format`: what the files of the log are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// One event a line, as kube-apiserver writes them to a file.
    #[default]
    Json,
    /// What containerd or CRI-O makes of a container's output.
    Cri,
    /// The same by Docker's `json-file`.
    Docker,
    /// kube-apiserver's `--audit-log-format=legacy`.
    Legacy,
    /// Each line is what it looks like.
    Auto,
}

/// Where a container wrote something to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: the events.
    Stdout,
    /// Standard error: kube-apiserver's own log.
    Stderr,
}

/// What a physical line of a container runtime's file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Where it was written to.
    pub stream: Stream,
    /// Whether its line ends with it.
    pub is_last: bool,
    text: Text<'a>,
}

impl Part<'_> {
    /// Whether a line that is opened by it may be an event. kube-apiserver's own log need not wait for its ends.
    #[must_use]
    pub fn may_open_event(&self) -> bool {
        !self.is_last
            && match (self.stream, self.text) {
                (Stream::Stdout, _) => true,
                (Stream::Stderr, Text::Plain(text)) => text.starts_with(b"{\"kind\":"),
                (Stream::Stderr, Text::Escaped(text)) => text.starts_with(r#"{\"kind\":"#),
            }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text<'a> {
    Plain(&'a [u8]),
    /// As it stands between the quotes of a JSON string.
    Escaped(&'a str),
}

/// A log in another format than it is said to be, in words that name the setting.
pub type Wrong = &'static str;

const IS_JSON: Wrong = "the log is in JSON, one event a line: set source.format: json (or auto)";
const IS_CRI: Wrong = "the log is in the container runtime's (CRI) format: set source.format: cri (or auto)";
const IS_DOCKER: Wrong = "the log is in Docker's json-file format: set source.format: docker (or auto)";
const IS_LEGACY: Wrong = "the log is in kube-apiserver's legacy format: set source.format: legacy (or auto)";

impl Format {
    /// Whether its lines are events as they stand in the file.
    #[must_use]
    pub fn is_plain(self) -> bool {
        self == Self::Json
    }

    /// Whether its physical lines may be parts of what the container wrote.
    #[must_use]
    pub fn has_parts(self) -> bool {
        matches!(self, Self::Cri | Self::Docker | Self::Auto)
    }

    /// What a physical line holds, if it is one of a container runtime's.
    #[must_use]
    pub fn part(self, line: &[u8]) -> Option<Part<'_>> {
        match self {
            Self::Docker => docker::part(line),
            Self::Auto if line.first() == Some(&b'{') => docker::part(line),
            Self::Cri | Self::Auto => cri::part(line),
            Self::Json | Self::Legacy => None,
        }
    }

    /// Whether a line that is no part of anything may be in the legacy form.
    fn takes_legacy(self) -> bool {
        matches!(self, Self::Legacy | Self::Auto)
    }

    /// The format of which a line clearly is; `None` of one that may be anything.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        [Self::Json, Self::Cri, Self::Docker, Self::Legacy].into_iter().find(|format| format.has(line))
    }

    /// Whether a line is clearly one of this format.
    fn has(self, line: &[u8]) -> bool {
        match self {
            Self::Json => is_event_line(line),
            Self::Cri => cri::part(line).is_some(),
            Self::Docker => docker::part(line).is_some(),
            Self::Legacy => legacy::begins(line),
            Self::Auto => true,
        }
    }

    /// What a line is, if it is clearly one of another format, which carries audit data.
    #[must_use]
    pub fn wrong(self, line: &[u8]) -> Option<Wrong> {
        if self.has(line) {
            return None;
        }
        Self::of(line).map(|format| match format {
            Self::Cri => IS_CRI,
            Self::Docker => IS_DOCKER,
            Self::Legacy => IS_LEGACY,
            Self::Json | Self::Auto => IS_JSON,
        })
    }
}

/// Whether `line` begins as kube-apiserver's lines do.
fn is_event_line(line: &[u8]) -> bool {
    let all = [ApiVersion::V1, ApiVersion::V1beta1, ApiVersion::V1alpha1];
    all.iter().any(|version| line.starts_with(version.line_prefix().as_bytes()))
}

/// The text behind the first blank, and what stands before it, if that is not longer than `most`.
fn word(text: &[u8], most: usize) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b' ', &text[..text.len().min(most + 1)])?;
    Some((&text[..at], &text[at + 1..]))
}

/// Bytes of the longest time: nanoseconds, and an offset in the place of `Z`.
const LONGEST_TIME: usize = "2006-01-02T15:04:05.999999999+00:00".len();

/// Whether `text` has the form of a time of RFC 3339.
fn is_time(text: &[u8]) -> bool {
    const FORM: &[u8; 19] = b"dddd-dd-ddTdd:dd:dd";
    let Some((start, rest)) = text.split_at_checked(FORM.len()) else { return false };
    let fits = |(form, byte): (&u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { form == byte };
    let ends = rest.last().is_some_and(|last| *last == b'Z' || last.is_ascii_digit());
    ends && text.len() <= LONGEST_TIME && FORM.iter().zip(start).all(fits)
}
