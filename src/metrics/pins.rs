//! What is held of deleted files.

use std::sync::{Mutex, PoisonError};

use prometheus::IntGauge;

use super::signed;
use crate::config;

/// What is held of all logs.
#[derive(Debug, Clone)]
pub struct PinMetrics {
    pub(super) files: IntGauge,
    pub(super) bytes: IntGauge,
    pub(super) limit_files: IntGauge,
    pub(super) limit_bytes: IntGauge,
}

/// What is held of one log, until it is dropped.
#[derive(Debug)]
pub struct PinShare {
    of: PinMetrics,
    shown: Mutex<(i64, i64)>,
}

impl PinMetrics {
    /// The share of one more log, of which nothing is held yet.
    #[must_use]
    pub fn share(&self) -> PinShare {
        PinShare { of: self.clone(), shown: Mutex::default() }
    }

    /// No more than this may be held of any log.
    pub fn limit(&self, limits: &config::Pins) {
        self.limit_files.set(signed(limits.max_files as u64));
        self.limit_bytes.set(signed(limits.limit));
    }
}

impl PinShare {
    /// So many of its files are held now, of so many bytes.
    pub fn show(&self, files: u64, bytes: u64) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (signed(files), signed(bytes));
        self.of.files.add(now.0 - shown.0);
        self.of.bytes.add(now.1 - shown.1);
        *shown = now;
    }
}

impl Drop for PinShare {
    fn drop(&mut self) {
        self.show(0, 0);
    }
}
