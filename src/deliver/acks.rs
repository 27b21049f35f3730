//! Requests that the endpoint has taken and not yet settled: it is asked about all of them together, now and then.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{Delivery, NoAnswer};

/// The first question comes after this, and each later one after twice as long, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// What is not settled by then is sent again: an endpoint that has forgotten a request never settles it.
const PATIENCE: Duration = Duration::from_secs(300);
/// Tickets in one question.
const MOST_TICKETS: usize = 1000;

/// The requests that wait.
#[derive(Debug, Default)]
pub(super) struct Acks {
    waiting: Mutex<BTreeMap<u64, watch::Sender<bool>>>,
    /// Held by the one that asks.
    asking: tokio::sync::Mutex<()>,
}

impl Acks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, watch::Sender<bool>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, tickets: &[u64]) {
        let mut waiting = self.lock();
        for ticket in tickets {
            if let Some(sender) = waiting.remove(ticket) {
                sender.send_replace(true);
            }
        }
    }
}

/// Takes a ticket back that nobody waits for any more.
struct Waiting<'a> {
    acks: &'a Acks,
    ticket: u64,
    told: watch::Receiver<bool>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.acks.lock().remove(&self.ticket);
    }
}

impl Delivery {
    /// Returns when the endpoint says that the request with this ticket is settled; false if it did not for long.
    pub(super) async fn is_settled(&self, ticket: u64) -> bool {
        let sender = watch::Sender::new(false);
        let mut waiting = Waiting { acks: &self.acks, ticket, told: sender.subscribe() };
        self.acks.lock().insert(ticket, sender);
        let until = Instant::now() + PATIENCE;
        let mut wait = FIRST_WAIT;
        while Instant::now() < until {
            tokio::select! {
                told = waiting.told.wait_for(|is_settled| *is_settled) => return told.is_ok(),
                () = sleep(wait) => {}
            }
            // Whoever is first asks for all.
            if let Ok(_asking) = self.acks.asking.try_lock() {
                self.ask_for_all().await;
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        *waiting.told.borrow()
    }

    /// Asks about the oldest of those that wait. What goes wrong is tried again at the next question.
    async fn ask_for_all(&self) {
        let tickets: Vec<u64> = self.acks.lock().keys().copied().take(MOST_TICKETS).collect();
        let Some(request) = self.sink.poll(&tickets) else { return };
        match self.exchange.post(request).await {
            Ok((answer, _)) => self.acks.settle(&self.sink.settled(&tickets, &answer)),
            Err(NoAnswer { reason, .. }) => {
                tracing::debug!(reason, "no answer to a question about what was sent");
            }
        }
    }
}
