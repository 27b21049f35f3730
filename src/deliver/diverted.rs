//! Events that the endpoint has taken, and keeps elsewhere than where they were sent.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::RouteMetrics;

/// Between two lines about them.
const REMIND_EVERY: Duration = Duration::from_secs(600);

/// When they were last told.
#[derive(Debug, Default)]
pub(super) struct Diverted(Mutex<Option<Instant>>);

impl Diverted {
    /// So many more. Somebody who looks for them where they were sent will not find them, so it is told.
    pub(super) fn note(&self, events: u64, output: &str, metrics: &RouteMetrics) {
        if events == 0 {
            return;
        }
        metrics.diverted(events);
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= REMIND_EVERY) {
            *told = Some(Instant::now());
            tracing::error!(
                output,
                events,
                "the endpoint keeps events elsewhere than where they were sent (a failure store); see its own log for why"
            );
        }
    }
}
