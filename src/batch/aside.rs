//! Lines that will not be shipped: what they are, where they came from, and why.

use std::sync::Arc;

use crate::fingerprint;

/// Where a line came from, for the people who read the file of rejected events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Name of the file at the time, without its directory.
    pub file: Arc<str>,
    /// Offset of the line in the uncompressed file.
    pub offset: u64,
}

/// A line that will not be shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Why.
    pub reason: Reason,
    /// What is wrong with it, in words without content.
    pub detail: String,
    /// The status and the beginning of the body of the endpoint's answer, where there was one.
    pub answer: Option<(u16, String)>,
    /// Where it came from; a gap record came from nowhere.
    pub origin: Option<Origin>,
    /// The line, or the beginning of one that is too long to keep.
    pub line: Vec<u8>,
    /// Length of the whole line in bytes.
    pub line_bytes: u64,
    /// SHA-256 of the whole line.
    pub sha256: String,
}

impl Aside {
    /// What is set aside of a whole line.
    #[must_use]
    pub fn of(line: &[u8], reason: Reason, detail: String, origin: Option<Origin>) -> Self {
        Self {
            reason,
            detail,
            answer: None,
            origin,
            line: line.to_vec(),
            line_bytes: line.len() as u64,
            sha256: fingerprint::hex(line),
        }
    }
}

/// Why a line is set aside; the `reason` of `error_total` and `audit_shipper_set_aside_events_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not an audit event.
    Malformed,
    /// The endpoint will not take it.
    Rejected,
    /// Too long to be held, cut or taken.
    TooLarge,
    /// An operator said `cursor skip`.
    Skipped,
}

impl Reason {
    /// The reasons that a running daemon has; `Skipped` is an operator's.
    pub const COUNTED: [Self; 3] = [Self::Malformed, Self::Rejected, Self::TooLarge];

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
            Self::Skipped => "skipped",
        }
    }
}
