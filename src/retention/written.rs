//! How fast a log is written, by how it grew from one look to the next; before the first look, by when its backups ended.
//!
//! Of the last five minutes and of the last hour the higher rate counts. So a burst is seen soon, and is not taken for what
//! the log will be like for ever; and a quiet quarter of an hour promises nothing.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::{Look, Place, float};

const SHORT: Duration = Duration::from_secs(5 * 60);
const LONG: Duration = Duration::from_secs(60 * 60);
/// Over less than that there is no rate.
const SHORTEST: Duration = Duration::from_secs(5);
/// What is remembered lies so far apart at least: some hundred knots.
const SPACING: Duration = Duration::from_secs(10);

/// So many bytes were written up to a time.
#[derive(Debug, Clone, Copy)]
struct Knot {
    at: SystemTime,
    bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Written {
    knots: VecDeque<Knot>,
    /// Sequence of the live file, and its bytes.
    live: Option<(u64, u64)>,
}

impl Written {
    pub(super) fn look(&mut self, look: &Look) {
        let Some(live) = look.live() else { return };
        if self.knots.back().is_some_and(|last| last.at > look.at) {
            // The clock was set back.
            *self = Self::default();
        }
        let last = self.live.replace((live.sequence, live.content_bytes));
        if let Some((sequence, bytes)) = last {
            let grown = self.knots.back().map_or(0, |knot| knot.bytes);
            self.remember(look.at, grown.saturating_add(grown_bytes(look, live.sequence, sequence, bytes)));
        } else {
            self.begin(look);
        }
        let is_old = |knot: &Knot| look.at.duration_since(knot.at).is_ok_and(|age| age >= LONG);
        while self.knots.get(1).is_some_and(is_old) {
            self.knots.pop_front();
        }
    }

    /// A backup has ended when it was written to last, and the one after it has begun then.
    fn begin(&mut self, look: &Look) {
        let mut bytes: u64 = 0;
        for file in look.backups().filter(|file| file.modified <= look.at) {
            match self.knots.back() {
                Some(last) if last.at > file.modified => continue,
                Some(_) => bytes = bytes.saturating_add(file.content_bytes),
                None => {}
            }
            self.knots.push_back(Knot { at: file.modified, bytes });
        }
        self.knots.push_back(Knot { at: look.at, bytes: bytes.saturating_add(look.live_bytes()) });
    }

    fn remember(&mut self, at: SystemTime, bytes: u64) {
        let before = self.knots.len().checked_sub(2).map(|index| self.knots[index].at);
        let is_near = |before| at.duration_since(before).is_ok_and(|passed| passed < SPACING);
        if before.is_some_and(is_near) {
            self.knots.pop_back();
        }
        self.knots.push_back(Knot { at, bytes });
    }

    pub(super) fn bytes_per_second(&self) -> f64 {
        self.over(SHORT).max(self.over(LONG))
    }

    /// Over a time up to the last look; over what is known of it, if that is less.
    fn over(&self, time: Duration) -> f64 {
        let Some(last) = self.knots.back() else { return 0.0 };
        let age = |knot: &Knot| last.at.duration_since(knot.at).unwrap_or_default();
        let inside = self.knots.partition_point(|knot| age(knot) > time);
        let Some(first) = self.knots.get(inside) else { return 0.0 };
        let mut passed = age(first).as_secs_f64();
        let mut bytes = float(last.bytes - first.bytes);
        // The part of the piece that the time begins in.
        if let Some(before) = inside.checked_sub(1).and_then(|index| self.knots.get(index)) {
            let missing = time.as_secs_f64() - passed;
            let piece = age(before).saturating_sub(age(first)).as_secs_f64();
            bytes += float(first.bytes - before.bytes) * missing / piece;
            passed = time.as_secs_f64();
        }
        if passed < SHORTEST.as_secs_f64() { 0.0 } else { bytes / passed }
    }
}

/// What was written since the file `sequence` was the live one, of so many bytes. Copies of the live file have a higher number
/// than that, and so have the compressed forms of files that were counted when they were written.
fn grown_bytes(look: &Look, live: u64, sequence: u64, bytes: u64) -> u64 {
    let is_of_writer = |place| matches!(place, Place::Live | Place::Backup | Place::Deleted);
    let since = look.files.iter().filter(|file| (sequence..=live).contains(&file.sequence));
    let plain = since.filter(|file| !file.compressed && is_of_writer(file.place));
    plain
        .map(|file| {
            // A file that shrank was begun anew.
            let had = if file.sequence == sequence && file.content_bytes >= bytes { bytes } else { 0 };
            file.content_bytes - had
        })
        .fold(0, u64::saturating_add)
}
