//! Batches a second, as kube-apiserver limits them: a token bucket that starts full (kubernetes-audit.md, section 3).

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::config;

/// The only place where an event is held back on purpose.
#[derive(Debug)]
pub struct Throttle {
    limiter: Option<DefaultDirectRateLimiter>,
    clock: DefaultClock,
}

impl Throttle {
    /// `None` lets everything through.
    #[must_use]
    pub fn new(limit: Option<config::Throttle>) -> Self {
        let quota = limit.and_then(|limit| quota(limit.qps, limit.burst));
        Self { limiter: quota.map(RateLimiter::direct), clock: DefaultClock::default() }
    }

    /// Returns when one more batch may go, and how long that took.
    pub async fn ready(&self) -> Duration {
        let Some(limiter) = &self.limiter else { return Duration::ZERO };
        let mut waited = Duration::ZERO;
        while let Err(not_until) = limiter.check() {
            let wait = not_until.wait_time_from(self.clock.now());
            tokio::time::sleep(wait).await;
            waited += wait;
        }
        waited
    }
}

/// `None` where a batch takes less than a nanosecond: that is no limit.
fn quota(qps: f64, burst: NonZeroU32) -> Option<Quota> {
    let period = Duration::try_from_secs_f64(1.0 / qps).unwrap_or(Duration::MAX);
    // governor counts in nanoseconds of 64 bits, burst times period must stay within them
    let most = Duration::from_nanos(u64::MAX / 4 / u64::from(burst.get()));
    Quota::with_period(period.min(most)).map(|quota| quota.allow_burst(burst))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(qps: f64, burst: u32) -> Throttle {
        Throttle::new(Some(config::Throttle { qps, burst: NonZeroU32::new(burst).unwrap() }))
    }

    /// Batches that may go at once.
    async fn at_once(throttle: &Throttle, tries: usize) -> usize {
        let mut ready = 0;
        for _ in 0..tries {
            match tokio::time::timeout(Duration::ZERO, throttle.ready()).await {
                Ok(_) => ready += 1,
                Err(_) => break,
            }
        }
        ready
    }

    #[tokio::test]
    async fn starts_full_with_the_burst() {
        assert_eq!(at_once(&throttle(0.01, 15), 100).await, 15);
        assert_eq!(at_once(&throttle(0.001, 1), 100).await, 1);
    }

    #[tokio::test]
    async fn refills_by_the_rate_and_says_how_long_that_took() {
        let throttle = throttle(50.0, 1);
        assert_eq!(throttle.ready().await, Duration::ZERO);
        let waited = throttle.ready().await;
        assert!(waited > Duration::ZERO && waited <= Duration::from_millis(20), "{waited:?}");
    }

    #[tokio::test]
    async fn extreme_rates_are_legal_and_off_is_off() {
        assert_eq!(at_once(&Throttle::new(None), 1000).await, 1000);
        assert_eq!(at_once(&throttle(1e12, 1), 1000).await, 1000);
        assert_eq!(at_once(&throttle(1e-30, u32::MAX), 10).await, 10);
        assert_eq!(at_once(&throttle(f64::MIN_POSITIVE, 2), 10).await, 2);
    }
}
