//! Writes the replayed events, in the place of kube-apiserver.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking};

use super::DemoError;
use super::lumberjack::{Lumberjack, Options};
use super::replay::Replay;

/// What the default throttle of `run`, 10 batches of 400 events a second, can carry for ever.
const EVENTS_A_SECOND: u32 = 4000;
/// Rotations that a demo of any length comes to.
const ROTATIONS: usize = 8;
const LARGEST_FILE: usize = 4 << 20;

/// A thread that writes the log. It stops early when this is dropped.
pub(super) struct Writer {
    written: Arc<Written>,
    thread: JoinHandle<io::Result<()>>,
}

#[derive(Default)]
struct Written {
    events: AtomicU64,
    bytes: AtomicU64,
    rotations: AtomicU64,
    failed: AtomicBool,
    stop: AtomicBool,
}

impl Writer {
    pub(super) fn start(replay: Arc<Replay>, path: PathBuf, events: u64) -> Self {
        let written = Arc::new(Written::default());
        let thread = spawn_blocking({
            let written = Arc::clone(&written);
            move || {
                write(&replay, &path, events, &written)
                    .inspect_err(|_| written.failed.store(true, Ordering::Relaxed))
            }
        });
        Self { written, thread }
    }

    pub(super) fn events(&self) -> u64 {
        self.written.events.load(Ordering::Relaxed)
    }

    pub(super) fn rotations(&self) -> u64 {
        self.written.rotations.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) -> bool {
        self.written.failed.load(Ordering::Relaxed)
    }

    /// Waits until all is written and compressed; returns the bytes and the rotations.
    pub(super) async fn finish(mut self) -> Result<(u64, u64), DemoError> {
        let ended = (&mut self.thread).await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        ended.map_err(DemoError::Log)?;
        Ok((self.written.bytes.load(Ordering::Relaxed), self.rotations()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.written.stop.store(true, Ordering::Relaxed);
    }
}

fn write(replay: &Replay, path: &Path, events: u64, written: &Written) -> io::Result<()> {
    let options = Options {
        max_bytes: file_size(replay, events),
        // All are kept: whether the daemon wins against deletion is not what is shown here.
        max_backups: 0,
        compress: true,
        avoid_name_clash: true,
    };
    let mut log = Lumberjack::new(path, options);
    let mut line = Vec::new();
    let started = Instant::now();
    for n in 0..events {
        if written.stop.load(Ordering::Relaxed) {
            break;
        }
        let due = started + Duration::from_secs(n) / EVENTS_A_SECOND;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        replay.line(n, &mut line);
        log.write_line(&line)?;
        written.events.fetch_add(1, Ordering::Relaxed);
        written.bytes.fetch_add(line.len() as u64, Ordering::Relaxed);
        written.rotations.store(log.rotations(), Ordering::Relaxed);
    }
    log.finish();
    Ok(())
}

/// Small enough for several rotations, large enough for the longest line.
fn file_size(replay: &Replay, events: u64) -> u64 {
    let events = usize::try_from(events).unwrap_or(usize::MAX);
    let total = events.saturating_mul(replay.mean());
    (total / ROTATIONS).clamp(replay.longest(), LARGEST_FILE) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_log_holds_the_replay_over_several_files() {
        let directory = tempfile::tempdir().unwrap();
        let replay = Arc::new(Replay::bundled());
        let writer = Writer::start(Arc::clone(&replay), directory.path().join("audit.log"), 1000);
        while !writer.thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!((writer.events(), writer.failed()), (1000, false));
        let (bytes, rotations) = writer.finish().await.unwrap();
        assert!(rotations >= 3, "{rotations}");
        let names: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names.len() as u64, rotations + 1);
        let compressed =
            names.iter().filter(|name| name.extension().is_some_and(|extension| extension == "gz"));
        assert_eq!(compressed.count() as u64, rotations);
        let mut line = Vec::new();
        let expected: usize = (0..1000).map(|n| (replay.line(n, &mut line), line.len()).1).sum();
        assert_eq!(bytes, expected as u64);
    }

    #[tokio::test]
    async fn an_error_is_told() {
        let writer = Writer::start(Arc::new(Replay::bundled()), PathBuf::from("/dev/null/audit.log"), 1);
        assert!(matches!(writer.finish().await, Err(DemoError::Log(_))));
    }
}
