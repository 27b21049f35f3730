//! The names of one file and its backups, as rotators give them.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::directory_of;

/// Length of lumberjack's stamp, `2006-01-02T15-04-05.000`.
const STAMP: &[u8; 23] = b"dddd-dd-ddTdd-dd-dd.ddd";
/// The same for jiff.
const LUMBERJACK_TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";
/// kubelet's stamp, `20060102-150405`, in local time.
const KUBELET_STAMP: &[u8; 15] = b"dddddddd-dddddd";

/// What a file is among those of one live name. Oldest first: stamped backups, numbered backups, the file itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// The digits of the stamp, and what a second rotator made of the name.
    Stamped(String, Reverse<Suffix>),
    Numbered(Reverse<u64>),
    /// The file of a container that has a successor: written to the end, under the name that it always had.
    Former,
    Live,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suffix {
    None,
    Number(u64),
    Date,
}

impl Order {
    fn stamped(stamp: &str) -> Self {
        Self::Stamped(digits(stamp), Reverse(Suffix::None))
    }

    /// Whether a file of this order can be found under the other later. A stamp once given stays, though a second rotator
    /// may append to the name; a number goes up; the live file can become anything.
    pub(super) fn may_become(&self, after: &Self) -> bool {
        match (self, after) {
            (Self::Live, _) => true,
            (Self::Numbered(before), Self::Numbered(after)) => after < before,
            (Self::Stamped(stamp, suffix), Self::Stamped(other, after)) => stamp == other && after < suffix,
            _ => false,
        }
    }
}

/// A live name, in its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub(super) directory: PathBuf,
    pub(super) live: String,
}

impl Names {
    /// The names around the live file `log`.
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

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What `name`, without `.gz`, is among these names.
    pub(super) fn order(&self, base: &str) -> Option<Order> {
        if base == self.live { Some(Order::Live) } else { self.backup_order(base) }
    }

    fn backup_order(&self, base: &str) -> Option<Order> {
        if let Some(stamp) = self.lumberjack_stamp(base) {
            return Some(Order::stamped(stamp));
        }
        if let Some(order) = base.strip_prefix(&self.live).and_then(order_of_suffix) {
            return Some(order);
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
            .filter(|stamp| has_form(stamp, STAMP))
    }

    fn end_of_lumberjack_name(&self, base: &str) -> Option<usize> {
        let (stem, extension) = self.stem_and_extension();
        let end = stem.len() + 1 + STAMP.len() + extension.len();
        (base.len() > end).then_some(end)
    }

    fn stem_and_extension(&self) -> (&str, &str) {
        self.live.split_at(self.live.rfind('.').unwrap_or(self.live.len()))
    }
}

/// What a backup is whose name is that of its live file with `suffix` behind it.
pub(super) fn order_of_suffix(suffix: &str) -> Option<Order> {
    let stamp = match suffix.split_at_checked(1)? {
        (".", stamp) if has_form(stamp, KUBELET_STAMP) => stamp,
        ("-", stamp) if is_logrotate_stamp(stamp) => stamp,
        _ => return number_of(suffix).map(|number| Order::Numbered(Reverse(number))),
    };
    Some(Order::stamped(stamp))
}

/// The digits of a stamp: `20260718042444123` and `202607231784831532` order by day whatever made them.
fn digits(stamp: &str) -> String {
    stamp.chars().filter(char::is_ascii_digit).collect()
}

fn has_form(stamp: &str, form: &[u8]) -> bool {
    stamp.len() == form.len()
        && stamp.bytes().zip(form).all(|(byte, form)| match form {
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
