//! What Loki says of its time and of its limit of age, when it refuses entries for the sake of theirs.
//!
//! Both are other than we think where the node's clock is wrong, or an administrator has set `reject_old_samples_max_age`
//! (168 h by default). Without a look at that all events of the node would be refused for as long as it lasts, and there
//! would be nothing to tell their fault from Loki's.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use reqwest::header::DATE;

use super::time::{OLDEST_TAKEN, There};
use crate::sink::Answer;

const SECOND: i64 = 1_000_000_000;
/// Clocks that differ by less agree: an answer takes its time, and tells whole seconds.
const AGREEMENT: i64 = 60 * SECOND;

const TOO_NEW: &str = "has timestamp too new: ";
const TOO_OLD: &str = "has timestamp too old: ";
const LIMIT: &str = ", oldest acceptable timestamp is: ";

/// In nanoseconds.
#[derive(Debug)]
pub(super) struct Learned {
    /// How far Loki's clock is ahead of ours.
    ahead_by: AtomicI64,
    oldest_taken: AtomicI64,
    /// When there was news last, by our clock: requests may be under way that were made before.
    news_at: AtomicI64,
}

/// What an answer complains of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Complaint {
    /// Something that was not known when the request was made, and is now.
    Heeded,
    /// An event that is older than Loki takes, by our clock as well.
    TooOld,
    /// Something else, or nothing that is new.
    Other,
}

impl Default for Learned {
    fn default() -> Self {
        let [ahead_by, oldest_taken, news_at] = [0, OLDEST_TAKEN, i64::MIN].map(AtomicI64::new);
        Self { ahead_by, oldest_taken, news_at }
    }
}

impl Learned {
    /// How it is there when it is `now` here.
    pub(super) fn there(&self, now: SystemTime) -> There {
        There {
            now: nanoseconds(now).saturating_add(self.ahead_by.load(Ordering::Relaxed)),
            oldest_taken: self.oldest_taken.load(Ordering::Relaxed),
        }
    }

    /// A clock that was wrong may have been set right.
    pub(super) fn note_accepted(&self, answer: &Answer) {
        if self.ahead_by.load(Ordering::Relaxed) != 0 {
            self.note_time(answer);
        }
    }

    /// Heeds what an answer says of times.
    pub(super) fn note_refused(&self, answer: &Answer) -> Complaint {
        let text = String::from_utf8_lossy(&answer.body);
        let too_old = text.split_once(TOO_OLD).map(|(_, behind)| behind);
        if too_old.is_none() && !text.contains(TOO_NEW) {
            return Complaint::Other;
        }
        let here = nanoseconds(answer.received_at);
        let age_taken = |limit| there(answer).unwrap_or(here).saturating_sub(limit);
        let named = too_old.and_then(times).map(|(time, limit)| (time, age_taken(limit)));
        let named = named.filter(|(_, age_taken)| *age_taken > 0);
        let has_new_time = self.note_time(answer);
        let has_new_limit = named.is_some_and(|(_, age_taken)| {
            self.oldest_taken.fetch_min(age_taken, Ordering::Relaxed) > age_taken + AGREEMENT
        });
        if has_new_time || has_new_limit {
            self.news_at.store(here, Ordering::Relaxed);
        }
        let is_news = here.saturating_sub(self.news_at.load(Ordering::Relaxed)) < AGREEMENT;
        match named {
            _ if has_new_time || has_new_limit => Complaint::Heeded,
            Some((time, age_taken)) if here.saturating_sub(time) >= age_taken => Complaint::TooOld,
            _ if is_news => Complaint::Heeded,
            _ => Complaint::Other,
        }
    }

    /// Whether that is news.
    fn note_time(&self, answer: &Answer) -> bool {
        let Some(there) = there(answer) else { return false };
        let ahead_by = there.saturating_sub(nanoseconds(answer.received_at));
        let ahead_by = if ahead_by.saturating_abs() < AGREEMENT { 0 } else { ahead_by };
        let known = self.ahead_by.load(Ordering::Relaxed);
        let is_new = known.saturating_sub(ahead_by).saturating_abs() >= AGREEMENT;
        if is_new {
            self.ahead_by.store(ahead_by, Ordering::Relaxed);
        }
        is_new
    }
}

/// What time it was there, as HTTP says it.
fn there(answer: &Answer) -> Option<i64> {
    let date = httpdate::parse_http_date(answer.headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(nanoseconds(date))
}

/// The time of an entry that is too old, and the oldest that would not be.
fn times(text: &str) -> Option<(i64, i64)> {
    let (time, behind) = text.split_once(LIMIT)?;
    let is_part = |char: char| char.is_ascii_alphanumeric() || "-+:.".contains(char);
    let end = behind.find(|char| !is_part(char)).unwrap_or(behind.len());
    let parsed = |text: &str| i64::try_from(text.parse::<Timestamp>().ok()?.as_nanosecond()).ok();
    Some((parsed(time)?, parsed(&behind[..end])?))
}

fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    i64::try_from(since).unwrap_or(i64::MAX)
}
