//! Builds what the configuration asks for, runs it, and stops it in order.
//!
//! Stop: readiness turns false, routes read no further, what is in memory may finish within the grace, cursors reach
//! the disk, the admin server goes last.
//!
//! The configuration may change meanwhile (`reload`). An output for which it says something else ends as on a stop, and is
//! put to work again on the cursor that is left; the others are not interrupted. The lock, the admin server and the books
//! stay. Where the log itself is another one now, each output reads the old one to its end first (`trail`).

mod endpoints;
mod hangup;
mod log;
mod outputs;
mod policies;
mod reload;
mod serving;
mod trail;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::checkpoint::{Lock, LockError};
use crate::config::{self, Config, Source};
use crate::health::Health;
use crate::live::{self, Live};
use crate::metrics::Metrics;
use crate::prepare::Prepared;
use crate::redact::{KeyError, Redaction};
use crate::serve;
use crate::source::fdstore::Kept;
use crate::supervisor;
use hangup::Hangups;
use outputs::{Books, Outputs, Unexpected};
use reload::Reloads;
use serving::{Serving, Told};
use trail::Trail;

pub use reload::{Load, New};
pub(crate) use trail::log_of_cursor;

/// Why the daemon cannot run. The supervisor may start it again.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The state directory cannot be had.
    #[error(transparent)]
    StateDir(#[from] LockError),
    /// The key of masked values cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The admin address cannot be had.
    #[error("--bind-address: cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The live view cannot be had.
    #[error(transparent)]
    LiveView(#[from] live::Unavailable),
    /// A task ended that must not end: a bug of ours.
    #[error("an output stopped unexpectedly: {0}")]
    Task(String),
}

/// Ships until `stop`, and then until what is in memory is settled or the grace is over.
///
/// `prepared` is what the outputs need, in their order; `load` reads the configuration again; `kept` is what systemd held
/// for us. At each of `hangups` the files that the configuration names are read again.
///
/// # Errors
/// Something that all outputs need cannot be had.
pub async fn run(
    config: Config,
    prepared: Vec<Prepared>,
    load: Load,
    kept: Vec<Kept>,
    hangups: Signal,
    stop: CancellationToken,
) -> Result<(), Fatal> {
    let _lock = Lock::take(&config.state_dir)?;
    let bind = |source| Fatal::Bind { address: config.bind_address, source };
    let listener = TcpListener::bind(config.bind_address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;

    let metrics = Metrics::new();
    let (shown, outputs) = watch::channel(Arc::from([]));
    let watchdog = tokio::spawn(supervisor::feed_watchdog(outputs.clone()));
    let status = tokio::spawn(supervisor::tell_status(outputs.clone()));
    let admin_stop = CancellationToken::new();
    let live = Live::start(&config, &metrics, &outputs)?;
    let admin = Admin::new(metrics.clone(), outputs, live.at_admin(address));
    let admin = serve::serve(listener, None, admin, admin_stop.clone().cancelled_owned());
    let admin = tokio::spawn(admin);

    let (signals, hangups) = (hangups, Hangups::new());
    let reloads = Reloads::new(load, &config, metrics.config(), hangups.listen());
    let hearing = tokio::spawn(hangups.clone().hear(signals));
    let (told, is_told) = oneshot::channel();
    let stopping = tokio::spawn(say_stopping(stop.clone(), told));
    let trail = Arc::new(Trail::at_start(&config, kept, metrics.pins()));
    let grace = watch::Sender::new(config.shutdown_grace);
    let (books, outputs) = (Books::new(metrics), Outputs::default());
    let stopped = stop.clone();
    let mut daemon = Daemon { config, trail, outputs, reloads, books, shown, hangups, grace, stop };
    let began = || {
        tracing::info!(%address, "serving metrics and health");
        supervisor::notify(&[sd_notify::NotifyState::Ready]);
    };
    let result = match daemon.begin(prepared) {
        Ok(()) => {
            began();
            daemon.supervise().await
        }
        Err(error) => Err(error.into()),
    };

    if stopped.is_cancelled() {
        // With nothing in memory a stop is over before it is told.
        let _ = is_told.await;
    }
    status.abort();
    hearing.abort();
    admin_stop.cancel();
    let _ = admin.await;
    live.end().await;
    watchdog.abort();
    stopping.abort();
    result
}

async fn say_stopping(stop: CancellationToken, told: oneshot::Sender<()>) {
    stop.cancelled().await;
    tracing::info!("stopping");
    supervisor::stopping();
    let _ = told.send(());
    supervisor::ask_for_time().await;
}

/// What an output needs to be put to work, by its name.
type Parts = (String, Prepared, Option<Arc<Redaction>>);

/// What runs, and what it may become.
struct Daemon {
    /// As it is in effect.
    config: Config,
    trail: Arc<Trail>,
    outputs: Outputs,
    reloads: Reloads,
    books: Books,
    shown: watch::Sender<Arc<[Arc<Health>]>>,
    hangups: Hangups,
    grace: watch::Sender<Duration>,
    stop: CancellationToken,
}

impl Daemon {
    /// Puts all outputs to work.
    fn begin(&mut self, prepared: Vec<Prepared>) -> Result<(), KeyError> {
        let mut parts = self.parts(&self.config, prepared)?;
        self.start_what_can_start(&mut parts);
        Ok(())
    }

    /// Looks after the outputs until all of them have ended.
    async fn supervise(mut self) -> Result<(), Fatal> {
        let ended = loop {
            tokio::select! {
                // An output ends by itself on a stop alone.
                ended = self.outputs.end_of_all() => break ended,
                new = self.reloads.next(&self.config) => {
                    if let Err(error) = self.change(new).await {
                        break Err(error);
                    }
                    self.reloads.is_done();
                }
                () = self.trail.next_has_begun() => {}
            }
        };
        if ended.is_err() {
            // The others settle what they have; then the supervisor starts everything anew.
            self.stop.cancel();
            while self.outputs.end_of_all().await.is_err() {}
        }
        // What the file system will forget when we end, and what is not settled, goes to the spool.
        self.trail.keep_nameless();
        ended.map_err(|Unexpected(what)| Fatal::Task(what))
    }

    /// Another configuration is wanted. The outputs for which nothing changes are not interrupted.
    async fn change(&mut self, New { mut config, prepared, warnings }: New) -> Result<(), Unexpected> {
        self.keep_what_cannot_change(&mut config);
        let mut parts = match self.parts(&config, prepared) {
            Ok(parts) => parts,
            Err(error) => {
                self.reloads.refuse(vec![error.to_string()]);
                return Ok(());
            }
        };
        self.grace.send_replace(config.shutdown_grace);
        let is_renamed = self.trail.is_renamed(&config.source);
        let all_change = is_renamed || is_read_otherwise(&self.config.source, &config.source);
        let goes_on =
            |name: &str| config.output(name).is_some_and(|new| self.config.output(name) == Some(new));
        self.outputs.tell_to_end(|name| all_change || !goes_on(name));
        // What is written from now on is none of theirs.
        self.reloads.take_over(&config, warnings);
        if is_renamed {
            while self.next_end(&config).await? {}
            self.trail.rename(&config.source);
        }
        self.config = config.clone();
        self.trail.follow(&config);
        self.start_what_can_start(&mut parts);
        while self.next_end(&config).await? {
            self.start_what_can_start(&mut parts);
        }
        Ok(())
    }

    /// Waits for the end of an output that was told to, and says whether there was one. That takes as long as the grace; the
    /// logs are looked after meanwhile.
    async fn next_end(&mut self, config: &Config) -> Result<bool, Unexpected> {
        let ended = tokio::select! {
            ended = self.outputs.next_end() => ended?,
            never = self.trail.keep_looking() => match never {},
        };
        if let Some(gone) = ended.as_ref().filter(|name| config.output(name).is_none()) {
            // It waits for nothing any more.
            self.books.of(gone);
        }
        Ok(ended.is_some())
    }

    /// What the outputs of a configuration need.
    fn parts(&self, config: &Config, prepared: Vec<Prepared>) -> Result<Vec<Parts>, KeyError> {
        let state_dir = &self.config.state_dir;
        let part = |(output, prepared): (&config::Output, Prepared)| {
            let redaction = Redaction::of_output(&output.redact, state_dir)?;
            Ok((output.name.clone(), prepared, redaction))
        };
        config.outputs.iter().zip(prepared).map(part).collect()
    }

    /// Puts those to work whose predecessors have ended, and leaves the parts of the others.
    fn start_what_can_start(&mut self, parts: &mut Vec<Parts>) {
        let can_start = |(name, ..): &mut Parts| !self.outputs.has(name);
        let ready: Vec<Parts> = parts.extract_if(.., can_start).collect();
        for (name, prepared, redaction) in ready {
            let Some(output) = self.config.output(&name).cloned() else { continue };
            let (metrics, state_dir) = (self.books.of(&name), self.config.state_dir.clone());
            let serving = Serving::new(output, state_dir, prepared, redaction, metrics);
            let told = Told {
                end: self.stop.child_token(),
                grace: self.grace.subscribe(),
                hangups: self.hangups.clone(),
            };
            self.outputs.start(serving, &self.trail, told);
        }
        self.shown.send_replace(self.outputs.health(&self.config.outputs));
    }

    /// What a running daemon cannot change is left as it is; `reload` says so.
    fn keep_what_cannot_change(&self, config: &mut Config) {
        config.state_dir.clone_from(&self.config.state_dir);
        config.bind_address = self.config.bind_address;
        config.live_view.clone_from(&self.config.live_view);
    }
}

/// Whether what is read of a log is to be read otherwise. Which log it is does not matter here, nor how much of it is held.
fn is_read_otherwise(before: &Source, after: &Source) -> bool {
    let of = |source: &Source| (source.start_at, source.max_line_bytes);
    // Another log has its own format and its own rotation from its beginning on.
    let is_other_of_path = (before.format, &before.rotation) != (after.format, &after.rotation);
    of(before) != of(after) || before.path == after.path && is_other_of_path
}

/// Ends a task when it is dropped.
struct Ending(JoinHandle<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}
