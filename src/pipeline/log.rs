//! The log that is followed: the handles on its files, and who is told of changes.

use std::path::PathBuf;
use std::sync::Arc;

use crate::checkpoint::{Cursor, HEAD_BYTES, Loaded, Mark, Store};
use crate::config::{self, Config};
use crate::metrics::PinMetrics;
use crate::source::Watch;
use crate::source::fdstore::{FdStore, Kept};
use crate::source::held::Held;
use crate::source::pins::{PinSet, Show};
use crate::source::reader;
use crate::source::spool;

/// One log. Its files are held for as many outputs as it was opened for.
pub(super) struct Log {
    watch: Arc<Watch>,
    metrics: PinMetrics,
    spool: PathBuf,
}

impl Log {
    /// Opens the log of a configuration; `kept` is what systemd held for us, and what a stop has spooled is held again.
    pub(super) fn open(config: &Config, kept: Vec<Kept>, metrics: PinMetrics) -> Self {
        let spool = spool::directory(&config.state_dir);
        let gauges = metrics.clone();
        let show = Box::new(move |files, bytes| gauges.show(files, bytes));
        let pins =
            pins(&config.source, config.outputs.len(), show).with_kept(kept, FdStore::from_env(), &spool);
        Self { watch: Arc::new(Watch::new(Arc::new(pins))), metrics, spool }
    }

    /// Opens a log whose turn is yet to come. Nobody reads it, and its files are held meanwhile.
    pub(super) fn open_ahead(config: &Config, metrics: PinMetrics) -> Self {
        let spool = spool::directory(&config.state_dir);
        let pins = pins(&config.source, config.outputs.len(), Box::new(|_, _| {}));
        Self { watch: Arc::new(Watch::new(Arc::new(pins))), metrics, spool }
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
            self.open_anew(after);
        }
    }

    /// Opens it from the spool, which holds what is found nowhere else.
    pub(super) fn open_anew(&mut self, config: &Config) {
        *self = Self::open(config, Vec::new(), self.metrics.clone());
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
        self.watch.pins().spool(&self.spool, settled);
    }
}

fn pins(source: &config::Source, outputs: usize, show: Show) -> PinSet {
    PinSet::new(&source.path, source.pins.clone(), outputs, show)
}
