//! The policy file of an output, looked at while the daemon runs: a policy is changed without a restart.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::hangup::Listener;
use crate::batch::Treatment;
use crate::metrics::RouteMetrics;
use crate::policy::{Loaded, Policy};
use crate::stamp::{LOOK_EVERY, Looks, Stamp};

/// The policy file of one output.
pub(super) struct PolicyFile {
    output: String,
    treatment: watch::Sender<Treatment>,
    metrics: Arc<RouteMetrics>,
    looks: Looks,
    /// What is wrong with it, as it was last said.
    complaints: Vec<String>,
}

impl PolicyFile {
    /// The file at `path`, which was just read, of the output whose treatment this is.
    pub(super) fn new(
        output: String,
        path: PathBuf,
        treatment: watch::Sender<Treatment>,
        metrics: Arc<RouteMetrics>,
    ) -> Self {
        Self { output, treatment, metrics, looks: Looks::at(path), complaints: Vec::new() }
    }

    /// Reads it if it has changed.
    async fn look(&mut self) {
        let last = self.looks.last();
        let Ok(now) = tokio::task::spawn_blocking(move || last.now()).await else { return };
        if self.looks.is_due(now) {
            self.read().await;
        }
    }

    /// Reads it now, whatever it looks like.
    async fn read(&mut self) {
        let path = self.looks.path().to_owned();
        let read = move || (Stamp::of(path.clone()), Policy::load(&path));
        let Ok((stamp, loaded)) = tokio::task::spawn_blocking(read).await else { return };
        self.looks.was_read(stamp);
        match loaded {
            Ok(loaded) => self.take(loaded),
            Err(mistakes) => self.refuse(mistakes),
        }
    }

    fn take(&mut self, Loaded { policy, warnings }: Loaded) {
        let was_wrong = !std::mem::take(&mut self.complaints).is_empty();
        let rules = policy.rules().len();
        let policy = Arc::new(policy);
        let is_other = self.treatment.send_if_modified(|treatment| {
            let is_other = treatment.policy.as_ref() != Some(&policy);
            if is_other {
                treatment.policy = Some(policy);
            }
            is_other
        });
        // It is in use by now, as this says.
        self.metrics.policy(rules);
        if is_other || was_wrong {
            let file = self.looks.path().display();
            tracing::info!(output = self.output, %file, rules, "the policy was read again, and is in use");
            for warning in warnings {
                tracing::warn!(output = self.output, "{warning}");
            }
        }
    }

    fn refuse(&mut self, mistakes: Vec<String>) {
        self.metrics.policy_reload(false);
        if self.complaints == mistakes {
            return;
        }
        for mistake in &mistakes {
            tracing::error!(
                output = self.output,
                "the policy file is wrong, the policy before stays in use: {mistake}"
            );
        }
        self.complaints = mistakes;
    }
}

/// Reads it when it has changed, and at SIGHUP, until it is dropped. Each has its own task: a file system that hangs keeps no
/// other output from its policy.
pub(super) async fn keep_current(mut file: PolicyFile, mut hangups: Listener) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => file.look().await,
            _asked = hangups.next() => file.read().await,
        }
    }
}
