//! The log is another one from now on: the old one is read to its end first.
//!
//! kube-apiserver is started again with its new manifest, and writes to the old log until it has ended. So the routes stay
//! with the old log until the new one *has begun*, which shows that nobody writes to the old one any more, and all of the old
//! one is settled. The files of the new one are held meanwhile, so that no retention takes them. Then each output begins the
//! new log at its oldest file.
//!
//! Somebody may lead to a third log, or back, before the old one is settled. What was written to in between is read too, in
//! its turn.
//!
//! A file in the state directory remembers which log the cursors are of, and which have begun since (`record`), so that a
//! restart in between goes on with the old one, and a manifest that changed while nothing ran is as good. How far each output
//! got in the old log is kept too, for the day when somebody leads back to it (`cursors`).

mod cursors;
mod record;

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::log::Log;
use crate::config::{Config, Source};
use crate::metrics::PinMetrics;
use crate::source::series::Series;
use crate::stamp::Stamp;
use record::{Place, Record, remember, remembered};

/// Between two looks whether a new log has begun.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The way from one log to another, or over several of them to the last.
pub(super) struct Moving {
    wanted: Config,
    /// What is to be read after the log that is read now; the last one is the wanted one.
    next: VecDeque<Next>,
    gauges: PinMetrics,
}

/// A log whose turn is yet to come.
struct Next {
    source: Source,
    log: Log,
    /// How it looked when it was not yet written to.
    before: Stamp,
    has_begun: bool,
}

/// Whether these are two logs, and not one by two names.
fn is_another_log(former: &Source, new: &Source) -> bool {
    let id = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    former.path != new.path && (id(&former.path).is_none() || id(&former.path) != id(&new.path))
}

/// The log that the cursors are of. Where a daemon was stopped on the way that is not yet the one which the manifest names.
pub(crate) fn log_of_cursors(config: &Config) -> Source {
    let record = remembered(&config.state_dir).filter(|_| config.source.manifest.is_some());
    let former = record.map(|record| record.log.source(&config.source));
    former.filter(|former| !is_empty(former)).unwrap_or_else(|| config.source.clone())
}

/// Whether it has no file at all: its files may lie elsewhere now, where they are known by their content.
fn is_empty(source: &Source) -> bool {
    Series::new(&source.path).list().is_ok_and(|files| files.is_empty())
}

impl Moving {
    /// What a restart has interrupted, and the configuration until it is done.
    pub(super) fn at_start(config: Config, gauges: PinMetrics) -> (Option<Self>, Config) {
        let state_dir = &config.state_dir;
        let Some(record) = remembered(state_dir).filter(|_| config.source.manifest.is_some()) else {
            remember(&config, &Record::of(&config.source));
            return (None, config);
        };
        let source = |place: &Place| place.source(&config.source);
        let (former, begun) = (source(&record.log), record.then.iter().map(source).collect::<Vec<_>>());
        if let Some(left) = &record.left {
            // It ended between the two logs.
            cursors::turn_all(&config, &left.path, &former.path);
        }
        if begun.is_empty() && (is_empty(&former) || !is_another_log(&former, &config.source)) {
            remember(&config, &Record::of(&config.source));
            return (None, config);
        }
        let running = Config { source: former, ..config.clone() };
        let mut moving = Self { wanted: config, next: VecDeque::new(), gauges };
        for source in begun {
            moving.push(source, &running.source, true);
        }
        let moving = moving.on_to_wanted(&running.source);
        match &moving {
            Some(moving) => moving.remember(&running.source, None),
            None => remember(&running, &Record::of(&running.source)),
        }
        (moving, running)
    }

    /// From the log of `former` to that of `wanted`, after those that were `on_the_way` already; `None` if it is the wanted
    /// one.
    pub(super) fn to(
        wanted: Config,
        former: &Source,
        on_the_way: Option<Self>,
        gauges: PinMetrics,
    ) -> Option<Self> {
        let next = on_the_way.map(|moving| moving.next).unwrap_or_default();
        Self { wanted, next, gauges }.on_to_wanted(former)
    }

    /// Leaves out what nobody has written to after all, and has the wanted log be the last one.
    fn on_to_wanted(mut self, former: &Source) -> Option<Self> {
        let wanted = self.wanted.source.clone();
        let is_news = |next: &Next| next.has_begun || next.to_look()();
        while self.next.back().is_some_and(|last| last.source.path != wanted.path && !is_news(last)) {
            self.next.pop_back();
        }
        match self.next.back_mut() {
            Some(last) if !is_another_log(&last.source, &wanted) => {
                last.source = Source { path: last.source.path.clone(), ..wanted };
            }
            None if !is_another_log(former, &wanted) => return None,
            _ => self.push(wanted, former, false),
        }
        Some(self)
    }

    fn push(&mut self, source: Source, former: &Source, has_begun: bool) {
        tell(&self.next.back().map_or(former, |last| &last.source).path, &source.path);
        let (live, manifest) = (Stamp::of(live(&source)), source.manifest.clone().map(Stamp::of));
        // What was written after the manifest was written by the server that obeys it.
        let is_news = manifest.is_some_and(|manifest| live.is_written_after(&manifest));
        let before = if is_news { Stamp::of(PathBuf::new()) } else { live };
        let config = Config { source: source.clone(), ..self.wanted.clone() };
        let log = Log::open_ahead(&config, self.gauges.clone());
        self.next.push_back(Next { source, log, before, has_begun });
    }

    /// The configuration that is to be in effect.
    pub(super) fn wanted(&self) -> &Config {
        &self.wanted
    }

    /// Whether the next log is written to, and so nobody writes to the one before it any more.
    pub(super) fn has_begun(&self) -> bool {
        self.next.front().is_some_and(|next| next.has_begun)
    }

    /// So many logs are written to, or were until the next was, while `former` is read: none of them may be forgotten.
    pub(super) fn begins(&mut self, logs: usize, former: &Source) {
        self.next.iter_mut().take(logs).for_each(Next::begins);
        self.remember(former, None);
    }

    fn remember(&self, read: &Source, left: Option<&Source>) {
        let begun = self.next.iter().filter(|next| next.has_begun).map(|next| &next.source);
        remember(&self.wanted, &Record::between(read, begun, left));
    }

    /// Copies what the file system will forget of the logs to come to the spool.
    pub(super) fn keep_nameless(&self) {
        for Next { source, log, .. } in &self.next {
            // Nobody has settled anything of it.
            log.keep_nameless(&Config { outputs: Vec::new(), source: source.clone(), ..self.wanted.clone() });
        }
    }

    /// The log before the next one is settled, by outputs that have ended. Returns what is in effect from now on, and what is
    /// still to come.
    pub(super) fn arrive(mut self, former: &Config) -> Option<(Config, Log, Option<Self>)> {
        let Next { source, log, .. } = self.next.pop_front()?;
        cursors::put_aside(former);
        self.remember(&source, Some(&former.source));
        cursors::turn_all(former, &former.source.path, &source.path);
        self.remember(&source, None);
        tracing::info!(log = %source.path.display(), "the old log is settled; going on with the new one");
        let config = Config { source, ..self.wanted.clone() };
        log.begin_for(config.outputs.len());
        let still = !self.next.is_empty();
        Some((config, log, still.then_some(self)))
    }
}

impl Next {
    /// Opens what has appeared of it, and says whether it begins.
    fn to_look(&self) -> impl FnOnce() -> bool + Send + 'static {
        let (watch, source, before) =
            (Arc::clone(self.log.watch()), self.source.clone(), self.before.clone());
        let has_begun = self.has_begun;
        move || {
            watch.look();
            !has_begun && Stamp::of(live(&source)).is_written_since(&before)
        }
    }

    fn begins(&mut self) {
        if !std::mem::replace(&mut self.has_begun, true) {
            tracing::info!(log = %self.source.path.display(), "the new log has begun");
        }
    }
}

/// Returns when more of the logs to come are written to: how many of them; else never. Their files are opened meanwhile.
pub(super) async fn new_log_begins(moving: Option<&Moving>) -> usize {
    let Some(moving) = moving else { return std::future::pending().await };
    loop {
        let looks: Vec<_> = moving.next.iter().map(Next::to_look).collect();
        let look = tokio::task::spawn_blocking(move || {
            looks.into_iter().map(|look| look()).collect::<Vec<bool>>().into_iter().rposition(|begins| begins)
        });
        if let Ok(Some(last)) = look.await {
            return last + 1;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn tell(former: &Path, new: &Path) {
    tracing::info!(
        old = %former.display(),
        new = %new.display(),
        "the log is another one; the old one is read to its end first, once the new one has begun"
    );
}

/// The file that is written to.
fn live(source: &Source) -> PathBuf {
    let series = Series::new(&source.path);
    // Where the path is a pattern, only a listing tells. A directory that cannot be read holds no file yet.
    let _ = series.list();
    series.live_path()
}
