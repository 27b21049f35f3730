//! Every metric: name, help, labels, and typed handles for each route. The README's table is checked against [`TABLE`].
//!
//! Books are kept once per batch. A scrape and an entry exclude each other, so that the law holds in every answer:
//! read = filtered + delivered + set aside + refused by endpoint + buffered.

mod counts;
mod pins;
mod reloads;
mod route;
mod scraped;
mod table;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::batch::Reason;

pub use counts::Counts;
pub use pins::{PinMetrics, PinShare};
pub use reloads::{ConfigMetrics, LastRead};
pub use route::RouteMetrics;
use scraped::Scraped;
pub use scraped::Unsettled;
pub use table::{Row, TABLE};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Accepted,
    /// To be sent again.
    Retry,
    /// To be sent again once somebody has changed something.
    Hold,
    /// The endpoint does not want what is in it.
    Refused,
}

impl Outcome {
    const ALL: [(Self, &str); 4] = [
        (Self::Accepted, "accepted"),
        (Self::Retry, "retry"),
        (Self::Hold, "hold"),
        (Self::Refused, "refused"),
    ];
}

/// All metrics of the daemon.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    books: Mutex<()>,
    rotations: IntCounter,
    rotations_seen: AtomicU64,
    pins: PinMetrics,
    config: ConfigMetrics,
    families: Families,
    routes: Mutex<Vec<Arc<Scraped>>>,
}

/// The families that have a child for each output.
#[derive(Debug)]
struct Families {
    events: IntCounterVec,
    errors: IntCounterVec,
    read: IntCounterVec,
    filtered: IntCounterVec,
    delivered: IntCounterVec,
    delivered_bytes: IntCounterVec,
    sent_bytes: IntCounterVec,
    set_aside: IntCounterVec,
    rejected_bytes: IntGaugeVec,
    rejected_limits: IntGaugeVec,
    rejected_dropped: IntCounterVec,
    refused: IntCounterVec,
    buffered: IntGaugeVec,
    diverted: IntCounterVec,
    truncated: IntCounterVec,
    requests: IntCounterVec,
    durations: HistogramVec,
    batches: HistogramVec,
    throttled: prometheus::CounterVec,
    throttle_limits: GaugeVec,
    lag_bytes: IntGaugeVec,
    lag_seconds: GaugeVec,
    waiting_seconds: GaugeVec,
    unreadable: IntGaugeVec,
    grace: GaugeVec,
    gaps: IntCounterVec,
    last_gaps: GaugeVec,
    lost_bytes: IntCounterVec,
    misconfigured: IntGaugeVec,
    window: IntGaugeVec,
    nul_bytes: IntCounterVec,
    skipped: IntCounterVec,
    certificates: IntGaugeVec,
    reloads: IntGaugeVec,
    policy_reloads: IntGaugeVec,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The metrics of one daemon, all of those without an output at 0.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "the table's names are legal and differ: every test would fail"
    )]
    pub fn new() -> Self {
        let registry = Registry::new();
        let durations = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let sizes = vec![1.0, 10.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 10_000.0];
        let families = Families {
            events: counters(&registry, "audit_event_total"),
            errors: counters(&registry, "error_total"),
            read: counters(&registry, "audit_shipper_read_events_total"),
            filtered: counters(&registry, "audit_shipper_filtered_events_total"),
            delivered: counters(&registry, "audit_shipper_delivered_events_total"),
            delivered_bytes: counters(&registry, "audit_shipper_delivered_bytes_total"),
            sent_bytes: counters(&registry, "audit_shipper_sent_bytes_total"),
            set_aside: counters(&registry, "audit_shipper_set_aside_events_total"),
            rejected_bytes: gauges(&registry, "audit_shipper_rejected_file_bytes"),
            rejected_limits: gauges(&registry, "audit_shipper_rejected_file_limit_bytes"),
            rejected_dropped: counters(&registry, "audit_shipper_rejected_file_dropped_events_total"),
            refused: counters(&registry, "audit_shipper_refused_by_endpoint_events_total"),
            buffered: gauges(&registry, "audit_shipper_buffered_events"),
            diverted: counters(&registry, "audit_shipper_diverted_events_total"),
            truncated: counters(&registry, "audit_shipper_truncated_events_total"),
            requests: counters(&registry, "audit_shipper_requests_total"),
            durations: histograms(&registry, "audit_shipper_request_duration_seconds", durations),
            batches: histograms(&registry, "audit_shipper_batch_events", sizes),
            throttled: register(
                &registry,
                "audit_shipper_throttle_wait_seconds_total",
                prometheus::CounterVec::new,
            ),
            throttle_limits: register(
                &registry,
                "audit_shipper_throttle_limit_events_per_second",
                GaugeVec::new,
            ),
            lag_bytes: gauges(&registry, "audit_shipper_lag_bytes"),
            lag_seconds: register(&registry, "audit_shipper_lag_seconds", GaugeVec::new),
            waiting_seconds: register(&registry, "audit_shipper_waiting_seconds", GaugeVec::new),
            unreadable: gauges(&registry, "audit_shipper_log_unreadable"),
            grace: register(&registry, "audit_shipper_retention_grace_seconds", GaugeVec::new),
            gaps: counters(&registry, "audit_shipper_gaps_total"),
            last_gaps: register(&registry, "audit_shipper_last_gap_timestamp_seconds", GaugeVec::new),
            lost_bytes: counters(&registry, "audit_shipper_lost_bytes_total"),
            misconfigured: gauges(&registry, "audit_shipper_misconfigured"),
            window: gauges(&registry, "audit_shipper_window_requests"),
            nul_bytes: counters(&registry, "audit_shipper_skipped_nul_bytes_total"),
            skipped: counters(&registry, "audit_shipper_skipped_lines_total"),
            certificates: gauges(&registry, "audit_shipper_certificate_expiry_timestamp_seconds"),
            reloads: gauges(&registry, "audit_shipper_kubeconfig_last_reload_successful"),
            policy_reloads: gauges(&registry, "audit_shipper_policy_last_reload_successful"),
        };
        let pins = PinMetrics {
            files: gauges(&registry, "audit_shipper_pinned_files").with_label_values::<&str>(&[]),
            bytes: gauges(&registry, "audit_shipper_pinned_bytes").with_label_values::<&str>(&[]),
            limit_files: gauges(&registry, "audit_shipper_pin_limit_files").with_label_values::<&str>(&[]),
            limit_bytes: gauges(&registry, "audit_shipper_pin_limit_bytes").with_label_values::<&str>(&[]),
        };
        let time = "audit_shipper_config_last_reload_success_timestamp_seconds";
        let config = ConfigMetrics {
            successful: gauges(&registry, "audit_shipper_config_last_reload_successful")
                .with_label_values::<&str>(&[]),
            success_time: register(&registry, time, GaugeVec::new).with_label_values::<&str>(&[]),
        };
        config.read(true);
        gauges(&registry, "audit_shipper_build_info").with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let rotations = counters(&registry, "audit_shipper_rotations_total").with_label_values::<&str>(&[]);
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("the process metrics have names of their own");
        Self(Arc::new(Inner {
            registry,
            books: Mutex::new(()),
            rotations,
            rotations_seen: AtomicU64::new(0),
            pins,
            config,
            families,
            routes: Mutex::new(Vec::new()),
        }))
    }

    /// The gauges of pinned files, for whoever pins them.
    #[must_use]
    pub fn pins(&self) -> PinMetrics {
        self.0.pins.clone()
    }

    /// How the configuration was read last.
    #[must_use]
    pub fn config(&self) -> ConfigMetrics {
        self.0.config.clone()
    }

    /// The books of one output, all of them at 0.
    #[must_use]
    pub fn route(&self, output: &str) -> RouteMetrics {
        let families = &self.0.families;
        let of = [output];
        for reason in Reason::COUNTED.map(Reason::as_str).into_iter().chain(["lost"]) {
            families.errors.with_label_values(&[output, reason]);
        }
        for reason in Reason::COUNTED {
            families.set_aside.with_label_values(&[output, reason.as_str()]);
        }
        families.refused.with_label_values(&of);
        families.reloads.with_label_values(&of).set(1);
        families.lost_bytes.with_label_values(&of);
        for certainty in ["certain", "possible"] {
            families.gaps.with_label_values(&[output, certainty]);
            families.last_gaps.with_label_values(&[output, certainty]);
        }
        let scraped = Arc::new(Scraped::new(families, output));
        lock(&self.0.routes).push(Arc::clone(&scraped));
        let grace = families.grace.with_label_values(&of);
        grace.set(f64::INFINITY);
        RouteMetrics {
            inner: Arc::clone(&self.0),
            output: output.to_owned(),
            events: families.events.with_label_values(&of),
            read: families.read.with_label_values(&of),
            delivered: families.delivered.with_label_values(&of),
            delivered_bytes: families.delivered_bytes.with_label_values(&of),
            sent_bytes: families.sent_bytes.with_label_values(&of),
            buffered: families.buffered.with_label_values(&of),
            diverted: families.diverted.with_label_values(&of),
            truncated: families.truncated.with_label_values(&of),
            requests: Outcome::ALL.map(|(_, name)| families.requests.with_label_values(&[output, name])),
            durations: families.durations.with_label_values(&of),
            batches: families.batches.with_label_values(&of),
            throttled: families.throttled.with_label_values(&of),
            grace,
            misconfigured: families.misconfigured.with_label_values(&of),
            unreadable: families.unreadable.with_label_values(&of),
            rejected_dropped: families.rejected_dropped.with_label_values(&of),
            window: families.window.with_label_values(&of),
            nul_bytes: families.nul_bytes.with_label_values(&of),
            skipped: families.skipped.with_label_values(&of),
            // One that comes later has followed none of those that were seen.
            rotations: AtomicU64::new(self.0.rotations_seen.load(Ordering::Relaxed)),
            given_back: AtomicU64::new(0),
            scraped,
        }
    }

    /// All metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let now = Timestamp::now();
        for route in lock(&self.0.routes).iter() {
            route.show(now);
        }
        let _books = lock(&self.0.books);
        let seen = self.0.rotations_seen.load(Ordering::Relaxed);
        self.0.rotations.inc_by(seen.saturating_sub(self.0.rotations.get()));
        let mut text = String::new();
        // Nothing but a broken metric family could fail here, and those are made above.
        let _ = TextEncoder::new().encode_utf8(&self.0.registry.gather(), &mut text);
        text
    }
}

fn row(name: &str) -> &'static Row {
    TABLE.iter().find(|row| row.0 == name).expect("every metric is in the table")
}

fn register<V: Collector + Clone + 'static>(
    registry: &Registry,
    name: &str,
    make: fn(Opts, &[&str]) -> prometheus::Result<V>,
) -> V {
    let (name, _, labels, help) = *row(name);
    let family = make(Opts::new(name, help), labels).expect("names in the table are legal");
    registry.register(Box::new(family.clone())).expect("names in the table differ");
    family
}

fn counters(registry: &Registry, name: &str) -> IntCounterVec {
    register(registry, name, IntCounterVec::new)
}

fn gauges(registry: &Registry, name: &str) -> IntGaugeVec {
    register(registry, name, IntGaugeVec::new)
}

fn histograms(registry: &Registry, name: &str, buckets: Vec<f64>) -> HistogramVec {
    let (name, _, labels, help) = *row(name);
    let options = HistogramOpts::new(name, help).buckets(buckets);
    let family = HistogramVec::new(options, labels).expect("names in the table are legal");
    registry.register(Box::new(family.clone())).expect("names in the table differ");
    family
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
