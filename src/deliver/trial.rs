//! One batch: what the endpoint refuses is halved, and single events are judged by evidence.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use tokio::time::sleep;

use super::backoff::SHORTEST_WAIT;
use super::{Decision, Delivered, Delivery, Refused, describe};
use crate::batch::{Batch, Reason};
use crate::body::{Body, Size};
use crate::sink::Answer;
use crate::truncate;

/// Refusals in a row, of pieces of one batch, after which it waits for evidence instead of asking on.
const PATIENCE: usize = 24;
/// Refusals in a row after which older evidence says nothing about the endpoint as it is now.
const STALE_AFTER: usize = 64;

/// The delivery of one batch.
pub(super) struct Trial<'a> {
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

impl<'a> Trial<'a> {
    pub(super) fn new(delivery: &'a Delivery, batch: &'a Batch) -> Self {
        Self {
            delivery,
            batch,
            delivered: Delivered::default(),
            refused_at: None,
            refusals_in_a_row: 0,
            suspects: VecDeque::new(),
        }
    }

    /// Returns when every event is acknowledged or given up.
    pub(super) async fn run(mut self) -> Delivered {
        self.send_all().await;
        while let Some(suspect) = self.suspects.pop_front() {
            self.judge(suspect).await;
        }
        self.delivered
    }

    /// Sends the whole batch, halving what is refused or takes too long, until only suspects are left.
    async fn send_all(&mut self) {
        let all = 0..self.batch.events();
        let mut pieces: VecDeque<Range<usize>> = if all.is_empty() { VecDeque::new() } else { [all].into() };
        // In doubt the largest untried piece goes first: it is the quickest way to evidence.
        while let Some(piece) = if self.in_doubt() { pieces.pop_back() } else { pieces.pop_front() } {
            let body = self.body(self.batch.items(piece.clone()));
            match self.delivery.send(body, piece.len() > 1).await {
                Decision::Accepted { size } => self.accepted(piece.len() as u64, size),
                Decision::Refused { too_large, answer } if piece.len() == 1 => {
                    self.refused();
                    self.suspect(piece.start, too_large, answer).await;
                }
                Decision::Refused { .. } => {
                    let in_doubt = self.in_doubt();
                    self.refused();
                    let (first, second) = halves(&piece);
                    if in_doubt {
                        pieces.extend([first, second]);
                    } else {
                        pieces.push_front(second);
                        pieces.push_front(first);
                    }
                }
                Decision::TooSlow => {
                    // To the end from which the next piece is taken, so that both go now, in order.
                    let (first, second) = halves(&piece);
                    if self.in_doubt() {
                        pieces.extend([second, first]);
                    } else {
                        pieces.push_front(second);
                        pieces.push_front(first);
                    }
                }
            }
            if self.in_doubt() && self.refusals_in_a_row >= PATIENCE {
                if let Some(suspect) = self.suspects.front() {
                    self.say_refusing(&suspect.refused);
                }
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

    fn accepted(&mut self, events: u64, size: Size) {
        self.refusals_in_a_row = 0;
        self.delivered.events += events;
        self.delivered.size += size;
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
        match self.delivery.send(body, false).await {
            Decision::Accepted { size } => {
                if suspect.cut.is_some() {
                    self.delivery.metrics.truncated(1);
                }
                self.accepted(1, size);
                true
            }
            Decision::Refused { answer, .. } => {
                self.refused();
                suspect.refused.answer = (answer.status, answer.excerpt);
                false
            }
            // Only of several events.
            Decision::TooSlow => false,
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
        let hint = if self.delivery.packing.compresses() {
            "; perhaps it does not understand compressed bodies (webhook.compression)"
        } else {
            ""
        };
        let answer = describe(refused.answer.0);
        self.delivery.health.misconfigured(&format!("the endpoint {what}: {answer}{hint}"));
    }

    /// Returns when another batch was taken, or when it is time to try again.
    async fn wait_for_evidence(&mut self) {
        let health = &self.delivery.health;
        let _doubt = (!self.delivery.strict).then(|| health.doubt());
        let moment = self.refused_at.filter(|_| !self.delivery.strict).unwrap_or(u64::MAX);
        let wait = self.delivery.limits.max_backoff.max(SHORTEST_WAIT);
        tokio::select! {
            () = sleep(wait) => {}
            () = health.accepted_after(moment) => {}
            () = self.delivery.changed() => {}
        }
    }
}

fn halves(piece: &Range<usize>) -> (Range<usize>, Range<usize>) {
    let middle = piece.start + piece.len() / 2;
    (piece.start..middle, middle..piece.end)
}
