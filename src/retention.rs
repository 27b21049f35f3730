//! The *grace* of an output: how long until retention reaches what it has not settled, at the rate at which the log is
//! written now.
//!
//! A rotator keeps so many backups, each of about one size. A byte of the live file is deleted after the live file has been
//! rotated away and so many more have come after it; a byte of a backup so many rotations earlier as there are newer
//! backups. A rotation takes as long as it takes to write a file full. Where backups are deleted by age too, the earlier of
//! the two counts; a rotator looks for old ones when it rotates, so where nothing is written nothing is deleted.
//!
//! What we hold of deleted files (`pins`) is left out: an output whose oldest unsettled file is deleted has no grace left,
//! and lives on what `pinLimit` allows. So it is in danger for as long as the grace is 0, and not before.
//!
//! What nobody tells of the rotator is taken from what was seen: the size of backups; and how many were left when one was
//! deleted. Until one is, kube-apiserver's own defaults count, or the kubelet's for the log of a container.
//!
//! Pure: a [`Look`] at the files comes in, seconds come out.

mod kept;
#[cfg(test)]
mod tests;
mod written;

use std::time::{Duration, SystemTime};

use crate::config::Rotation;
use kept::Kept;
use written::Written;

/// `--audit-log-maxsize` and `--audit-log-maxbackup` since Kubernetes 1.36. Earlier ones had the same size, and kept all: what
/// is said of them is too little rather than too much.
const OF_KUBE_APISERVER: Defaults = Defaults { file_bytes: 100 << 20, backups: 100 };
/// `containerLogMaxSize` and `containerLogMaxFiles` of the kubelet, of which one is the live file.
const OF_KUBELET: Defaults = Defaults { file_bytes: 10 << 20, backups: 4 };

#[derive(Debug, Clone, Copy)]
struct Defaults {
    file_bytes: u64,
    backups: u64,
}

/// The files of a log, as they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When.
    pub at: SystemTime,
    /// Oldest first.
    pub files: Vec<LogFile>,
    /// Bytes of the log that were read and are not settled.
    pub in_memory_bytes: u64,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFile {
    /// Its number, which it keeps whatever it is called.
    pub sequence: u64,
    /// Where it is on its way to be deleted.
    pub place: Place,
    /// Whether it is a compressed one.
    pub compressed: bool,
    /// Bytes of its content, not compressed.
    pub content_bytes: u64,
    /// Of these, so many were not read yet.
    pub unread_bytes: u64,
    /// When it was last written to.
    pub modified: SystemTime,
}

/// Where a file is on its way to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is written to.
    Live,
    /// A rotator has put it aside.
    Backup,
    /// Of a container that has a successor: the kubelet deletes all of it at once, and nobody knows when.
    Former,
    /// Somebody deleted it.
    Deleted,
}

impl Look {
    /// The file with the oldest byte that is not settled; `None` if that is yet to be written and there is no live file.
    fn oldest_unsettled(&self) -> Option<usize> {
        let last = self.files.len().checked_sub(1)?;
        let is_behind = |file: &LogFile| file.unread_bytes > 0;
        let mut at = self.files.iter().position(is_behind).unwrap_or(last);
        let mut in_memory_bytes = self.in_memory_bytes;
        loop {
            let file = &self.files[at];
            let read_bytes = file.content_bytes.saturating_sub(file.unread_bytes);
            if in_memory_bytes <= read_bytes || at == 0 {
                break;
            }
            in_memory_bytes -= read_bytes;
            at -= 1;
        }
        let is_level = at == last && !is_behind(&self.files[at]) && in_memory_bytes == 0;
        (!is_level || self.files[at].place == Place::Live).then_some(at)
    }

    fn live(&self) -> Option<&LogFile> {
        self.files.iter().rev().find(|file| file.place == Place::Live)
    }

    fn live_bytes(&self) -> u64 {
        self.live().map_or(0, |file| file.content_bytes)
    }

    fn backups(&self) -> impl Iterator<Item = &LogFile> {
        self.files.iter().filter(|file| file.place == Place::Backup)
    }
}

/// What the rotator does, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    /// A file is rotated when it has so many bytes.
    file_bytes: u64,
    /// So many backups stay; `None`: all of them.
    backups: Option<u64>,
    /// Backups stay for so long; `None`: for ever.
    age: Option<Duration>,
}

/// What is foreseen of one log, from looks at it.
#[derive(Debug)]
pub struct Forecast {
    told: Rotation,
    defaults: Defaults,
    kept: Kept,
    written: Written,
}

impl Forecast {
    /// Of a log that is rotated as `told`, by the kubelet if it is that of a container.
    #[must_use]
    pub fn new(told: &Rotation, of_container: bool) -> Self {
        let defaults = if of_container { OF_KUBELET } else { OF_KUBE_APISERVER };
        Self { told: told.clone(), defaults, kept: Kept::default(), written: Written::default() }
    }

    /// Seconds until retention reaches what is not settled; infinite if it never does.
    pub fn grace_seconds(&mut self, look: &Look) -> f64 {
        self.kept.look(look);
        self.written.look(look);
        grace_seconds(self.rule(look), self.bytes_per_second(), look)
    }

    /// The same for one who has settled everything, at this rate.
    #[must_use]
    pub fn level_seconds(&self, look: &Look, bytes_per_second: f64) -> f64 {
        let files = look.files.iter().map(|file| LogFile { unread_bytes: 0, ..*file }).collect();
        let level = Look { files, in_memory_bytes: 0, ..*look };
        grace_seconds(self.rule(&level), bytes_per_second, &level)
    }

    /// The rate at which the log is written.
    #[must_use]
    pub fn bytes_per_second(&self) -> f64 {
        self.written.bytes_per_second()
    }

    fn rule(&self, look: &Look) -> Rule {
        let above_zero = |told: Option<u64>| told.filter(|told| *told > 0);
        let seen_bytes = || look.backups().map(|file| file.content_bytes).max().filter(|bytes| *bytes > 0);
        let file_bytes = above_zero(self.told.max_size)
            .or_else(|| seen_bytes().map(|bytes| bytes.max(look.live_bytes())))
            .unwrap_or(self.defaults.file_bytes);
        let left = self.kept.after_deletion().unwrap_or(self.defaults.backups);
        let seen = || Some(left.max(look.backups().count() as u64));
        let backups = self.told.max_backups.map_or_else(seen, |told| above_zero(Some(told)));
        Rule { file_bytes, backups, age: self.told.max_age.filter(|age| !age.is_zero()) }
    }
}

fn grace_seconds(rule: Rule, bytes_per_second: f64, look: &Look) -> f64 {
    let oldest = look.oldest_unsettled().map(|at| (&look.files[at], &look.files[at + 1..]));
    let (newer, modified) = match oldest {
        Some((LogFile { place: Place::Deleted | Place::Former, .. }, _)) => return 0.0,
        Some((LogFile { place: Place::Backup, modified, .. }, behind)) => {
            let newer = behind.iter().filter(|file| file.place == Place::Backup).count() as u64;
            (Some(newer), Some(*modified))
        }
        Some((LogFile { place: Place::Live, .. }, _)) | None => (None, None),
    };
    let seconds_of =
        |bytes: u64| if bytes_per_second > 0.0 { float(bytes) / bytes_per_second } else { f64::INFINITY };
    let room = rule.file_bytes.saturating_sub(look.live_bytes());
    let until_rotated = seconds_of(room);
    let by_number = rule.backups.map_or(f64::INFINITY, |backups| {
        // With the live file one more rotation makes a backup of it first.
        let rotations = newer.map_or(backups.saturating_add(1), |newer| backups.saturating_sub(newer));
        let bytes_until = |more: u64| more.saturating_mul(rule.file_bytes).saturating_add(room);
        rotations.checked_sub(1).map_or(0.0, |more| seconds_of(bytes_until(more)))
    });
    let by_age = rule.age.map_or(f64::INFINITY, |age| {
        let of_backup = |modified| age.saturating_sub(look.at.duration_since(modified).unwrap_or_default());
        match modified {
            Some(modified) => of_backup(modified).as_secs_f64().max(until_rotated),
            None => until_rotated + age.as_secs_f64(),
        }
    });
    by_number.min(by_age)
}

#[expect(clippy::cast_precision_loss, reason = "a forecast of whole minutes")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}
