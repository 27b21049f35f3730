//! `/api/v1/status`: what the daemon says of itself, as docs/status.md describes it.
//!
//! The document has a version. Fields are added to it; none changes its meaning or goes away without a new one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::metrics::Counts;

/// The version of the document.
pub const SCHEMA_VERSION: u32 = 1;

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The daemon's version.
    pub version: String,
    /// The node's name.
    pub node: Option<String>,
    /// When this was said.
    pub now: Timestamp,
    /// When the daemon was started.
    pub started_at: Timestamp,
    /// Whether the configuration in use is the one that its sources say.
    pub configuration: Configuration,
    /// The live files of the logs that are read.
    pub logs: Vec<String>,
    /// The outputs, in the order of the configuration. None for a moment at the start and between two configurations.
    pub outputs: Vec<Output>,
}

/// How the configuration was read last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// Whether it was right. If not, the one before is in use.
    pub is_right: bool,
    /// When it was last right.
    pub right_at: Timestamp,
}

/// One output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Its name.
    pub name: String,
    /// What it ships to, as the configuration calls it: `webhook`, `loki`, ...
    pub destination: String,
    /// Where that is, without query and credentials.
    pub endpoint: String,
    /// What it does.
    pub state: State,
    /// Since when it does.
    pub since: Timestamp,
    /// Why, in words, if something hinders it.
    pub reason: Option<String>,
    /// Why `/readyz` fails because of it, if it does.
    pub not_ready: Option<String>,
    /// How much it ships now, and how far it is behind.
    pub current: Point,
    /// The same of the last hour.
    pub history: History,
    /// Seconds until the log's retention reaches what is not shipped. Null: it never will, or it is not known when.
    pub retention_grace_seconds: Option<f64>,
    /// Its place in the log.
    pub position: Position,
    /// What became of events since the daemon was started.
    pub counts: Counts,
    /// What went wrong, the latest first.
    pub errors: Vec<Trouble>,
    /// Who asked for what in the last hour.
    pub top: Top,
}

/// What an output does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Everything is shipped, or it is but seconds behind.
    Level,
    /// It works through what is not shipped yet.
    Shipping,
    /// The endpoint cannot take anything now; it is tried again and again.
    Waiting,
    /// The endpoint refuses everything until somebody has changed something.
    Misconfigured,
    /// What is refused cannot be set aside.
    Blocked,
    /// The log cannot be read.
    Unreadable,
    /// Its loop does not run; the daemon is about to be restarted.
    Hanging,
    /// The daemon stops, or the output is built anew.
    Stopping,
}

/// How an output does at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Events acknowledged a second.
    pub events_per_second: f64,
    /// Bytes of the bodies they were in, before compression.
    pub bytes_per_second: f64,
    /// Bytes of the log that are not settled.
    pub lag_bytes: u64,
    /// Age of the oldest event among them.
    pub lag_seconds: f64,
}

/// Points at equal distances, the oldest first. All lists are as long; null: nobody looked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// The distance.
    pub step_seconds: u64,
    /// The time of the last point.
    pub until: Timestamp,
    /// See [`Point`].
    pub events_per_second: Vec<Option<f64>>,
    /// See [`Point`].
    pub bytes_per_second: Vec<Option<f64>>,
    /// See [`Point`].
    pub lag_bytes: Vec<Option<u64>>,
    /// See [`Point`].
    pub lag_seconds: Vec<Option<f64>>,
}

/// The place of an output in the rotated series.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The files, oldest first.
    pub files: Vec<File>,
    /// How many of them are left out here.
    pub left_out: usize,
    /// Why this is not known, or no longer true.
    pub problem: Option<String>,
}

/// A file of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct File {
    /// Its name without directory; the last one that it had.
    pub name: String,
    /// Its size, compressed if it is compressed.
    pub size_bytes: u64,
    /// Whether it is.
    pub is_compressed: bool,
    /// How much of it is settled, uncompressed.
    pub settled_bytes: u64,
    /// How far it is.
    pub progress: Progress,
    /// Whether kube-apiserver writes it.
    pub is_live: bool,
    /// Whether it is held open, so that no rotator can take it away.
    pub is_held: bool,
    /// Whether it has lost its name, and is there only because it is held.
    pub is_nameless: bool,
}

/// How far an output is with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Progress {
    /// All of it is settled.
    Settled,
    /// A part of it is, or it is the live file and all of it is so far.
    Reading,
    /// Nothing of it is.
    Unread,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// In words; never the body of an answer.
    pub what: String,
    /// When it was first.
    pub first: Timestamp,
    /// When it was last.
    pub last: Timestamp,
    /// How often.
    pub count: u64,
}

/// Who asked for what, estimated from a few events of each batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Top {
    /// Events that were shipped in this time.
    pub events: u64,
    /// How many of them were looked at.
    pub looked_at: u64,
    /// The time.
    pub seconds: u64,
    /// The users with most events.
    pub users: Vec<Share>,
    /// The verbs with most events.
    pub verbs: Vec<Share>,
}

/// The share of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The value; clients choose it.
    pub value: String,
    /// Its events, about.
    pub events: u64,
}
