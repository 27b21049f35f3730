//! One batch: what the endpoint refuses is halved, and single events are judged by evidence.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::sleep;

use super::asking::Undecided;
use super::backoff::SHORTEST_WAIT;
use super::decision::{Decision, Named};
use super::{Delivered, Delivery, Refused, describe, not_at_once};
use crate::batch::{Batch, Reason};
use crate::sink::Events;
use crate::truncate;

/// Refusals in a row, of pieces of one batch, after which it waits for evidence instead of asking on.
const PATIENCE: usize = 24;
/// Refusals in a row after which older evidence says nothing about the endpoint as it is now.
const STALE_AFTER: usize = 64;

/// The delivery of one batch.
pub(super) struct Trial<'a> {
    delivery: &'a Delivery,
    batch: Arc<Batch>,
    delivered: Delivered,
    /// The moment of the first refusal: only what was begun later is evidence.
    refused_at: Option<u64>,
    refusals_in_a_row: usize,
    suspects: VecDeque<Suspect>,
    /// Those that were named and are yet to be asked about alone, and whether others were taken since.
    named: VecDeque<(Suspect, bool)>,
}

struct Suspect {
    refused: Refused,
    /// The event; in a shorter form if it was refused for its size.
    event: Events,
    is_cut: bool,
}

impl<'a> Trial<'a> {
    pub(super) fn new(delivery: &'a Delivery, batch: Arc<Batch>) -> Self {
        Self {
            delivery,
            batch,
            delivered: Delivered::default(),
            refused_at: None,
            refusals_in_a_row: 0,
            suspects: VecDeque::new(),
            named: VecDeque::new(),
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
        let mut pieces = VecDeque::from([Events::all(Arc::clone(&self.batch))]);
        // In doubt the largest untried piece goes first: it is the quickest way to evidence.
        while let Some(piece) = if self.in_doubt() { pieces.pop_back() } else { pieces.pop_front() } {
            let mut decision = self.delivery.send(piece).await;
            let left = decision.left.take();
            self.note(decision);
            while let Some((mut named, is_evident)) = self.named.pop_front() {
                if !self.send_again(&mut named).await {
                    self.was_refused(named, is_evident);
                }
            }
            match left {
                None => {}
                Some((event, Undecided::Refused { too_large, answer })) if event.len() == 1 => {
                    self.refused();
                    self.suspect(event, too_large, answer).await;
                }
                Some((events, Undecided::Refused { .. })) => {
                    let in_doubt = self.in_doubt();
                    self.refused();
                    let (first, second) = events.halves();
                    if in_doubt {
                        pieces.extend([first, second]);
                    } else {
                        pieces.push_front(second);
                        pieces.push_front(first);
                    }
                }
                Some((events, Undecided::TooMuch | Undecided::TooSlow | Undecided::Picked)) => {
                    // To the end from which the next piece is taken, so that both go now, in order.
                    let (first, second) = events.halves();
                    if self.in_doubt() {
                        pieces.extend([second, first]);
                    } else {
                        pieces.push_front(second);
                        pieces.push_front(first);
                    }
                }
            }
            if self.in_doubt() && self.refusals_in_a_row >= PATIENCE {
                self.wait_for_evidence(self.suspects.front().map(|suspect| &suspect.refused)).await;
            }
        }
    }

    /// Enters what was taken, and the events that were refused by name.
    fn note(&mut self, decision: Decision) {
        if decision.taken + decision.refused_unnamed > 0 {
            self.refusals_in_a_row = 0;
        }
        self.delivered.events += decision.taken;
        self.delivered.refused_unnamed += decision.refused_unnamed;
        self.delivered.uncertain.extend(decision.uncertain);
        self.delivered.size += decision.size;
        for Named { refused, is_evident, is_sure } in decision.refused {
            let event = Events::all(Arc::clone(&self.batch)).at([refused.index]);
            let suspect = Suspect { refused, event, is_cut: false };
            if is_sure {
                self.refused();
                self.was_refused(suspect, is_evident);
            } else {
                self.named.push_back((suspect, is_evident));
            }
        }
    }

    /// Refusals so far, and nothing to compare them with.
    fn in_doubt(&self) -> bool {
        !self.suspects.is_empty() && !self.has_evidence()
    }

    fn has_evidence(&self) -> bool {
        self.refused_at.is_some_and(|moment| self.delivery.health.newest_accepted() > moment)
    }

    fn refused(&mut self) {
        self.refusals_in_a_row += 1;
        if self.refused_at.is_none() || self.refusals_in_a_row.is_multiple_of(STALE_AFTER) {
            self.refused_at = Some(self.delivery.health.now());
        }
    }

    /// A single event was refused. One that is too large is cut and tried again at once.
    async fn suspect(&mut self, event: Events, too_large: bool, answer: (u16, String)) {
        let Some(index) = event.places().next() else { return };
        let reason = if too_large { Reason::TooLarge } else { Reason::Rejected };
        let mut suspect = Suspect { refused: Refused { index, reason, answer }, event, is_cut: false };
        if too_large {
            let line = self.batch.line(index);
            if let Some(cut) = truncate::fit(&line, self.batch.level(index), line.len() / 2) {
                (suspect.event, suspect.is_cut) = (suspect.event.cut(&cut), true);
                if self.send_again(&mut suspect).await {
                    return;
                }
            }
        }
        self.was_refused(suspect, false);
    }

    /// An event is given up if others are taken; else it is a suspect.
    fn was_refused(&mut self, suspect: Suspect, is_evident: bool) {
        if (is_evident || self.has_evidence()) && !self.delivery.strict {
            self.delivered.refused.push(suspect.refused);
        } else {
            self.suspects.push_back(suspect);
        }
    }

    /// Sends a suspect once more; true if it was taken.
    async fn send_again(&mut self, suspect: &mut Suspect) -> bool {
        let mut decision = self.delivery.send(suspect.event.clone()).await;
        let named = decision.refused.pop().map(|named| named.refused.answer);
        let answer = match decision.left.take() {
            Some((_, Undecided::Refused { answer, .. })) => Some(answer),
            // Only of several events.
            Some((_, Undecided::TooMuch | Undecided::TooSlow | Undecided::Picked)) | None => named,
        };
        let is_decided = decision.taken + decision.refused_unnamed > 0;
        if is_decided && suspect.is_cut {
            self.delivery.metrics.truncated(1);
        }
        self.note(decision);
        if let Some(answer) = answer {
            self.refused();
            suspect.refused.answer = answer;
        }
        is_decided
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
                self.wait_for_evidence(Some(&suspect.refused)).await;
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
        let packing = &self.delivery.packing;
        let hint = if packing.compresses() {
            format!("; perhaps it does not understand compressed bodies ({})", packing.field())
        } else {
            String::new()
        };
        let answer = describe(refused.answer.0);
        self.delivery.health.misconfigured(&format!("the endpoint {what}: {answer}{hint}"));
    }

    /// Says of a suspect that it is refused, and returns when another batch was taken, or when it is time to try again.
    async fn wait_for_evidence(&self, refused: Option<&Refused>) {
        // Who hears of it may change something before we come to wait.
        let changed = self.delivery.exchange.changed();
        if let Some(refused) = refused {
            self.say_refusing(refused);
        }
        let health = &self.delivery.health;
        let _doubt = (!self.delivery.strict).then(|| health.doubt());
        let moment = self.refused_at.filter(|_| !self.delivery.strict).unwrap_or(u64::MAX);
        let wait = self.delivery.limits.max_backoff.max(SHORTEST_WAIT);
        tokio::select! {
            () = sleep(wait) => {}
            () = health.accepted_after(moment) => {}
            () = not_at_once(changed) => {}
        }
    }
}
