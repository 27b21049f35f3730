//! Pins over a restart: systemd holds the handles on, and on a stop what has no name is copied to the spool.
//!
//! systemd's store survives a crash and SIGKILL too; but `systemctl stop` empties it, and from inside it looks like a
//! restart, so nameless files are copied on each stop. A start may find a file in both places.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::known::Known;
use super::{PinSet, State};
use crate::config::MinFree;
use crate::source::fdstore::{FdStore, Kept};
use crate::source::held::Held;
use crate::source::keep::{Key, LogId};
use crate::source::series::{Entry, Series};
use crate::source::spool::{self, Limits, Spooled, Unsettled};

/// Where a file is kept beside its handle.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Keeping {
    /// Under what systemd holds it.
    stored: Option<String>,
    /// Its copy.
    spooled: Option<PathBuf>,
}

/// What systemd has to be told, and what not to be forgotten.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) systemd: FdStore,
    /// Keys that systemd could not be told to drop.
    undropped: Vec<String>,
    tombstones: Vec<Tombstone>,
}

/// The record of a file that could not be kept. It goes when everybody has told of it.
#[derive(Debug)]
struct Tombstone {
    sequence: u64,
    path: PathBuf,
    waiting: Vec<usize>,
}

impl Store {
    /// `output` has settled what tells of the gaps of those files that are `meant`.
    pub(super) fn settled(&mut self, output: usize, meant: impl Fn(u64) -> bool) {
        for tombstone in self.tombstones.iter_mut().filter(|one| meant(one.sequence)) {
            tombstone.waiting.retain(|waiting| *waiting != output);
            if tombstone.waiting.is_empty() {
                spool::remove(&tombstone.path);
            }
        }
        self.tombstones.retain(|tombstone| !tombstone.waiting.is_empty());
    }

    pub(super) fn let_go(&mut self, Keeping { stored, spooled }: Keeping) {
        if let Some(key) = stored {
            self.drop_kept(key);
        }
        if let Some(path) = spooled {
            spool::remove(&path);
        }
    }

    fn drop_kept(&mut self, key: String) {
        if !self.systemd.drop_kept(&key) {
            self.undropped.push(key);
        }
    }
}

impl PinSet {
    /// Takes over what the process before us held: `kept` by systemd, and what is in the spool at `dir` of the logs that
    /// are `wanted`.
    #[must_use]
    pub fn with_kept(
        self,
        kept: Vec<Kept>,
        systemd: FdStore,
        dir: &Path,
        wanted: impl Fn(LogId) -> bool,
    ) -> Self {
        {
            let mut state = self.state();
            state.store.systemd = systemd;
            for Kept { key, sequence, name, gz, file, .. } in kept {
                let keeping = Keeping { stored: Some(key.clone()), spooled: None };
                match (self.series.kept(&name, gz), Held::of(file)) {
                    (Some(entry), Ok(held)) => state.adopt(sequence, entry, held, keeping),
                    _ => state.store.drop_kept(key),
                }
            }
            for spooled in spool::load(dir, wanted) {
                state.load(&self.series, spooled);
            }
            state.in_order();
            self.show_alone(&state);
        }
        self
    }

    /// Copies what has no name to the spool at `dir`, before the process ends. `settled` says how much of a file all
    /// outputs have settled.
    pub fn spool(&self, dir: &Path, settled: impl Fn(&Arc<Held>, &str) -> u64) {
        let mut state = self.state();
        // The last deletions may not have been told.
        state.known.iter_mut().for_each(Known::look_at_handle);
        let nameless = state.known.iter().filter(|known| known.alone && known.keeping.spooled.is_none());
        let nameless: Vec<(&Known, Arc<Held>)> =
            nameless.filter_map(|known| Some((known, Arc::clone(known.held.as_ref()?)))).collect();
        if nameless.is_empty() {
            return;
        }
        let files: Vec<_> = nameless
            .iter()
            .filter_map(|(known, held)| Some((known, held, held.with(File::try_clone).ok()?)))
            .collect();
        let unsettled: Vec<Unsettled<'_>> = files
            .iter()
            .map(|(known, held, file)| Unsettled {
                sequence: known.sequence,
                name: &known.entry.base,
                gz: known.entry.gz,
                file,
                settled: if known.entry.gz { 0 } else { settled(held, &known.entry.base) },
            })
            .collect();
        let limits = Limits {
            max_bytes: state.limits.limit,
            min_free_bytes: min_free_bytes(state.limits.min_free, dir),
        };
        let saved = spool::save(dir, self.log, &unsettled, limits);
        tracing::info!(
            files = saved.files,
            bytes = saved.bytes,
            "deleted files that are not settled were copied to the spool"
        );
        for lost in saved.lost {
            tracing::error!(
                file = lost.name,
                from = lost.from,
                size = lost.size,
                reason = lost.reason,
                "a deleted file cannot be kept over the restart; what was not sent of it is lost"
            );
        }
    }

    /// Has systemd hold nothing of it any more.
    pub fn forget_stored(&self) {
        let mut state = self.state();
        (0..state.known.len()).for_each(|index| state.drop_stored(index));
    }
}

/// Bytes that are to stay free where the spool at `dir` is.
fn min_free_bytes(min_free: MinFree, dir: &Path) -> u64 {
    match min_free {
        MinFree::Bytes(bytes) => bytes,
        MinFree::Percent(percent) => rustix::fs::statvfs(dir.parent().unwrap_or(dir))
            .map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize) / 100 * u64::from(percent)),
    }
}

impl State {
    /// What is found from now on came later.
    fn in_order(&mut self) {
        self.known.sort_by_key(|known| known.sequence);
        let next = self.known.last().map_or(0, |known| known.sequence + 1);
        self.next_sequence = self.next_sequence.max(next);
    }

    fn adopt(&mut self, sequence: u64, entry: Entry, held: Held, keeping: Keeping) {
        // systemd's handle and the copy may be of the same file.
        let same = |known: &&mut Known| known.sequence == sequence && known.entry.base == entry.base;
        if let Some(known) = self.known.iter_mut().find(same) {
            known.keeping.spooled = keeping.spooled;
            return;
        }
        let mut known = Known {
            entry,
            sequence,
            id: held.id(),
            size: 0,
            modified: None,
            held: Some(Arc::new(held)),
            exact: true,
            named: false,
            alone: false,
            compressed: false,
            waiting: self.readers(),
            missing_since: None,
            keeping,
        };
        known.look_at_handle();
        self.known.push(known);
    }

    fn load(&mut self, series: &Series, spooled: Spooled) {
        match spooled {
            Spooled::File { sequence, name, gz, path, file } => {
                match (series.kept(&name, gz), Held::of(file)) {
                    (Some(entry), Ok(held)) => {
                        self.adopt(sequence, entry, held, Keeping { stored: None, spooled: Some(path) });
                    }
                    _ => {
                        tracing::warn!(path = %path.display(), "a file in the spool is of another log; it is left alone");
                    }
                }
            }
            Spooled::Lost { sequence, name, gz, from, size, reason, path } => {
                let missing = super::Missing {
                    sequence: Some(sequence),
                    base: name,
                    from: Some(from),
                    content_bytes: (!gz).then_some(size),
                    certain: true,
                    cause: format!("it was deleted and could not be kept over the restart: {reason}"),
                };
                let everybody = self.readers();
                self.tell(&everybody, &missing);
                self.store.tombstones.push(Tombstone { sequence, path, waiting: everybody });
                self.next_sequence = self.next_sequence.max(sequence + 1);
            }
        }
    }

    /// Has systemd hold what we hold, under its present name, and drop what nobody waits for. What could not be sent is
    /// sent the next time.
    pub(super) fn keep_stored(&mut self, log: LogId) {
        for key in std::mem::take(&mut self.store.undropped) {
            self.store.drop_kept(key);
        }
        if !self.store.undropped.is_empty() {
            // It holds an open file once: to drop the old name after the new one was sent is to drop the file.
            return;
        }
        for known in self.known.iter_mut().filter(|known| known.keeping == Keeping::default()) {
            let Some(held) = known.held.as_ref() else { continue };
            let (name, gz) = (known.entry.base.clone(), known.entry.gz);
            let key = Key { log, sequence: known.sequence, name, gz }.encode();
            if held.with(|file| Ok(self.store.systemd.keep(&key, file))).unwrap_or(false) {
                known.keeping.stored = Some(key);
            }
        }
    }

    pub(super) fn drop_stored(&mut self, index: usize) {
        if let Some(key) = self.known[index].keeping.stored.take() {
            self.store.drop_kept(key);
        }
    }

    /// Forgets where a file is kept that is not to be kept any more.
    pub(super) fn drop_keeping(&mut self, index: usize) {
        let keeping = std::mem::take(&mut self.known[index].keeping);
        self.store.let_go(keeping);
    }
}
