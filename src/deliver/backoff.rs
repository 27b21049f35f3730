//! How long to wait between two tries.

use std::time::Duration;

use crate::config;

/// No wait that an endpoint asks for is longer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);
/// No wait between two tries is shorter, whatever the endpoint or the configuration says.
pub(super) const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// kube-apiserver's waits: each half as long again as the one before, plus up to a fifth at random.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    const FACTOR: f64 = 1.5;
    const JITTER: f64 = 0.2;

    pub(super) fn new(limits: &config::Requests) -> Self {
        Self { next: limits.initial_backoff.max(SHORTEST_WAIT), most: limits.max_backoff }
    }

    pub(super) fn next_wait(&mut self) -> Duration {
        let wait = self.next.mul_f64(1.0 + Self::JITTER * fastrand::f64());
        self.next = self.next.mul_f64(Self::FACTOR).min(self.most);
        wait.min(self.most)
    }
}

/// The wait that an endpoint asks for, within limits. One of nothing is none: it is a date that has passed, most likely
/// by a clock that is wrong, and the endpoint is still in trouble.
pub(super) fn wait_asked_for(after: Option<Duration>) -> Option<Duration> {
    after.filter(|after| !after.is_zero()).map(|after| after.clamp(SHORTEST_WAIT, LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(&config::Requests {
            initial_backoff: Duration::from_secs(10),
            max_backoff: Duration::from_secs(60),
            timeout: Duration::from_secs(30),
            compression: None,
        })
    }

    #[test]
    fn waits_as_kube_apiserver_does_up_to_the_longest() {
        let mut backoff = backoff();
        for base in [10.0, 15.0, 22.5, 33.75, 50.625] {
            let wait = backoff.next_wait().as_secs_f64();
            assert!(wait >= base && wait <= f64::min(base * 1.2, 60.0), "{wait} for {base}");
        }
        for _ in 0..10_000 {
            assert_eq!(backoff.next_wait(), Duration::from_secs(60));
        }
    }

    #[test]
    fn what_the_endpoint_asks_for_is_kept_within_limits() {
        let seconds = Duration::from_secs;
        for (asked, granted) in [(1, 1), (300, 300), (600, 600), (601, 600), (86_400, 600)] {
            assert_eq!(wait_asked_for(Some(seconds(asked))), Some(seconds(granted)));
        }
        assert_eq!(wait_asked_for(Some(Duration::from_nanos(1))), Some(SHORTEST_WAIT));
        assert_eq!((wait_asked_for(Some(Duration::ZERO)), wait_asked_for(None)), (None, None));
    }
}
