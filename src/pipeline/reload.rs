//! The configuration while the daemon runs: read again when its file or the manifest changes, and at SIGHUP.
//!
//! Only what is right as a whole is handed on, with everything that it names read. What is wrong is told once, and changes
//! nothing. A file that is not there for a moment is one that somebody is about to replace.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::hangup::{Asked, Listener};
use crate::config::{Config, Errors, Loaded};
use crate::metrics::ConfigMetrics;
use crate::prepare::{self, Prepared};
use crate::stamp::{LOOK_EVERY, Looks, Stamp};

/// A file that is away for no longer than this is being replaced.
const MAY_BE_AWAY_FOR: Duration = Duration::from_secs(30);

/// Where the configuration comes from.
pub struct Load {
    /// Its file, if it has one.
    pub file: Option<PathBuf>,
    /// Reads it anew, from all of its sources.
    pub again: Arc<dyn Fn() -> Result<Loaded, Errors> + Send + Sync>,
}

/// Another configuration, and what its outputs need.
pub struct New {
    /// The configuration.
    pub config: Config,
    /// See [`prepare::prepare`].
    pub prepared: Vec<Prepared>,
    /// What is to be said of it.
    pub warnings: Vec<String>,
}

/// Reads it, and remembers what was said of it.
pub(super) struct Reloads {
    load: Load,
    /// The files that it was read from.
    looks: Vec<Looks>,
    metrics: ConfigMetrics,
    hangups: Listener,
    /// Who asked for it, and waits.
    asked: Option<Asked>,
    away_since: Option<Instant>,
    complaints: Vec<String>,
    /// What has changed and takes a restart.
    for_restart: Vec<&'static str>,
}

/// How the configuration was found.
enum Found {
    /// The same as it is, but for these fields that take a restart.
    Same(Vec<&'static str>),
    Other(Box<New>),
    /// A file that it is read from is not there.
    Away(Vec<String>),
    Wrong(Vec<String>),
}

impl Reloads {
    pub(super) fn new(load: Load, config: &Config, metrics: ConfigMetrics, hangups: Listener) -> Self {
        let (looks, complaints) = (Vec::new(), Vec::new());
        let mut reloads = Self {
            load,
            looks,
            metrics,
            hangups,
            asked: None,
            away_since: None,
            complaints,
            for_restart: Vec::new(),
        };
        reloads.follow(config);
        reloads
    }

    /// Looks at the files that this configuration was read from.
    fn follow(&mut self, config: &Config) {
        self.looks = self.load.file.iter().chain(&config.source.manifest).cloned().map(Looks::at).collect();
    }

    /// Waits for a configuration that is right and is not `wanted`. Whoever gets one says whether it is taken over, and when
    /// it is in effect. May be dropped and called again.
    pub(super) async fn next(&mut self, wanted: &Config) -> New {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_due = tokio::select! {
                _ = ticks.tick() => self.is_due().await || self.asked.is_some(),
                asked = self.hangups.next() => {
                    self.asked = Some(asked);
                    true
                }
            };
            if !is_due {
                continue;
            }
            let last: Vec<Stamp> = self.looks.iter().map(Looks::last).collect();
            let (load, before) = (Arc::clone(&self.load.again), wanted.clone());
            let read = move || {
                let stamps: Vec<Stamp> = last.iter().map(Stamp::now).collect();
                (stamps, find(&*load, &before), before)
            };
            let Ok((stamps, found, before)) = tokio::task::spawn_blocking(read).await else { continue };
            self.looks.iter_mut().zip(stamps).for_each(|(looks, stamp)| looks.was_read(stamp));
            if let Found::Other(new) = &found {
                self.tell_what_takes_a_restart(for_restart(&new.config, &before));
            }
            if let Some(new) = self.take(found) {
                return new;
            }
            self.is_done();
        }
    }

    /// What was read is in effect, or is not going to be.
    pub(super) fn is_done(&mut self) {
        self.asked = None;
    }

    /// Whether a file has changed, or is still away.
    async fn is_due(&mut self) -> bool {
        let last: Vec<Stamp> = self.looks.iter().map(Looks::last).collect();
        let look = move || last.iter().map(Stamp::now).collect::<Vec<Stamp>>();
        let Ok(now) = tokio::task::spawn_blocking(look).await else { return false };
        let is_due = self.looks.iter_mut().zip(now).map(|(looks, now)| looks.is_due(now));
        // Each of them is looked at.
        let is_due = is_due.fold(false, |one, other| one | other);
        let is_awaited = self.away_since.is_some_and(|since| since.elapsed() >= MAY_BE_AWAY_FOR);
        is_due || is_awaited && self.complaints.is_empty()
    }

    fn take(&mut self, found: Found) -> Option<New> {
        if !matches!(found, Found::Away(_)) {
            self.away_since = None;
        }
        match found {
            Found::Same(for_restart) => {
                self.metrics.read(true);
                self.tell_what_takes_a_restart(for_restart);
                if !std::mem::take(&mut self.complaints).is_empty() {
                    tracing::info!("the configuration is right again, and is the one in use");
                }
                None
            }
            Found::Other(new) => Some(*new),
            Found::Away(mistakes) => {
                let since = *self.away_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= MAY_BE_AWAY_FOR {
                    self.refuse(mistakes);
                }
                None
            }
            Found::Wrong(mistakes) => {
                self.refuse(mistakes);
                None
            }
        }
    }

    /// This configuration is taken over.
    pub(super) fn take_over(&mut self, config: &Config, warnings: Vec<String>) {
        self.complaints.clear();
        self.metrics.read(true);
        tracing::info!("the configuration has changed, and is taken over");
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        self.follow(config);
    }

    /// Once, until something else of it changes.
    fn tell_what_takes_a_restart(&mut self, fields: Vec<&'static str>) {
        if self.for_restart != fields {
            for field in &fields {
                tracing::warn!("{field} has changed, which takes a restart; the old one stays in use");
            }
            self.for_restart = fields;
        }
    }

    /// The configuration is not taken over, for these mistakes.
    pub(super) fn refuse(&mut self, mistakes: Vec<String>) {
        self.metrics.read(false);
        if self.complaints == mistakes {
            return;
        }
        for mistake in &mistakes {
            tracing::error!("the configuration is wrong, the one before stays in use: {mistake}");
        }
        self.complaints = mistakes;
    }
}

fn find(load: &dyn Fn() -> Result<Loaded, Errors>, wanted: &Config) -> Found {
    let mut loaded = match load() {
        Ok(loaded) => loaded,
        Err(errors) if errors.is_away() => return Found::Away(errors.into_mistakes()),
        Err(errors) => {
            let in_files = prepare::mistakes_in_files(&errors);
            return Found::Wrong([errors.into_mistakes(), in_files].concat());
        }
    };
    if is_same(&loaded.config, wanted) {
        return Found::Same(for_restart(&loaded.config, wanted));
    }
    match prepare::prepare(&mut loaded) {
        Ok(prepared) => {
            Found::Other(Box::new(New { config: loaded.config, prepared, warnings: loaded.warnings }))
        }
        Err(mistakes) => Found::Wrong(mistakes),
    }
}

/// Whether nothing has changed but what takes a restart.
fn is_same(config: &Config, wanted: &Config) -> bool {
    config.source == wanted.source
        && config.outputs == wanted.outputs
        && config.shutdown_grace == wanted.shutdown_grace
}

/// What has changed that takes a restart.
fn for_restart(config: &Config, wanted: &Config) -> Vec<&'static str> {
    let fields = [
        (config.state_dir != wanted.state_dir, "stateDir"),
        (config.bind_address != wanted.bind_address, "bindAddress"),
        (config.live_view != wanted.live_view, "liveView"),
    ];
    fields.into_iter().filter_map(|(is_other, field)| is_other.then_some(field)).collect()
}
