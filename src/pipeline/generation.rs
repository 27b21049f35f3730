//! What runs of one configuration: a route for each output, and what keeps its files current.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::log::Log;
use super::policies::{self, PolicyFile};
use super::{Ending, Fatal, endpoints};
use crate::batch::Treatment;
use crate::buffers::Buffers;
use crate::checkpoint::{Cursor, Loaded, Store};
use crate::config::{self, Config};
use crate::deliver::{Delivery, Exchange, Transport, Writing};
use crate::endpoint::Endpoint;
use crate::health::{Course, Health};
use crate::metrics::{Metrics, PinMetrics, RouteMetrics};
use crate::prepare::{Prepared, Way};
use crate::redact::Redaction;
use crate::rejected::RejectedFile;
use crate::route::{Ends, Reading, Route};
use crate::source::Watch;

/// The books of all outputs that there have been; an output that stays goes on with its own.
pub(super) struct Books {
    metrics: Metrics,
    routes: HashMap<String, Arc<RouteMetrics>>,
}

impl Books {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, routes: HashMap::new() }
    }

    pub(super) fn pins(&self) -> PinMetrics {
        self.metrics.pins()
    }

    /// Outputs that are not there any more wait for nothing.
    fn keep_only(&self, outputs: &[config::Output]) {
        let is_gone = |name: &str| outputs.iter().all(|output| output.name != name);
        self.routes.iter().filter(|(name, _)| is_gone(name)).for_each(|(_, books)| books.begins_anew());
    }

    fn of(&mut self, output: &str) -> Arc<RouteMetrics> {
        if let Some(known) = self.routes.get(output) {
            known.begins_anew();
            return Arc::clone(known);
        }
        let new = Arc::new(self.metrics.route(output));
        self.routes.insert(output.to_owned(), Arc::clone(&new));
        new
    }
}

/// Routes that are ready to run.
pub(super) struct Generation {
    routes: Vec<Route>,
    endpoints: Vec<(Arc<Endpoint>, Arc<RouteMetrics>)>,
    policies: Vec<PolicyFile>,
    hung_up: watch::Receiver<()>,
}

/// Routes that run.
pub(super) struct Running {
    tasks: JoinSet<bool>,
    ends: Ends,
    is_drained: bool,
    _keeping: Ending,
}

impl Generation {
    /// Builds a route for each output, on the cursor that is there.
    pub(super) fn build(
        config: &Config,
        prepared: Vec<Prepared>,
        log: &Log,
        books: &mut Books,
        hung_up: watch::Receiver<()>,
    ) -> Result<Self, Fatal> {
        let (mut routes, mut endpoints, mut policies) = (Vec::new(), Vec::new(), Vec::new());
        books.keep_only(&config.outputs);
        for (number, (output, prepared)) in config.outputs.iter().zip(prepared).enumerate() {
            let metrics = books.of(&output.name);
            let Built { route, endpoint, policy } =
                build(config, number, output, prepared, log.watch(), &metrics)?;
            endpoints.extend(endpoint.map(|endpoint| (endpoint, Arc::clone(&route.metrics))));
            policies.extend(policy);
            routes.push(route);
        }
        Ok(Self { routes, endpoints, policies, hung_up })
    }

    /// How its outputs do.
    pub(super) fn outputs(&self) -> Arc<[Arc<Health>]> {
        self.routes.iter().map(|route| Arc::clone(&route.health)).collect()
    }

    /// Begins to ship, until `stop` or an end of its own.
    pub(super) fn run(self, stop: &CancellationToken, grace: Duration) -> Running {
        let ends = Ends { now: stop.child_token(), at_end: CancellationToken::new() };
        let mut tasks = JoinSet::new();
        for route in self.routes {
            let (health, ends) = (Arc::clone(&route.health), ends.clone());
            tasks.spawn(async move { health.pulse().beat_while(route.run(ends, grace)).await });
        }
        let keeping = tokio::spawn(keep_current(self.endpoints, self.policies, self.hung_up));
        Running { tasks, ends, is_drained: true, _keeping: Ending(keeping) }
    }
}

impl Running {
    /// Waits until all routes have ended. Says whether all of the log is settled, by all of them. May be dropped and called
    /// again.
    pub(super) async fn end(&mut self) -> Result<bool, JoinError> {
        while let Some(ended) = self.tasks.join_next().await {
            self.is_drained &= ended?;
        }
        Ok(self.is_drained)
    }

    /// Waits until all routes have ended, however.
    pub(super) async fn finish(&mut self) {
        while self.end().await.is_err() {}
    }

    /// Has the routes end in order, and waits for that.
    pub(super) async fn end_now(&mut self) {
        self.ends.now.cancel();
        self.finish().await;
    }

    /// Has the routes end when all of the log is settled; nobody writes to it any more.
    pub(super) fn end_at_end(&self) {
        self.ends.at_end.cancel();
    }
}

/// Reads what the outputs need again when it has changed, and all of it when `hung_up` says so, until it is dropped.
async fn keep_current(
    endpoints: Vec<(Arc<Endpoint>, Arc<RouteMetrics>)>,
    policies: Vec<PolicyFile>,
    hung_up: watch::Receiver<()>,
) {
    let endpoints = endpoints::keep_current(endpoints, hung_up.clone());
    tokio::join!(endpoints, policies::keep_current(policies, hung_up));
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
    metrics: &Arc<RouteMetrics>,
) -> Result<Built, Fatal> {
    let Prepared { way, policy } = prepared;
    let redaction = Redaction::of_output(&output.redact, &config.state_dir)?;
    let metrics = Arc::clone(metrics);
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
    health.leads(Course {
        pins: Arc::clone(watch.pins()),
        number,
        destination: output.destination.name(),
        endpoint: way.display_later(),
    });
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
