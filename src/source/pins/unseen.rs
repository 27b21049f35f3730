//! Files that came and went before anybody could open them.
//!
//! While the watcher tells of every change, each end of a live file is told too: it is renamed, or removed. The file
//! that is meant must be one that we know. If there is none, it came and went unseen.
//!
//! Without a watcher, or after it has lost events, there is only the order of retention: the oldest goes first. While the
//! file that was live at the last look still has a name, no later one can have gone. If it has none, one may have.

use std::collections::VecDeque;
use std::time::Instant;

use super::known::{Known, MISSING_AFTER};
use super::{Missing, State};
use crate::source::series::{Entry, Series};

/// Names of settled files that are remembered, for changes that are told late.
const REMEMBERED: usize = 1024;

#[derive(Default)]
pub(super) struct Unseen {
    /// Whether changes are told.
    watched: bool,
    /// Whether some were not told since the last look.
    lost_track: bool,
    /// Sequence of the file that was live at the last look.
    last_live: Option<u64>,
    /// Settled files without a name: what they were called last.
    forgotten: VecDeque<String>,
    /// Live files whose removal was told, by sequence; they explain no other.
    buried: Vec<u64>,
    /// Files that were found under the name of a backup before that was told: what they were called while they were live,
    /// their sequence, and when. Each explains one change that is told soon.
    moved: VecDeque<(String, u64, Instant)>,
}

impl Unseen {
    /// From now on changes are told, or they are not. What was before in directories that are watched anew is another
    /// story.
    pub(super) fn watched(&mut self, is: bool) {
        (self.watched, self.lost_track) = (is, true);
        self.moved.clear();
        if is {
            self.another_story();
        }
    }

    /// What is found from now on has nothing to do with what was live before.
    pub(super) fn another_story(&mut self) {
        self.last_live = None;
    }

    /// Some changes were not told.
    pub(super) fn lost_track(&mut self) {
        self.lost_track = true;
        self.moved.clear();
    }

    /// A file that was live as `base` is found under the name of a backup.
    pub(super) fn moved(&mut self, base: &str, sequence: u64) {
        if !self.watched {
            return;
        }
        if self.moved.len() == REMEMBERED {
            self.moved.pop_front();
        }
        self.moved.push_back((base.to_owned(), sequence, Instant::now()));
    }

    /// A change of the name `base` is told: that of the file `known` if it was one, else of the first that was found elsewhere.
    fn take_moved(&mut self, base: &str, known: Option<u64>) -> bool {
        // One whose change was told in another way must not explain that of a file which nobody saw.
        self.moved.retain(|(.., found)| found.elapsed() < MISSING_AFTER);
        let is_of = |moved: &(String, u64, Instant)| moved.0 == base;
        let exact = self.moved.iter().position(|moved| is_of(moved) && Some(moved.1) == known);
        let at = exact.or_else(|| self.moved.iter().position(is_of));
        at.and_then(|at| self.moved.remove(at)).is_some()
    }

    pub(super) fn forgotten(&mut self, entry: &Entry) {
        if self.forgotten.len() == REMEMBERED {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(entry.base.clone());
    }

    fn take_forgotten(&mut self, is_it: impl Fn(&str) -> bool) -> bool {
        let found = self.forgotten.iter().position(|forgotten| is_it(forgotten));
        found.and_then(|at| self.forgotten.remove(at)).is_some()
    }
}

impl State {
    /// The live name was changed into that of a backup.
    pub(super) fn live_renamed(&mut self, series: &Series, live: &Entry, to: Entry) {
        let is_it =
            |base: &str| base == to.base || (to.has_own_name() && series.may_be_renamed(&to.base, base));
        let known = self.known.iter().find(|known| is_it(&known.entry.base)).map(|known| known.sequence);
        // A rotator with numbers may have renamed it once more already.
        let is_elsewhere = self.unseen.take_moved(&live.base, known);
        if known.is_some() || is_elsewhere || to.path.exists() || gz_of(&to).is_some_and(|path| path.exists())
        {
            return;
        }
        // Settled since, under its new name, or under the old one if nobody saw the new one.
        if self.unseen.take_forgotten(|base| is_it(base) || base == live.base) {
            return;
        }
        if let Some(index) = self.nameless_live(live) {
            // It was the live file when it was opened, and has been deleted since.
            self.rename(index, to);
        } else {
            self.came_and_went(&to.base);
        }
    }

    /// The live file was removed under its name.
    pub(super) fn live_removed(&mut self, live: &Entry) {
        // It may have got its new name by a link; that is told by this.
        let _ = self.unseen.take_moved(&live.base, None);
        let index = self
            .nameless_live(live)
            .or_else(|| self.known.iter().position(|known| self.may_have_been(live, known)));
        if let Some(index) = index {
            let sequence = self.known[index].sequence;
            self.unseen.buried.push(sequence);
        } else if !self.unseen.take_forgotten(|base| base == live.base) {
            self.came_and_went(&live.base);
        }
    }

    /// The oldest file that was deleted while we knew it under this live name.
    fn nameless_live(&self, live: &Entry) -> Option<usize> {
        self.known.iter().position(|known| known.alone && self.may_have_been(live, known))
    }

    /// Whether that live name may have led to it. Each container has one of its own.
    fn may_have_been(&self, live: &Entry, known: &Known) -> bool {
        let is_live = known.entry.is_live() && known.entry.base == live.base;
        !known.named && is_live && !self.unseen.buried.contains(&known.sequence)
    }

    fn came_and_went(&mut self, base: &str) {
        let missing = Missing {
            sequence: None,
            base: base.to_owned(),
            from: None,
            content_bytes: None,
            certain: false,
            cause: "it came and went before it could be opened".to_owned(),
        };
        let everybody = self.readers();
        self.tell(&everybody, &missing);
    }

    /// At a look at the directory that found files from `first_new` on: what changed since the last one may not have
    /// been told.
    pub(super) fn look_for_unwatched(&mut self, first_new: u64) {
        let current = self.known.iter().find(|known| known.is_live());
        let (live, name) =
            (current.map(|known| known.sequence), current.map(|known| known.entry.base.clone()));
        let told = self.unseen.watched && !std::mem::take(&mut self.unseen.lost_track);
        if let Some(last) =
            self.unseen.last_live.filter(|_| !told && live.is_some_and(|live| live >= first_new))
        {
            let has_name = |known: &Known| known.sequence == last && (!known.alone || known.compressed);
            if !self.known.iter().any(has_name) {
                self.came_and_went(&name.unwrap_or_default());
            }
        }
        self.unseen.last_live = live.or(self.unseen.last_live);
        let known = &self.known;
        self.unseen.buried.retain(|sequence| known.iter().any(|known| known.sequence == *sequence));
    }
}

fn gz_of(entry: &Entry) -> Option<std::path::PathBuf> {
    Some(entry.path.with_file_name(format!("{}.gz", entry.path.file_name()?.to_str()?)))
}
