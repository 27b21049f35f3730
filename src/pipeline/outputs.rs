//! The outputs that are at work, each as a task of its own.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::serving::{Serving, Told};
use super::trail::Trail;
use crate::config;
use crate::health::Health;
use crate::metrics::{Metrics, RouteMetrics};

/// The books of all outputs that there have been; an output that stays, or comes back, goes on with its own.
pub(super) struct Books {
    metrics: Metrics,
    routes: HashMap<String, Arc<RouteMetrics>>,
}

impl Books {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, routes: HashMap::new() }
    }

    pub(super) fn of(&mut self, output: &str) -> Arc<RouteMetrics> {
        if let Some(known) = self.routes.get(output) {
            known.is_configured_anew();
            return Arc::clone(known);
        }
        let new = Arc::new(self.metrics.route(output));
        self.routes.insert(output.to_owned(), Arc::clone(&new));
        new
    }
}

/// An output ended, and nobody had told it to.
#[derive(Debug)]
pub(super) struct Unexpected(pub(super) String);

/// The outputs that are at work.
#[derive(Default)]
pub(super) struct Outputs {
    running: HashMap<String, Running>,
    /// Those that were told to end, and have not yet.
    ending: HashMap<String, Running>,
    tasks: JoinSet<()>,
}

struct Running {
    health: Arc<Health>,
    end: CancellationToken,
    task: Id,
}

impl Outputs {
    /// Puts one to work, until it is told to end.
    pub(super) fn start(&mut self, serving: Serving, trail: &Arc<Trail>, told: Told) {
        let (health, end) = (Arc::clone(serving.health()), told.end.clone());
        let name = health.output().to_owned();
        let task = self.tasks.spawn(serving.run(Arc::clone(trail), told)).id();
        self.running.insert(name, Running { health, end, task });
    }

    /// Whether one of this name is at work, or has not yet ended.
    pub(super) fn has(&self, output: &str) -> bool {
        self.running.contains_key(output) || self.ending.contains_key(output)
    }

    /// Tells those that are meant to end in order; the others go on. What is in memory may finish within the grace.
    pub(super) fn tell_to_end(&mut self, meant: impl Fn(&str) -> bool) {
        let told = self.running.extract_if(|name, _| meant(name));
        self.ending.extend(told.inspect(|(_, running)| running.end.cancel()));
    }

    /// Waits until one has ended that was told to. Returns its name; `None` if there is none. May be dropped and called again.
    pub(super) async fn next_end(&mut self) -> Result<Option<String>, Unexpected> {
        while !self.ending.is_empty() {
            let Some(task) = self.end_of_one().await? else { break };
            let name = self.ending.iter().find(|(_, running)| running.task == task);
            if let Some(name) = name.map(|(name, _)| name.clone()) {
                self.ending.remove(&name);
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Waits until all of them have ended, as they do on a stop. May be dropped and called again.
    pub(super) async fn end_of_all(&mut self) -> Result<(), Unexpected> {
        while self.end_of_one().await?.is_some() {}
        Ok(())
    }

    async fn end_of_one(&mut self) -> Result<Option<Id>, Unexpected> {
        let Some(ended) = self.tasks.join_next_with_id().await else { return Ok(None) };
        let (task, ()) = ended.map_err(|error| Unexpected(error.to_string()))?;
        let is_it = |(_, running): &(&String, &Running)| running.task == task && !running.end.is_cancelled();
        match self.running.iter().find(is_it) {
            Some((name, _)) => Err(Unexpected(format!("{name} has no log to read"))),
            None => Ok(Some(task)),
        }
    }

    /// How they do, in the order of the configuration; of one that is about to be replaced, how the one before does.
    pub(super) fn health(&self, configured: &[config::Output]) -> Arc<[Arc<Health>]> {
        let of = |name: &str| self.running.get(name).or_else(|| self.ending.get(name));
        let health = |output: &config::Output| of(&output.name).map(|running| Arc::clone(&running.health));
        configured.iter().filter_map(health).collect()
    }
}
