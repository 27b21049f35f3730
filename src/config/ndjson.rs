//! `ndjson`: any HTTP endpoint that takes events as they stand in the log.

use super::section::Section;
use super::server::{self, Logins, Server};
use super::value::not_among;

pub(super) const FORMATS: [(&str, Format); 2] = [("lines", Format::Lines), ("array", Format::Array)];

/// Any HTTP endpoint (protocols, "Generic HTTP sink").
#[derive(Debug, Clone, PartialEq)]
pub struct Ndjson {
    /// Where requests go.
    pub server: Server,
    /// How events stand in a body.
    pub format: Format,
}

/// How events stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Each on a line of its own (`application/x-ndjson`).
    Lines,
    /// As a JSON list (`application/json`).
    Array,
}

/// Reads the section.
pub(super) fn read(mut section: Section<'_>) -> Option<Ndjson> {
    let server = server::read(&mut section, "url", Logins::Http);
    let format =
        section.value("format", None).choice(Format::Lines, &FORMATS, |word| not_among(word, &FORMATS)).value;
    section.finish();
    Some(Ndjson { server: server?, format })
}
