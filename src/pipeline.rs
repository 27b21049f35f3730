//! Builds what the configuration asks for, runs it, and stops it in order.
//!
//! Stop: readiness turns false, routes read no further, what is in memory may finish within the grace, cursors reach
//! the disk, the admin server goes last.
//!
//! The configuration may change meanwhile (`reload`). What runs of it is a *generation*: its routes end as on a stop, and
//! the next one is built from the new configuration, on the cursors that are left. The lock, the admin server and the books
//! stay. Where the log itself is another one now, the old one is read to its end first (`moving`).

mod endpoints;
mod generation;
mod log;
mod moving;
mod policies;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::checkpoint::{Lock, LockError};
use crate::config::Config;
use crate::health::Health;
use crate::live::{self, Live};
use crate::metrics::Metrics;
use crate::prepare::Prepared;
use crate::redact::KeyError;
use crate::serve;
use crate::source::fdstore::Kept;
use crate::supervisor;
use generation::{Books, Generation};
use log::Log;
use moving::Moving;
use reload::Reloads;

pub(crate) use moving::log_of_cursors;
pub use reload::{Load, New};

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
    Task(tokio::task::JoinError),
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

    let hung_up = watch::Sender::new(());
    let reloads = Reloads::new(load, &config, metrics.config(), hung_up.subscribe());
    let hearing = tokio::spawn(hear(hangups, hung_up.clone()));
    let stopping = tokio::spawn(say_stopping(stop.clone()));
    let (moving, config) = Moving::at_start(config, metrics.pins());
    let log = Log::open(&config, kept, metrics.pins());
    let books = Books::new(metrics);
    let daemon = Daemon { config, log, moving, reloads, books, shown, hung_up, stop };
    let result = daemon.run(prepared, || tracing::info!(%address, "serving metrics and health")).await;

    status.abort();
    hearing.abort();
    admin_stop.cancel();
    let _ = admin.await;
    live.end().await;
    watchdog.abort();
    stopping.abort();
    result
}

/// Has everything be read again at each signal, until it is dropped.
async fn hear(mut hangups: Signal, hung_up: watch::Sender<()>) {
    while hangups.recv().await.is_some() {
        tracing::info!("SIGHUP: reading the manifest, the kubeconfigs, their files and the policies again");
        hung_up.send_replace(());
    }
}

async fn say_stopping(stop: CancellationToken) {
    stop.cancelled().await;
    tracing::info!("stopping");
    supervisor::stopping().await;
}

/// What runs, and what it may become.
struct Daemon {
    /// As it is in effect: while the log moves, with the old one.
    config: Config,
    log: Log,
    moving: Option<Moving>,
    reloads: Reloads,
    books: Books,
    shown: watch::Sender<Arc<[Arc<Health>]>>,
    hung_up: watch::Sender<()>,
    stop: CancellationToken,
}

impl Daemon {
    /// Runs generation after generation. `began` is called when the first of them runs.
    async fn run(mut self, mut prepared: Vec<Prepared>, began: impl FnOnce()) -> Result<(), Fatal> {
        let mut began = Some(began);
        loop {
            let generation = Generation::build(
                &self.config,
                prepared,
                &self.log,
                &mut self.books,
                self.hung_up.subscribe(),
            )?;
            self.shown.send_replace(generation.outputs());
            let running = generation.run(&self.stop, self.config.shutdown_grace);
            if self.moving.as_ref().is_some_and(Moving::has_begun) {
                running.end_at_end();
            }
            if let Some(began) = began.take() {
                began();
                supervisor::notify(&[sd_notify::NotifyState::Ready]);
            }
            let Some(next) = self.supervise(running).await? else {
                self.keep_nameless();
                return Ok(());
            };
            prepared = next;
        }
    }

    /// Copies what the file system will forget when we end, and what is not settled, to the spool.
    fn keep_nameless(&self) {
        self.log.keep_nameless(&self.config);
        if let Some(moving) = &self.moving {
            moving.keep_nameless();
        }
    }

    /// Looks after a generation until its end. Returns what the next one needs; `None` if there is to be none.
    async fn supervise(&mut self, mut running: generation::Running) -> Result<Option<Vec<Prepared>>, Fatal> {
        loop {
            let wanted = self.moving.as_ref().map_or(&self.config, Moving::wanted);
            tokio::select! {
                // The others settle what they have; then the supervisor starts everything anew.
                ended = running.end() => return match ended {
                    Err(error) => {
                        self.stop.cancel();
                        running.finish().await;
                        self.keep_nameless();
                        Err(Fatal::Task(error))
                    }
                    Ok(is_drained) => Ok(self.after(is_drained).await),
                },
                new = self.reloads.next(wanted) => {
                    if let Some(next) = self.change(new, &mut running).await {
                        return if self.stop.is_cancelled() { Ok(None) } else { Ok(Some(next)) };
                    }
                }
                logs = moving::new_log_begins(self.moving.as_ref()) => {
                    self.note_begun(logs);
                    running.end_at_end();
                }
            }
        }
    }

    /// Another configuration is wanted. Returns what the next generation needs if this one has come to its end for it.
    async fn change(&mut self, new: New, running: &mut generation::Running) -> Option<Vec<Prepared>> {
        let (config, prepared) = self.take_over(new)?;
        running.end_now().await;
        self.put_in_effect(config);
        Some(prepared)
    }

    /// Notes where the log is to be. Returns what is to be in effect at once, if that is another configuration.
    fn take_over(&mut self, New { mut config, prepared }: New) -> Option<(Config, Vec<Prepared>)> {
        self.keep_what_cannot_change(&mut config);
        let former = self.config.source.clone();
        let on_the_way = self.moving.take();
        self.moving = Moving::to(config.clone(), &former, on_the_way, self.books.pins());
        if self.moving.is_some() {
            config.source = former;
        }
        (config != self.config).then_some((config, prepared))
    }

    fn note_begun(&mut self, logs: usize) {
        if let Some(moving) = &mut self.moving {
            moving.begins(logs, &self.config.source);
        }
    }

    /// For routes that are yet to be built.
    fn put_in_effect(&mut self, config: Config) {
        self.log.reopen_for(&self.config, &config);
        self.config = config;
    }

    /// What a running daemon cannot change is left as it is.
    fn keep_what_cannot_change(&self, config: &mut Config) {
        let is_other = [
            (config.state_dir != self.config.state_dir, "stateDir"),
            (config.bind_address != self.config.bind_address, "bindAddress"),
            (config.live_view != self.config.live_view, "liveView"),
        ];
        for (is_other, field) in is_other {
            if is_other {
                tracing::warn!("{field} has changed, which takes a restart; the old one stays in use");
            }
        }
        config.state_dir.clone_from(&self.config.state_dir);
        config.bind_address = self.config.bind_address;
        config.live_view.clone_from(&self.config.live_view);
    }

    /// All routes have ended by themselves: the daemon stops, or all of a log is settled that nobody writes any more.
    async fn after(&mut self, is_drained: bool) -> Option<Vec<Prepared>> {
        if self.stop.is_cancelled() || !is_drained {
            return None;
        }
        if let Some(moving) = self.moving.take() {
            self.log.let_go(self.config.outputs.len());
            if let Some((config, log, moving)) = moving.arrive(&self.config) {
                (self.config, self.log, self.moving) = (config, log, moving);
            }
        }
        // Until the next ones run, nothing is shipped.
        self.shown.borrow().iter().for_each(|health| health.stopping());
        loop {
            let wanted = self.moving.as_ref().map_or(&self.config, Moving::wanted);
            tokio::select! {
                () = self.stop.cancelled() => return None,
                prepared = reload::prepared(&self.config) => return Some(prepared),
                logs = moving::new_log_begins(self.moving.as_ref()) => self.note_begun(logs),
                // What cannot be had may not be wanted any more.
                new = self.reloads.next(wanted) => {
                    if let Some((config, prepared)) = self.take_over(new) {
                        self.put_in_effect(config);
                        return Some(prepared);
                    }
                }
            }
        }
    }
}

/// Ends a task when it is dropped.
struct Ending(JoinHandle<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}
