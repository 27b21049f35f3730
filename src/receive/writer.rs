//! One thread writes for all requests.
//!
//! *Group commit*: whatever requests came while the last group was being synced are written together and share one
//! fsync, so the disk's latency bounds the wait of a request and not the number of requests a second.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tracing::{error, info};

use super::list::Lines;
use super::metrics::Metrics;
use super::output::Output;

/// Requests that share an fsync, and requests that wait for the next one. Their bytes are bounded elsewhere: each
/// holds its share of the memory set aside for bodies.
const GROUP: usize = 64;

/// The lines are not on disk; the sender is to try again.
#[derive(Debug, thiserror::Error)]
#[error("the events cannot be written now; try again")]
pub(super) struct NotWritten;

/// Hands lines to the thread.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    lines: Lines,
    /// The request's share of memory, given back when its lines are.
    _room: OwnedSemaphorePermit,
    done: oneshot::Sender<Result<(), NotWritten>>,
}

impl Writer {
    /// Returns when all lines are on disk, or none. If the future is dropped, they may be either.
    pub(super) async fn append(&self, lines: Lines, room: OwnedSemaphorePermit) -> Result<(), NotWritten> {
        let (done, written) = oneshot::channel();
        self.jobs.send(Job { lines, _room: room, done }).await.map_err(|_| NotWritten)?;
        written.await.unwrap_or(Err(NotWritten))
    }
}

/// Starts the thread; it ends when the `Writer` is dropped and what it was given is done.
pub(super) fn start(output: Output, metrics: Arc<Metrics>) -> std::io::Result<(Writer, JoinHandle<()>)> {
    let (jobs, queue) = mpsc::channel(GROUP);
    let thread = std::thread::Builder::new()
        .name("receive-writer".to_owned())
        .spawn(move || Commits { output, metrics, failing: false }.run(queue))?;
    Ok((Writer { jobs }, thread))
}

struct Commits {
    output: Output,
    metrics: Arc<Metrics>,
    /// The last group failed; only a change of state is logged.
    failing: bool,
}

impl Commits {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut group = Vec::with_capacity(GROUP);
        while let Some(first) = queue.blocking_recv() {
            group.push(first);
            while group.len() < GROUP
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            let written = self.commit(&group);
            for job in group.drain(..) {
                // A sender that went away meanwhile will send again: a duplicate, not a loss.
                let _ = job.done.send(if written { Ok(()) } else { Err(NotWritten) });
            }
        }
    }

    fn commit(&mut self, group: &[Job]) -> bool {
        let bytes: Vec<&[u8]> = group.iter().map(|job| job.lines.bytes.as_slice()).collect();
        match self.output.append(&bytes) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    info!("events can be written again");
                }
                self.count(group);
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    error!(%error, "events cannot be written; requests are answered 503 until they can");
                }
                false
            }
        }
    }

    fn count(&mut self, group: &[Job]) {
        let (mut events, mut duplicates, mut bytes) = (0, 0, 0);
        for job in group {
            bytes += job.lines.bytes.len() as u64;
            events += job.lines.hashes.len() as u64;
            duplicates +=
                job.lines.hashes.iter().filter(|hash| !self.output.seen.insert(**hash)).count() as u64;
        }
        self.metrics.events.inc_by(events);
        self.metrics.duplicate_events.inc_by(duplicates);
        self.metrics.bytes.inc_by(bytes);
    }
}
