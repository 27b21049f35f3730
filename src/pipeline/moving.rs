//! The log is another one from now on: the old one is read to its end first.
//!
//! kube-apiserver is started again with its new manifest, and writes to the old log until it has ended. So the routes stay
//! with the old log until the new one *has begun*, which shows that nobody writes to the old one any more, and all of the old
//! one is settled. The files of the new one are held meanwhile, so that no retention takes them. Then each output begins the
//! new log at its oldest file.
//!
//! A file in the state directory remembers which log the cursors are of, so that a restart in between goes on with the old
//! one, and a manifest that changed while nothing ran is as good. How far each output got in the old log is kept too, for the
//! day when somebody leads back to it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::log::Log;
use crate::checkpoint::{Cursor, Store};
use crate::config::{Config, Source};
use crate::fingerprint;
use crate::metrics::PinMetrics;
use crate::source::format::Format;
use crate::source::series::Series;
use crate::stamp::Stamp;

/// Between two looks whether the new log has begun.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The way from one log to another.
pub(super) struct Moving {
    wanted: Config,
    log: Log,
    /// How the new log looked when it was not yet written to.
    before: Stamp,
    has_begun: bool,
}

/// What the state directory remembers of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    path: PathBuf,
    format: Format,
}

/// Whether these are two logs, and not one by two names.
pub(super) fn is_another_log(former: &Source, new: &Source) -> bool {
    let id = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    former.path != new.path && (id(&former.path).is_none() || id(&former.path) != id(&new.path))
}

impl Moving {
    /// What a restart has interrupted, and the configuration until it is done.
    pub(super) fn at_start(config: Config, gauges: PinMetrics) -> (Option<Self>, Config) {
        let former = remembered(&config.state_dir).filter(|_| config.source.manifest.is_some());
        let former = former.map(|Record { path, format }| Source { path, format, ..config.source.clone() });
        // Without a file of that name its files may lie elsewhere now, where they are known by their content.
        let is_to_be_read = |former: &Source| live(former).exists() && is_another_log(former, &config.source);
        let Some(former) = former.filter(is_to_be_read) else {
            remember(&config);
            return (None, config);
        };
        tell(&former.path, &config.source.path);
        let running = Config { source: former, ..config.clone() };
        // Whatever is there was written by the server that came later.
        let before = Stamp::of(PathBuf::new());
        let log = Log::open_ahead(&config, gauges);
        (Some(Self { wanted: config, log, before, has_begun: false }), running)
    }

    /// From the log of `former` to that of `wanted`, which may have been `on_the_way` already.
    pub(super) fn to(wanted: Config, former: &Source, on_the_way: Option<Self>, gauges: PinMetrics) -> Self {
        if let Some(same) = on_the_way.filter(|moving| moving.wanted.source == wanted.source) {
            return Self { wanted, ..same };
        }
        tell(&former.path, &wanted.source.path);
        // What was written after the manifest was written by the server that obeys it.
        let modified = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        let changed = wanted.source.manifest.as_deref().and_then(modified);
        let path = live(&wanted.source);
        let has_begun =
            changed.is_some_and(|changed| modified(&path).is_some_and(|written| written > changed));
        let before = Stamp::of(if has_begun { PathBuf::new() } else { path });
        let log = Log::open_ahead(&wanted, gauges);
        Self { wanted, log, before, has_begun: false }
    }

    /// The configuration that is to be in effect.
    pub(super) fn wanted(&self) -> &Config {
        &self.wanted
    }

    /// Whether the new log is written to, and so nobody writes to the old one any more.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The new log is written to.
    pub(super) fn begins(&mut self) {
        self.has_begun = true;
    }

    /// Copies what the file system will forget of the new log to the spool.
    pub(super) fn keep_nameless(&self) {
        // Nobody has settled anything of it.
        self.log.keep_nameless(&Config { outputs: Vec::new(), ..self.wanted.clone() });
    }

    /// The old log is settled, by outputs that have ended.
    pub(super) fn arrive(mut self, former: &Config) -> (Config, Log) {
        remember(&self.wanted);
        for output in &former.outputs {
            if let Err(error) = switch(former, &self.wanted, &output.name) {
                let output = &output.name;
                tracing::error!(output, %error, "the cursor cannot be begun anew; a possible gap will be reported");
            }
        }
        tracing::info!(log = %self.wanted.source.path.display(), "the old log is settled; going on with the new one");
        // What it held alone is taken over by way of the spool.
        self.keep_nameless();
        self.log.open_anew(&self.wanted);
        (self.wanted, self.log)
    }
}

/// Returns when the log that is moved to is written to for the first time; else never.
pub(super) async fn new_log_begins(moving: Option<&Moving>) {
    let Some(moving) = moving.filter(|moving| !moving.has_begun) else {
        return std::future::pending().await;
    };
    loop {
        let (source, before) = (moving.wanted.source.clone(), moving.before.clone());
        let look = tokio::task::spawn_blocking(move || {
            let now = Stamp::of(live(&source));
            now.is_there() && !now.looks_like(&before)
        });
        if look.await.unwrap_or(false) {
            return;
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

fn record(state_dir: &Path) -> PathBuf {
    state_dir.join("log.json")
}

/// The log that the cursors are of.
fn remembered(state_dir: &Path) -> Option<Record> {
    let path = record(state_dir);
    let text = fs::read(&path).ok()?;
    match serde_json::from_slice(&text) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "which log was read before cannot be known");
            None
        }
    }
}

/// Remembers which log the cursors are of, if it may be another one tomorrow.
fn remember(config: &Config) {
    let Config { source, state_dir, .. } = config;
    let record_now = Record { path: source.path.clone(), format: source.format };
    if source.manifest.is_none() || remembered(state_dir).as_ref() == Some(&record_now) {
        return;
    }
    let write = || {
        let text = serde_json::to_vec(&record_now).map_err(io::Error::other)?;
        let (path, new) = (record(state_dir), state_dir.join("log.json.new"));
        fs::write(&new, text)?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(new, path)?;
        fs::File::open(state_dir)?.sync_all()
    };
    if let Err(error) = write() {
        tracing::error!(%error, "which log is read cannot be remembered; if it moves while nothing runs, a gap is possible");
    }
}

/// Where an output stands in a log that it does not read now.
fn aside(state_dir: &Path, output: &str, log: &Path) -> PathBuf {
    let hash = fingerprint::short(log.as_os_str().as_encoded_bytes());
    state_dir.join(format!("{output}.former-{hash:016x}.json"))
}

/// Puts the cursor of the old log aside, and begins the new one: where it was left when it was read before, or at its oldest
/// file.
fn switch(former: &Config, wanted: &Config, output: &str) -> io::Result<()> {
    let state_dir = &former.state_dir;
    let cursor = Store::path(state_dir, output);
    let kept = aside(state_dir, output, &former.source.path);
    let _ = fs::remove_file(&kept);
    // The cursor stays in place until there is another: an output without any might begin at the newest file.
    match fs::hard_link(&cursor, &kept) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => drop(fs::copy(&cursor, &kept)?),
        _ => {}
    }
    let known = aside(state_dir, output, &wanted.source.path);
    if known.exists() {
        return fs::rename(known, cursor);
    }
    let (mut store, _) = Store::open(state_dir, output);
    store.commit(&Cursor::default())?;
    store.sync()
}
