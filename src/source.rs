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
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
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
pub struct Watch(Arc<Inner>);

struct Inner {
    pins: Arc<PinSet>,
    sender: Arc<watch::Sender<u64>>,
    watcher: Mutex<Option<Attached>>,
    /// Tells the thread that looks for new directories.
    renamed: SyncSender<()>,
}

struct Attached {
    directories: Vec<(PathBuf, Option<u64>)>,
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Begins to watch, and has `pins` open each file whose name appears.
    #[must_use]
    pub fn new(pins: Arc<PinSet>) -> Self {
        let (renamed, names_changed) = mpsc::sync_channel(1);
        let sender = Arc::new(watch::Sender::new(0));
        let inner = Arc::new(Inner { pins, sender, watcher: Mutex::new(None), renamed });
        inner.attach();
        let weak = Arc::downgrade(&inner);
        let follow = move || follow(&weak, &names_changed);
        if let Err(error) = std::thread::Builder::new().name("watch".to_owned()).spawn(follow) {
            tracing::debug!(%error, "new directories are found by the tick alone");
        }
        Self(inner)
    }

    /// The files that are watched.
    #[must_use]
    pub fn pins(&self) -> &Arc<PinSet> {
        &self.0.pins
    }

    /// A receiver of wake-ups.
    #[must_use]
    pub fn wake(&self) -> Wake {
        Wake(self.0.sender.subscribe())
    }

    /// Watches again what was made, replaced or unmounted since. Cheap; called at every tick.
    pub fn attach(&self) {
        self.0.attach();
    }

    /// The same for a log that nobody reads yet: its files are opened here, since no output looks for them.
    pub fn look(&self) {
        self.0.attach();
        self.0.pins.look();
    }
}

/// A link that appears or is led elsewhere may bring a directory that is yet to be watched, and the watcher's own thread
/// cannot add it.
fn follow(inner: &Weak<Inner>, names_changed: &Receiver<()>) {
    while names_changed.recv().is_ok() {
        let Some(inner) = inner.upgrade() else { return };
        if inner.attach() {
            // What came into a directory before it was watched.
            inner.pins.look();
        }
    }
}

impl Inner {
    /// Returns whether it watches other directories than before.
    fn attach(&self) -> bool {
        let directories = self.directories();
        let mut attached = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if attached.as_ref().is_some_and(|attached| attached.directories == directories) {
            return false;
        }
        let is_gone = directories.first().is_some_and(|(_, inode)| inode.is_none());
        *attached = match self.start(&directories) {
            Ok(watcher) => Some(Attached { directories, _watcher: watcher }),
            Err(error) => {
                tracing::debug!(%error, "no change notification; polling");
                None
            }
        };
        self.pins.watched(attached.is_some());
        if is_gone {
            self.pins.directory_gone();
        }
        self.sender.send_modify(|count| *count = count.wrapping_add(1));
        attached.is_some()
    }

    /// The directories of all names, those of links and those of the files which they lead to.
    fn directories(&self) -> Vec<(PathBuf, Option<u64>)> {
        use std::os::unix::fs::MetadataExt as _;
        let inode = |path: &PathBuf| std::fs::metadata(path).ok().map(|metadata| metadata.ino());
        self.pins.series().directories().into_iter().map(|path| (path.clone(), inode(&path))).collect()
    }

    fn start(&self, directories: &[(PathBuf, Option<u64>)]) -> notify::Result<RecommendedWatcher> {
        let (sender, pins, renamed) =
            (Arc::clone(&self.sender), Arc::clone(&self.pins), self.renamed.clone());
        let mut alert_until = Instant::now();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_))) {
                return; // our own opens and reads
            }
            let is_write =
                matches!(&event, Ok(event) if matches!(event.kind, EventKind::Modify(ModifyKind::Data(_))));
            if !is_write {
                tell(&pins, event);
                // One look that is yet to come is as good as two.
                let _ = renamed.try_send(());
                alert_until = Instant::now() + ALERT_FOR;
            }
            sender.send_modify(|count| *count = count.wrapping_add(1));
            if is_write && Instant::now() >= alert_until {
                std::thread::sleep(WRITE_COALESCING);
            }
        })?;
        let (own, others) = directories.split_at(1);
        // Where a link leads there may be nothing yet, or nothing any more.
        let others = others.iter().filter(|(_, inode)| inode.is_some());
        for (directory, _) in own.iter().chain(others) {
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
