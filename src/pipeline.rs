//! Builds what the configuration asks for, runs it, and stops it in order.
//!
//! Stop: readiness turns false, routes read no further, what is in memory may finish within the grace, cursors reach
//! the disk, the admin server goes last.

mod endpoints;
mod policies;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use policies::PolicyFile;

use crate::admin::Admin;
use crate::batch::Treatment;
use crate::buffers::Buffers;
use crate::checkpoint::{Cursor, HEAD_BYTES, Loaded, Lock, LockError, Mark, Store};
use crate::config::{self, Config};
use crate::deliver::{Delivery, Exchange, Transport, Writing};
use crate::endpoint::Endpoint;
use crate::health::Health;
use crate::metrics::{Metrics, RouteMetrics};
use crate::prepare::{Prepared, Way};
use crate::redact::{KeyError, Redaction};
use crate::rejected::RejectedFile;
use crate::route::{Reading, Route};
use crate::serve;
use crate::source::Watch;
use crate::source::fdstore::{FdStore, Kept};
use crate::source::held::Held;
use crate::source::pins::PinSet;
use crate::source::reader;
use crate::source::spool;
use crate::supervisor;

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
    /// A task ended that must not end: a bug of ours.
    #[error("an output stopped unexpectedly: {0}")]
    Task(tokio::task::JoinError),
}

/// Ships until `stop`, and then until what is in memory is settled or the grace is over.
///
/// `prepared` is what the outputs need, in their order; `kept` is what systemd held for us. At each of `hangups` the files
/// that the configuration names are read again.
///
/// # Errors
/// Something that all outputs need cannot be had.
pub async fn run(
    config: Config,
    prepared: Vec<Prepared>,
    kept: Vec<Kept>,
    hangups: Signal,
    stop: CancellationToken,
) -> Result<(), Fatal> {
    let _lock = Lock::take(&config.state_dir)?;
    let bind = |source| Fatal::Bind { address: config.bind_address, source };
    let listener = TcpListener::bind(config.bind_address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;

    let metrics = Metrics::new();
    let gauges = metrics.pins();
    let show = Box::new(move |files, bytes| gauges.show(files, bytes));
    let spool = spool::directory(&config.state_dir);
    let pins = PinSet::new(&config.source.path, config.source.pins.clone(), config.outputs.len(), show)
        .with_kept(kept, FdStore::from_env(), &spool);
    let pins = Arc::new(pins);
    let watch = Arc::new(Watch::new(Arc::clone(&pins)));
    let built: Vec<Built> = config
        .outputs
        .iter()
        .zip(prepared)
        .enumerate()
        .map(|(number, (output, prepared))| build(&config, number, output, prepared, &watch, &metrics))
        .collect::<Result<_, Fatal>>()?;
    let (mut routes, mut endpoints, mut policies) = (Vec::new(), Vec::new(), Vec::new());
    for Built { route, endpoint, policy } in built {
        endpoints.extend(endpoint.map(|endpoint| (endpoint, Arc::clone(&route.metrics))));
        policies.extend(policy);
        routes.push(route);
    }
    let keeping = tokio::spawn(keep_current(endpoints, policies, hangups));
    let outputs: Arc<[_]> = routes.iter().map(|route| Arc::clone(&route.health)).collect();
    let watchdog = tokio::spawn(supervisor::feed_watchdog(Arc::clone(&outputs)));
    let status = tokio::spawn(supervisor::tell_status(Arc::clone(&outputs)));
    let admin_stop = CancellationToken::new();
    let admin =
        serve::serve(listener, None, Admin::new(metrics, outputs), admin_stop.clone().cancelled_owned());
    let admin = tokio::spawn(admin);
    tracing::info!(%address, "serving metrics and health");

    let mut tasks = JoinSet::new();
    for route in routes {
        let (health, stop) = (Arc::clone(&route.health), stop.clone());
        tasks.spawn(async move { health.pulse().beat_while(route.run(stop, config.shutdown_grace)).await });
    }
    supervisor::notify(&[sd_notify::NotifyState::Ready]);
    let stopping = tokio::spawn({
        let stop = stop.clone();
        async move {
            stop.cancelled().await;
            tracing::info!("stopping");
            supervisor::stopping().await;
        }
    });
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            // The others settle what they have; then the supervisor starts everything anew.
            result = Err(Fatal::Task(error));
            stop.cancel();
        }
    }
    status.abort();
    keeping.abort();
    keep_nameless(&pins, &config, &spool);
    admin_stop.cancel();
    let _ = admin.await;
    watchdog.abort();
    stopping.abort();
    result
}

/// Reads what the outputs need again when it has changed, and all of it at each of `hangups`, until it is dropped.
async fn keep_current(
    endpoints: Vec<(Arc<Endpoint>, Arc<RouteMetrics>)>,
    policies: Vec<PolicyFile>,
    mut hangups: Signal,
) {
    let hung_up = watch::Sender::new(());
    let endpoints = endpoints::keep_current(endpoints, hung_up.subscribe());
    let policies = policies::keep_current(policies, hung_up.subscribe());
    let telling = async {
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP: reading the kubeconfigs, their files and the policies again");
            hung_up.send_replace(());
        }
    };
    tokio::join!(endpoints, policies, telling);
}

/// Copies what the file system will forget when we end, and what is not settled, to the spool.
fn keep_nameless(pins: &PinSet, config: &Config, spool: &Path) {
    let cursors: Vec<Option<Cursor>> = config
        .outputs
        .iter()
        .map(|output| match Store::open(&config.state_dir, &output.name).1 {
            Loaded::Cursor(cursor) => Some(cursor),
            Loaded::Never | Loaded::Unreadable(_) => None,
        })
        .collect();
    let settled = |held: &Arc<Held>, base: &str| {
        let head = reader::head_of(held, false, HEAD_BYTES).unwrap_or_default();
        let by = |cursor: &Option<Cursor>| {
            let is_it = |mark: &&Mark| *mark.name == *base && mark.head.len > 0 && mark.head.matches(&head);
            cursor.as_ref()?.marks().find(is_it).map(|mark| mark.offset)
        };
        cursors.iter().map(|cursor| by(cursor).unwrap_or(0)).min().unwrap_or(0)
    };
    pins.spool(spool, settled);
}

/// An output that is ready to run, and what has to be kept current for it.
struct Built {
    route: Route,
    endpoint: Option<Arc<Endpoint>>,
    policy: Option<PolicyFile>,
}

fn build(
    config: &Config,
    number: usize,
    output: &config::Output,
    prepared: Prepared,
    watch: &Arc<Watch>,
    metrics: &Metrics,
) -> Result<Built, Fatal> {
    let Prepared { way, policy } = prepared;
    let redaction = Redaction::of_output(&output.redact, &config.state_dir)?;
    let metrics = Arc::new(metrics.route(&output.name));
    let health = Arc::new(Health::new(&output.name, output.ready_after, Arc::clone(&metrics)));
    let (store, loaded) = Store::open(&config.state_dir, &output.name);
    let cursor = cursor_of(&output.name, loaded);
    let buffers = Buffers::new(output.max_memory.get() / 4);
    if let Some(policy) = &policy {
        metrics.policy(policy.rules().len());
    }
    if output.takes.is_some() {
        metrics.has_match();
    }
    let treatment = watch::Sender::new(Treatment { takes: output.takes.clone(), policy, redaction });
    tracing::info!(
        output = output.name,
        endpoint = way.display(),
        log = %config.source.path.display(),
        "shipping"
    );
    let reading = Reading::new(
        &config.source,
        output,
        number,
        cursor.as_ref(),
        Arc::clone(watch),
        (buffers.clone(), treatment.subscribe()),
        Arc::clone(&health),
    );
    let (delivery, endpoint) = match way {
        Way::Server(endpoint, sink) => {
            let exchange = Exchange::new(Arc::clone(&endpoint), Arc::clone(&sink));
            let (books, state) = (Arc::clone(&metrics), Arc::clone(&health));
            let delivery = Delivery::new(Box::new(exchange), sink, output, books, state, buffers);
            (Transport::Http(Box::new(delivery)), Some(endpoint))
        }
        Way::Writer(writer) => {
            let writing = Writing::new(writer, output, Arc::clone(&metrics), Arc::clone(&health));
            (Transport::Writer(writing), None)
        }
    };
    let policy = output
        .policy_file
        .clone()
        .map(|path| PolicyFile::new(output.name.clone(), path, treatment, Arc::clone(&metrics)));
    let route = Route {
        pins: Arc::clone(watch.pins()),
        number,
        reading: Some(reading),
        delivery: Arc::new(delivery),
        store,
        rejected: Arc::new(RejectedFile::new(&config.state_dir, &output.name, output.rejected.clone())),
        metrics,
        health,
        config: output.clone(),
    };
    Ok(Built { route, endpoint, policy })
}

/// Where the output goes on. An unreadable cursor costs duplicates, never events: it begins at the oldest file.
fn cursor_of(output: &str, loaded: Loaded) -> Option<Cursor> {
    match loaded {
        Loaded::Never => None,
        Loaded::Cursor(cursor) => Some(cursor),
        Loaded::Unreadable(reason) => {
            tracing::error!(
                output,
                reason,
                "the cursor cannot be read; beginning at the oldest file, events will be sent again"
            );
            Some(Cursor::default())
        }
    }
}
