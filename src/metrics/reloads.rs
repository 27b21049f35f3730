//! Whether the configuration that is in use is the one that its sources say.

use jiff::Timestamp;
use prometheus::{Gauge, IntGauge};

/// How the configuration was read last.
#[derive(Debug, Clone)]
pub struct ConfigMetrics {
    pub(super) successful: IntGauge,
    pub(super) success_time: Gauge,
}

impl ConfigMetrics {
    /// It was read just now, and is right or wrong; what was right before stays in use.
    pub fn read(&self, is_right: bool) {
        self.successful.set(i64::from(is_right));
        if is_right {
            self.success_time.set(Timestamp::now().as_duration().as_secs_f64());
        }
    }
}
