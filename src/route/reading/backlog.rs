//! How far an output is behind, and for how long it may be.

use std::time::Duration;

use tokio::time::Instant;

use super::{Reading, blocking};
use crate::retention::{Forecast, Look};

/// Between two looks at all files of the log. They cost as much as there are files, and the forecast is one of minutes.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same when names have changed: a rotation brings the end nearer.
const LOOK_AFTER_CHANGE: Duration = Duration::from_secs(1);

/// The forecast, and when it was made.
pub(super) struct Grace {
    forecast: Forecast,
    /// And how often names had changed.
    looked: Option<(Instant, u64)>,
}

impl Grace {
    pub(super) fn new(forecast: Forecast) -> Self {
        Self { forecast, looked: None }
    }

    fn is_due(&self, changes: u64) -> bool {
        self.looked.is_none_or(|(at, before)| {
            at.elapsed() >= if changes == before { LOOK_EVERY } else { LOOK_AFTER_CHANGE }
        })
    }
}

impl Reading {
    /// Measures the backlog while nothing can be read, since the log grows meanwhile.
    pub async fn measure(mut self) -> Self {
        self.look_behind().await;
        self
    }

    pub(super) async fn look_behind(&mut self) {
        let Some(mut tail) = self.tail.take() else { return };
        let (surveys, in_flight_bytes) = self.survey();
        let work = blocking(move || {
            let unread = tail.unread_bytes().ok();
            let news = tail.take_news();
            let look = surveys.then(|| tail.survey(in_flight_bytes).ok()).flatten();
            (tail, unread, news, look)
        });
        let (tail, unread, news, look) = self.health.pulse().reading(work).await;
        self.tail = Some(tail);
        self.show_unread(unread);
        self.foresee(look);
        for gap in &news {
            self.tell(gap);
        }
    }

    pub(super) fn show_unread(&mut self, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.metrics.unread(bytes);
            self.measured_at = Some(Instant::now());
        }
    }

    /// Whether to look at all files, and what is to be known for that.
    pub(super) fn survey(&self) -> (bool, u64) {
        (self.grace.is_due(self.watch.pins().changes()), self.metrics.in_flight_bytes())
    }

    pub(super) fn foresee(&mut self, look: Option<Look>) {
        if let Some(look) = look {
            self.metrics.retention_grace(self.grace.forecast.grace_seconds(&look));
            self.grace.looked = Some((Instant::now(), self.watch.pins().changes()));
        }
    }
}
