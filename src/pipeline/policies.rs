//! The policy files of the outputs, looked at while the daemon runs: a policy is changed without a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::batch::Treatment;
use crate::metrics::RouteMetrics;
use crate::policy::{Loaded, Policy};
use crate::stamp::Stamp;

/// Between two looks at a file.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A file that looks the same is read again all the same after this long.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The policy file of one output.
pub(super) struct PolicyFile {
    output: String,
    treatment: watch::Sender<Treatment>,
    metrics: Arc<RouteMetrics>,
    /// As it looked when it was read, and at the last look.
    read: Stamp,
    seen: Stamp,
    read_at: Instant,
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
        // What was written between the reading and now is seen at the first look, since nothing looks like this.
        let read = Stamp::of(PathBuf::new());
        let seen = Stamp::of(path);
        Self { output, treatment, metrics, read, seen, read_at: Instant::now(), complaints: Vec::new() }
    }

    /// Reads it if it has changed. A file that looks other than at the last look may be half written: it is left until it
    /// stays as it is.
    async fn look(&mut self) {
        let last = self.seen.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || last.now()).await else { return };
        let is_still = now == self.seen;
        let is_new = now != self.read || self.read_at.elapsed() >= READ_AGAIN_AFTER;
        self.seen = now;
        if is_still && is_new {
            self.read().await;
        }
    }

    /// Reads it now, whatever it looks like.
    async fn read(&mut self) {
        let path = self.seen.path().to_owned();
        let read = move || (Stamp::of(path.clone()), Policy::load(&path));
        let Ok((stamp, loaded)) = tokio::task::spawn_blocking(read).await else { return };
        (self.read, self.read_at) = (stamp, Instant::now());
        match loaded {
            Ok(loaded) => self.take(loaded),
            Err(mistakes) => self.refuse(mistakes),
        }
    }

    fn take(&mut self, Loaded { policy, warnings }: Loaded) {
        let was_wrong = !std::mem::take(&mut self.complaints).is_empty();
        let rules = policy.rules().len();
        self.metrics.policy(rules);
        let policy = Arc::new(policy);
        let is_other = self.treatment.send_if_modified(|treatment| {
            let is_other = treatment.policy.as_ref() != Some(&policy);
            if is_other {
                treatment.policy = Some(policy);
            }
            is_other
        });
        if is_other || was_wrong {
            let file = self.seen.path().display();
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

/// Reads the files that have changed, and all when `hung_up` says so, until it is dropped. Each for itself: a file system
/// that hangs keeps no other output from its policy.
pub(super) async fn keep_current(files: Vec<PolicyFile>, hung_up: watch::Receiver<()>) {
    join_all(files.into_iter().map(|file| keep_one(file, hung_up.clone()))).await;
}

async fn keep_one(mut file: PolicyFile, mut hung_up: watch::Receiver<()>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => file.look().await,
            Ok(()) = hung_up.changed() => file.read().await,
        }
    }
}
