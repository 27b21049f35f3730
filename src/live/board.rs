//! What there is to see: the stories of the outputs, kept while the daemon runs, and the document made of them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::place::{self, position};
use super::status::{Configuration, Output, Position, SCHEMA_VERSION, Status};
use super::story::{STEP, Story};
use crate::config;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::supervisor::Outputs;

/// The document is made anew at most this often, however many look at it.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// A disk that takes longer than this to say where the outputs are is not waited for.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// Shared by all who show it.
#[derive(Debug, Clone)]
pub(super) struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    outputs: Outputs,
    state_dir: PathBuf,
    started_at: Timestamp,
    stories: Mutex<HashMap<String, Story>>,
    made: tokio::sync::Mutex<Made>,
}

/// The document as it was made last, and the places of the outputs as they were found last.
#[derive(Debug, Default)]
struct Made {
    json: Option<(Instant, Bytes)>,
    positions: HashMap<String, Position>,
    /// A look at the disk that is under way or that nobody has waited for to its end, and when it was begun.
    looking: Option<(Instant, JoinHandle<HashMap<String, Position>>)>,
}

impl Board {
    /// Nothing is known yet. The cursors are in `state_dir`.
    pub(super) fn new(metrics: Metrics, outputs: Outputs, state_dir: PathBuf) -> Self {
        Self(Arc::new(Inner {
            metrics,
            outputs,
            state_dir,
            started_at: Timestamp::now(),
            stories: Mutex::default(),
            made: tokio::sync::Mutex::default(),
        }))
    }

    /// Keeps the stories, until it is dropped.
    pub(super) async fn keep(self) {
        let mut ticks = interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // The first one is at once, and ends no step.
        ticks.tick().await;
        self.with_stories(Story::look);
        loop {
            ticks.tick().await;
            self.with_stories(Story::step);
        }
    }

    /// The document as JSON, not older than a second.
    pub(super) async fn json(&self) -> serde_json::Result<Bytes> {
        let mut made = self.0.made.lock().await;
        if let Some((at, json)) = &made.json
            && at.elapsed() < FRESH_FOR
        {
            return Ok(json.clone());
        }
        self.look_where_outputs_are(&mut made).await;
        let json = Bytes::from(serde_json::to_vec(&self.status(&made.positions))?);
        made.json = Some((Instant::now(), json.clone()));
        Ok(json)
    }

    /// Finds the places of the outputs, off the async threads. One look at a time: what hangs in a disk is waited for but
    /// once.
    async fn look_where_outputs_are(&self, made: &mut Made) {
        // What was seen while nobody waited may be of long ago.
        made.looking.take_if(|(begun, looking)| looking.is_finished() && begun.elapsed() > LONGEST_LOOK);
        let (_, looking) = made.looking.get_or_insert_with(|| {
            let (outputs, state_dir) = (Arc::clone(&*self.0.outputs.borrow()), self.0.state_dir.clone());
            let looking = tokio::task::spawn_blocking(move || {
                let place = |health: &Arc<Health>| {
                    let name = health.output();
                    let course = health.course()?;
                    Some((name.to_owned(), position(&course, &state_dir, name)))
                };
                outputs.iter().filter_map(place).collect()
            });
            (Instant::now(), looking)
        });
        match timeout(LONGEST_LOOK, looking).await {
            Ok(found) => {
                made.positions = found.unwrap_or_default();
                made.looking = None;
            }
            Err(_) => {
                for position in made.positions.values_mut() {
                    position.problem = Some("the disk does not answer; this is as it was before".to_owned());
                }
            }
        }
    }

    fn status(&self, positions: &HashMap<String, Position>) -> Status {
        let mut logs = Vec::new();
        for health in self.0.outputs.borrow().iter() {
            if let Some(course) = health.course() {
                let log = course.pins.series().live_path().display().to_string();
                if !logs.contains(&log) {
                    logs.push(log);
                }
            }
        }
        let mut outputs = Vec::new();
        self.with_stories(|story, health| {
            story.look(health);
            let found = positions.get(health.output()).cloned();
            let position = found.unwrap_or_else(|| place::unknown("it is not known yet"));
            outputs.push(output(story, health, position));
        });
        let last_read = self.0.metrics.config().last_read();
        Status {
            schema_version: SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: config::host_name(),
            now: Timestamp::now(),
            started_at: self.0.started_at,
            configuration: Configuration { is_right: last_read.is_right, right_at: last_read.right_at },
            logs,
            outputs,
        }
    }

    /// For each output that there is now; the stories of others are forgotten.
    fn with_stories(&self, mut with: impl FnMut(&mut Story, &Health)) {
        let outputs = Arc::clone(&*self.0.outputs.borrow());
        let mut stories = self.stories();
        // Between two configurations there are none for a moment, and they come back.
        if !outputs.is_empty() {
            stories.retain(|name, _| outputs.iter().any(|health| health.output() == name));
        }
        for health in outputs.iter() {
            let story = stories.entry(health.output().to_owned()).or_insert_with(|| Story::of(health));
            with(story, health);
        }
    }

    fn stories(&self) -> MutexGuard<'_, HashMap<String, Story>> {
        self.0.stories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn output(story: &Story, health: &Health, position: Position) -> Output {
    let (state, since, reason) = story.state(health);
    let (destination, endpoint) = match health.course() {
        Some(course) => (course.destination.to_owned(), (course.endpoint)()),
        None => Default::default(),
    };
    Output {
        name: health.output().to_owned(),
        destination,
        endpoint,
        state,
        since,
        reason,
        not_ready: health.not_ready(),
        current: story.current(health),
        history: story.history(),
        retention_grace_seconds: Some(health.metrics().retention_grace_seconds())
            .filter(|grace| grace.is_finite()),
        position,
        counts: health.metrics().counts(),
        errors: story.errors(),
        top: story.top(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;
    use tokio::task::yield_now;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_place_that_was_found_long_ago_for_nobody_is_not_shown() {
        let (_outputs, shown) = watch::channel(Arc::from([]));
        let board = Board::new(Metrics::new(), shown, PathBuf::from("/nonexistent"));
        for (age, is_shown) in [(LONGEST_LOOK / 2, true), (LONGEST_LOOK * 2, false)] {
            let place = HashMap::from([("siem".to_owned(), place::unknown("it was so"))]);
            let looking = tokio::spawn(async { place });
            while !looking.is_finished() {
                yield_now().await;
            }
            let mut made = Made { looking: Some((Instant::now(), looking)), ..Made::default() };
            advance(age).await;
            board.look_where_outputs_are(&mut made).await;
            assert_eq!(
                (made.positions.len(), made.looking.is_some()),
                (usize::from(is_shown), false),
                "{age:?}"
            );
        }
    }
}
