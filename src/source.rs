//! The log on disk: which files it consists of (`series`), the handles on them (`pins`), whole lines out of them
//! (`tail`), and when to look again.
//!
//! This file is the only one that knows `notify`. A wake-up is a hint that may be lost, late or wrong (invariant I9):
//! routes look again after a slow tick in any case.

pub mod fdstore;
pub mod format;
pub mod held;
pub mod keep;
pub mod pins;
pub mod reader;
pub mod series;
pub mod spool;
pub mod tail;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

use pins::PinSet;

/// How long the watcher's thread rests after a write to the log. The kernel folds the writes of that time into one
/// event, which keeps the cost flat however fast kube-apiserver writes. (Measured: 1.7% of a core at any rate, against
/// 8.1% at 4,000 writes a second.)
const WRITE_COALESCING: Duration = Duration::from_millis(5);
/// It does not rest for so long after a name has changed: more may follow, and a backup may not live long.
const ALERT_FOR: Duration = Duration::from_millis(250);

/// Says that something changed in the log's directory.
#[derive(Debug, Clone)]
pub struct Wake(watch::Receiver<u64>);

impl Wake {
    /// The hints of a test, beside its own clock.
    #[cfg(test)]
    pub(crate) fn of(hints: &watch::Sender<u64>) -> Self {
        Self(hints.subscribe())
    }

    /// The same, but not before `at`; what changes until then is seen with it.
    pub async fn changed_after(&mut self, at: tokio::time::Instant) {
        self.changed().await;
        tokio::time::sleep_until(at).await;
    }

    /// Returns once there was a change after the last one that was seen; at once if there has been one already.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Without a watcher the tick alone drives the route.
            std::future::pending::<()>().await;
        }
    }
}

/// Watches the directories of one log, which need not exist yet.
pub struct Watch {
    pins: Arc<PinSet>,
    sender: Arc<watch::Sender<u64>>,
    watcher: Mutex<Option<Attached>>,
}

struct Attached {
    directories: Vec<(PathBuf, Option<u64>)>,
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Begins to watch, and has `pins` open each file whose name appears.
    #[must_use]
    pub fn new(pins: Arc<PinSet>) -> Self {
        let watch = Self { pins, sender: Arc::new(watch::Sender::new(0)), watcher: Mutex::new(None) };
        watch.attach();
        watch
    }

    /// The files that are watched.
    #[must_use]
    pub fn pins(&self) -> &Arc<PinSet> {
        &self.pins
    }

    /// A receiver of wake-ups.
    #[must_use]
    pub fn wake(&self) -> Wake {
        Wake(self.sender.subscribe())
    }

    /// Watches again what was made, replaced or unmounted since. Cheap; called at every tick.
    pub fn attach(&self) {
        let directories = self.directories();
        let mut attached = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if attached.as_ref().is_some_and(|attached| attached.directories == directories) {
            return;
        }
        *attached = match self.start(&directories) {
            Ok(watcher) => Some(Attached { directories, _watcher: watcher }),
            Err(error) => {
                tracing::debug!(%error, "no change notification; polling");
                None
            }
        };
        self.pins.watched(attached.is_some());
        self.sender.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The directory of the live name, and that of the file which it leads to if it is a link.
    fn directories(&self) -> Vec<(PathBuf, Option<u64>)> {
        use std::os::unix::fs::MetadataExt as _;
        let series = self.pins.series();
        let mut directories = vec![series.directory().to_owned()];
        directories.extend(series.target().map(|target| target.directory().to_owned()));
        directories.dedup();
        let inode = |path: &PathBuf| std::fs::metadata(path).ok().map(|metadata| metadata.ino());
        directories.into_iter().map(|path| (path.clone(), inode(&path))).collect()
    }

    fn start(&self, directories: &[(PathBuf, Option<u64>)]) -> notify::Result<RecommendedWatcher> {
        let (sender, pins) = (Arc::clone(&self.sender), Arc::clone(&self.pins));
        let mut alert_until = Instant::now();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_))) {
                return; // our own opens and reads
            }
            let is_write =
                matches!(&event, Ok(event) if matches!(event.kind, EventKind::Modify(ModifyKind::Data(_))));
            if !is_write {
                tell(&pins, event);
                alert_until = Instant::now() + ALERT_FOR;
            }
            sender.send_modify(|count| *count = count.wrapping_add(1));
            if is_write && Instant::now() >= alert_until {
                std::thread::sleep(WRITE_COALESCING);
            }
        })?;
        for (directory, _) in directories {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    }
}

/// Tells the pins of names that have changed.
fn tell(pins: &PinSet, event: notify::Result<notify::Event>) {
    let Ok(event) = event else { return pins.lost_track() };
    if event.need_rescan() {
        pins.lost_track();
    }
    match (event.kind, event.paths.as_slice()) {
        (EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)), [path]) => {
            pins.appeared(path);
        }
        (EventKind::Remove(_), [path]) => pins.disappeared(path),
        // Comes after the two that tell of each name.
        (EventKind::Modify(ModifyKind::Name(RenameMode::Both)), [from, to]) => pins.renamed(from, to),
        _ => {}
    }
}
