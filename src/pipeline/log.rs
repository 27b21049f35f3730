//! One log: the handles on its files, and who is told of changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::checkpoint::{Cursor, HEAD_BYTES, Loaded, Mark, Store};
use crate::config::Source;
use crate::metrics::PinMetrics;
use crate::source::Watch;
use crate::source::fdstore::{FdStore, Kept};
use crate::source::held::Held;
use crate::source::keep::LogId;
use crate::source::pins::PinSet;
use crate::source::reader;
use crate::source::spool;

/// The files of one log, held until each output that reads it has settled them.
pub(super) struct Log {
    watch: Arc<Watch>,
    /// The numbers of these outputs in the pins.
    readers: Mutex<BTreeMap<String, usize>>,
}

/// What a log takes over from the process before us.
pub(super) struct Heritage<'a> {
    /// Where copies of nameless files are.
    pub(super) state_dir: &'a Path,
    /// What systemd held of it.
    pub(super) kept: Vec<Kept>,
    /// Of which logs the copies are its own.
    pub(super) is_own: &'a dyn Fn(LogId) -> bool,
}

impl Log {
    /// Opens the log of a source for these outputs.
    pub(super) fn open(
        source: &Source,
        outputs: &[String],
        heritage: Heritage<'_>,
        metrics: &PinMetrics,
    ) -> Self {
        let Heritage { state_dir, kept, is_own } = heritage;
        let share = metrics.share();
        let show = Box::new(move |files, bytes| share.show(files, bytes));
        let pins = PinSet::new(&source.path, source.pins.clone(), outputs.len(), show);
        let pins = pins.with_kept(kept, FdStore::from_env(), &spool::directory(state_dir), is_own);
        let watch = Arc::new(Watch::new(Arc::new(pins)));
        Self { watch, readers: Mutex::new(outputs.iter().cloned().zip(0..).collect()) }
    }

    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// The number of an output that reads it, from now on if not already.
    pub(super) fn join(&self, output: &str) -> usize {
        let mut readers = self.readers();
        if let Some(number) = readers.get(output) {
            return *number;
        }
        let number = self.watch.pins().join();
        readers.insert(output.to_owned(), number);
        number
    }

    /// Nothing is held for these outputs any more.
    pub(super) fn keep_only(&self, is_reader: impl Fn(&str) -> bool) {
        self.readers().retain(|output, number| {
            let stays = is_reader(output);
            if !stays {
                self.watch.pins().leave(*number);
            }
            stays
        });
    }

    /// Copies what the file system will forget when we end to the spool, but for what these outputs, which stand in it, have
    /// settled; the others that read it have settled nothing.
    pub(super) fn keep_nameless(&self, state_dir: &Path, stand_in_it: &[String]) {
        let cursor = |output: &String| match Store::open(state_dir, output).1 {
            Loaded::Cursor(cursor) => Some(cursor),
            Loaded::Never | Loaded::Unreadable(_) => None,
        };
        let readers = self.readers();
        let cursors: Vec<Option<Cursor>> =
            readers.keys().map(|name| cursor(name).filter(|_| stand_in_it.contains(name))).collect();
        let settled = |held: &Arc<Held>, base: &str| {
            let head = reader::head_of(held, false, HEAD_BYTES).unwrap_or_default();
            let by = |cursor: &Option<Cursor>| {
                let is_it =
                    |mark: &&Mark| *mark.name == *base && mark.head.len > 0 && mark.head.matches(&head);
                cursor.as_ref()?.marks().find(is_it).map(|mark| mark.offset)
            };
            cursors.iter().map(|cursor| by(cursor).unwrap_or(0)).min().unwrap_or(0)
        };
        self.watch.pins().spool(&spool::directory(state_dir), settled);
    }

    fn readers(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
