//! The near half of a route: the next batch out of the log, ready to be sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batch::{Batch, Limits};
use crate::buffers::Buffers;
use crate::checkpoint::Cursor;
use crate::config;
use crate::metrics::{RouteMetrics, Unsettled};
use crate::source::tail::{self, Progress, Tail};
use crate::source::{Wake, Watch};
use crate::throttle::Throttle;

/// How often the log is looked at without a hint, while it is being written.
const ACTIVE_TICK: Duration = Duration::from_secs(1);
/// The same when nothing has been written for a while.
const IDLE_TICK: Duration = Duration::from_secs(15);
/// How long "a while" is.
const IDLE_AFTER: Duration = Duration::from_secs(60);
/// How often the backlog is measured while it is drained.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// Reads, makes fit, and holds back.
pub struct Reading {
    tail: Option<Tail>,
    wake: Wake,
    watch: Arc<Watch>,
    max_wait: Duration,
    throttle: Throttle,
    buffers: Buffers,
    metrics: Arc<RouteMetrics>,
    output: String,
    measured_at: Option<Instant>,
    active_at: Instant,
    failing: bool,
}

impl Reading {
    /// Reads `source` for `output`, from `cursor` on.
    #[must_use]
    pub fn new(
        source: &config::Source,
        output: &config::Output,
        cursor: Option<&Cursor>,
        watch: Arc<Watch>,
        buffers: Buffers,
        metrics: Arc<RouteMetrics>,
    ) -> Self {
        Self {
            tail: Some(Tail::new(&source.path, cursor, source.start_at, source.max_line_bytes.get())),
            wake: watch.wake(),
            watch,
            max_wait: output.batch.max_wait,
            throttle: Throttle::new(output.batch.throttle),
            buffers,
            metrics,
            output: output.name.clone(),
            measured_at: None,
            active_at: Instant::now(),
            failing: false,
        }
    }

    /// The next batch, sealed: full, or as old as it may get, or what there is when the daemon stops; it may be a new
    /// position without lines. `None` if nothing was read, or there was no room for the next line.
    pub async fn batch(mut self, limits: Limits, stop: CancellationToken) -> (Self, Option<Batch>) {
        let mut batch = Batch::new(self.buffers.clone());
        let mut deadline = None;
        loop {
            let progress = self.fill(&mut batch, limits).await;
            if !batch.is_empty() {
                self.active_at = Instant::now();
                deadline.get_or_insert_with(|| Instant::now() + self.max_wait);
            }
            // A position that moved without lines (a file left behind, a beginning at the newest event) is kept too.
            let moved = batch.is_empty() && batch.end().is_some();
            if moved || progress == Progress::Full || !self.wait(deadline, &stop).await {
                break;
            }
        }
        batch.seal();
        if batch.events() > 0 {
            self.metrics.throttled(self.throttle.ready().await);
        }
        let batch = batch.end().is_some().then_some(batch);
        (self, batch)
    }

    /// Waits for more lines. False when the batch is to go as it is.
    async fn wait(&mut self, deadline: Option<Instant>, stop: &CancellationToken) -> bool {
        let tick =
            if self.active_at.elapsed() < IDLE_AFTER || self.failing { ACTIVE_TICK } else { IDLE_TICK };
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = due => false,
            () = self.wake.changed(), if !self.failing => true,
            () = tokio::time::sleep(tick) => {
                self.watch.attach();
                if tick == IDLE_TICK {
                    self.buffers.release();
                }
                true
            }
        }
    }

    /// Takes the lines that are there, off the async threads.
    async fn fill(&mut self, batch: &mut Batch, limits: Limits) -> Progress {
        let Some(mut tail) = self.tail.take() else { return Progress::AtEnd };
        let mut filled = std::mem::replace(batch, Batch::new(self.buffers.clone()));
        let measure = self.measured_at.is_none_or(|at| at.elapsed() >= MEASURE_EVERY);
        let (tail, filled, result, unread) = blocking(move || {
            let result = tail.fill(&mut filled, &limits);
            let unread = match result {
                Ok(Progress::Full) if measure => tail.unread_bytes().ok(),
                Ok(Progress::AtEnd) => Some(0),
                _ => None,
            };
            (tail, filled, result, unread)
        })
        .await;
        *batch = filled;
        self.show_unread(unread);
        self.metrics.reading(Unsettled { bytes: batch.log_bytes(), oldest: batch.first_stage_time() });
        self.tail = Some(tail);
        self.report();
        self.progress(result)
    }

    /// Measures the backlog while nothing can be read, since the log grows meanwhile.
    pub async fn measure(mut self) -> Self {
        if let Some(tail) = self.tail.take() {
            let (tail, unread) = blocking(move || {
                let unread = tail.unread_bytes().ok();
                (tail, unread)
            })
            .await;
            self.tail = Some(tail);
            self.show_unread(unread);
        }
        self
    }

    fn show_unread(&mut self, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.metrics.unread(bytes);
            self.measured_at = Some(Instant::now());
        }
    }

    /// A log that cannot be read is tried again, from the same position; it is said once.
    fn progress(&mut self, result: Result<Progress, tail::Error>) -> Progress {
        match result {
            Ok(progress) => {
                if std::mem::take(&mut self.failing) {
                    tracing::warn!(output = self.output, "the log can be read again");
                }
                progress
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(output = self.output, %error, "the log cannot be read; trying again until it can");
                }
                Progress::AtEnd
            }
        }
    }

    /// Tells what the tail saw beside lines.
    fn report(&mut self) {
        let Some(observed) = self.tail.as_mut().map(Tail::take_observed) else { return };
        self.metrics.rotated(observed.rotations);
        for gap in observed.gaps {
            tracing::error!(
                output = self.output,
                certain = gap.certain,
                "events may be missing: {}",
                gap.detail
            );
            self.metrics.lost(gap.certain, 1);
        }
    }
}

/// Runs blocking work; a panic in it is ours.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
