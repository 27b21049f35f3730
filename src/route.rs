//! One output: its loop from the log to the endpoint, and the only place that moves its cursor (invariant I1).
//!
//! ```text
//! read a batch (check, policy, redact, truncate) -> throttle -> deliver -> set aside what was refused -> move the cursor
//! ```
//!
//! Up to `maxInFlight` batches are on their way at a time; they are settled in order, so one cursor says it all. The
//! next batch is read meanwhile, as long as memory has room for it: reading waits, nothing is ever dropped for being
//! late. On a stop nothing more is read; what was read is still delivered, until the grace is over.

mod ends;
mod keeping;
mod reading;
#[cfg(test)]
mod tests;
mod window;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::batch::{Aside, Batch, Limits, Reason};
use crate::checkpoint::{Cursor, Store};
use crate::config::{self, Mode};
use crate::deliver::{Delivered, Transport};
use crate::health::Health;
use crate::metrics::RouteMetrics;
use crate::rejected::RejectedFile;
use crate::source::pins::PinSet;

pub use ends::Ends;
pub use reading::Reading;
use window::{Held, Window};

/// The cursor reaches the disk at most this often; fsync contends with etcd's.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How often the backlog is measured while nothing can be read.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// Further batches that may be sent while the endpoint refuses everything, to see whether any is taken. There are no more
/// requests at a time for it: the deliveries that are waiting leave room for them.
const MORE_IN_DOUBT: usize = 16;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Everything that one output consists of.
pub struct Route {
    /// Its configuration.
    pub config: config::Output,
    /// The files of the log, and its number among those who read them.
    pub pins: Arc<PinSet>,
    /// See `pins`.
    pub number: usize,
    /// Its reader of the log; `None` once it runs.
    pub reading: Option<Reading>,
    /// Its way to the endpoint.
    pub delivery: Arc<Transport>,
    /// Its cursor on disk.
    pub store: Store,
    /// Its file of lines that are not shipped.
    pub rejected: Arc<RejectedFile>,
    /// Its books.
    pub metrics: Arc<RouteMetrics>,
    /// Its state as others see it.
    pub health: Arc<Health>,
}

/// A batch that has come to its end.
struct Done {
    gap_record: bool,
    delivered: Delivered,
    set_aside: Vec<Reason>,
    end: Option<Cursor>,
    finished: Vec<u64>,
}

/// The state of the loop.
struct Shipping {
    route: Route,
    window: Window,
    /// The next line is so long that it needs all of the memory.
    needs_all_memory: bool,
    committed: bool,
    synced_at: Instant,
    syncing: Option<JoinHandle<()>>,
    /// A cursor that could not be written.
    unwritten: Option<Cursor>,
    doubts: watch::Receiver<usize>,
    waiting_for_acks: watch::Receiver<usize>,
    /// All of a log that nobody writes any more was read.
    drained: bool,
}

impl Route {
    /// Ships until one of `ends`, then finishes what is in memory, within the grace of that moment if it is to end now. Says whether all of a
    /// log that nobody writes any more is settled.
    pub async fn run(self, ends: Ends, grace: watch::Receiver<Duration>) -> bool {
        let health = Arc::clone(&self.health);
        let (doubts, waiting_for_acks) = (health.doubts(), health.waiting_for_acks());
        let mut shipping = Shipping {
            route: self,
            window: Window::default(),
            needs_all_memory: false,
            committed: false,
            synced_at: Instant::now(),
            syncing: None,
            unwritten: None,
            doubts,
            waiting_for_acks,
            drained: false,
        };
        let grace_over = async {
            ends.now.cancelled().await;
            health.stopping();
            let grace = *grace.borrow();
            tokio::time::sleep(grace).await;
        };
        let is_settled = tokio::select! {
            () = shipping.ship(&ends) => true,
            () = grace_over => {
                shipping.give_back();
                false
            }
        };
        let is_drained = is_settled && shipping.drained;
        shipping.last_sync().await;
        is_drained
    }
}

impl Shipping {
    async fn ship(&mut self, ends: &Ends) {
        let stop = &ends.now;
        let mut in_flight: FuturesOrdered<BoxFuture<Done>> = FuturesOrdered::new();
        let mut idle = self.route.reading.take();
        let mut reading: Option<BoxFuture<(Reading, Option<Batch>)>> = None;
        let mut measuring: Option<BoxFuture<(Reading, ())>> = None;
        let mut waiting: Option<Batch> = None;
        loop {
            if in_flight.len() < self.most_in_flight() {
                in_flight.extend(waiting.take().map(|batch| self.see_through(batch)));
            }
            let is_read = stop.is_cancelled() || self.drained;
            let may_read = waiting.is_none() && !is_read;
            if let Some(limits) = self.room().filter(|_| may_read) {
                let begin =
                    |source: Reading| -> BoxFuture<_> { Box::pin(source.batch(limits, ends.clone())) };
                reading = reading.or_else(|| idle.take().map(begin));
            }
            if is_read && reading.is_none() && waiting.is_none() && in_flight.is_empty() {
                return;
            }
            tokio::select! {
                Some(done) = in_flight.next(), if !in_flight.is_empty() => self.settle(&done),
                (source, batch) = poll(&mut reading), if reading.is_some() => {
                    self.drained = batch.is_none() && source.is_drained();
                    (reading, idle) = (None, Some(source));
                    self.needs_all_memory = batch.is_none();
                    waiting = batch.map(|batch| self.take(batch));
                }
                () = tokio::time::sleep(MEASURE_EVERY), if idle.is_some() => {
                    let begin = |source: Reading| -> BoxFuture<_> {
                        Box::pin(async { (source.measure().await, ()) })
                    };
                    measuring = idle.take().map(begin);
                }
                (source, ()) = poll(&mut measuring), if measuring.is_some() => {
                    (measuring, idle) = (None, Some(source));
                }
                () = tokio::time::sleep_until(self.synced_at + SYNC_EVERY),
                    if self.committed || self.unwritten.is_some() => self.sync(),
                _ = self.doubts.changed() => {}
                _ = self.waiting_for_acks.changed() => {}
                () = stop.cancelled(), if reading.is_none() && !stop.is_cancelled() => {}
            }
        }
    }

    /// Batches that may be under way now. One that the endpoint has, and is yet to make safe, is no request under way.
    fn most_in_flight(&self) -> usize {
        let more = if *self.doubts.borrow() > 0 { MORE_IN_DOUBT } else { 0 };
        self.route.config.max_in_flight.get() + more + *self.waiting_for_acks.borrow()
    }

    /// What may be read now; `None` while memory is full.
    fn room(&self) -> Option<Limits> {
        let config = &self.route.config;
        let (lines, memory) = (self.window.lines(), self.window.memory_bytes());
        let max_bytes = config.truncate.max_batch_size.get();
        let limits = Limits {
            max_lines: config.batch.max_size.get(),
            max_bytes,
            max_first_line_bytes: usize::MAX,
            max_event_size: config.truncate.enabled.then_some(config.truncate.max_event_size.get()),
        };
        if lines == 0 {
            return Some(limits);
        }
        if self.needs_all_memory {
            return None;
        }
        let in_doubt = *self.doubts.borrow() > 0;
        let one_at_a_time = config.batch.mode != Mode::Batch && !in_doubt;
        let free = config.max_memory.get().saturating_sub(memory);
        let free_lines = config.batch.buffer_size.get().saturating_sub(lines);
        // In doubt a smaller batch will do: without another one there is no evidence.
        let max_lines = if in_doubt { limits.max_lines.min(free_lines) } else { limits.max_lines };
        let fits = (1..=free_lines).contains(&max_lines) && free >= max_bytes;
        (fits && !one_at_a_time).then_some(Limits { max_lines, max_first_line_bytes: free, ..limits })
    }

    /// Enters a batch that was read into the books.
    fn take(&mut self, batch: Batch) -> Batch {
        // A gap record is no line of the log, and only those are in the books.
        let lines = if batch.is_gap_record() { 0 } else { batch.lines() };
        let held = Held {
            lines,
            memory_bytes: batch.memory_bytes(),
            log_bytes: batch.log_bytes(),
            oldest: batch.first_stage_time(),
        };
        self.window.push(held);
        if !batch.is_gap_record() {
            self.route.metrics.taken(&batch);
        }
        self.route.health.took(&batch);
        self.show_lag(true);
        batch
    }

    /// Takes a batch to its end: delivered, and what cannot be delivered written to the file of rejected events.
    fn see_through(&self, mut batch: Batch) -> BoxFuture<Done> {
        let (delivery, rejected) = (Arc::clone(&self.route.delivery), Arc::clone(&self.route.rejected));
        let (health, metrics) = (Arc::clone(&self.route.health), Arc::clone(&self.route.metrics));
        let pause = self.route.config.requests.max_backoff;
        Box::pin(async move {
            let mut asides = batch.take_asides();
            let batch = Arc::new(batch);
            let mut delivered = delivery.deliver(&batch).await;
            asides.extend(delivered.refused.drain(..).map(|refused| {
                let detail = "the endpoint refuses it".to_owned();
                batch.aside_of(refused.index, refused.reason, detail, Some(refused.answer))
            }));
            let uncertain: Vec<Aside> = delivered
                .uncertain
                .drain(..)
                .map(|refused| {
                    let detail =
                        "the endpoint refuses some events of a request, and does not say whether this one"
                            .to_owned();
                    batch.aside_of(refused.index, refused.reason, detail, Some(refused.answer))
                })
                .collect();
            let (gap_record, end) = (batch.is_gap_record(), batch.end().cloned());
            let finished = batch.finished().to_vec();
            drop(batch);
            // They are in the books already, as taken or refused by the endpoint.
            let set_aside = asides.iter().map(|aside| aside.reason).collect();
            asides.extend(uncertain);
            set_aside_all(&asides.into(), &rejected, &health, &metrics, pause).await;
            Done { gap_record, delivered, set_aside, end, finished }
        })
    }

    /// The oldest batch has come to its end: moves the cursor past it.
    fn settle(&mut self, done: &Done) {
        if let Some(cursor) = &done.end {
            self.commit(cursor);
        }
        self.route.pins.settled(self.route.number, &done.finished);
        self.window.pop();
        let Delivered { events, refused_unnamed, size, .. } = done.delivered;
        if done.gap_record {
            self.route.metrics.settled(0, 0, size, &[]);
            if !done.set_aside.is_empty() {
                let output = &self.route.config.name;
                tracing::error!(
                    output,
                    "the endpoint refuses a gap record; it is in the file of rejected events"
                );
            }
        } else {
            self.route.metrics.settled(events, refused_unnamed, size, &done.set_aside);
        }
        self.route.health.progressed(!self.window.is_empty());
        self.show_lag(false);
    }

    fn show_lag(&self, was_reading: bool) {
        self.route.metrics.unsettled(self.window.unsettled(), was_reading);
    }

    /// The grace is over: what is in memory is still in the log, and will be read again.
    fn give_back(&mut self) {
        let lines = self.window.lines();
        self.route.metrics.given_back(lines as u64);
        tracing::warn!(
            output = self.route.config.name,
            events = lines,
            "the grace is over; these events were not acknowledged and will be sent after the next start"
        );
    }
}

async fn poll<T>(future: &mut Option<BoxFuture<T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Writes lines to the file of rejected events, until it takes them.
async fn set_aside_all(
    asides: &Arc<[Aside]>,
    rejected: &Arc<RejectedFile>,
    health: &Health,
    metrics: &RouteMetrics,
    pause: Duration,
) {
    if asides.is_empty() {
        return;
    }
    loop {
        let (file, lines) = (Arc::clone(rejected), Arc::clone(asides));
        let reason = match tokio::task::spawn_blocking(move || file.append(&lines)).await {
            Ok(Ok(appended)) => {
                health.set_aside_blocked(None);
                metrics.rejected_dropped(appended.dropped);
                if appended.dropped > 0 {
                    let dropped = appended.dropped;
                    tracing::error!(
                        dropped,
                        "the file of rejected events is full; its oldest entries are lost"
                    );
                }
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => format!("writing to the file of rejected events: {error}"),
        };
        health.set_aside_blocked(Some(reason));
        tokio::time::sleep(pause).await;
    }
}
