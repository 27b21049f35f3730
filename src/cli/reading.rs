//! What commands that read whole logs have in common: how the logs are given, and what is said of them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use super::Failure;
use crate::logs::{Found, Logs};
use crate::shown::{self, count, size};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// For people
    Table,
    /// One JSON object
    Json,
}

/// The logs that were given.
#[derive(Debug, clap::Args)]
pub(super) struct Given {
    /// Files, plain or compressed; directories, for the logs in them; - is the standard input
    #[arg(required = true, value_name = "LOG")]
    pub(super) logs: Vec<PathBuf>,
}

impl Given {
    pub(super) fn open(&self) -> Result<Logs, Failure> {
        let logs = Logs::open(&self.logs).map_err(Failure::Several)?;
        for note in logs.notes() {
            warn(note);
        }
        Ok(logs)
    }
}

pub(super) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "warning: {}", shown::printable(text));
}

/// Says what was not counted, and fails if something could not be read.
pub(super) fn tell(found: Found) -> Result<(), Failure> {
    let Found { strange, undated, first_strange, failures, .. } = found;
    if let Some(first) = first_strange {
        let lines = count(strange.events, "line is no audit event", "lines are no audit events");
        warn(&format!("{lines} ({}) and not counted; the first: {first}", size(strange.bytes)));
    }
    if undated.events > 0 {
        let events = count(undated.events, "event has", "events have");
        warn(&format!("{events} no time ({}) and so are not counted", size(undated.bytes)));
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::Several(failures)) }
}

/// What was read, in one line and another one: how much, and from when to when.
pub(super) fn heading(found: &Found, files: usize) -> String {
    let mut heading = format!(
        "{}, {} in {}\n",
        count(found.events.events, "event", "events"),
        size(found.events.bytes),
        count(files as u64, "file", "files")
    );
    if let Some((first, last)) = found.times {
        let seconds = |time: jiff::Timestamp| jiff::Timestamp::from_second(time.as_second()).unwrap_or(time);
        let span = last.duration_since(first).unsigned_abs();
        let _ = writeln!(heading, "{} to {} ({})", seconds(first), seconds(last), shown::duration(span));
    }
    heading
}
