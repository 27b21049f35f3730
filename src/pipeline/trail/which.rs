//! Which log is which: one by two names, the logs of a record, and whose the copies of nameless files are.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::record::{Record, remembered};
use crate::config::{Config, Source};
use crate::source::keep::LogId;
use crate::source::series::Series;

/// Whether these are two logs, and not one by two names, or one that has more files by its new name.
pub(super) fn is_another_log(former: &Source, new: &Source) -> bool {
    let id = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let is_same_file = || id(&former.path).is_some() && id(&former.path) == id(&new.path);
    let is_among_them = || is_pattern(new) && Series::new(&new.path).entry_at(&former.path).is_some();
    former.path != new.path && !is_same_file() && !is_among_them()
}

fn is_pattern(source: &Source) -> bool {
    source.path.to_string_lossy().contains('*')
}

/// Whether it has no file at all: its files may lie elsewhere now, where they are known by their content.
fn is_empty(source: &Source) -> bool {
    Series::new(&source.path).list().is_ok_and(|files| files.is_empty())
}

/// The log that the cursor of an output is of, and of which logs the copies of nameless files are its own.
pub(crate) fn log_of_cursor(config: &Config, output: &str) -> (Source, impl Fn(LogId) -> bool + use<>) {
    let record = remembered(&config.state_dir);
    let logs: Vec<Source> = steps_of(record.as_ref(), &config.source);
    let at = record.and_then(|record| record.outputs.get(output).map(|stand| stand.log)).unwrap_or_default();
    let log = logs.get(at).unwrap_or(&config.source).clone();
    let is_own = is_own(&log.path, at == 0, logs.iter().map(|log| LogId::of(&log.path)).collect());
    (log, is_own)
}

/// The logs of a record. One alone that is empty is not looked for any more.
pub(super) fn steps_of(record: Option<&Record>, wanted: &Source) -> Vec<Source> {
    let logs = record.map(|record| record.logs.iter().map(|place| place.source(wanted)).collect());
    let logs: Vec<Source> = logs.unwrap_or_default();
    match &logs[..] {
        [] => vec![wanted.clone()],
        [only] if is_empty(only) || !is_another_log(only, wanted) => vec![wanted.clone()],
        _ => logs,
    }
}

/// Copies that are of none of these logs are of the first: its directory has moved.
pub(super) fn is_own(path: &Path, is_first: bool, all: Vec<LogId>) -> impl Fn(LogId) -> bool + use<> {
    let own = LogId::of(path);
    move |log| log == own || is_first && !all.contains(&log)
}
