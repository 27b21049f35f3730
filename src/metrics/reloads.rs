//! Whether the configuration that is in use is the one that its sources say.

use jiff::Timestamp;
use prometheus::{Gauge, IntGauge};

/// How the configuration was read last.
#[derive(Debug, Clone)]
pub struct ConfigMetrics {
    pub(super) successful: IntGauge,
    pub(super) success_time: Gauge,
}

/// How it was read last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRead {
    /// Whether it was right.
    pub is_right: bool,
    /// When it was last right.
    pub right_at: Timestamp,
}

impl ConfigMetrics {
    /// How it was read last.
    #[must_use]
    pub fn last_read(&self) -> LastRead {
        #[expect(clippy::cast_possible_truncation, reason = "seconds of this age have a place in 64 bits")]
        let right_at = Timestamp::from_millisecond((self.success_time.get() * 1000.0) as i64);
        LastRead { is_right: self.successful.get() != 0, right_at: right_at.unwrap_or_default() }
    }

    /// It was read just now, and is right or wrong; what was right before stays in use.
    pub fn read(&self, is_right: bool) {
        self.successful.set(i64::from(is_right));
        if is_right {
            self.success_time.set(Timestamp::now().as_duration().as_secs_f64());
        }
    }
}
