//! What a scrape computes of one output: how far it is behind, since when nothing moves, how full its file is.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use jiff::Timestamp;
use prometheus::{Gauge, IntGauge};
use tokio::time::Instant;

use super::{Families, lock, signed};

/// What a scrape computes from.
#[derive(Debug)]
pub(super) struct Scraped {
    pub(super) lag: Mutex<Lag>,
    pub(super) waiting_since: Mutex<Option<Instant>>,
    pub(super) rejected_file: OnceLock<PathBuf>,
    lag_bytes: IntGauge,
    lag_seconds: Gauge,
    waiting_seconds: Gauge,
    rejected_bytes: IntGauge,
}

/// What is not settled: behind the reader, in the batch that is being filled, in batches that were taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lag {
    pub(super) unread_bytes: u64,
    pub(super) reading: Unsettled,
    pub(super) taken: Unsettled,
}

/// Some lines of the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unsettled {
    /// Their length.
    pub bytes: u64,
    /// Time of the oldest event among them.
    pub oldest: Option<Timestamp>,
}

impl Scraped {
    pub(super) fn new(families: &Families, output: &str) -> Self {
        let of = [output];
        Self {
            lag: Mutex::default(),
            waiting_since: Mutex::default(),
            rejected_file: OnceLock::new(),
            lag_bytes: families.lag_bytes.with_label_values(&of),
            lag_seconds: families.lag_seconds.with_label_values(&of),
            waiting_seconds: families.waiting_seconds.with_label_values(&of),
            rejected_bytes: families.rejected_bytes.with_label_values(&of),
        }
    }

    /// Brings the gauges up to now.
    pub(super) fn show(&self, now: Timestamp) {
        let (bytes, seconds) = self.behind(now);
        self.lag_bytes.set(signed(bytes));
        self.lag_seconds.set(seconds);
        let waiting = lock(&self.waiting_since).map(|since| since.elapsed());
        self.waiting_seconds.set(waiting.unwrap_or_default().as_secs_f64());
        // Looked at anew, since operators take entries out while we run.
        let file = self.rejected_file.get().and_then(|path| path.metadata().ok());
        self.rejected_bytes.set(signed(file.map_or(0, |file| file.len())));
    }

    /// Bytes that are not settled, and the age of the oldest event among them in seconds.
    pub(super) fn behind(&self, now: Timestamp) -> (u64, f64) {
        let lag = *lock(&self.lag);
        let oldest = lag.taken.oldest.or(lag.reading.oldest);
        let age = oldest.map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64());
        (lag.unread_bytes + lag.reading.bytes + lag.taken.bytes, age.max(0.0))
    }
}
