//! One request, sent until the endpoint says something of its events.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::backoff::{Backoff, wait_asked_for};
use super::packing::may_be_about_coding;
use super::{Credentials, Delivery, NoAnswer, Refused, describe};
use crate::batch::Reason;
use crate::body::{Body, Size};
use crate::sink::{Answer, EventVerdict, Events, Request, Verdict};

/// Such answers in a row after which a request is tried in two halves.
const MOST_TOO_MUCH: u32 = 3;

/// An answer, what it means, and the credentials that it is for.
pub(super) struct Judged {
    pub(super) answer: Answer,
    pub(super) verdict: Verdict,
    pub(super) credentials: Credentials,
    /// The moment when the request began, by the output's own count.
    pub(super) began: u64,
    /// See `acks`.
    pub(super) lane: u64,
}

/// What the endpoint says of the events of a request.
pub(super) enum Ruling {
    Accepted { size: Size, refused_unnamed: u64, uncertain: Vec<Refused> },
    Each { verdicts: Vec<EventVerdict>, status: u16, size: Size },
    Undecided(Undecided),
}

/// Why events are not sent again as they were.
pub(super) enum Undecided {
    Refused {
        too_large: bool,
        answer: (u16, String),
    },
    /// They are more than a request may hold.
    TooMuch,
    /// Time after time there was no answer, which fewer events may get.
    TooSlow,
    /// One after the other is refused by name, and nothing is said of the rest.
    Picked,
}

/// A request as it is sent, and what it is made of.
struct Letter {
    /// Its body may be compressed.
    request: Request,
    packed: Body,
    /// What the body was before it was compressed. That itself is made anew if it is wanted: it may be a copy of the
    /// events, and these are in memory already.
    plain_bytes: u64,
    made_at: Instant,
}

/// The tries of one request.
pub(super) struct Asking<'a> {
    delivery: &'a Delivery,
    events: &'a Events,
    backoff: &'a mut Backoff,
    /// Answers in a row that took too long to come, or were too long.
    too_much: u32,
    /// Whether the last try came at once after something had changed.
    at_once: bool,
    /// Whether the last answer was of something that is right by now.
    was_righted: bool,
}

impl<'a> Asking<'a> {
    pub(super) fn new(delivery: &'a Delivery, events: &'a Events, backoff: &'a mut Backoff) -> Self {
        Self { delivery, events, backoff, too_much: 0, at_once: false, was_righted: false }
    }

    /// Sends until the endpoint has decided; several events only until it is clear that they take too long together. What
    /// is compressed is so once: each try sends the same bytes.
    pub(super) async fn run(mut self) -> Ruling {
        let (delivery, several) = (self.delivery, self.events.len() > 1);
        let Some(mut letter) = self.write().await else { return Ruling::Undecided(Undecided::TooMuch) };
        loop {
            let good_for = delivery.sink.good_for();
            if good_for.is_some_and(|good_for| letter.made_at.elapsed() > good_for) {
                self.write_anew(&mut letter).await;
            }
            let result = delivery.try_once(letter.request.clone(), self.events.len()).await;
            let (failed, changed) = (delivery.health.now(), delivery.exchange.changed());
            let too_much = result.as_ref().is_err_and(|error| error.timed_out || error.too_long);
            self.too_much = if too_much { self.too_much + 1 } else { 0 };
            let wait = match self.heed(result, &mut letter).await {
                ControlFlow::Break(ruling) => return ruling,
                ControlFlow::Continue(None) => continue,
                ControlFlow::Continue(Some(wait)) => wait,
            };
            // Whoever changed something has read the credentials just now: if these are refused too, that is no reason
            // to read again, or two deliveries would wake each other for ever.
            self.at_once = delivery.pause(wait, failed, changed).await;
            if several && self.too_much == MOST_TOO_MUCH {
                return Ruling::Undecided(Undecided::TooSlow);
            }
        }
    }

    /// Encodes and compresses the events; `None` if they are several, and more than a request may hold.
    async fn write(&self) -> Option<Letter> {
        let delivery = self.delivery;
        let _turn = delivery.packing.turn().await;
        let request = self.encode().await;
        let plain_bytes = request.body.unpacked_len();
        if self.events.len() > 1 && plain_bytes > delivery.sink.limits().body_bytes {
            return None;
        }
        let packed = delivery.packing.pack(&request.body).await;
        let request = Request { body: packed.clone(), ..request };
        Some(Letter { request, packed, plain_bytes, made_at: Instant::now() })
    }

    /// The same for another try; the events are no more than they were.
    async fn write_anew(&self, letter: &mut Letter) {
        if let Some(newer) = self.write().await {
            *letter = newer;
        }
    }

    async fn encode(&self) -> Request {
        let sink = &self.delivery.sink;
        let now = SystemTime::now();
        if sink.is_cheap() {
            return sink.request(self.events, now);
        }
        let (worker, events) = (std::sync::Arc::clone(sink), self.events.clone());
        match spawn_blocking(move || worker.request(&events, now)).await {
            Ok(request) => request,
            // The runtime shuts down, or the sink has a bug that comes up again here.
            Err(_) => sink.request(self.events, now),
        }
    }

    /// What follows from the result of a try: a ruling, the next try at once, or after a wait.
    async fn heed(
        &mut self,
        result: Result<Judged, NoAnswer>,
        letter: &mut Letter,
    ) -> ControlFlow<Ruling, Option<Duration>> {
        let health = &self.delivery.health;
        let judged = match result {
            Ok(judged) => judged,
            Err(NoAnswer { reason, .. }) => {
                health.unavailable(&reason);
                return ControlFlow::Continue(Some(self.backoff.next_wait()));
            }
        };
        let Judged { answer, verdict, credentials, began, lane } = judged;
        let was_righted = std::mem::take(&mut self.was_righted);
        let wait = match verdict {
            Verdict::Accepted => return ControlFlow::Break(self.accepted(letter, 0, Vec::new())),
            Verdict::AcceptedBut { refused, keep, reason } => {
                self.delivery.refused_unnamed(refused);
                let uncertain = if keep && refused > 0 {
                    self.uncertain(answer.status, refused, &reason)
                } else {
                    Vec::new()
                };
                let refused = refused.min(self.events.len() as u64);
                return ControlFlow::Break(self.accepted(letter, refused, uncertain));
            }
            Verdict::Each(verdicts) if verdicts.len() == self.events.len() => {
                let (status, size) = (answer.status, letter.size());
                return ControlFlow::Break(Ruling::Each { verdicts, status, size });
            }
            Verdict::Each(_) => {
                health.unavailable("the endpoint does not answer for each of the events");
                self.backoff.next_wait()
            }
            Verdict::Poll { ticket } => {
                if self.delivery.is_settled(lane, ticket, &answer).await {
                    health.accepted(began);
                    return ControlFlow::Break(self.accepted(letter, 0, Vec::new()));
                }
                health.unavailable("the endpoint does not say that what it took is safe; sending it again");
                self.backoff.next_wait()
            }
            Verdict::Refused { too_large } => {
                let answer = (answer.status, answer.excerpt());
                return ControlFlow::Break(Ruling::Undecided(Undecided::Refused { too_large, answer }));
            }
            Verdict::Again if !was_righted => {
                self.was_righted = true;
                // It says when it was made, which may be what was wrong.
                self.write_anew(letter).await;
                return ControlFlow::Continue(None);
            }
            Verdict::Again => {
                health.unavailable(&describe(answer.status));
                self.backoff.next_wait()
            }
            Verdict::Retry { after } => {
                health.unavailable(&describe(answer.status));
                let own = self.backoff.next_wait();
                // The gate is closed for as long as the endpoint asks for.
                if wait_asked_for(after).is_some() { Duration::ZERO } else { own }
            }
            Verdict::Hold { .. } if may_be_about_coding(&letter.request.body, &answer) => {
                letter.request = self.encode().await;
                return ControlFlow::Continue(None);
            }
            Verdict::Hold { reread_credentials } => {
                letter.request.body = letter.packed.clone();
                let credentials = reread_credentials.then_some(credentials);
                return ControlFlow::Continue(self.hold(credentials, answer.status).await);
            }
        };
        ControlFlow::Continue(Some(wait))
    }

    /// All events of a request of which so many were refused.
    fn uncertain(&self, status: u16, refused: u64, reason: &str) -> Vec<Refused> {
        let answer =
            (status, format!("{refused} of {} events, one of them this: {reason}", self.events.len()));
        let refused = |index| Refused { index, reason: Reason::Rejected, answer: answer.clone() };
        self.events.places().map(refused).collect()
    }

    /// How long to wait for somebody to change something; not at all if `refused` credentials have been renewed.
    async fn hold(&mut self, refused: Option<Credentials>, status: u16) -> Option<Duration> {
        self.at_once = match refused.filter(|_| !self.at_once) {
            Some(refused) => self.delivery.are_renewed(refused).await,
            None => false,
        };
        if self.at_once {
            return None;
        }
        self.delivery.health.misconfigured(&format!("the endpoint answers {}", describe(status)));
        Some(self.delivery.limits.max_backoff)
    }

    fn accepted(&self, letter: &Letter, refused_unnamed: u64, uncertain: Vec<Refused>) -> Ruling {
        if letter.request.body.coding() != letter.packed.coding() {
            self.delivery.packing.is_not_understood(&letter.packed);
        }
        Ruling::Accepted { size: letter.size(), refused_unnamed, uncertain }
    }
}

impl Letter {
    fn size(&self) -> Size {
        Size { body_bytes: self.plain_bytes, sent_bytes: self.request.body.len() }
    }
}
