//! One output at work: a route on each log that it is to read, one after the other, and what keeps its files current.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::hangup::Hangups;
use super::policies::PolicyFile;
use super::trail::{Section, Trail};
use super::{Ending, endpoints, policies};
use crate::batch::Treatment;
use crate::buffers::Buffers;
use crate::checkpoint::{Cursor, Loaded, Store};
use crate::config::{self, Destination};
use crate::deliver::{Delivery, Exchange, Transport, Writing};
use crate::endpoint::Endpoint;
use crate::health::{Course, Health};
use crate::metrics::RouteMetrics;
use crate::policy::Policy;
use crate::prepare::{Prepared, Way};
use crate::redact::Redaction;
use crate::rejected::RejectedFile;
use crate::route::{Ends, Reading, Route};
use crate::sink;
use crate::writer::Writer;

/// Between two tries to have a standard output.
const TRY_AGAIN_EVERY: Duration = Duration::from_secs(5);

/// What an output has, whichever log it reads.
pub(super) struct Serving {
    config: config::Output,
    state_dir: PathBuf,
    /// `None`: it has no server.
    endpoint: Option<Arc<Endpoint>>,
    treatment: watch::Receiver<Treatment>,
    policy: Option<PolicyFile>,
    buffers: Buffers,
    health: Arc<Health>,
}

/// What an output is told by others.
pub(super) struct Told {
    /// It is to end, within the grace of that moment.
    pub(super) end: CancellationToken,
    pub(super) grace: watch::Receiver<Duration>,
    pub(super) hangups: Hangups,
}

impl Serving {
    pub(super) fn new(
        config: config::Output,
        state_dir: PathBuf,
        prepared: Prepared,
        redaction: Option<Arc<Redaction>>,
        metrics: Arc<RouteMetrics>,
    ) -> Self {
        let Prepared { way, policy } = prepared;
        let endpoint = match way {
            Way::Server(endpoint, _) => Some(endpoint),
            Way::Writer(_) => None,
        };
        metrics.limits(&config, &state_dir);
        show_treatment(&metrics, &config, policy.as_deref());
        let treatment = watch::Sender::new(Treatment { takes: config.takes.clone(), policy, redaction });
        let receiver = treatment.subscribe();
        let policy = config
            .policy_file
            .clone()
            .map(|path| PolicyFile::new(config.name.clone(), path, treatment, Arc::clone(&metrics)));
        let buffers = Buffers::new(config.max_memory.get() / 4);
        let health = Arc::new(Health::new(&config.name, config.ready_after, metrics));
        Self { config, state_dir, endpoint, treatment: receiver, policy, buffers, health }
    }

    /// How it does.
    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Ships until it is told to end.
    pub(super) async fn run(mut self, trail: Arc<Trail>, told: Told) {
        let endpoint = self.endpoint.clone().map(|endpoint| (endpoint, Arc::clone(self.health.metrics())));
        let keeping = keep_current(endpoint, self.policy.take(), &told.hangups);
        let _keeping = Ending(tokio::spawn(keeping));
        while let Some(section) = trail.section(&self.config.name) {
            let Some((transport, to)) = self.transport(&section.source, &told.end).await else { return };
            tracing::info!(output = self.config.name, endpoint = to, log = %section.source.path.display(), "shipping");
            self.health.leads(self.course(&section, to));
            let ends = Ends { now: told.end.clone(), at_end: section.is_over.clone() };
            let route = self.route(section, transport);
            if !self.health.pulse().beat_while(route.run(ends, told.grace.clone())).await {
                return;
            }
            let (trail, output) = (Arc::clone(&trail), self.config.name.clone());
            if let Err(error) = tokio::task::spawn_blocking(move || trail.go_on(&output)).await {
                std::panic::resume_unwind(error.into_panic());
            }
            if told.end.is_cancelled() {
                // It may be no reader any more, and nothing is to be held for it.
                return;
            }
            self.health.metrics().begins_anew();
        }
    }

    /// Its way to where the events of this log go, and what that is called; `None` if it is to end before there is one.
    async fn transport(
        &self,
        source: &config::Source,
        end: &CancellationToken,
    ) -> Option<(Transport, String)> {
        let output = &self.config;
        let (metrics, health) = (Arc::clone(self.health.metrics()), Arc::clone(&self.health));
        if let (Some(endpoint), Some(sink)) = (&self.endpoint, sink::of(output, &source.path)) {
            let exchange = Box::new(Exchange::new(Arc::clone(endpoint), Arc::clone(&sink)));
            let delivery = Delivery::new(exchange, sink, output, metrics, health, self.buffers.clone());
            return Some((Transport::Http(Box::new(delivery)), endpoint.display()));
        }
        loop {
            let writer = match &output.destination {
                Destination::File(file) => Ok(Writer::file(file, &source.path)),
                _ => Writer::stdout(),
            };
            match writer {
                Ok(writer) => {
                    let to = writer.to_string();
                    return Some((Transport::Writer(Writing::new(writer, output, metrics, health)), to));
                }
                Err(error) => {
                    let output = &output.name;
                    tracing::error!(output, %error, "shipping waits for what the configuration names");
                }
            }
            tokio::select! {
                () = end.cancelled() => return None,
                () = tokio::time::sleep(TRY_AGAIN_EVERY) => {}
            }
        }
    }

    /// From where to where it ships now; `to` is what that was called a moment ago.
    fn course(&self, section: &Section, to: String) -> Course {
        let endpoint: Box<dyn Fn() -> String + Send + Sync> = match self.endpoint.clone() {
            // A kubeconfig may come to name another server.
            Some(endpoint) => Box::new(move || endpoint.display()),
            None => Box::new(move || to.clone()),
        };
        let pins = Arc::clone(section.log.watch().pins());
        Course { pins, number: section.number, destination: self.config.destination.name(), endpoint }
    }

    /// A route on this log, from the cursor that is there.
    fn route(&self, section: Section, transport: Transport) -> Route {
        let Section { source, log, number, is_unturned, .. } = section;
        let output = &self.config;
        let (store, loaded) = Store::open(&self.state_dir, &output.name);
        let cursor = if is_unturned { Some(Cursor::default()) } else { cursor_of(&output.name, loaded) };
        let reading = Reading::new(
            &source,
            output,
            number,
            cursor.as_ref(),
            Arc::clone(log.watch()),
            (self.buffers.clone(), self.treatment.clone()),
            Arc::clone(&self.health),
        );
        let rejected = RejectedFile::new(&self.state_dir, &output.name, output.rejected.clone());
        Route {
            pins: Arc::clone(log.watch().pins()),
            number,
            reading: Some(reading),
            delivery: Arc::new(transport),
            store,
            rejected: Arc::new(rejected),
            metrics: Arc::clone(self.health.metrics()),
            health: Arc::clone(&self.health),
            config: output.clone(),
        }
    }
}

fn show_treatment(metrics: &RouteMetrics, config: &config::Output, policy: Option<&Policy>) {
    if let Some(policy) = policy {
        metrics.policy(policy.rules().len());
    }
    if config.takes.is_some() {
        metrics.has_match();
    }
}

/// Reads what the output needs again when it has changed, and all of it at SIGHUP, until it is dropped. Neither waits for the
/// other: a plugin or a file system may hang.
fn keep_current(
    endpoint: Option<(Arc<Endpoint>, Arc<RouteMetrics>)>,
    policy: Option<PolicyFile>,
    hangups: &Hangups,
) -> impl Future<Output = ()> + use<> {
    let endpoint = endpoint.map(|endpoint| (endpoint, hangups.listen()));
    let policy = policy.map(|policy| (policy, hangups.listen()));
    let endpoint = async {
        if let Some(((endpoint, metrics), hangups)) = endpoint {
            endpoints::keep_current(&endpoint, &metrics, hangups).await;
        }
    };
    let policy = async {
        if let Some((policy, hangups)) = policy {
            policies::keep_current(policy, hangups).await;
        }
    };
    async {
        tokio::join!(endpoint, policy);
    }
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
