//! The log that is followed: the handles on its files, and who is told of changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::checkpoint::{Cursor, HEAD_BYTES, Loaded, Mark, Store};
use crate::config::{Config, Source};
use crate::metrics::PinMetrics;
use crate::source::Watch;
use crate::source::fdstore::{FdStore, Kept};
use crate::source::held::Held;
use crate::source::pins::PinSet;
use crate::source::reader;
use crate::source::spool;

/// One log. Its files are held for as many outputs as it was opened for.
pub(super) struct Log {
    watch: Arc<Watch>,
    metrics: PinMetrics,
    /// Whether it is the one that is read, which the gauges show.
    is_read: Arc<AtomicBool>,
}

impl Log {
    /// Opens the log of a configuration; `kept` is what systemd held for us, and what a stop has spooled is held again.
    pub(super) fn open(config: &Config, kept: Vec<Kept>, metrics: PinMetrics) -> Self {
        let spool = spool::directory(&config.state_dir);
        // A stop may have been before its turn came.
        let ahead = spool::directory_ahead(&config.state_dir, &config.source.path);
        let take_over = |pins: PinSet| pins.with_kept(kept, FdStore::from_env(), &spool).with_spooled(&ahead);
        Self::of_pins(config, metrics, true, take_over)
    }

    /// Opens a log whose turn is yet to come. Nobody reads it, and its files are held meanwhile.
    pub(super) fn open_ahead(config: &Config, metrics: PinMetrics) -> Self {
        let spool = spool::directory_ahead(&config.state_dir, &config.source.path);
        let log = Self::of_pins(config, metrics, false, |pins| pins.with_spooled(&spool));
        log.watch.look();
        log
    }

    fn of_pins(
        config: &Config,
        metrics: PinMetrics,
        is_read: bool,
        take_over: impl FnOnce(PinSet) -> PinSet,
    ) -> Self {
        metrics.limit(&config.source.pins);
        let is_read = Arc::new(AtomicBool::new(is_read));
        let (gauges, is_shown) = (metrics.clone(), Arc::clone(&is_read));
        let show = Box::new(move |files, bytes| {
            if is_shown.load(Ordering::Relaxed) {
                gauges.show(files, bytes);
            }
        });
        let Source { path, pins, .. } = &config.source;
        let pins = take_over(PinSet::new(path, pins.clone(), config.outputs.len(), show));
        Self { watch: Arc::new(Watch::new(Arc::new(pins))), metrics, is_read }
    }

    /// Its turn has come: so many outputs begin to read it.
    pub(super) fn begin_for(&self, outputs: usize) {
        self.is_read.store(true, Ordering::Relaxed);
        self.watch.pins().begin_for(outputs, FdStore::from_env());
    }

    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Makes it fit for another configuration, when no route reads it. Handles stay if nothing has changed for them.
    pub(super) fn reopen_for(&mut self, before: &Config, after: &Config) {
        let names = |config: &Config| -> Vec<String> {
            config.outputs.iter().map(|output| output.name.clone()).collect()
        };
        if before.source != after.source || names(before) != names(after) {
            self.keep_nameless(before);
            // What is found nowhere else is in the spool.
            *self = Self::open(after, Vec::new(), self.metrics.clone());
        }
    }

    /// All of it is settled, by so many outputs: nothing is held any more, here or by systemd.
    pub(super) fn let_go(&self, outputs: usize) {
        let pins = self.watch.pins();
        for output in 0..outputs {
            let listed = pins.list(output).unwrap_or_default();
            let sequences: Vec<u64> = listed.iter().map(|listed| listed.sequence).collect();
            pins.settled(output, &sequences);
        }
    }

    /// Copies what the file system will forget when we end, and what is not settled, to the spool.
    pub(super) fn keep_nameless(&self, config: &Config) {
        let cursors: Vec<Option<Cursor>> = config
            .outputs
            .iter()
            .map(|output| match Store::open(&config.state_dir, &output.name).1 {
                Loaded::Cursor(cursor) => Some(cursor),
                Loaded::Never | Loaded::Unreadable(_) => None,
            })
            .collect();
        let settled = |held: &Arc<Held>, base: &str| {
            let head = reader::head_of(held, false, HEAD_BYTES).unwrap_or_default();
            let by = |cursor: &Option<Cursor>| {
                let is_it =
                    |mark: &&Mark| *mark.name == *base && mark.head.len > 0 && mark.head.matches(&head);
                cursor.as_ref()?.marks().find(is_it).map(|mark| mark.offset)
            };
            cursors.iter().map(|cursor| by(cursor).unwrap_or(0)).min().unwrap_or(0)
        };
        let spool = if self.is_read.load(Ordering::Relaxed) {
            spool::directory(&config.state_dir)
        } else {
            spool::directory_ahead(&config.state_dir, &config.source.path)
        };
        self.watch.pins().spool(&spool, settled);
    }
}
