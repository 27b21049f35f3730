//! What the state directory remembers of the logs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Source;
use crate::source::format::Format;

/// The logs that are read one after another, and which of them the cursor of each output is of.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// In their order; all but the first have begun while the one before was read.
    pub(super) logs: Vec<Place>,
    /// Of each output that has been served, also if it is not configured now.
    pub(super) outputs: BTreeMap<String, Stand>,
}

/// One log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    format: Format,
}

/// Where one output stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stand {
    /// Which of the logs.
    pub(super) log: usize,
    /// The log before it, if the cursor may still be of that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) left: Option<PathBuf>,
}

impl Place {
    pub(super) fn of(source: &Source) -> Self {
        Self { path: source.path.clone(), format: source.format }
    }

    /// The source that it is, in everything else as `other`.
    pub(super) fn source(&self, other: &Source) -> Source {
        Source { path: self.path.clone(), format: self.format, ..other.clone() }
    }
}

/// What was remembered, if that makes sense.
pub(super) fn remembered(state_dir: &Path) -> Option<Record> {
    let path = path(state_dir);
    let text = fs::read(&path).ok()?;
    let read = || {
        let record: Record = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let is_whole = record.outputs.values().all(|stand| stand.log < record.logs.len());
        if is_whole && !record.logs.is_empty() { Ok(record) } else { Err("it names no log".to_owned()) }
    };
    match read() {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(path = %path.display(), error, "which log was read before cannot be known");
            None
        }
    }
}

/// Remembers it. It is on the disk on return.
pub(super) fn remember(state_dir: &Path, record: &Record) -> io::Result<()> {
    let text = serde_json::to_vec(record).map_err(io::Error::other)?;
    let (path, new) = (path(state_dir), state_dir.join("log.json.new"));
    // A link must not lead us elsewhere.
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    fs::File::open(state_dir)?.sync_all()
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("log.json")
}
