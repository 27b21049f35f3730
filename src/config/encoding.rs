//! How messages of Protocol Buffers are written, where a protocol has them as JSON too.

use super::section::Section;
use super::value::not_among;

pub(super) const ENCODINGS: [(&str, Encoding); 2] =
    [("protobuf", Encoding::Protobuf), ("json", Encoding::Json)];

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Protocol Buffers.
    Protobuf,
    /// JSON.
    Json,
}

/// Reads the field.
pub(super) fn read(section: &mut Section<'_>) -> Encoding {
    let given = section.value("encoding", None);
    given.choice(Encoding::Protobuf, &ENCODINGS, |word| not_among(word, &ENCODINGS)).value
}
