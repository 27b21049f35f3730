//! The files of a rotated log: their names and their order.
//!
//! kube-apiserver writes the *live* file. A *backup* is what a rotator made of an earlier one, beside it:
//!
//! | name | rotator |
//! |---|---|
//! | `STEM-2026-07-18T04-24-44.123EXT` | lumberjack; the stamp is the time of the rotation, EXT begins at the last dot |
//! | `NAME-20260723`, `NAME-20260723-1784831532` | logrotate with dateext |
//! | `NAME.1`, `NAME.2` | logrotate; a higher number is older |
//!
//! each also with `.gz`. While `x` and `x.gz` both exist, `x` is the truth: the other is being written.
//! Other files in the directory are not ours.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// Length of lumberjack's stamp, `2006-01-02T15-04-05.000`.
const STAMP: &[u8; 23] = b"dddd-dd-ddTdd-dd-dd.ddd";

/// The directory that holds `log`.
#[must_use]
pub fn directory_of(log: &Path) -> PathBuf {
    match log.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The names of one rotated log.
#[derive(Debug, Clone)]
pub struct Series {
    directory: PathBuf,
    live: String,
}

/// One file of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name in the directory.
    pub name: String,
    /// The same without `.gz`: the name of the generation.
    pub base: String,
    /// Whether it is compressed.
    pub gz: bool,
    order: Order,
}

/// Oldest first: stamped backups, numbered backups, the live file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Stamped(String),
    Numbered(std::cmp::Reverse<u64>),
    Live,
}

impl Entry {
    /// Whether kube-apiserver writes to it.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.order == Order::Live
    }

    /// Whether its name has a stamp, which no other file ever gets.
    #[must_use]
    pub fn keeps_its_name(&self) -> bool {
        matches!(self.order, Order::Stamped(_))
    }
}

impl Series {
    /// The series whose live file is `log`.
    #[must_use]
    pub fn new(log: &Path) -> Self {
        let live = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { directory: directory_of(log), live }
    }

    /// Path of the live file.
    #[must_use]
    pub fn live_path(&self) -> PathBuf {
        self.directory.join(&self.live)
    }

    /// Name of the live file.
    #[must_use]
    pub fn live_name(&self) -> &str {
        &self.live
    }

    /// The directory that holds all files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Path of one file.
    #[must_use]
    pub fn path(&self, entry: &Entry) -> PathBuf {
        self.directory.join(&entry.name)
    }

    /// The files that exist now, oldest first, one for each generation. A directory that does not exist holds none.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let names = match std::fs::read_dir(&self.directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut generations: HashMap<String, Entry> = HashMap::new();
        for name in names {
            let found = name?;
            let Ok(name) = found.file_name().into_string() else { continue };
            let Some(entry) = self.entry(&name) else { continue };
            // No rotator makes a directory or a pipe; reading one would fail, or wait, for ever.
            let is_special = found.file_type().is_ok_and(|kind| !kind.is_file() && !kind.is_symlink());
            if is_special && !entry.is_live() {
                continue;
            }
            match generations.get(&entry.base) {
                Some(other) if !other.gz => {}
                _ => {
                    generations.insert(entry.base.clone(), entry);
                }
            }
        }
        let mut entries: Vec<Entry> = generations.into_values().collect();
        entries.sort_by(|a, b| a.order.cmp(&b.order).then_with(|| a.base.cmp(&b.base)));
        Ok(entries)
    }

    /// What `name` is in this series, if it belongs to it.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<Entry> {
        let (base, gz) = match name.strip_suffix(".gz") {
            Some(base) if name != self.live => (base, true),
            _ => (name, false),
        };
        let order = if name == self.live { Order::Live } else { self.backup_order(base)? };
        Some(Entry { name: name.to_owned(), base: base.to_owned(), gz, order })
    }

    fn backup_order(&self, base: &str) -> Option<Order> {
        let dot = self.live.rfind('.').unwrap_or(self.live.len());
        let (stem, extension) = self.live.split_at(dot);
        let lumberjack = base
            .strip_prefix(stem)
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.strip_suffix(extension))
            .filter(|stamp| is_lumberjack_stamp(stamp));
        if let Some(stamp) = lumberjack {
            return Some(Order::Stamped(digits(stamp)));
        }
        let rest = base.strip_prefix(&self.live)?;
        if let Some(stamp) = rest.strip_prefix('-').filter(|stamp| is_logrotate_stamp(stamp)) {
            return Some(Order::Stamped(digits(stamp)));
        }
        let number = rest.strip_prefix('.')?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| number.parse().ok()).flatten().map(|n| Order::Numbered(std::cmp::Reverse(n)))
    }
}

/// The digits of a stamp: `20260718042444123` and `202607231784831532` order by day whatever made them.
fn digits(stamp: &str) -> String {
    stamp.chars().filter(char::is_ascii_digit).collect()
}

fn is_lumberjack_stamp(stamp: &str) -> bool {
    stamp.len() == STAMP.len()
        && stamp.bytes().zip(STAMP).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            literal => byte == *literal,
        })
}

fn is_logrotate_stamp(stamp: &str) -> bool {
    let (day, rest) = stamp.split_at_checked(8).unwrap_or(("", ""));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(day) && (rest.is_empty() || rest.strip_prefix('-').is_some_and(all_digits))
}

/// Whether a file that was called `before` can be called `after` now. A stamp once given stays; a rotator on top of
/// another may append to the name; a number goes up; the live file can become anything.
#[must_use]
pub fn may_be_renamed(series: &Series, before: &str, after: &str) -> bool {
    let order = |name: &str| series.entry(name).map(|entry| entry.order);
    match (order(before), order(after)) {
        (Some(Order::Live), Some(_)) => true,
        (Some(Order::Numbered(before)), Some(Order::Numbered(after))) => after.cmp(&before) == Ordering::Less,
        _ => before == after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(log: &str, files: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let series = Series::new(&dir.path().join(log));
        series.list().unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn lists_lumberjacks_backups_by_stamp_and_the_live_file_last() {
        let files = [
            "audit.log",
            "audit-2026-11-22T02-09-49.460.log.gz",
            "audit-2026-11-22T02-09-48.548.log.gz",
            "audit-2026-11-22T02-10-07.370.log",
            "audit-2026-11-22T02-10-07.370.log.gz",
            "audit-2026-11-22T02-10-07.log",
            "audit-policy.log",
            "audit.log.bak",
            "audit.log.gz.tmp",
            "other.log",
        ];
        assert_eq!(
            names("audit.log", &files),
            [
                "audit-2026-11-22T02-09-48.548.log.gz",
                "audit-2026-11-22T02-09-49.460.log.gz",
                "audit-2026-11-22T02-10-07.370.log",
                "audit.log"
            ]
        );
    }

    #[test]
    fn any_extension_works_and_none_too() {
        let stamp = "2026-11-22T02-09-48.548";
        for (live, backup) in [
            ("kubernetes.audit", format!("kubernetes-{stamp}.audit")),
            ("audit", format!("audit-{stamp}")),
            ("kube.apiserver.audit.log", format!("kube.apiserver.audit-{stamp}.log.gz")),
            (".audit", format!("-{stamp}.audit")),
        ] {
            assert_eq!(names(live, &[live, &backup]), [backup.as_str(), live]);
        }
    }

    #[test]
    fn logrotates_numbers_go_down_and_its_dates_up() {
        let live = "a.log";
        assert_eq!(
            names(live, &["a.log", "a.log.1", "a.log.10.gz", "a.log.2.gz"]),
            ["a.log.10.gz", "a.log.2.gz", "a.log.1", "a.log"]
        );
        assert_eq!(
            names(live, &["a.log-20260723-1784831532.gz", "a.log-20260722", "a.log", "a.log-2026"]),
            ["a.log-20260722", "a.log-20260723-1784831532.gz", "a.log"]
        );
    }

    #[test]
    fn a_directory_that_does_not_exist_holds_nothing() {
        assert!(Series::new(Path::new("/nonexistent/audit.log")).list().unwrap().is_empty());
    }

    #[test]
    fn knows_which_renames_are_possible() {
        let series = Series::new(Path::new("a.log"));
        let stamped = "a-2026-11-22T02-09-48.548.log";
        for (before, after, possible) in [
            ("a.log", stamped, true),
            ("a.log", "a.log.1", true),
            ("a.log.1", "a.log.2", true),
            ("a.log.2", "a.log.1", false),
            (stamped, "a-2026-11-22T02-09-49.548.log", false),
            (stamped, "a.log", false),
            (stamped, stamped, true),
        ] {
            assert_eq!(may_be_renamed(&series, before, after), possible, "{before} -> {after}");
        }
    }
}
