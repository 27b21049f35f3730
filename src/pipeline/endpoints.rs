//! The files of an endpoint, looked at while the daemon runs: tokens, certificates and kubeconfigs are renewed under us.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::hangup::Listener;
use crate::endpoint::Endpoint;
use crate::metrics::RouteMetrics;

/// What is renewed is good for longer than that before what it replaces expires.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Reads what has changed, and everything at SIGHUP, until it is dropped. Each endpoint has its own task: one whose plugin or
/// file system hangs keeps no other from being renewed.
pub(super) async fn keep_current(endpoint: &Arc<Endpoint>, metrics: &RouteMetrics, mut hangups: Listener) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let _asked = tokio::select! {
            _ = ticks.tick() => {
                endpoint.look().await;
                None
            }
            asked = hangups.next() => {
                endpoint.renew().await;
                Some(asked)
            }
        };
        metrics.endpoint(&endpoint.condition());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use tokio::task::JoinSet;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::metrics::Metrics;
    use crate::pipeline::hangup::Hangups;

    fn endpoint(directory: &Path, name: &str, user: &str) -> Arc<Endpoint> {
        let text = format!(
            "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nclusters: [{{name: k, cluster: \
             {{server: 'https://127.0.0.1:1', insecure-skip-tls-verify: true}}}}]\nusers: [{{name: u, user: {user}}}]\n"
        );
        fs::write(directory.join(name), text).unwrap();
        Arc::new(Endpoint::load(&directory.join(name), Duration::from_secs(30)).unwrap())
    }

    #[tokio::test]
    async fn an_endpoint_whose_plugin_hangs_keeps_no_other_from_being_renewed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("plugin"), "#!/bin/sh\n: > \"$(dirname \"$0\")\"/runs\nexec sleep 600\n").unwrap();
        fs::set_permissions(path("plugin"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path("token"), "first").unwrap();
        let exec = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, interactiveMode: Never}}";
        let hanging = endpoint(directory.path(), "one", exec);
        let other = endpoint(directory.path(), "two", "{tokenFile: token}");
        let metrics = Metrics::new();
        let to_keep = [("one", &hanging), ("two", &other)]
            .map(|(name, endpoint)| (Arc::clone(endpoint), metrics.route(name)));
        let refusing = async {
            hanging.refused(0).await;
        };
        let renewed = async {
            while !path("runs").exists() {
                sleep(Duration::from_millis(10)).await;
            }
            fs::write(path("token"), "second").unwrap();
            let mut changes = other.changes();
            let hangups = Hangups::new();
            let keeping: JoinSet<()> = to_keep
                .into_iter()
                .map(|(endpoint, metrics)| (endpoint, metrics, hangups.listen()))
                .map(|(endpoint, metrics, hangups)| async move {
                    keep_current(&endpoint, &metrics, hangups).await;
                })
                .collect();
            assert!(timeout(Duration::from_secs(60), changes.changed()).await.is_ok(), "it was not renewed");
            drop(keeping);
        };
        tokio::select! {
            () = refusing => panic!("the plugin does not hang"),
            () = renewed => {}
        }
    }
}
