//! The configuration while the daemon runs: read again when the manifest changes, and at SIGHUP.
//!
//! Only what is right as a whole is handed on, with everything that it names read. What is wrong is told once, and changes
//! nothing. A file that is not there for a moment is one that somebody is about to replace.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::config::{Config, Errors, Loaded};
use crate::metrics::ConfigMetrics;
use crate::prepare::{self, Prepared};
use crate::stamp::{LOOK_EVERY, Looks, Stamp};

/// A file that is away for no longer than this is being replaced.
const MAY_BE_AWAY_FOR: Duration = Duration::from_secs(30);
/// Between two tries to read what a configuration names that was right a moment ago.
const TRY_AGAIN_EVERY: Duration = Duration::from_secs(5);

/// Reads the configuration anew, from all of its sources.
pub type Load = std::sync::Arc<dyn Fn() -> Result<Loaded, Errors> + Send + Sync>;

/// Another configuration, and what its outputs need.
pub struct New {
    /// The configuration.
    pub config: Config,
    /// See [`prepare::prepare`].
    pub prepared: Vec<Prepared>,
}

/// Reads it, and remembers what was said of it.
pub(super) struct Reloads {
    load: Load,
    /// `None`: there is no file that the daemon follows.
    looks: Option<Looks>,
    metrics: ConfigMetrics,
    hung_up: watch::Receiver<()>,
    away_since: Option<Instant>,
    complaints: Vec<String>,
}

/// How the configuration was found.
enum Found {
    /// The same as it is.
    Same,
    Other(Box<New>, Vec<String>),
    /// The manifest is not there.
    Away(Vec<String>),
    Wrong(Vec<String>),
}

impl Reloads {
    pub(super) fn new(
        load: Load,
        config: &Config,
        metrics: ConfigMetrics,
        hung_up: watch::Receiver<()>,
    ) -> Self {
        let looks = config.source.manifest.clone().map(Looks::at);
        Self { load, looks, metrics, hung_up, away_since: None, complaints: Vec::new() }
    }

    /// Waits for a configuration that is right and is not `wanted`. Without a file to follow that is never.
    pub(super) async fn next(&mut self, wanted: &Config) -> New {
        let Some(path) = self.looks.as_ref().map(|looks| looks.path().to_owned()) else {
            return std::future::pending().await;
        };
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_due = tokio::select! {
                _ = ticks.tick() => self.is_due().await,
                Ok(()) = self.hung_up.changed() => true,
            };
            if !is_due {
                continue;
            }
            let stamp = Stamp::of(path.clone());
            let (load, wanted) = (self.load.clone(), wanted.clone());
            let Ok(found) = tokio::task::spawn_blocking(move || find(&*load, &wanted)).await else {
                continue;
            };
            if let Some(looks) = &mut self.looks {
                looks.was_read(stamp);
            }
            if let Some(new) = self.take(found) {
                self.looks = new.config.source.manifest.clone().map(Looks::at);
                return new;
            }
        }
    }

    /// Whether the file has changed, or is still away.
    async fn is_due(&mut self) -> bool {
        let Some(last) = self.looks.as_ref().map(Looks::last) else { return false };
        let Ok(now) = tokio::task::spawn_blocking(move || last.now()).await else { return false };
        let is_due = self.looks.as_mut().is_some_and(|looks| looks.is_due(now));
        let is_awaited = self.away_since.is_some_and(|since| since.elapsed() >= MAY_BE_AWAY_FOR);
        is_due || is_awaited && self.complaints.is_empty()
    }

    fn take(&mut self, found: Found) -> Option<New> {
        if !matches!(found, Found::Away(_)) {
            self.away_since = None;
        }
        match found {
            Found::Same => {
                self.metrics.read(true);
                if !std::mem::take(&mut self.complaints).is_empty() {
                    tracing::info!("the configuration is right again, and is the one in use");
                }
                None
            }
            Found::Other(new, warnings) => {
                self.complaints.clear();
                self.metrics.read(true);
                tracing::info!("the configuration has changed, and is taken over");
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                Some(*new)
            }
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

    fn refuse(&mut self, mistakes: Vec<String>) {
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
        Err(errors) if errors.awaited().is_some() => return Found::Away(errors.into_mistakes()),
        Err(errors) => {
            let in_files = prepare::mistakes_in_files(&errors);
            return Found::Wrong([errors.into_mistakes(), in_files].concat());
        }
    };
    if is_same(&loaded.config, wanted) {
        return Found::Same;
    }
    match prepare::prepare(&mut loaded) {
        Ok(prepared) => Found::Other(Box::new(New { config: loaded.config, prepared }), loaded.warnings),
        Err(mistakes) => Found::Wrong(mistakes),
    }
}

/// Whether nothing has changed but what takes a restart.
fn is_same(config: &Config, wanted: &Config) -> bool {
    config.source == wanted.source
        && config.outputs == wanted.outputs
        && config.shutdown_grace == wanted.shutdown_grace
}

/// What the outputs of a configuration need that was right before; tried until it can be had.
pub(super) async fn prepared(config: &Config) -> Vec<Prepared> {
    let mut told = Vec::new();
    loop {
        let config = config.clone();
        let prepare = move || prepare::of_config(&config);
        let mistakes = match tokio::task::spawn_blocking(prepare).await {
            Ok(Ok(prepared)) => return prepared,
            Ok(Err(mistakes)) => mistakes,
            Err(error) => vec![error.to_string()],
        };
        if mistakes != told {
            for mistake in &mistakes {
                tracing::error!("shipping waits for what the configuration names: {mistake}");
            }
            told = mistakes;
        }
        tokio::time::sleep(TRY_AGAIN_EVERY).await;
    }
}
