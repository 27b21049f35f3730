//! What the state directory remembers of the logs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{Config, Source};
use crate::source::format::Format;

/// Which log the cursors are of, and what is to be read after it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) log: Place,
    /// Logs that have begun since, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) then: Vec<Place>,
    /// The log that was left last, if some cursors may still be of that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) left: Option<Place>,
}

/// One log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    format: Format,
}

impl Place {
    fn of(source: &Source) -> Self {
        Self { path: source.path.clone(), format: source.format }
    }

    /// The source that it is, in everything else as `other`.
    pub(super) fn source(&self, other: &Source) -> Source {
        Source { path: self.path.clone(), format: self.format, ..other.clone() }
    }
}

impl Record {
    pub(super) fn of(source: &Source) -> Self {
        Self::between(source, std::iter::empty(), None)
    }

    pub(super) fn between<'a>(
        read: &Source,
        then: impl Iterator<Item = &'a Source>,
        left: Option<&Source>,
    ) -> Self {
        Self { log: Place::of(read), then: then.map(Place::of).collect(), left: left.map(Place::of) }
    }
}

/// What was remembered.
pub(super) fn remembered(state_dir: &Path) -> Option<Record> {
    let path = path(state_dir);
    let text = fs::read(&path).ok()?;
    match serde_json::from_slice(&text) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "which log was read before cannot be known");
            None
        }
    }
}

/// Remembers it, if the log may be another one tomorrow.
pub(super) fn remember(config: &Config, record: &Record) {
    let Config { source, state_dir, .. } = config;
    if source.manifest.is_none() || remembered(state_dir).as_ref() == Some(record) {
        return;
    }
    let write = || {
        let text = serde_json::to_vec(record).map_err(io::Error::other)?;
        let (path, new) = (path(state_dir), state_dir.join("log.json.new"));
        fs::write(&new, text)?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(new, path)?;
        fs::File::open(state_dir)?.sync_all()
    };
    if let Err(error) = write() {
        tracing::error!(%error, "which log is read cannot be remembered; if it moves while nothing runs, a gap is possible");
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("log.json")
}
