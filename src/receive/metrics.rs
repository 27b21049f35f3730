//! What the receiver counts.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

/// Every metric of the receiver. Counters move before the answer leaves, so a scrape after it sees them.
pub(super) struct Metrics {
    registry: Registry,
    /// Requests that meant to bring events, by status code of the answer.
    pub(super) requests: IntCounterVec,
    pub(super) events: IntCounter,
    pub(super) duplicate_events: IntCounter,
    pub(super) bytes: IntCounter,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("audit_shipper_receiver_requests_total", "Requests with events, by status code."),
            &["code"],
        )
        .expect("the name and the label are valid");
        register(&registry, requests.clone());
        requests.with_label_values(&["200"]);
        let build_info = IntGaugeVec::new(
            Opts::new("audit_shipper_build_info", "Always 1; the labels name the build."),
            &["version"],
        )
        .expect("the name and the label are valid");
        register(&registry, build_info.clone());
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        register(&registry, ProcessCollector::for_self());
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("the name is valid");
            register(&registry, counter.clone());
            counter
        };
        Self {
            requests,
            events: counter("audit_shipper_receiver_events_total", "Events written, duplicates included."),
            duplicate_events: counter(
                "audit_shipper_receiver_duplicate_events_total",
                "Events written whose line was written before, as far back as lines are remembered.",
            ),
            bytes: counter("audit_shipper_receiver_bytes_total", "Bytes of lines written."),
            registry,
        }
    }

    /// All of them in Prometheus' text format.
    pub(super) fn text(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("every family has a name and samples")
    }
}

fn register(registry: &Registry, collector: impl Collector + 'static) {
    registry.register(Box::new(collector)).expect("every name is registered once");
}
