//! Whether the loop of an output still runs: what a supervisor may end the process for.
//!
//! Nothing here knows of endpoints. A loop whose endpoint has been away for days beats as any other; one that hangs in
//! a bug of ours, or in a disk that never answers, does not.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often the loop beats.
const EVERY: Duration = Duration::from_secs(2);
/// A loop that did not beat for this long hangs; a loaded machine is slow, and yet never that slow.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A disk that takes longer than this for one batch is not going to answer.
const LONGEST_READ: Duration = Duration::from_secs(10 * 60);

/// The life of one loop.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// `None` before the loop begins, and after it has ended as it should.
    beat: Option<Instant>,
    /// Since when one piece of blocking work has been under way.
    reading_since: Option<Instant>,
}

impl Pulse {
    /// Runs the loop, and beats as long as its task gets its turns.
    pub async fn beat_while<T>(&self, running: impl Future<Output = T>) -> T {
        let mut running = Box::pin(running);
        let output = loop {
            self.lock().beat = Some(Instant::now());
            if let Ok(output) = tokio::time::timeout(EVERY, &mut running).await {
                break output;
            }
        };
        *self.lock() = State::default();
        output
    }

    /// Waits for `work` that reads on a thread of its own; how long it takes counts.
    pub async fn reading<T>(&self, work: impl Future<Output = T>) -> T {
        self.lock().reading_since = Some(Instant::now());
        let output = work.await;
        self.lock().reading_since = None;
        output
    }

    /// What hangs, if anything does.
    #[must_use]
    pub fn stalled(&self) -> Option<String> {
        let state = self.lock();
        let longer = |since: Option<Instant>, most| {
            since
                .map(|since| since.elapsed())
                .filter(|elapsed| *elapsed > most)
                .map(|elapsed| elapsed.as_secs())
        };
        if let Some(seconds) = longer(state.beat, LONGEST_PAUSE) {
            return Some(format!("the loop has not run for {seconds} s"));
        }
        longer(state.reading_since, LONGEST_READ)
            .map(|seconds| format!("reading the log has not returned for {seconds} s"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_for_hours_lives() {
        let pulse = Pulse::default();
        assert_eq!(pulse.stalled(), None, "it has not begun");
        let watching = async {
            for _ in 0..100 {
                pass(100).await;
                assert_eq!(pulse.stalled(), None);
            }
        };
        tokio::select! {
            () = pulse.beat_while(pending()) => {}
            () = watching => {}
        }
        assert_eq!(pulse.beat_while(async { 7 }).await, 7);
        pass(1000).await;
        assert_eq!(pulse.stalled(), None, "it has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_gets_no_turn_has_stalled_until_it_gets_one() {
        let pulse = Pulse::default();
        let mut running = Box::pin(pulse.beat_while(pending::<()>()));
        assert!(futures_util::poll!(&mut running).is_pending());
        pass(60).await;
        assert_eq!(pulse.stalled(), None);
        pass(1).await;
        assert_eq!(pulse.stalled().as_deref(), Some("the loop has not run for 61 s"));
        assert!(futures_util::poll!(&mut running).is_pending());
        assert_eq!(pulse.stalled(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_read_that_does_not_return_has_stalled_though_the_loop_beats() {
        let pulse = Pulse::default();
        let watching = async {
            pass(600).await;
            assert_eq!(pulse.stalled(), None);
            pass(1).await;
            assert_eq!(pulse.stalled().as_deref(), Some("reading the log has not returned for 601 s"));
        };
        let reading = async {
            pulse.reading(pass(602)).await;
            assert_eq!(pulse.stalled(), None);
            // Many short ones are no long one.
            for _ in 0..10 {
                pulse.reading(pass(599)).await;
                assert_eq!(pulse.stalled(), None);
            }
        };
        pulse.beat_while(async { tokio::join!(watching, reading) }).await;
    }
}
