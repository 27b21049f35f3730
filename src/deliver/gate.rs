//! The window of an output: how many of its requests may be under way, and since when.
//!
//! The window is additive increase, multiplicative decrease, as of TCP: an answer that says "too much" halves it, each
//! acceptance lets it grow by one over its size. Requests that were under way together are told the same thing
//! together, so only one that began after the last halving can halve it again. An answer that asks for a wait closes
//! the gate for all until the wait is over: the endpoint speaks of itself, not of one batch.
//!
//! Who comes first goes first. A delivery has one request at a time and there are few deliveries, so the oldest batch
//! waits for one request of each of the others at most; a strict order would let an old batch that is being halved hold
//! up the very requests whose acceptance is its evidence.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::metrics::RouteMetrics;

/// Every request of an output goes through here.
#[derive(Debug)]
pub(super) struct Gate {
    most: usize,
    state: Mutex<State>,
    /// Held by the one that has waited longest; nobody else looks whether there is room.
    turn: tokio::sync::Mutex<()>,
    changed: Notify,
    metrics: Arc<RouteMetrics>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// Acceptances since the limit last changed; as many as the limit make it grow by one.
    accepted: usize,
    under_way: usize,
    /// How many have entered so far, and how many had when the limit was last halved.
    entered: u64,
    entered_at_halving: u64,
    closed_until: Option<Instant>,
}

/// The right to have one request under way; it ends with this.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    number: u64,
}

impl Gate {
    /// An open gate for `most` requests at a time.
    pub(super) fn new(most: usize, metrics: Arc<RouteMetrics>) -> Self {
        let limit = most.max(1);
        metrics.window(limit);
        let state =
            State { limit, accepted: 0, under_way: 0, entered: 0, entered_at_halving: 0, closed_until: None };
        Self {
            most: limit,
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            metrics,
        }
    }

    /// Returns when a request may begin.
    pub(super) async fn enter(&self) -> Pass<'_> {
        let _turn = self.turn.lock().await;
        loop {
            let opens = {
                let mut state = self.lock();
                state.closed_until = state.closed_until.filter(|until| *until > Instant::now());
                if state.closed_until.is_none() && state.under_way < state.limit {
                    state.under_way += 1;
                    state.entered += 1;
                    return Pass { gate: self, number: state.entered };
                }
                state.closed_until
            };
            match opens {
                Some(opens) => sleep_until(opens).await,
                None => self.changed.notified().await,
            }
        }
    }

    /// Lets no request begin before `wait` is over.
    pub(super) fn close_for(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.lock();
        state.closed_until = Some(state.closed_until.map_or(until, |other| other.max(until)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The endpoint has taken the request.
    pub(super) fn accepted(&self) {
        let mut state = self.gate.lock();
        state.accepted += 1;
        if state.limit < self.gate.most && state.accepted >= state.limit {
            state.limit += 1;
            state.accepted = 0;
            self.gate.metrics.window(state.limit);
            self.gate.changed.notify_one();
        }
    }

    /// The endpoint says that it is too much.
    pub(super) fn too_much(&self) {
        let mut state = self.gate.lock();
        if self.number > state.entered_at_halving {
            state.limit = (state.limit / 2).max(1);
            state.accepted = 0;
            state.entered_at_halving = state.entered;
            self.gate.metrics.window(state.limit);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.gate.lock().under_way -= 1;
        self.gate.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::metrics::Metrics;

    fn gate(most: usize) -> (Gate, Metrics) {
        let metrics = Metrics::new();
        let gate = Gate::new(most, Arc::new(metrics.route("siem")));
        (gate, metrics)
    }

    /// As many as are let in now.
    fn all_that_fit(gate: &Gate) -> Vec<Pass<'_>> {
        std::iter::from_fn(|| gate.enter().now_or_never()).collect()
    }

    fn assert_limit(gate: &Gate, metrics: &Metrics, limit: usize) {
        assert_eq!(all_that_fit(gate).len(), limit);
        let shown = format!("audit_shipper_window_requests{{output=\"siem\"}} {limit}\n");
        assert!(metrics.render().contains(&shown), "{shown}");
    }

    #[test]
    fn it_is_halved_once_for_requests_that_were_under_way_together() {
        let (gate, metrics) = gate(8);
        assert_limit(&gate, &metrics, 8);
        let together = all_that_fit(&gate);
        for pass in &together {
            pass.too_much();
        }
        drop(together);
        assert_limit(&gate, &metrics, 4);
        for limit in [2, 1, 1] {
            all_that_fit(&gate)[0].too_much();
            assert_limit(&gate, &metrics, limit);
        }
    }

    #[test]
    fn it_grows_by_one_for_each_round_of_acceptances_up_to_the_most() {
        let (gate, metrics) = gate(4);
        for _ in 0..2 {
            all_that_fit(&gate)[0].too_much();
        }
        assert_limit(&gate, &metrics, 1);
        for limit in [2, 3, 4, 4, 4] {
            for pass in all_that_fit(&gate) {
                pass.accepted();
            }
            assert_limit(&gate, &metrics, limit);
        }
    }

    #[test]
    fn what_is_under_way_counts_though_the_limit_fell_below_it() {
        let (gate, _metrics) = gate(4);
        let mut under_way = all_that_fit(&gate);
        under_way[0].too_much();
        for _ in 0..2 {
            assert!(gate.enter().now_or_never().is_none());
            under_way.pop();
        }
        assert!(gate.enter().now_or_never().is_none());
        under_way.pop();
        assert_eq!(all_that_fit(&gate).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_enters_before_the_wait_that_was_asked_for_is_over() {
        let (gate, _metrics) = gate(4);
        let began = Instant::now();
        gate.close_for(Duration::from_secs(60));
        gate.close_for(Duration::from_secs(5));
        assert!(gate.enter().now_or_never().is_none());
        tokio::join!(gate.enter(), gate.enter(), gate.enter());
        assert_eq!(began.elapsed().as_secs(), 60);
        gate.close_for(Duration::from_secs(5));
        let longer = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            gate.close_for(Duration::from_secs(5));
        };
        tokio::join!(gate.enter(), longer);
        assert_eq!(began.elapsed().as_secs(), 69);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_first_goes_first_and_who_gives_up_is_not_missed() {
        let (gate, _metrics) = gate(1);
        let order = Mutex::new(Vec::new());
        let one = |name: u32| {
            let (gate, order) = (&gate, &order);
            async move {
                let _pass = gate.enter().await;
                order.lock().unwrap().push(name);
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        };
        let impatient = tokio::time::timeout(Duration::from_secs(5), one(1));
        let ((), given_up, ..) = tokio::join!(one(0), impatient, one(2), one(3));
        assert!(given_up.is_err());
        assert_eq!(*order.lock().unwrap(), [0, 2, 3]);
    }
}
