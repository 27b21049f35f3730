//! Batches that no server takes: written one after the other, in order, until they are.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::Delivered;
use super::backoff::{Backoff, SHORTEST_WAIT};
use crate::batch::Batch;
use crate::body::Size;
use crate::config;
use crate::health::Health;
use crate::metrics::{Outcome, RouteMetrics};
use crate::sink::Events;
use crate::writer::{WriteError, Writer};

/// Writes the batches of one output.
pub struct Writing {
    /// Who comes first writes first.
    writer: Arc<Mutex<Writer>>,
    limits: config::Requests,
    metrics: Arc<RouteMetrics>,
    health: Arc<Health>,
}

impl Writing {
    /// Writes by `writer`, with the waits of `output`.
    #[must_use]
    pub fn new(
        writer: Writer,
        output: &config::Output,
        metrics: Arc<RouteMetrics>,
        health: Arc<Health>,
    ) -> Self {
        Self { writer: Arc::new(Mutex::new(writer)), limits: output.requests.clone(), metrics, health }
    }

    /// Returns when all of the sealed `batch` is written.
    pub async fn deliver(&self, batch: &Arc<Batch>) -> Delivered {
        if batch.events() == 0 {
            return Delivered::default();
        }
        let events = Events::all(Arc::clone(batch));
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        let mut backoff = Backoff::new(&self.limits);
        loop {
            let (began, started) = (self.health.now(), Instant::now());
            let result;
            (writer, result) = self.write(writer, &events).await;
            let (outcome, wait) = match &result {
                Ok(_) => (Outcome::Accepted, None),
                Err(WriteError::Misconfigured { .. }) => (Outcome::Hold, Some(self.limits.max_backoff)),
                Err(WriteError::Io { .. }) => (Outcome::Retry, Some(backoff.next_wait())),
            };
            self.metrics.request(outcome, started.elapsed());
            match (result, wait) {
                (Ok(size), _) => {
                    self.health.accepted(began);
                    return Delivered { events: events.len() as u64, size, ..Delivered::default() };
                }
                (Err(error @ WriteError::Misconfigured { .. }), _) => {
                    self.health.misconfigured(&error.to_string());
                }
                (Err(error), _) => self.health.unavailable(&error.to_string()),
            }
            // The others wait behind it: the order of the file is that of the log.
            sleep(wait.unwrap_or_default().max(SHORTEST_WAIT)).await;
        }
    }

    /// Writes off the async threads.
    async fn write(
        &self,
        mut writer: OwnedMutexGuard<Writer>,
        events: &Events,
    ) -> (OwnedMutexGuard<Writer>, Result<Size, WriteError>) {
        let events = events.clone();
        let work = spawn_blocking(move || {
            let result = writer.write(&events);
            (writer, result)
        });
        match work.await {
            Ok(done) => done,
            // The runtime shuts down, and this with it; or the writer has a bug, which has let go of the lock.
            Err(error) => {
                let (place, source) = ("writing".to_owned(), std::io::Error::other(error));
                (Arc::clone(&self.writer).lock_owned().await, Err(WriteError::Io { place, source }))
            }
        }
    }
}
