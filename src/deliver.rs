//! From a batch to its end: every event of it is acknowledged by the endpoint, or known to be refused for its own sake.
//!
//! Requests are sent until the endpoint decides; there is no last try. What it refuses is halved until single events
//! are left. A refused event is a *suspect*: it is at fault only if the endpoint takes others. That *evidence* is an
//! acknowledged request that was begun after the batch met its first refusal; then the suspect is sent once more, and
//! is given up if it is refused again. Without evidence nothing is given up but, between two acknowledged requests, one
//! single event: so an endpoint that refuses everything cannot empty the log into the file of rejected events, and ten
//! poisoned events in a row do not stop the route.
//!
//! Nothing here knows of shutdown: to cancel is to drop the future.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use crate::batch::{Batch, Reason};
use crate::body::Body;
use crate::config;
use crate::health::Health;
use crate::metrics::{Outcome, RouteMetrics};
use crate::sink::{Answer, HttpSink, Verdict};
use crate::truncate;

mod backoff;
mod exchange;

use backoff::{Backoff, SHORTEST_WAIT};
pub use exchange::{Credentials, Exchange, NoAnswer};

/// Refusals in a row, of pieces of one batch, after which it waits for evidence instead of asking on.
const PATIENCE: usize = 24;
/// Refusals in a row after which older evidence says nothing about the endpoint as it is now.
const STALE_AFTER: usize = 64;

/// Delivers the batches of one output.
pub struct Delivery {
    /// Sends one request.
    pub exchange: Exchange,
    /// Encodes it and reads the answer.
    pub sink: Box<dyn HttpSink>,
    /// Backoff and timeout.
    pub limits: config::Webhook,
    /// Whether an event that the endpoint refuses is never given up (`blocking-strict`).
    pub strict: bool,
    /// Where requests are counted.
    pub metrics: Arc<RouteMetrics>,
    /// Where trouble is told.
    pub health: Arc<Health>,
}

/// What became of the events of a batch.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Acknowledged events.
    pub events: u64,
    /// Bytes of the acknowledged bodies.
    pub bytes: u64,
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
    Accepted { bytes: u64 },
    Refused { too_large: bool, answer: Answer },
}

/// The delivery of one batch.
struct Trial<'a> {
    delivery: &'a Delivery,
    batch: &'a Batch,
    delivered: Delivered,
    /// The moment of the first refusal: only what was begun later is evidence.
    refused_at: Option<u64>,
    refusals_in_a_row: usize,
    suspects: VecDeque<Suspect>,
}

struct Suspect {
    refused: Refused,
    /// A shorter form of the event, if it was refused for its size.
    cut: Option<Bytes>,
}

impl Delivery {
    /// Returns when every event of `batch` is acknowledged or given up.
    pub async fn deliver(&self, batch: &Batch) -> Delivered {
        let mut trial = Trial {
            delivery: self,
            batch,
            delivered: Delivered::default(),
            refused_at: None,
            refusals_in_a_row: 0,
            suspects: VecDeque::new(),
        };
        trial.send_all().await;
        while let Some(suspect) = trial.suspects.pop_front() {
            trial.judge(suspect).await;
        }
        trial.delivered
    }

    /// Sends `body` until the endpoint has decided on it.
    async fn send(&self, body: Body) -> Decision {
        let bytes = body.len();
        let mut backoff = Backoff::new(&self.limits);
        loop {
            let began = self.health.now();
            let wait = match self.exchange_once(body.clone()).await {
                Err(NoAnswer { reason, .. }) => {
                    self.health.unavailable(&reason);
                    backoff.next_wait()
                }
                Ok((answer, credentials, verdict)) => match verdict {
                    Verdict::Accepted => {
                        self.health.accepted(began);
                        return Decision::Accepted { bytes };
                    }
                    Verdict::Refused { too_large } => return Decision::Refused { too_large, answer },
                    Verdict::Retry { after } => {
                        self.health.unavailable(&describe(answer.status));
                        backoff.wait_asked_for(after)
                    }
                    Verdict::Hold { reread_credentials } => {
                        if reread_credentials {
                            self.exchange.refused(credentials).await;
                        }
                        self.health
                            .misconfigured(&format!("the endpoint answers {}", describe(answer.status)));
                        self.limits.max_backoff
                    }
                },
            };
            sleep(wait.max(SHORTEST_WAIT)).await;
        }
    }

    async fn exchange_once(&self, body: Body) -> Result<(Answer, Credentials, Verdict), NoAnswer> {
        let began = Instant::now();
        let result = self.exchange.post(body).await;
        let judged = result.map(|(answer, credentials)| {
            let verdict = self.sink.verdict(&answer);
            (answer, credentials, verdict)
        });
        let outcome = match &judged {
            Ok((.., Verdict::Accepted)) => Outcome::Accepted,
            Ok((.., Verdict::Hold { .. })) => Outcome::Hold,
            Ok((.., Verdict::Refused { .. })) => Outcome::Refused,
            Ok((.., Verdict::Retry { .. })) | Err(_) => Outcome::Retry,
        };
        self.metrics.request(outcome, began.elapsed());
        judged
    }
}

impl Trial<'_> {
    /// Sends the whole batch, halving what is refused, until only suspects are left.
    async fn send_all(&mut self) {
        let all = 0..self.batch.events();
        let mut pieces: VecDeque<Range<usize>> = if all.is_empty() { VecDeque::new() } else { [all].into() };
        // In doubt the largest untried piece goes first: it is the quickest way to evidence.
        while let Some(piece) = if self.in_doubt() { pieces.pop_back() } else { pieces.pop_front() } {
            let body = self.body(self.batch.items(piece.clone()));
            match self.delivery.send(body).await {
                Decision::Accepted { bytes } => self.accepted(piece.len() as u64, bytes),
                Decision::Refused { too_large, answer } if piece.len() == 1 => {
                    self.refused();
                    self.suspect(piece.start, too_large, answer).await;
                }
                Decision::Refused { .. } => {
                    let in_doubt = self.in_doubt();
                    self.refused();
                    let middle = piece.start + piece.len() / 2;
                    let (first, second) = (piece.start..middle, middle..piece.end);
                    if in_doubt {
                        pieces.extend([first, second]);
                    } else {
                        pieces.push_front(second);
                        pieces.push_front(first);
                    }
                }
            }
            if self.in_doubt() && self.refusals_in_a_row >= PATIENCE {
                self.wait_for_evidence().await;
            }
        }
    }

    fn body(&self, items: Vec<Bytes>) -> Body {
        self.delivery.sink.body(self.batch.version(), items)
    }

    /// Refusals so far, and nothing to compare them with.
    fn in_doubt(&self) -> bool {
        !self.suspects.is_empty() && !self.has_evidence()
    }

    fn has_evidence(&self) -> bool {
        self.refused_at.is_some_and(|moment| self.delivery.health.newest_accepted() > moment)
    }

    fn accepted(&mut self, events: u64, bytes: u64) {
        self.refusals_in_a_row = 0;
        self.delivered.events += events;
        self.delivered.bytes += bytes;
    }

    fn refused(&mut self) {
        self.refusals_in_a_row += 1;
        if self.refused_at.is_none() || self.refusals_in_a_row.is_multiple_of(STALE_AFTER) {
            self.refused_at = Some(self.delivery.health.now());
        }
    }

    /// A single event was refused. One that is too large is cut and tried again at once.
    async fn suspect(&mut self, index: usize, too_large: bool, answer: Answer) {
        let mut suspect = Suspect {
            refused: Refused {
                index,
                reason: if too_large { Reason::TooLarge } else { Reason::Rejected },
                answer: (answer.status, answer.excerpt),
            },
            cut: None,
        };
        if too_large {
            let line = self.batch.line(index);
            suspect.cut = truncate::fit(&line, self.batch.level(index), line.len() / 2).map(Bytes::from);
            if suspect.cut.is_some() && self.send_again(&mut suspect).await {
                return;
            }
        }
        if self.has_evidence() && !self.delivery.strict {
            self.delivered.refused.push(suspect.refused);
        } else {
            self.suspects.push_back(suspect);
        }
    }

    /// Sends a suspect once more; true if it was taken.
    async fn send_again(&mut self, suspect: &mut Suspect) -> bool {
        let items = match &suspect.cut {
            Some(cut) => self.batch.items_of_line(cut),
            None => self.batch.items(suspect.refused.index..suspect.refused.index + 1),
        };
        let body = self.body(items);
        match self.delivery.send(body).await {
            Decision::Accepted { bytes } => {
                if suspect.cut.is_some() {
                    self.delivery.metrics.truncated(1);
                }
                self.accepted(1, bytes);
                true
            }
            Decision::Refused { answer, .. } => {
                self.refused();
                suspect.refused.answer = (answer.status, answer.excerpt);
                false
            }
        }
    }

    /// Returns when the endpoint has taken the suspect, or it is clear that the suspect is at fault.
    async fn judge(&mut self, mut suspect: Suspect) {
        let strict = self.delivery.strict;
        let alone = self.suspects.is_empty() && self.refusals_in_a_row < PATIENCE;
        if !strict && alone && !self.has_evidence() && self.delivery.health.take_credit() {
            self.delivered.refused.push(suspect.refused);
            return;
        }
        loop {
            if !self.has_evidence() || strict {
                self.say_refusing(&suspect.refused);
                self.wait_for_evidence().await;
            }
            let had_evidence = self.has_evidence();
            if self.send_again(&mut suspect).await {
                return;
            }
            if had_evidence && !strict {
                self.delivered.refused.push(suspect.refused);
                return;
            }
        }
    }

    fn say_refusing(&self, refused: &Refused) {
        let what = if self.delivery.strict { "refuses an event" } else { "refuses every event" };
        self.delivery.health.misconfigured(&format!("the endpoint {what}: {}", describe(refused.answer.0)));
    }

    /// Returns when another batch was taken, or when it is time to try again.
    async fn wait_for_evidence(&mut self) {
        if let Some(suspect) = self.suspects.front() {
            self.say_refusing(&suspect.refused);
        }
        let health = &self.delivery.health;
        let _doubt = (!self.delivery.strict).then(|| health.doubt());
        let moment = self.refused_at.filter(|_| !self.delivery.strict).unwrap_or(u64::MAX);
        let wait = self.delivery.limits.max_backoff.max(SHORTEST_WAIT);
        let _ = timeout(wait, health.accepted_after(moment)).await;
    }
}

/// An answer for our log and `/readyz`: not its body, which may repeat what was sent to the endpoint, events and
/// credentials alike (invariant I11). The file of rejected events has that.
fn describe(status: u16) -> String {
    format!("status {status}")
}
