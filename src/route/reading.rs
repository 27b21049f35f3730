//! The near half of a route: the next batch out of the log, ready to be sent.

mod backlog;
mod blocking;
mod pace;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::backlog::Grace;
use self::blocking::blocking;
use self::pace::{ACTIVE_TICK, IDLE_AFTER, IDLE_TICK, LONGEST_PACE, pace};
use crate::batch::{Batch, Limits, Treating, Treatment};
use crate::buffers::Buffers;
use crate::checkpoint::Cursor;
use crate::config;
use crate::gap::Gap;
use crate::health::Health;
use crate::metrics::{RouteMetrics, Unsettled};
use crate::retention::Forecast;
use crate::route::Ends;
use crate::source::tail::{self, Progress, Tail};
use crate::source::{Wake, Watch};
use crate::throttle::Throttle;

/// How often the backlog is measured while it is drained, or held back.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// Reads, makes fit, and holds back.
#[expect(clippy::struct_excessive_bools, reason = "each is another thing that is known of the log")]
pub struct Reading {
    tail: Option<Tail>,
    wake: Wake,
    watch: Arc<Watch>,
    max_wait: Duration,
    throttle: Throttle,
    buffers: Buffers,
    /// What is done to events now; a batch keeps what it began with.
    treatment: watch::Receiver<Treatment>,
    /// The same at work, between two batches.
    treating: Option<Box<Treating>>,
    metrics: Arc<RouteMetrics>,
    health: Arc<Health>,
    output: String,
    gap_records: bool,
    /// Gap records that are sent before anything more is read.
    records: VecDeque<Batch>,
    measured_at: Option<Instant>,
    grace: Grace,
    active_at: Instant,
    filled_at: Instant,
    /// Whether the last look found nothing behind what it took.
    at_end: bool,
    failing: bool,
    /// Whether files are left out for now that cannot be read.
    leaves_out: bool,
    drained: bool,
    /// When the log was looked at.
    #[cfg(test)]
    looks: Vec<Instant>,
}

/// What a batch waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Look,
    /// It is as old as it may get; what has come meanwhile still goes with it.
    LastLook,
    /// It goes as it is.
    Go,
}

impl Reading {
    /// Reads `source` for `output`, which has this number in the pins, from `cursor` on. What is read goes through the
    /// treatment that `into` names, into its buffers.
    #[must_use]
    pub fn new(
        source: &config::Source,
        output: &config::Output,
        number: usize,
        cursor: Option<&Cursor>,
        watch: Arc<Watch>,
        into: (Buffers, watch::Receiver<Treatment>),
        health: Arc<Health>,
    ) -> Self {
        let (buffers, treatment) = into;
        Self {
            tail: Some(
                Tail::new(
                    Arc::clone(watch.pins()),
                    number,
                    cursor,
                    source.start_at,
                    source.max_line_bytes.get(),
                )
                .in_format(source.format),
            ),
            wake: watch.wake(),
            watch,
            max_wait: output.batch.max_wait,
            throttle: Throttle::new(output.batch.throttle),
            buffers,
            treatment,
            treating: None,
            metrics: Arc::clone(health.metrics()),
            health,
            output: output.name.clone(),
            gap_records: output.gap_records,
            records: VecDeque::new(),
            measured_at: None,
            grace: Grace::new(Forecast::new(&source.rotation, source.is_of_container())),
            active_at: Instant::now(),
            filled_at: Instant::now(),
            at_end: false,
            failing: false,
            leaves_out: false,
            drained: false,
            #[cfg(test)]
            looks: Vec::new(),
        }
    }

    /// The next batch, sealed: full, or as old as it may get, or what there is when the daemon stops; it may be a new
    /// position without lines, or a gap record. `None` if nothing was read, or there was no room for the next line.
    pub async fn batch(mut self, limits: Limits, ends: Ends) -> (Self, Option<Batch>) {
        // Whoever said so knew that nothing more is written: it takes a look that began after that.
        let is_last = ends.at_end.is_cancelled();
        let mut batch = self.begin();
        if self.records.is_empty() {
            self.fill_up(&mut batch, limits, &ends).await;
        }
        // A position without lines goes before it: files may be settled with that.
        if batch.end().is_none()
            && let Some(record) = self.records.pop_front()
        {
            batch = record;
        }
        self.treating = batch.seal();
        if batch.events() > 0 {
            self.hold_back().await;
        }
        let is_some = batch.end().is_some() || batch.is_gap_record();
        let all_is_read = self.at_end && !self.failing && !self.leaves_out;
        self.drained = is_last && !is_some && all_is_read && !ends.now.is_cancelled();
        (self, is_some.then_some(batch))
    }

    /// Whether the last batch was none because all of a log was read that nobody writes any more.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// An empty batch, of events that are treated as it is said now.
    fn begin(&mut self) -> Batch {
        let treatment = self.treatment.borrow_and_update().clone();
        let at_work = self.treating.take().filter(|treating| treating.is_of(&treatment));
        Batch::with_treating(self.buffers.clone(), at_work.or_else(|| Treating::new(treatment)))
    }

    /// Waits until the throttle lets one more batch go. With a rate of few batches an hour that takes long, and it is
    /// shown while it lasts.
    async fn hold_back(&mut self) {
        loop {
            match timeout(MEASURE_EVERY, self.throttle.ready()).await {
                Ok(waited) => return self.metrics.throttled(waited),
                Err(_) => self.metrics.throttled(MEASURE_EVERY),
            }
            self.look_behind().await;
        }
    }

    /// Reads until the batch is to go, or a gap record is to go after it.
    async fn fill_up(&mut self, batch: &mut Batch, limits: Limits, ends: &Ends) {
        let pace = pace(if limits.max_lines == 1 { Duration::ZERO } else { self.max_wait });
        let mut deadline = None;
        // What ended the batch before was a look that found nothing behind it.
        let mut next = if self.at_end { self.wait(None, pace, ends).await } else { Next::Look };
        while next != Next::Go {
            if batch.is_empty() && batch.skipped().lines == 0 {
                self.treating = batch.seal();
                *batch = self.begin();
            }
            let progress = self.fill(batch, limits, ends.at_end.is_cancelled()).await;
            let has_skipped = batch.skipped().lines > 0;
            if !batch.is_empty() || has_skipped {
                self.active_at = Instant::now();
                deadline.get_or_insert_with(|| Instant::now() + self.max_wait);
            }
            // A position that moved without lines (a file left behind, a beginning at the newest event) is kept too; one that
            // moved past what is skipped waits for others, since there may be such all the time and a position is a write.
            let is_due_at_once = !has_skipped || progress == Progress::More;
            let moved = batch.is_empty() && batch.end().is_some() && is_due_at_once;
            self.at_end = progress == Progress::AtEnd;
            if moved || progress == Progress::Full || !self.records.is_empty() || next == Next::LastLook {
                return;
            }
            let is_due = deadline.is_some_and(|deadline| deadline <= Instant::now());
            if progress == Progress::More && (is_due || ends.now.is_cancelled()) {
                return;
            }
            if self.at_end {
                let pace = if deadline.is_some() { LONGEST_PACE } else { pace };
                next = self.wait(deadline, pace, ends).await;
            }
        }
    }

    /// Waits for more lines, or until the batch has to go.
    async fn wait(&mut self, deadline: Option<Instant>, pace: Duration, ends: &Ends) -> Next {
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
            () = ends.now.cancelled() => Next::Go,
            () = ends.at_end.cancelled(), if !self.failing && !self.leaves_out => Next::LastLook,
            () = due => Next::LastLook,
            // What comes now is treated otherwise than what it holds.
            Ok(()) = self.treatment.changed() => if deadline.is_some() { Next::Go } else { Next::Look },
            () = self.wake.changed_after(self.filled_at + pace), if !self.failing => Next::Look,
            () = tokio::time::sleep(tick) => {
                self.watch.attach();
                // Nothing has been written for so long that nobody will miss them.
                self.buffers.release();
                Next::Look
            }
        }
    }

    /// Takes the lines that are there, off the async threads; of a log that nobody writes any more, what is behind them too.
    async fn fill(&mut self, batch: &mut Batch, limits: Limits, is_final: bool) -> Progress {
        let Some(mut tail) = self.tail.take() else { return Progress::AtEnd };
        #[cfg(test)]
        self.looks.push(Instant::now());
        let mut filled = std::mem::replace(batch, Batch::new(self.buffers.clone()));
        let measure = self.measured_at.is_none_or(|at| at.elapsed() >= MEASURE_EVERY);
        let bytes_before = filled.log_bytes();
        tail.is_final(is_final);
        let (surveys, in_flight_bytes) = self.survey();
        let work = blocking(move || {
            let result = tail.fill(&mut filled, &limits);
            let unread = match result {
                Ok(Progress::AtEnd) if !tail.leaves_out_files() => Some(0),
                Ok(Progress::Gap) => None,
                Ok(_) if !measure => None,
                _ => tail.unread_bytes().ok(),
            };
            let look = surveys.then(|| tail.survey(in_flight_bytes + filled.log_bytes()).ok()).flatten();
            (tail, filled, result, unread, look)
        });
        let (tail, filled, result, unread, look) = self.health.pulse().reading(work).await;
        *batch = filled;
        self.filled_at = Instant::now();
        // Before it is taken from what is unread: who looks in between finds it twice, and never nowhere.
        self.metrics.reading(Unsettled { bytes: batch.log_bytes(), oldest: batch.first_stage_time() });
        // A compressed file counts at its compressed size, so what was taken of it says nothing of what is left.
        if !tail.reads_compressed() {
            self.metrics.took(batch.log_bytes() - bytes_before);
        }
        self.leaves_out = tail.leaves_out_files();
        self.show_unread(unread);
        self.foresee(look);
        self.health.behind(unread, result.as_ref().err().map(ToString::to_string));
        self.tail = Some(tail);
        self.report(batch);
        self.progress(result)
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

    /// Tells what the tail saw beside lines. The position past a gap is settled with `batch`, or with the record of the
    /// gap if there is to be one.
    fn report(&mut self, batch: &mut Batch) {
        let Some(mut tail) = self.tail.take() else { return };
        let observed = tail.take_observed();
        self.metrics.rotated(observed.rotations);
        for tail::Nuls { file, bytes } in observed.nuls {
            tracing::warn!(output = self.output, file, bytes, "NUL bytes in the log were skipped");
            self.metrics.skipped_nuls(bytes);
        }
        for gap in &observed.gaps {
            if !gap.told {
                self.tell(gap);
            }
            if self.gap_records {
                self.records.push_back(Batch::of_gap_record(self.buffers.clone(), &gap.record()));
            }
        }
        if !observed.gaps.is_empty() {
            // With several of them, the last one: all are settled then.
            self.records.back_mut().unwrap_or(batch).set_end(tail.cursor(), observed.gone);
        }
        self.tail = Some(tail);
    }

    fn tell(&self, gap: &Gap) {
        let are = if gap.certain { "are" } else { "may be" };
        tracing::error!(output = self.output, certain = gap.certain, "events {are} missing: {gap}");
        self.health.note(&format!("events {are} missing: {gap}"));
        self.metrics.lost(gap);
    }
}

#[cfg(test)]
mod tests;
