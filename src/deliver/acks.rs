//! Requests that the endpoint has taken and not yet settled: it is asked about each of them, now and then.
//!
//! A *ticket* is a number that the endpoint gives out, and it gives out the same ones again: after it was restarted, and
//! each server behind a load balancer for itself. So requests go in *lanes*, of which an endpoint numbers each for
//! itself, and no lane has two requests at a time whose tickets could be taken for one another: a lane is used again
//! once its request is settled, or was not taken. One of which that is not known is never used again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::asking::Judged;
use super::backoff::wait_asked_for;
use super::{Delivery, NoAnswer, describe};
use crate::sink::{Answer, Verdict, verdict_by_status};

/// The first question comes after this, and each later one after twice as long, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// What is not settled by then is sent again: an endpoint that has forgotten a request never settles it.
const PATIENCE: Duration = Duration::from_secs(300);

/// The lanes of an output.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    free: Vec<u64>,
    next: u64,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lane without a request.
    pub(super) fn enter(&self) -> u64 {
        let mut state = self.lock();
        state.free.pop().unwrap_or_else(|| {
            state.next += 1;
            state.next
        })
    }

    /// No request of this lane can be settled any more that is not settled by now.
    fn leave(&self, lane: u64) {
        self.lock().free.push(lane);
    }

    /// The request of this lane has come to this end.
    pub(super) fn ended(&self, lane: u64, result: &Result<Judged, NoAnswer>) {
        let is_open = match result {
            Ok(judged) => judged.answer.status >= 500 || matches!(judged.verdict, Verdict::Poll { .. }),
            Err(_) => true,
        };
        if !is_open {
            self.leave(lane);
        }
    }
}

/// What the endpoint says of a request that it has taken.
enum Reply {
    Settled,
    NotSettled,
    /// Something else.
    Nothing {
        ask_after: Option<Duration>,
    },
}

impl Delivery {
    /// Returns when the endpoint says that the request of this lane, which it has `taken` with this ticket, is settled;
    /// false if it says for long that it is not. As long as it says nothing, it is asked: to send again what it has makes
    /// duplicates.
    pub(super) async fn is_settled(&self, lane: u64, ticket: u64, taken: &Answer) -> bool {
        let _waiting = self.health.waits_for_ack();
        let until = Instant::now() + PATIENCE;
        let mut wait = FIRST_WAIT;
        let mut pause = wait;
        loop {
            sleep(pause).await;
            pause = wait;
            match self.ask(lane, ticket, taken).await {
                Reply::Settled => {
                    self.lanes.leave(lane);
                    return true;
                }
                Reply::NotSettled if Instant::now() >= until => return false,
                Reply::Nothing { ask_after: Some(after) } => pause = after,
                Reply::NotSettled | Reply::Nothing { .. } => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
            pause = pause.max(wait);
        }
    }

    async fn ask(&self, lane: u64, ticket: u64, taken: &Answer) -> Reply {
        let Some(question) = self.sink.poll(lane, ticket, taken) else { return Reply::NotSettled };
        let (answer, credentials) = match self.exchange.post(question).await {
            Ok(answered) => answered,
            Err(NoAnswer { reason, .. }) => {
                self.health.unavailable(&reason);
                return Reply::Nothing { ask_after: None };
            }
        };
        if let Some(is_settled) = self.sink.is_settled(ticket, &answer) {
            return if is_settled { Reply::Settled } else { Reply::NotSettled };
        }
        let said =
            format!("asked whether what it took is safe, the endpoint answers {}", describe(answer.status));
        match verdict_by_status(&answer) {
            Verdict::Retry { after } => {
                self.health.unavailable(&said);
                Reply::Nothing { ask_after: wait_asked_for(after) }
            }
            Verdict::Hold { reread_credentials } => {
                if !(reread_credentials && self.are_renewed(credentials).await) {
                    self.health.misconfigured(&said);
                }
                Reply::Nothing { ask_after: None }
            }
            // It does not know such a request.
            Verdict::Refused { .. } => Reply::NotSettled,
            _ => {
                self.health.unavailable(&said);
                Reply::Nothing { ask_after: None }
            }
        }
    }
}
