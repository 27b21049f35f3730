//! A writer that appends events at a steady pace, one write for each, as kube-apiserver does.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::events::Corpus;

/// When each event was written.
pub(crate) struct Stamps {
    since: Instant,
    nanos: Vec<AtomicU64>,
}

impl Stamps {
    pub(crate) fn new(events: u64) -> Arc<Self> {
        Arc::new(Self { since: Instant::now(), nanos: (0..events).map(|_| AtomicU64::new(0)).collect() })
    }

    fn set(&self, n: u64) {
        if let Some(stamp) = usize::try_from(n).ok().and_then(|n| self.nanos.get(n)) {
            let now = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            stamp.store(now, Ordering::Release);
        }
    }

    /// How long it took from the write of this event to `now`.
    pub(crate) fn latency(&self, n: u64, now: Instant) -> Option<Duration> {
        let nanos = self.nanos.get(usize::try_from(n).ok()?)?.load(Ordering::Acquire);
        (nanos > 0).then(|| now.saturating_duration_since(self.since + Duration::from_nanos(nanos)))
    }
}

/// Writes `events` of a corpus, so many a second; what is late is caught up with. Returns by how much
/// each one was late.
pub(crate) fn write(
    path: PathBuf,
    corpus: Corpus,
    events_a_second: u32,
    events: u64,
    stamps: Option<Arc<Stamps>>,
) -> JoinHandle<std::io::Result<Vec<Duration>>> {
    std::thread::spawn(move || {
        let mut file = OpenOptions::new().append(true).open(path)?;
        let (mut line, mut due, mut late) = (Vec::new(), Instant::now(), Vec::new());
        for n in 0..events {
            corpus.line(n, &mut line);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            late.push(due.elapsed());
            due += Duration::from_secs(1) / events_a_second;
            if let Some(stamps) = &stamps {
                stamps.set(n);
            }
            file.write_all(&line)?;
        }
        Ok(late)
    })
}
