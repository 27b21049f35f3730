//! *Pins*: open handles on the files of the log, so that no rotator can take from us what is not settled.
//!
//! kube-apiserver's retention deletes the oldest backup whether anybody has read it or not; a deleted file lives on as
//! long as somebody holds it open. So every file of the series is opened when its name appears, in the watcher's own
//! thread, and is held until each output has settled it. Names come and go meanwhile: a file that has lost its last
//! name is *nameless*, and is read from its handle.
//!
//! The set is also the one place that looks at the directory: [`PinSet::list`] says which files there are, named and
//! nameless, in the order in which they were written. A file keeps its *sequence* number whatever it is called.
//!
//! Only what we alone hold counts against the limits (`limits`). What came and went before anybody could open it is
//! noticed as well (`unseen`).

mod kept;
mod known;
mod limits;
mod listed;
mod readers;
mod unseen;

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config;
use crate::source::held::{Held, id_of};
use crate::source::keep::LogId;
use crate::source::series::{Entry, Series};
use kept::Store;
use known::Known;
pub use listed::Listed;
use unseen::Unseen;

/// A listing that shows a new file is made again until two are the same, at most so often.
const LISTINGS: usize = 3;
/// Handles at most, whatever the system allows: a backlog of thousands of backups is read by name.
const MOST_HANDLES: usize = 4096;

/// Told of the number and bytes of the files that we alone hold.
pub type Show = Box<dyn Fn(u64, u64) + Send + Sync>;

/// What an output will never be able to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which file, if it was ever known.
    pub sequence: Option<u64>,
    /// Its name without `.gz`.
    pub base: String,
    /// How much of it was settled, if nobody else knows.
    pub from: Option<u64>,
    /// Length of its content, if that is known.
    pub content_bytes: Option<u64>,
    /// Whether it is known that it was there and is gone.
    pub certain: bool,
    /// Why.
    pub cause: String,
}

/// All files of one log that are or were known and are not settled.
pub struct PinSet {
    log: LogId,
    series: Series,
    most_handles: usize,
    state: Mutex<State>,
    changes: AtomicU64,
    show: Show,
    outdated_said: AtomicBool,
}

struct State {
    limits: config::Pins,
    /// In the order of their sequence.
    known: Vec<Known>,
    next_sequence: u64,
    store: Store,
    /// For each output that reads the log what it has not been told yet.
    missing: BTreeMap<usize, Vec<Missing>>,
    next_output: usize,
    unseen: Unseen,
}

impl PinSet {
    /// The files of `log`, for outputs 0 to so many.
    #[must_use]
    pub fn new(log: &Path, limits: config::Pins, outputs: usize, show: Show) -> Self {
        let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let allowed =
            allowed.map_or(MOST_HANDLES, |files| usize::try_from(files / 2).unwrap_or(MOST_HANDLES));
        Self {
            log: LogId::of(log),
            series: Series::new(log),
            most_handles: allowed.min(MOST_HANDLES),
            state: Mutex::new(State {
                limits,
                known: Vec::new(),
                next_sequence: 0,
                store: Store::default(),
                missing: (0..outputs).map(|output| (output, Vec::new())).collect(),
                next_output: outputs,
                unseen: Unseen::default(),
            }),
            changes: AtomicU64::new(0),
            show,
            outdated_said: AtomicBool::new(false),
        }
    }

    /// The files of `log` for one reader, whom nobody watches.
    #[must_use]
    pub fn of_one(log: &Path) -> Arc<Self> {
        Arc::new(Self::new(log, config::Pins::on_any_disk(), 1, Box::new(|_, _| {})))
    }

    /// The names of the log.
    #[must_use]
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// How often a name is known to have come or gone.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Looks at the directory, and says what there is for `output`, oldest first, the live file last.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self, output: usize) -> io::Result<Vec<Listed>> {
        let mut state = self.state();
        self.refresh(&mut state)?;
        self.keep_limits(&mut state);
        state.keep_stored(self.log);
        let mut listed: Vec<Listed> = state
            .known
            .iter()
            .filter(|known| known.named || known.held.is_some())
            .map(|known| Listed {
                live: known.is_live(),
                named: known.named,
                compressed: known.compressed,
                waiting: known.waiting.contains(&output),
                entry: known.entry.clone(),
                sequence: known.sequence,
                id: known.id,
                size: known.size,
                modified: known.modified,
                exact: known.exact && known.held.is_some(),
                held: known.held.clone(),
            })
            .collect();
        listed.sort_by_key(|listed| (listed.live, listed.sequence));
        Ok(listed)
    }

    /// Opens what is there and is not known yet. What cannot be listed now is found by the next look of an output.
    pub fn look(&self) {
        let mut state = self.state();
        let _ = self.refresh(&mut state);
        self.keep_limits(&mut state);
        state.keep_stored(self.log);
    }

    /// A name came to lead to a file: opens it if it is new. Called in the watcher's thread, at once.
    pub fn appeared(&self, path: &Path) {
        let Some(entry) = self.series.entry_at(path) else { return };
        self.changes.fetch_add(1, Ordering::AcqRel);
        let mut state = self.state();
        if let Ok(metadata) = std::fs::metadata(&entry.path) {
            let id = id_of(&metadata);
            if state.known.iter().any(|known| known.id == id && known.held.is_some()) {
                state.found(entry, &metadata, &self.series);
                self.hold_named(&mut state);
            } else {
                // What is older has to get its number first, whether it was told yet or not. Without a listing there is
                // no number; the next one gives it.
                let _ = self.refresh(&mut state);
            }
        }
        self.keep_limits(&mut state);
        state.keep_stored(self.log);
    }

    /// A name was removed.
    pub fn disappeared(&self, path: &Path) {
        let Some(entry) = self.series.entry_at(path) else { return };
        self.changes.fetch_add(1, Ordering::AcqRel);
        let mut state = self.state();
        state.look_again(&entry.path);
        // To lead a link elsewhere is to remove it; the file that it led to may be there as before.
        if entry.is_live() && !self.series.is_link() {
            state.live_removed(&entry);
        }
        self.keep_limits(&mut state);
    }

    /// A name was changed into another, at a time when no other change is unknown.
    pub fn renamed(&self, from: &Path, to: &Path) {
        let Some(to) = self.series.entry_at(to) else { return };
        if let Some(live) = self.series.entry_at(from).filter(Entry::is_live) {
            let mut state = self.state();
            state.look_again(&live.path);
            if !to.path.exists() {
                // A second rotator may have renamed it once more, which is yet to be told.
                let _ = self.refresh(&mut state);
            }
            state.live_renamed(&self.series, &live, to);
        }
    }

    /// Whether changes of names are told; if not, or not all of them, more is possible between two looks.
    pub fn watched(&self, is: bool) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.state().unseen.watched(is);
    }

    /// The directory is not there, and whatever comes will be in another one.
    pub fn directory_gone(&self) {
        self.state().unseen.another_story();
    }

    /// Some changes of names were not told.
    pub fn lost_track(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.state().unseen.lost_track();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each step leaves the state whole; a panic in one of them is the end of the process anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings what is known up to date with the directory, and opens what is new.
    fn refresh(&self, state: &mut State) -> io::Result<()> {
        let mut entries = self.entries()?;
        for _ in 0..LISTINGS {
            // What is new gets its number by the order of names, and names may have been passed on meanwhile.
            let is_new = |(entry, metadata): &(Entry, Metadata)| {
                let id = id_of(metadata);
                !state.known.iter().any(|known| known.id == id && known.entry.path == entry.path)
            };
            if !entries.iter().any(is_new) {
                break;
            }
            let again = self.entries()?;
            let name = |(entry, metadata): &(Entry, Metadata)| (entry.path.clone(), id_of(metadata));
            let is_same = again.iter().map(name).eq(entries.iter().map(name));
            entries = again;
            if is_same {
                break;
            }
        }
        self.say_if_outdated();
        let nothing_there = entries.is_empty();
        let last = state.next_sequence;
        for known in &mut state.known {
            (known.named, known.compressed) = (false, false);
        }
        for (entry, metadata) in entries {
            state.found(entry, &metadata, &self.series);
        }
        state.update_nameless(nothing_there);
        state.look_for_unwatched(last);
        state.forget_settled();
        // What is not held may be gone, and its inode another file's, at the next look.
        self.hold_named(state);
        Ok(())
    }

    /// To wait for more from a container that has a successor is to wait for ever.
    fn say_if_outdated(&self) {
        if self.outdated_said.load(Ordering::Relaxed) {
            return;
        }
        if let Some(pattern) = self.series.outdated_by() {
            self.outdated_said.store(true, Ordering::Relaxed);
            tracing::error!(
                path = %self.series.live_path().display(),
                "the log is that of a container which has a successor; what that writes is not shipped: \
                 set source.path: {pattern}"
            );
        }
    }

    /// The files that names lead to now, oldest first.
    fn entries(&self) -> io::Result<Vec<(Entry, Metadata)>> {
        let found = |entry: Entry| std::fs::metadata(&entry.path).ok().map(|metadata| (entry, metadata));
        Ok(self.series.list()?.into_iter().filter_map(found).collect())
    }

    /// Opens named files that are not settled: the newest, which is about to be renamed, then the oldest, which is
    /// about to be deleted.
    fn hold_named(&self, state: &mut State) {
        let mut handles = state.known.iter().filter(|known| known.held.is_some()).count();
        let newest = state.known.len().saturating_sub(1);
        let (oldest, newest) = state.known.split_at_mut(newest);
        for known in newest.iter_mut().chain(oldest) {
            if known.held.is_some() || !known.named || known.waiting.is_empty() {
                continue;
            }
            if handles >= self.most_handles {
                known.exact = false;
                continue;
            }
            // What cannot be opened now is tried again at the next look.
            if let Some(held) = Held::open(&known.entry.path).ok().filter(|held| held.id() == known.id) {
                known.held = Some(Arc::new(held));
                handles += 1;
            } else {
                known.exact = false;
            }
        }
    }
}
