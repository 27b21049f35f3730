//! The files of the endpoints, looked at while the daemon runs: tokens, certificates and kubeconfigs are renewed under us.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::MissedTickBehavior;

use crate::kubeconfig::Endpoint;
use crate::metrics::RouteMetrics;

/// What is renewed is good for longer than that before what it replaces expires.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Reads what has changed, and everything at a SIGHUP, until it is dropped.
pub(super) async fn keep_current(endpoints: Vec<(Arc<Endpoint>, Arc<RouteMetrics>)>, mut hangups: Signal) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_hangup = tokio::select! {
            _ = ticks.tick() => false,
            _ = hangups.recv() => true,
        };
        if is_hangup {
            tracing::info!("SIGHUP: reading the kubeconfigs and their files again");
        }
        for (endpoint, metrics) in &endpoints {
            if is_hangup {
                endpoint.renew().await;
            } else {
                endpoint.look().await;
            }
            metrics.endpoint(&endpoint.condition());
        }
    }
}
