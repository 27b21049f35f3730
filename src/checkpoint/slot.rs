//! A cursor as the JSON of a slot.
//!
//! The settled marks come first. There are as many as backups, a thousand perhaps, and of all of them one or none has
//! come since the slot before; so their text is kept, and so is the state of its checksum.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Cursor, Mark};
use crate::fingerprint::Streamed;

/// Of the format, not of the program.
pub(super) const VERSION: u32 = 1;

/// What a slot says. Its fields may stand in any order.
#[derive(Deserialize)]
pub(super) struct Slot {
    pub(super) version: u32,
    pub(super) sequence: u64,
    pub(super) cursor: Cursor,
}

/// What of a cursor follows its settled marks.
#[derive(Serialize)]
struct Rest<'a> {
    last: &'a Option<Mark>,
    #[serde(skip_serializing_if = "Option::is_none", with = "super::time")]
    time: &'a Option<Timestamp>,
}

/// Writes slots that begin as the one before.
#[derive(Debug, Default)]
pub(super) struct Writer {
    settled: Arc<[Mark]>,
    beginning: Vec<u8>,
    hashed: Streamed,
}

impl Writer {
    /// The line of a slot, without its newline: checksum, a blank, JSON.
    pub(super) fn line(&mut self, sequence: u64, cursor: &Cursor) -> serde_json::Result<Vec<u8>> {
        self.turn_to(&cursor.settled)?;
        let rest = serde_json::to_string(&Rest { last: &cursor.last, time: &cursor.time })?;
        let fields = rest.trim_start_matches('{');
        let end = format!(r#"],{fields},"version":{VERSION},"sequence":{sequence}}}"#);
        let mut hashed = self.hashed.clone();
        hashed.update(end.as_bytes());
        let checksum = format!("{:016x} ", hashed.finish_short());
        Ok([checksum.as_bytes(), &self.beginning, end.as_bytes()].concat())
    }

    fn turn_to(&mut self, settled: &Arc<[Mark]>) -> serde_json::Result<()> {
        if self.beginning.is_empty() || !settled.starts_with(&self.settled) {
            *self = Self::default();
            self.append(br#"{"cursor":{"settled":["#);
        }
        for (index, mark) in settled.iter().enumerate().skip(self.settled.len()) {
            let comma = if index > 0 { "," } else { "" };
            self.append(format!("{comma}{}", serde_json::to_string(mark)?).as_bytes());
        }
        self.settled = Arc::clone(settled);
        Ok(())
    }

    fn append(&mut self, json: &[u8]) {
        self.beginning.extend_from_slice(json);
        self.hashed.update(json);
    }
}
