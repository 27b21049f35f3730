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
//! Some endpoints decide on each event of a request for itself, and some take a request and say later whether it is safe
//! (`acks`): what is not settled is sent again, alone.
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
use crate::body::Size;
use crate::buffers::Buffers;
use crate::config::{self, Mode};
use crate::health::Health;
use crate::metrics::{Outcome, RouteMetrics};
use crate::sink::{EventVerdict, Events, HttpSink, Request, Verdict};

mod acks;
mod asking;
mod backoff;
mod decision;
mod diverted;
mod exchange;
mod gate;
mod packing;
#[cfg(test)]
pub(crate) mod tests;
mod trial;
mod wire;
mod writing;

use acks::Lanes;
use asking::{Asking, Judged, Ruling, Undecided};
use backoff::{Backoff, SHORTEST_WAIT, wait_asked_for};
use decision::{Decision, Pace};
use diverted::Diverted;
pub use exchange::{Certificate, Credentials, Exchange, Line, NoAnswer};
use gate::Gate;
use packing::Packing;
use trial::Trial;
pub use wire::{Sending, Wire};
pub use writing::Writing;

/// A delivery that waits learns at once that another was taken, but does not ask again sooner than this.
const NOTICE_AFTER: Duration = Duration::from_secs(1);
/// Answers in a row that refuse one event each and say nothing of the others, after which these are halved: where many
/// are at fault, that finds those that are not.
const MOST_PICKED: usize = 8;

/// How the batches of an output go their way.
pub enum Transport {
    /// By requests.
    Http(Box<Delivery>),
    /// Into a file, or to standard output.
    Writer(Writing),
}

impl Transport {
    /// Returns when every event of the sealed `batch` is taken or given up.
    pub async fn deliver(&self, batch: &Arc<Batch>) -> Delivered {
        match self {
            Self::Http(delivery) => delivery.deliver(batch).await,
            Self::Writer(writing) => writing.deliver(batch).await,
        }
    }
}

/// Delivers the batches of one output by requests.
pub struct Delivery {
    output: String,
    exchange: Box<dyn Wire>,
    sink: Arc<dyn HttpSink>,
    limits: config::Requests,
    /// Whether an event that the endpoint refuses is never given up (`blocking-strict`).
    strict: bool,
    gate: Gate,
    packing: Packing,
    lanes: Lanes,
    diverted: Diverted,
    metrics: Arc<RouteMetrics>,
    health: Arc<Health>,
}

/// What became of the events of a batch.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Acknowledged events.
    pub events: u64,
    /// Events of acknowledged requests that the endpoint will not have, and nobody can tell which they are.
    pub refused_unnamed: u64,
    /// All events that may be among these, as far as they are to be kept.
    pub uncertain: Vec<Refused>,
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

impl Delivery {
    /// Sends by `exchange`, in the form of `sink`, within the limits of `output`. Bodies that are compressed go into
    /// `buffers`.
    #[must_use]
    pub fn new(
        exchange: Box<dyn Wire>,
        sink: Arc<dyn HttpSink>,
        output: &config::Output,
        metrics: Arc<RouteMetrics>,
        health: Arc<Health>,
        buffers: Buffers,
    ) -> Self {
        Self {
            output: output.name.clone(),
            exchange,
            sink,
            limits: output.requests.clone(),
            strict: output.batch.mode == Mode::BlockingStrict,
            gate: Gate::new(output.max_in_flight.get(), Arc::clone(&metrics)),
            packing: Packing::new(output, buffers),
            lanes: Lanes::default(),
            diverted: Diverted::default(),
            metrics,
            health,
        }
    }

    /// Returns when every event of the sealed `batch` is acknowledged or given up.
    pub async fn deliver(&self, batch: &Arc<Batch>) -> Delivered {
        if batch.events() == 0 {
            Delivered::default()
        } else {
            Trial::new(self, Arc::clone(batch)).run().await
        }
    }

    /// Sends `events` until the endpoint has decided on each of them, or it is clear that it will not in this form.
    async fn send(&self, mut events: Events) -> Decision {
        let mut decision = Decision::default();
        let mut backoff = Backoff::new(&self.limits);
        let mut picked = 0;
        loop {
            match Asking::new(self, &events, &mut backoff).run().await {
                Ruling::Accepted { size, refused_unnamed, uncertain } => {
                    decision.uncertain.extend(uncertain);
                    decision.size += size;
                    decision.taken += (events.len() as u64).saturating_sub(refused_unnamed);
                    decision.refused_unnamed += refused_unnamed;
                    // It was begun after they were named.
                    decision.refused.iter_mut().for_each(|named| named.is_evident |= decision.taken > 0);
                    return decision;
                }
                Ruling::Each { verdicts, status, size } => {
                    let (left, pace) = decision.note(&events, verdicts, status, size);
                    if left.is_empty() {
                        return decision;
                    }
                    let (failed, changed) = (self.health.now(), self.exchange.changed());
                    let fewer = left.len() < events.len();
                    if fewer {
                        events = events.at(left);
                    }
                    let wait = match pace {
                        Pace::AtOnce if fewer => {
                            picked += 1;
                            if picked % MOST_PICKED == 0 && events.len() > 1 {
                                decision.left = Some((events, Undecided::Picked));
                                return decision;
                            }
                            continue;
                        }
                        Pace::Hold => {
                            self.health.misconfigured("the endpoint does not take some of the events");
                            self.limits.max_backoff
                        }
                        Pace::AtOnce | Pace::Backoff if fewer => {
                            backoff = Backoff::new(&self.limits);
                            backoff.next_wait()
                        }
                        Pace::AtOnce | Pace::Backoff => {
                            self.health.unavailable("the endpoint takes none of the events now");
                            backoff.next_wait()
                        }
                    };
                    self.pause(wait, failed, changed).await;
                }
                Ruling::Undecided(why) => {
                    decision.left = Some((events, why));
                    return decision;
                }
            }
        }
    }

    /// The endpoint has taken a request but for so many events, which it does not name.
    fn refused_unnamed(&self, events: u64) {
        let output = &self.output;
        if events == 0 {
            tracing::warn!(output, "the endpoint has taken events with a warning");
        } else {
            tracing::error!(
                output,
                events,
                "the endpoint has refused events of a request and does not say which; those that are kept are in the \
                 file of rejected events"
            );
        }
    }

    /// Whether there are others than these credentials, which were refused. Where they come from may hang.
    async fn are_renewed(&self, credentials: Credentials) -> bool {
        timeout(self.limits.timeout, self.exchange.refused(credentials)).await.unwrap_or(false)
    }

    /// Sends one request, when the gate lets it through, and has the gate and the books learn from the answer.
    async fn try_once(&self, mut request: Request, events: usize) -> Result<Judged, NoAnswer> {
        let pass = self.gate.enter().await;
        let lane = self.lanes.enter();
        request.headers.extend(self.sink.lane(lane));
        let (began, started) = (self.health.now(), Instant::now());
        let result = self.exchange.post(request).await;
        let result = result.map(|(answer, credentials)| Judged {
            verdict: self.sink.verdict(events, &answer),
            answer,
            credentials,
            began,
            lane,
        });
        self.lanes.ended(lane, &result);
        if let Ok(Judged { answer, verdict: Verdict::Accepted | Verdict::Each(_), .. }) = &result {
            self.diverted.note(self.sink.diverted(answer), &self.output, &self.metrics);
        }
        let outcome = match &result {
            Ok(judged) => match &judged.verdict {
                Verdict::Accepted | Verdict::AcceptedBut { .. } => {
                    pass.accepted();
                    self.health.accepted(began);
                    Outcome::Accepted
                }
                Verdict::Each(verdicts) => {
                    let outcome = outcome_of_each(verdicts);
                    if outcome == Outcome::Accepted {
                        self.health.accepted(began);
                    }
                    match outcome {
                        Outcome::Accepted if !verdicts.contains(&EventVerdict::Retry) => pass.accepted(),
                        Outcome::Accepted | Outcome::Retry => pass.too_much(),
                        _ => {}
                    }
                    outcome
                }
                // It is settled later, if it is.
                Verdict::Poll { .. } => {
                    pass.accepted();
                    Outcome::Accepted
                }
                Verdict::Hold { .. } => Outcome::Hold,
                Verdict::Refused { .. } => Outcome::Refused,
                Verdict::Again => Outcome::Retry,
                Verdict::Retry { after } => {
                    // 403 is how SLS says that a quota is used up; anybody else's is no reason to retry.
                    if matches!(judged.answer.status, 403 | 429 | 503) {
                        pass.too_much();
                    }
                    if let Some(wait) = wait_asked_for(*after) {
                        self.gate.close_for(wait);
                    }
                    Outcome::Retry
                }
            },
            Err(_) => Outcome::Retry,
        };
        self.metrics.request(outcome, started.elapsed());
        result
    }

    /// Waits after a failure; not to the end if another request that began after it was accepted, or if somebody has
    /// `changed` something, which it tells. Who was told of the failure may have done so before we come to wait.
    async fn pause(&self, wait: Duration, failed: u64, changed: Sending<'_, ()>) -> bool {
        let wait = wait.max(SHORTEST_WAIT);
        let recovered = async {
            sleep(wait.min(NOTICE_AFTER)).await;
            self.health.accepted_after(failed).await;
        };
        tokio::select! {
            () = sleep(wait) => false,
            () = recovered => false,
            () = not_at_once(changed) => true,
        }
    }
}

/// Returns when something was changed that may be the cause of a failure; never at once, whatever changes.
async fn not_at_once(changed: Sending<'_, ()>) {
    tokio::join!(sleep(SHORTEST_WAIT), changed);
}

/// How a request went of which each event has its own verdict.
fn outcome_of_each(verdicts: &[EventVerdict]) -> Outcome {
    let any = |is_it: fn(&EventVerdict) -> bool| verdicts.iter().any(is_it);
    match () {
        () if any(|verdict| *verdict == EventVerdict::Accepted) => Outcome::Accepted,
        () if any(|verdict| *verdict == EventVerdict::Hold) => Outcome::Hold,
        () if any(|verdict| *verdict == EventVerdict::Retry) => Outcome::Retry,
        () => Outcome::Refused,
    }
}

/// An answer for our log and `/readyz`: not its body, which may repeat what was sent to the endpoint, events and
/// credentials alike (invariant I11). The file of rejected events has that.
fn describe(status: u16) -> String {
    format!("status {status}")
}
