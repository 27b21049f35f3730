//! How an output is doing: what `/readyz` says, what is logged of an endpoint, and the evidence that decides whether an
//! event or the endpoint is at fault.

mod counted;
mod glimpse;
mod notes;
mod pulse;
mod standing;
mod trouble;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::metrics::RouteMetrics;
pub use counted::Counted;
pub use glimpse::Glimpse;
pub use notes::{Note, Notes};
use pulse::Pulse;
pub use standing::{Course, Hindrance, Standing};
use trouble::{Beginnings, Kind, News, Trouble};

/// The state of one output, shared by its deliveries and the admin server.
#[derive(Debug)]
pub struct Health {
    output: String,
    ready_after: Duration,
    metrics: Arc<RouteMetrics>,
    state: Mutex<State>,
    /// Moments are numbered, since only their order counts.
    clock: AtomicU64,
    newest_accepted: watch::Sender<u64>,
    in_doubt: watch::Sender<usize>,
    waiting_for_acks: watch::Sender<usize>,
    pulse: Pulse,
    glimpse: Mutex<Glimpse>,
}

#[derive(Debug, Default)]
struct State {
    trouble: Option<Trouble>,
    beginnings: Beginnings,
    /// Why lines cannot be set aside, which holds up what comes after them.
    cannot_set_aside: Option<String>,
    /// Since when something has been unsettled, in memory or in the log, without any of it being settled.
    waiting_since: Option<Instant>,
    in_memory: bool,
    unread: bool,
    /// Why the log cannot be read.
    cannot_read: Option<String>,
    stopping: bool,
    notes: Notes,
    course: Option<Arc<Course>>,
    /// When an event was last set aside without evidence.
    credit_taken_at: Option<u64>,
}

impl Health {
    /// An output without trouble.
    #[must_use]
    pub fn new(output: &str, ready_after: Duration, metrics: Arc<RouteMetrics>) -> Self {
        Self {
            output: output.to_owned(),
            ready_after,
            metrics,
            state: Mutex::default(),
            clock: AtomicU64::new(0),
            newest_accepted: watch::Sender::new(0),
            in_doubt: watch::Sender::new(0),
            waiting_for_acks: watch::Sender::new(0),
            pulse: Pulse::default(),
            glimpse: Mutex::default(),
        }
    }

    /// A moment later than all that were told before.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The endpoint has acknowledged a request that was begun at this moment.
    pub fn accepted(&self, began: u64) {
        self.newest_accepted.send_modify(|newest| *newest = began.max(*newest));
        let Some(trouble) = self.end_trouble() else { return };
        if trouble.was_told() {
            let (lag_bytes, lag_seconds) = self.metrics.lag();
            tracing::warn!(
                output = self.output,
                after_seconds = trouble.since.elapsed().as_secs(),
                tries = trouble.tries,
                lag_bytes,
                lag_seconds = lag_seconds.round(),
                "the endpoint takes events again"
            );
        }
    }

    fn end_trouble(&self) -> Option<Trouble> {
        let mut state = self.lock();
        let trouble = state.trouble.take()?;
        // Not later, here and where it begins: another delivery's word in between would stand for ever.
        self.metrics.misconfigured(false);
        Some(trouble)
    }

    /// The endpoint cannot take anything now.
    pub fn unavailable(&self, reason: &str) {
        self.failed(Kind::Unavailable, reason);
    }

    /// The endpoint refuses what has nothing to do with single events.
    pub fn misconfigured(&self, reason: &str) {
        self.failed(Kind::Misconfigured, reason);
    }

    fn failed(&self, kind: Kind, reason: &str) {
        let mut state = self.lock();
        let State { trouble, beginnings, notes, .. } = &mut *state;
        notes.add(reason);
        if kind == Kind::Misconfigured {
            self.metrics.misconfigured(true);
        }
        let trouble = trouble.get_or_insert_with(|| Trouble::new(kind));
        let news = trouble.failed(kind, reason, beginnings);
        let (kind, tries, seconds) = (trouble.kind, trouble.tries, trouble.since.elapsed().as_secs());
        drop(state);
        let output = &self.output;
        match (news, kind) {
            (Some(News::Begins), Kind::Unavailable) => tracing::warn!(
                output,
                reason,
                "the endpoint does not answer as it should; trying again until it does"
            ),
            (Some(News::Begins), Kind::Misconfigured) => {
                tracing::error!(
                    output,
                    reason,
                    "the endpoint needs attention; nothing is lost, the log waits"
                );
            }
            (Some(News::Lasts), Kind::Unavailable) => {
                tracing::warn!(
                    output,
                    reason,
                    tries,
                    seconds,
                    "the endpoint still does not answer as it should"
                );
            }
            (Some(News::Lasts), Kind::Misconfigured) => {
                tracing::error!(output, reason, tries, seconds, "the endpoint still needs attention");
            }
            (None, _) => tracing::debug!(output, reason, tries, "a try has failed"),
        }
    }

    /// The file of rejected events does not take a line; `None` once it does again.
    pub fn set_aside_blocked(&self, reason: Option<String>) {
        let before = std::mem::replace(&mut self.lock().cannot_set_aside, reason.clone());
        match (before, reason) {
            (None, Some(reason)) => {
                self.note(&reason);
                tracing::error!(
                    output = self.output,
                    reason,
                    "lines cannot be set aside; nothing is lost, the log waits"
                );
            }
            (Some(_), None) => tracing::warn!(output = self.output, "lines can be set aside again"),
            _ => {}
        }
    }

    /// When the newest of the acknowledged requests was begun; 0 if there is none.
    #[must_use]
    pub fn newest_accepted(&self) -> u64 {
        *self.newest_accepted.borrow()
    }

    /// Returns once a request was acknowledged that was begun after this moment.
    pub async fn accepted_after(&self, moment: u64) {
        // The sender lives as long as `self`.
        let _ = self.newest_accepted.subscribe().wait_for(|newest| *newest > moment).await;
    }

    /// One event may be set aside without a look at whether others are taken; the next only after a request was
    /// acknowledged that was begun later.
    #[must_use]
    pub fn take_credit(&self) -> bool {
        let mut state = self.lock();
        let free = state.credit_taken_at.is_none_or(|moment| self.newest_accepted() > moment);
        if free {
            state.credit_taken_at = Some(self.now());
        }
        free
    }

    /// Something was settled; `waiting` tells whether there is more in memory.
    pub fn progressed(&self, waiting: bool) {
        let mut state = self.lock();
        state.in_memory = waiting;
        state.waiting_since = (waiting || state.unread).then(Instant::now);
        self.metrics.waiting_since(state.waiting_since);
    }

    /// Something was read.
    pub fn began_to_wait(&self) {
        let mut state = self.lock();
        state.in_memory = true;
        state.waiting_since.get_or_insert_with(Instant::now);
        self.metrics.waiting_since(state.waiting_since);
    }

    /// How much there is in the log behind what was read, if that is known; why it cannot be read, if it cannot.
    pub fn behind(&self, unread_bytes: Option<u64>, cannot_read: Option<String>) {
        let mut state = self.lock();
        // What can be neither read nor measured may have grown.
        state.unread = unread_bytes.map_or(state.unread || cannot_read.is_some(), |bytes| bytes > 0);
        self.metrics.log_unreadable(cannot_read.is_some());
        if let Some(reason) = cannot_read.as_ref().filter(|reason| state.cannot_read.as_ref() != Some(reason))
        {
            state.notes.add(reason);
        }
        state.cannot_read = cannot_read;
        if state.unread {
            state.waiting_since.get_or_insert_with(Instant::now);
        } else if !state.in_memory {
            state.waiting_since = None;
        }
        self.metrics.waiting_since(state.waiting_since);
    }

    /// Its name.
    #[must_use]
    pub fn output(&self) -> &str {
        &self.output
    }

    /// What keeps events from getting through now, if anything does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let state = self.lock();
        let reasons =
            [state.cannot_set_aside.as_ref(), state.trouble.as_ref().map(|trouble| &trouble.reason)];
        reasons.into_iter().flatten().chain(&state.cannot_read).next().cloned()
    }

    /// The books of the output.
    #[must_use]
    pub fn metrics(&self) -> &Arc<RouteMetrics> {
        &self.metrics
    }

    /// The life of its loop.
    #[must_use]
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// What hangs, if anything does: a reason to be restarted.
    #[must_use]
    pub fn stalled(&self) -> Option<String> {
        self.pulse.stalled().map(|reason| format!("{}: {reason}", self.output))
    }

    /// The daemon is about to stop.
    pub fn stopping(&self) {
        self.lock().stopping = true;
    }

    /// Why the output is not ready, if it is not.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        let state = self.lock();
        let output = &self.output;
        if state.stopping {
            return Some(format!("{output}: stopping"));
        }
        if let Some(reason) = &state.cannot_set_aside {
            return Some(format!("{output}: {reason}"));
        }
        let stuck = state.waiting_since.filter(|since| since.elapsed() > self.ready_after);
        match (&state.trouble, stuck) {
            (Some(Trouble { kind: Kind::Misconfigured, reason, .. }), _) => {
                Some(format!("{output}: {reason}"))
            }
            (Some(trouble), Some(since)) => Some(format!(
                "{output}: nothing was acknowledged for {} s: {}",
                since.elapsed().as_secs(),
                trouble.reason
            )),
            (None, Some(since)) => {
                let why = state.cannot_read.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                Some(format!("{output}: nothing was acknowledged for {} s{why}", since.elapsed().as_secs()))
            }
            (_, None) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
