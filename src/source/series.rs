//! The files of a rotated log: their names and their order.
//!
//! kube-apiserver writes the *live* file. A *backup* is what a rotator made of an earlier one, beside it:
//!
//! | name | rotator |
//! |---|---|
//! | `STEM-2026-07-18T04-24-44.123EXT` | lumberjack; the stamp is the time of the rotation, EXT begins at the last dot |
//! | `NAME-20260723`, `NAME-20260723-1784831532` | logrotate with dateext |
//! | `NAME.1`, `NAME.2` | logrotate; a higher number is older |
//! | `STEM-2026-07-18T04-24-44.123EXT.1`, `...EXT-20260723` | logrotate on top of lumberjack |
//!
//! each also with `.gz`. While `x` and `x.gz` both exist, `x` is the truth: the other is being written.
//! Other files in the directory are not ours. If the live name is a symbolic link, backups may also lie around the file
//! that it leads to, under that file's name.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Length of lumberjack's stamp, `2006-01-02T15-04-05.000`.
const STAMP: &[u8; 23] = b"dddd-dd-ddTdd-dd-dd.ddd";
/// The same for jiff.
const LUMBERJACK_TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";

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
    /// Where it is.
    pub path: PathBuf,
    /// Its name without `.gz`: the name of the generation.
    pub base: String,
    /// Whether it is compressed.
    pub gz: bool,
    order: Order,
}

/// Oldest first: stamped backups, numbered backups, the live file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    /// The digits of the stamp, and what a second rotator made of the name.
    Stamped(String, Reverse<Suffix>),
    Numbered(Reverse<u64>),
    Live,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Suffix {
    None,
    Number(u64),
    Date,
}

impl Entry {
    /// Whether kube-apiserver writes to it.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.order == Order::Live
    }

    /// Whether its name has a stamp, which no other file ever gets.
    #[must_use]
    pub fn has_own_name(&self) -> bool {
        matches!(self.order, Order::Stamped(_, Reverse(Suffix::None | Suffix::Date)))
    }

    /// The plain file of the same generation.
    #[must_use]
    pub fn uncompressed(&self) -> Self {
        Self { path: self.path.with_file_name(&self.base), gz: false, ..self.clone() }
    }

    /// Whether a rotator that copies and truncates gives such names.
    #[must_use]
    pub fn may_be_copy(&self, series: &Series) -> bool {
        !self.is_live() && series.names().iter().all(|names| names.lumberjack_stamp(&self.base).is_none())
    }

    /// Oldest first.
    #[must_use]
    pub fn compare_age(&self, other: &Self) -> Ordering {
        self.order.cmp(&other.order).then_with(|| self.base.cmp(&other.base))
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

    /// The directory of the live file's name.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// If the live file's name is a symbolic link: the names around the file that it leads to, where a rotator may work.
    #[must_use]
    pub fn target(&self) -> Option<Self> {
        let link = self.live_path();
        std::fs::symlink_metadata(&link).ok().filter(std::fs::Metadata::is_symlink)?;
        let target = std::fs::canonicalize(&link).ok()?;
        let directory = std::fs::canonicalize(&self.directory).ok();
        let target = Self::new(&target);
        let same = directory.as_ref() == Some(&target.directory) && target.live == self.live;
        (!same).then_some(target)
    }

    fn names(&self) -> Vec<Self> {
        std::iter::once(self.clone()).chain(self.target()).collect()
    }

    /// The files that exist now, oldest first, one for each generation. A directory that does not exist holds none.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let mut generations = HashMap::new();
        self.collect(&mut generations)?;
        if let Some(target) = self.target() {
            target.collect(&mut generations)?;
            generations.retain(|_, entry| !entry.is_live() || entry.path == self.live_path());
        }
        let mut entries: Vec<Entry> = generations.into_values().collect();
        entries.sort_by(Entry::compare_age);
        Ok(entries)
    }

    /// When names in its directories last changed.
    #[must_use]
    pub fn modified(&self) -> Vec<Option<SystemTime>> {
        let modified =
            |series: Self| std::fs::metadata(series.directory).and_then(|found| found.modified()).ok();
        self.names().into_iter().map(modified).collect()
    }

    fn collect(&self, generations: &mut HashMap<PathBuf, Entry>) -> io::Result<()> {
        let names = match std::fs::read_dir(&self.directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for name in names {
            let found = name?;
            let Ok(name) = found.file_name().into_string() else { continue };
            let Some(entry) = self.entry(&name) else { continue };
            // No rotator makes a directory or a pipe; reading one would fail, or wait, for ever.
            let is_special = found.file_type().is_ok_and(|kind| !kind.is_file() && !kind.is_symlink());
            if is_special && !entry.is_live() {
                continue;
            }
            let generation = self.directory.join(&entry.base);
            if generations.get(&generation).is_none_or(|other: &Entry| other.gz) {
                generations.insert(generation, entry);
            }
        }
        Ok(())
    }

    /// What the file at `path` is in this series, if it belongs to it.
    #[must_use]
    pub fn entry_at(&self, path: &Path) -> Option<Entry> {
        let name = path.file_name()?.to_str()?;
        let here = (path.parent() == Some(&self.directory)).then(|| self.entry(name)).flatten();
        if here.is_some() {
            return here;
        }
        let target = self.target().filter(|target| path.parent() == Some(&target.directory))?;
        // The target of the live name is the live file, under that name.
        if name == target.live { self.entry(&self.live) } else { target.entry(name) }
    }

    /// What `name` is in the directory of this series, if it belongs to it.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<Entry> {
        let (base, gz) = match name.strip_suffix(".gz") {
            Some(base) if name != self.live => (base, true),
            _ => (name, false),
        };
        let order = if name == self.live { Order::Live } else { self.backup_order(base)? };
        Some(Entry { path: self.directory.join(name), base: base.to_owned(), gz, order })
    }

    fn backup_order(&self, base: &str) -> Option<Order> {
        if let Some(stamp) = self.lumberjack_stamp(base) {
            return Some(Order::Stamped(digits(stamp), Reverse(Suffix::None)));
        }
        if let Some(rest) = base.strip_prefix(&self.live) {
            if let Some(stamp) = rest.strip_prefix('-').filter(|stamp| is_logrotate_stamp(stamp)) {
                return Some(Order::Stamped(digits(stamp), Reverse(Suffix::None)));
            }
            if let Some(number) = number_of(rest) {
                return Some(Order::Numbered(Reverse(number)));
            }
        }
        // logrotate on top of lumberjack renames backups once more.
        let end = self.end_of_lumberjack_name(base)?;
        let (backup, rest) = base.split_at_checked(end)?;
        let stamp = digits(self.lumberjack_stamp(backup)?);
        let suffix = match number_of(rest) {
            Some(number) => Suffix::Number(number),
            None if rest.strip_prefix('-').is_some_and(is_logrotate_stamp) => Suffix::Date,
            None => return None,
        };
        Some(Order::Stamped(stamp, Reverse(suffix)))
    }

    /// What lumberjack calls a backup that it makes at `time`.
    #[must_use]
    pub fn lumberjack_name(&self, time: Timestamp) -> String {
        let (stem, extension) = self.stem_and_extension();
        format!("{stem}-{}{extension}", time.strftime(LUMBERJACK_TIME))
    }

    /// The time that lumberjack's stamp stands for.
    #[must_use]
    pub fn lumberjack_time(stamp: &str) -> Option<Timestamp> {
        let time = jiff::civil::DateTime::strptime(LUMBERJACK_TIME, stamp).ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }

    /// The stamp of a backup that lumberjack made, without `.gz`.
    #[must_use]
    pub fn lumberjack_stamp<'a>(&self, base: &'a str) -> Option<&'a str> {
        let (stem, extension) = self.stem_and_extension();
        base.strip_prefix(stem)
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.strip_suffix(extension))
            .filter(|stamp| is_lumberjack_stamp(stamp))
    }

    fn end_of_lumberjack_name(&self, base: &str) -> Option<usize> {
        let (stem, extension) = self.stem_and_extension();
        let end = stem.len() + 1 + STAMP.len() + extension.len();
        (base.len() > end).then_some(end)
    }

    fn stem_and_extension(&self) -> (&str, &str) {
        self.live.split_at(self.live.rfind('.').unwrap_or(self.live.len()))
    }

    /// Whether a file that was called `before` can be called `after` now. A stamp once given stays, though a second
    /// rotator may append to the name; a number goes up; the live file can become anything.
    #[must_use]
    pub fn may_be_renamed(&self, before: &str, after: &str) -> bool {
        if before == after {
            return true;
        }
        let names = self.names();
        let order = |name: &str| names.iter().find_map(|names| names.entry(name)).map(|entry| entry.order);
        match (order(before), order(after)) {
            (Some(Order::Live), Some(_)) => true,
            (Some(Order::Numbered(before)), Some(Order::Numbered(after))) => after < before,
            (Some(Order::Stamped(stamp, suffix)), Some(Order::Stamped(other, after))) => {
                stamp == other && after < suffix
            }
            _ => false,
        }
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

fn number_of(rest: &str) -> Option<u64> {
    let number = rest.strip_prefix('.')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests;
