//! What systemd is told: that we are ready, how the outputs do, that we read files again, that we stop, and, where it watches
//! over us (`WatchdogSec=`), that we live.
//!
//! To live is that no loop of ours hangs. What an endpoint does is not a reason to be restarted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::health::Health;
use crate::shown;

/// The outputs that there are now, which may be others after a change of the configuration.
pub type Outputs = watch::Receiver<Arc<[Arc<Health>]>>;

/// How often the status is told.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// How often systemd is asked for more time while we stop, and for how much. The last of it is for what comes after the
/// grace.
const EXTEND_EVERY: Duration = Duration::from_secs(5);
const EXTEND_BY: Duration = Duration::from_secs(15);

/// Tells a state. Outside of systemd there is nobody to tell.
pub fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}

/// Tells that we read everything again, until [`reloaded`] is told.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "systemd is not told that everything is read again"),
    }
}

/// Tells that we are done with that.
pub fn reloaded() {
    notify(&[NotifyState::Ready]);
}

/// Tells that we stop.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Asks for the time that a stop takes, for as long as it takes. Until then `TimeoutStopSec=` of the unit would end us, though
/// the grace may be longer.
pub async fn ask_for_time() {
    let mut ticks = tokio::time::interval(EXTEND_EVERY);
    loop {
        ticks.tick().await;
        notify(&[NotifyState::ExtendTimeoutUsec(u32::try_from(EXTEND_BY.as_micros()).unwrap_or(u32::MAX))]);
    }
}

/// Tells how the outputs do, now and every few seconds: what `systemctl status` shows.
pub async fn tell_status(outputs: Outputs) {
    let mut ticks = tokio::time::interval(STATUS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut delivered = HashMap::new();
    let mut told_at = Instant::now();
    let mut told = String::new();
    loop {
        ticks.tick().await;
        let seconds = told_at.elapsed().as_secs_f64();
        told_at = Instant::now();
        let lines: Vec<String> = outputs
            .borrow()
            .iter()
            .map(|health| {
                let now = health.metrics().delivered_events();
                let before = delivered.insert(health.output().to_owned(), now).unwrap_or(now);
                status(health, now - before, seconds)
            })
            .collect();
        let status = lines.join("; ");
        if status != told {
            notify(&[NotifyState::Status(&status)]);
            told = status;
        }
    }
}

/// How one output does that has delivered so many events in so many seconds.
fn status(health: &Health, delivered: u64, seconds: f64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 events in some seconds")]
    let rate = if seconds > 0.0 { delivered as f64 / seconds } else { 0.0 };
    let (bytes, age_seconds) = health.metrics().lag();
    let behind = match bytes {
        0 => "level".to_owned(),
        bytes => format!("{} behind, {age_seconds:.0} s old", shown::size(bytes)),
    };
    let trouble = health.trouble().map(|reason| format!(", {reason}")).unwrap_or_default();
    format!("{}: {rate:.0} events/s, {behind}{trouble}", health.output())
}

/// What hangs of these outputs, one line each.
#[must_use]
pub fn stalled(outputs: &[Arc<Health>]) -> Vec<String> {
    outputs.iter().filter_map(|health| health.stalled()).collect()
}

/// Says in time that we live, for as long as we do; returns if nobody wants to know.
pub async fn feed_watchdog(outputs: Outputs) {
    let Some(interval) = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero()) else { return };
    feed(interval, &outputs, async || {
        // It waits if systemd's queue is full.
        let _ = tokio::task::spawn_blocking(|| notify(&[NotifyState::Watchdog])).await;
    })
    .await;
}

async fn feed(interval: Duration, outputs: &Outputs, mut say: impl AsyncFnMut()) {
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
