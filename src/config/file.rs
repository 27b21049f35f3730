//! `file`: where lines are written to, and what becomes of full files.

use std::path::{Path, PathBuf};

use super::section::Section;
use super::value::{Given, not_positive};
use crate::source::series::{Series, directory_of};

/// A file that is rotated by size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The live file; its backups lie beside it.
    pub path: PathBuf,
    /// Bytes at most, but for one batch that is larger.
    pub max_size: u64,
    /// How many full files are kept; 0 keeps all.
    pub max_backups: usize,
    /// Whether full files are compressed with gzip.
    pub compress: bool,
    /// Who may read and write a new file; events hold what users sent.
    pub mode: u32,
}

const MIB: i64 = 1 << 20;
const DEFAULT_MODE: u32 = 0o600;

/// Reads the section.
pub(super) fn read(mut section: Section<'_>) -> File {
    let report = section.sources.report;
    let path = section.value("path", None).line();
    if path.is_default() {
        section.missing("path", None);
    }
    if let Some(problem) = path.value.as_deref().and_then(problem_of_path) {
        report.mistake(&path.origin, problem);
    }
    let max_size = section.value("maxSize", None).size(100 * MIB);
    let max_backups = section.value("maxBackups", None).int(10);
    let kept = usize::try_from(max_backups.value).unwrap_or_else(|_| {
        let what =
            format_args!("{} is out of range; legal are 0, which keeps all, and above", max_backups.value);
        report.mistake(&max_backups.origin, what);
        0
    });
    let compress = section.value("compress", None).boolean(false).value;
    let mode = mode(section.value("mode", None));
    section.finish();
    File {
        path: PathBuf::from(path.value.unwrap_or_default()),
        max_size: max_size.positive(report, not_positive).get() as u64,
        max_backups: kept,
        compress,
        mode,
    }
}

fn problem_of_path(path: &str) -> Option<&'static str> {
    if path == "-" {
        return Some("\"-\" is no file; for standard output write `stdout: {}` instead of `file`");
    }
    let is_directory = path.ends_with('/') || Path::new(path).file_name().is_none();
    is_directory.then_some("names a directory; legal is a file")
}

fn mode(given: Given<'_>) -> u32 {
    let report = given.report;
    let text = given.text();
    let Some(digits) = text.value else { return DEFAULT_MODE };
    let octal = digits.len() <= 4 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let mode = u32::from_str_radix(&digits, 8).ok().filter(|mode| octal && mode & !0o666 == 0);
    mode.filter(|mode| mode & DEFAULT_MODE == DEFAULT_MODE).unwrap_or_else(|| {
        let what = "is no mode; legal are \"0600\", \"0640\", \"0644\" and the like: readable and writable for the owner, \
                    executable for nobody";
        report.mistake(&text.origin, format_args!("{digits:?} {what}"));
        DEFAULT_MODE
    })
}

/// Why events must not be written to `path`, if they must not.
pub(super) fn problem_of_place(path: &Path, log: &Path, state_dir: &Path) -> Option<&'static str> {
    let (path, log) = (resolved(path), resolved(log));
    if Series::new(&log).entry_at(&path).is_some() {
        return Some("is the log that is tailed, or has the name of one of its backups; name another file");
    }
    if Series::new(&path).entry_at(&log).is_some() {
        return Some("gives its backups names such as the log that is tailed has; name another file");
    }
    let state_dir = std::fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_owned());
    path.starts_with(state_dir).then_some("is in the state directory; name a file elsewhere")
}

/// Why the file of an output must not be at `path` if `other` is that of the earlier output of this number.
pub(super) fn problem_of_two(path: &Path, other: &Path, number: usize) -> Option<String> {
    let (path, other) = (resolved(path), resolved(other));
    let problem = if Series::new(&other).entry_at(&path).is_some() {
        format!("is the file of outputs[{number}], or has the name of one of its backups")
    } else {
        Series::new(&path).entry_at(&other)?;
        format!("gives its backups names such as the file of outputs[{number}] has")
    };
    Some(problem + "; name another file")
}

/// The path without links and dots, but for its last part.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let directory = directory_of(path);
    std::fs::canonicalize(&directory).unwrap_or(directory).join(path.file_name().unwrap_or_default())
}
