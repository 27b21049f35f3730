//! From a batch to its end: every event of it is acknowledged by the endpoint, or known to be refused for its own sake.
//!
//! Requests are sent until the endpoint decides; there is no last try. What it refuses is halved until single events
//! are left. A refused event is a *suspect*: it is at fault only if the endpoint takes others. That *evidence* is an
//! acknowledged request that was begun after the batch met its first refusal; then the suspect is sent once more, and
//! is given up if it is refused again. Without evidence nothing is given up but, between two acknowledged requests, one
//! single event: so an endpoint that refuses everything cannot empty the log into the file of rejected events, and ten
//! poisoned events in a row do not stop the route.
//!
//! What times out again and again is halved too, since an endpoint that needs longer than the timeout for a whole batch
//! would never get to the end of it. That says nothing about any event, so nothing is suspected or given up for it.
//!
//! A body that is to be compressed is so before its first try. An endpoint that does not understand that gets it as it is.
//!
//! Every request goes through the gate of its output, which is open to no more of them at a time than the endpoint
//! bears. The gate is held while a request is under way, never while a delivery waits.
//!
//! Nothing here knows of shutdown: to cancel is to drop the future.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::batch::{Batch, Reason};
use crate::body::{Body, Size};
use crate::buffers::Buffers;
use crate::config::{self, Mode};
use crate::health::Health;
use crate::metrics::{Outcome, RouteMetrics};
use crate::sink::{Answer, HttpSink, Verdict};

mod backoff;
mod exchange;
mod gate;
mod packing;
#[cfg(test)]
pub(crate) mod tests;
mod trial;
mod wire;

use backoff::{Backoff, SHORTEST_WAIT, wait_asked_for};
pub use exchange::{Credentials, Exchange, NoAnswer};
use gate::Gate;
use packing::{Packing, may_be_about_coding};
use trial::Trial;
pub use wire::{Sending, Wire};

/// A delivery that waits learns at once that another was taken, but does not ask again sooner than this.
const NOTICE_AFTER: Duration = Duration::from_secs(1);
/// Timeouts in a row after which a request is tried in two halves.
const TIMEOUTS: u32 = 3;

/// Delivers the batches of one output.
pub struct Delivery {
    exchange: Box<dyn Wire>,
    sink: Box<dyn HttpSink>,
    limits: config::Webhook,
    /// Whether an event that the endpoint refuses is never given up (`blocking-strict`).
    strict: bool,
    gate: Gate,
    packing: Packing,
    metrics: Arc<RouteMetrics>,
    health: Arc<Health>,
}

/// What became of the events of a batch.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Acknowledged events.
    pub events: u64,
    /// How large the acknowledged bodies are.
    pub size: Size,
    /// Events that are given up, by their place in the batch.
    pub refused: Vec<Refused>,
}

/// An event that the endpoint will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the batch.
    pub index: usize,
    /// `Rejected` or `TooLarge`.
    pub reason: Reason,
    /// Status and excerpt of the last answer.
    pub answer: (u16, String),
}

/// How the endpoint decided on one request.
enum Decision {
    Accepted {
        size: Size,
    },
    Refused {
        too_large: bool,
        answer: Answer,
    },
    /// It did not: time after time it took too long.
    TooSlow,
}

/// An answer, what it means, and the credentials that it is for.
type Judged = (Answer, Verdict, Credentials);

impl Delivery {
    /// Sends by `exchange`, in the form of `sink`, within the limits of `output`. Bodies that are compressed go into
    /// `buffers`.
    #[must_use]
    pub fn new(
        exchange: Box<dyn Wire>,
        sink: Box<dyn HttpSink>,
        output: &config::Output,
        metrics: Arc<RouteMetrics>,
        health: Arc<Health>,
        buffers: Buffers,
    ) -> Self {
        Self {
            exchange,
            sink,
            limits: output.webhook.clone(),
            strict: output.batch.mode == Mode::BlockingStrict,
            gate: Gate::new(output.max_in_flight.get(), Arc::clone(&metrics)),
            packing: Packing::new(output, buffers),
            metrics,
            health,
        }
    }

    /// Returns when every event of `batch` is acknowledged or given up.
    pub async fn deliver(&self, batch: &Batch) -> Delivered {
        Trial::new(self, batch).run().await
    }

    /// Sends `plain` until the endpoint has decided on it; one with several events only until it is clear that they take
    /// too long together. What is compressed is so once: each try sends the same bytes.
    async fn send(&self, plain: Body, several: bool) -> Decision {
        let packed = self.packing.pack(&plain).await;
        let mut body = packed.clone();
        let mut backoff = Backoff::new(&self.limits);
        let (mut timeouts, mut at_once) = (0, false);
        loop {
            let result = self.try_once(body.clone()).await;
            let failed = self.health.now();
            let timed_out = result.as_ref().is_err_and(|error| error.timed_out);
            timeouts = if timed_out { timeouts + 1 } else { 0 };
            let wait = match result {
                Err(NoAnswer { reason, .. }) => {
                    self.health.unavailable(&reason);
                    backoff.next_wait()
                }
                Ok((answer, verdict, credentials)) => match verdict {
                    Verdict::Accepted => {
                        if body.coding() != packed.coding() {
                            self.packing.is_not_understood(&packed);
                        }
                        let size = Size { body_bytes: plain.len(), sent_bytes: body.len() };
                        return Decision::Accepted { size };
                    }
                    Verdict::Refused { too_large } => return Decision::Refused { too_large, answer },
                    Verdict::Retry { after } => {
                        self.health.unavailable(&describe(answer.status));
                        let own = backoff.next_wait();
                        // The gate is closed for as long as the endpoint asks for.
                        if wait_asked_for(after).is_some() { Duration::ZERO } else { own }
                    }
                    Verdict::Hold { .. } if may_be_about_coding(&body, &answer) => {
                        body = plain.clone();
                        continue;
                    }
                    Verdict::Hold { reread_credentials } => {
                        body = packed.clone();
                        at_once = reread_credentials && !at_once && self.are_renewed(credentials).await;
                        if at_once {
                            continue;
                        }
                        let reason = format!("the endpoint answers {}", describe(answer.status));
                        self.health.misconfigured(&reason);
                        self.limits.max_backoff
                    }
                },
            };
            // Whoever changed something has read the credentials just now: if these are refused too, that is no reason
            // to read again, or two deliveries would wake each other for ever.
            at_once = self.pause(wait, failed).await;
            if several && timeouts == TIMEOUTS {
                return Decision::TooSlow;
            }
        }
    }

    /// Whether there are others than these credentials, which were refused. Where they come from may hang.
    async fn are_renewed(&self, credentials: Credentials) -> bool {
        timeout(self.limits.timeout, self.exchange.refused(credentials)).await.unwrap_or(false)
    }

    /// Sends one request, when the gate lets it through, and has the gate and the books learn from the answer.
    async fn try_once(&self, body: Body) -> Result<Judged, NoAnswer> {
        let pass = self.gate.enter().await;
        let (began, started) = (self.health.now(), Instant::now());
        let result = self.exchange.post(body).await;
        let result = result.map(|(answer, credentials)| {
            let verdict = self.sink.verdict(&answer);
            (answer, verdict, credentials)
        });
        let outcome = match &result {
            Ok((_, Verdict::Accepted, _)) => {
                pass.accepted();
                self.health.accepted(began);
                Outcome::Accepted
            }
            Ok((_, Verdict::Hold { .. }, _)) => Outcome::Hold,
            Ok((_, Verdict::Refused { .. }, _)) => Outcome::Refused,
            Ok((answer, Verdict::Retry { after }, _)) => {
                if matches!(answer.status, 429 | 503) {
                    pass.too_much();
                }
                if let Some(wait) = wait_asked_for(*after) {
                    self.gate.close_for(wait);
                }
                Outcome::Retry
            }
            Err(_) => Outcome::Retry,
        };
        self.metrics.request(outcome, started.elapsed());
        result
    }

    /// Waits after a failure; not to the end if another request that began after it was accepted, or if somebody has
    /// changed something, which it tells.
    async fn pause(&self, wait: Duration, failed: u64) -> bool {
        let wait = wait.max(SHORTEST_WAIT);
        let recovered = async {
            sleep(wait.min(NOTICE_AFTER)).await;
            self.health.accepted_after(failed).await;
        };
        tokio::select! {
            () = sleep(wait) => false,
            () = recovered => false,
            () = self.changed() => true,
        }
    }

    /// Returns when something was changed that may be the cause of a failure; never at once, whatever changes.
    async fn changed(&self) {
        tokio::join!(sleep(SHORTEST_WAIT), self.exchange.changed());
    }
}

/// An answer for our log and `/readyz`: not its body, which may repeat what was sent to the endpoint, events and
/// credentials alike (invariant I11). The file of rejected events has that.
fn describe(status: u16) -> String {
    format!("status {status}")
}
