//! What systemd is told: that we are ready, that we stop, and, where it watches over us (`WatchdogSec=`), that we live.
//!
//! To live is that no loop of ours hangs. What an endpoint does is not a reason to be restarted.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::health::Health;

/// Tells a state. Outside of systemd there is nobody to tell.
pub fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}

/// What hangs of these outputs, one line each.
#[must_use]
pub fn stalled(outputs: &[Arc<Health>]) -> Vec<String> {
    outputs.iter().filter_map(|health| health.stalled()).collect()
}

/// Says in time that we live, for as long as we do; returns if nobody wants to know.
pub async fn feed_watchdog(outputs: watch::Receiver<Arc<[Arc<Health>]>>) {
    let Some(interval) = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero()) else { return };
    feed(interval, &outputs, async || {
        // It waits if systemd's queue is full.
        let _ = tokio::task::spawn_blocking(|| notify(&[NotifyState::Watchdog])).await;
    })
    .await;
}

async fn feed(interval: Duration, outputs: &watch::Receiver<Arc<[Arc<Health>]>>, mut say: impl AsyncFnMut()) {
    let mut was_fed = true;
    loop {
        let stalled = stalled(&outputs.borrow());
        if stalled.is_empty() {
            say().await;
        } else if was_fed {
            tracing::error!(reasons = stalled.join("; "), "the watchdog is no longer fed");
        }
        was_fed = stalled.is_empty();
        tokio::time::sleep(interval / 2).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_goes_hungry_while_anything_hangs() {
        let metrics = Metrics::new();
        let health = |name| Arc::new(Health::new(name, Duration::ZERO, Arc::new(metrics.route(name))));
        let outputs = [health("one"), health("two")];
        outputs[0].misconfigured("status 401");
        let (_shown, shown) = watch::channel(outputs.to_vec().into());
        let mut fed = 0;
        let feeding = async |seconds, fed: &mut u32| {
            let feeding = feed(Duration::from_secs(60), &shown, async || *fed += 1);
            let _ = tokio::time::timeout(Duration::from_secs(seconds), feeding).await;
        };
        feeding(301, &mut fed).await;
        assert_eq!(fed, 11, "twice in its interval, whatever the endpoint says");
        let mut read = Box::pin(outputs[1].pulse().reading(pending::<()>()));
        assert!(futures_util::poll!(&mut read).is_pending());
        feeding(601, &mut fed).await;
        assert_eq!(fed, 11 + 21);
        assert_eq!(stalled(&outputs), ["two: reading the log has not returned for 601 s"]);
        feeding(600, &mut fed).await;
        assert_eq!(fed, 11 + 21);
    }
}
