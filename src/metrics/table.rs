//! What there is to see.

/// One metric: name, type, labels, help.
pub type Row = (&'static str, &'static str, &'static [&'static str], &'static str);

const OUTPUT: &[&str] = &["output"];

/// All metrics but those of the process, in the order of the README.
pub const TABLE: &[Row] = &[
    (
        "audit_event_total",
        "counter",
        OUTPUT,
        "Audit events that match and policy have left in, taken for shipping.",
    ),
    (
        "error_total",
        "counter",
        &["output", "reason"],
        "Audit events that could not be shipped as they should: malformed, rejected, too_large, lost (a gap of unknown size counts 1).",
    ),
    (
        "audit_shipper_read_events_total",
        "counter",
        OUTPUT,
        "Lines read from the log; empty ones do not count.",
    ),
    (
        "audit_shipper_filtered_events_total",
        "counter",
        &["output", "rule"],
        "Audit events that match passed over (rule match), or that the policy dropped, by its rule.",
    ),
    (
        "audit_shipper_delivered_events_total",
        "counter",
        OUTPUT,
        "Audit events that the endpoint has acknowledged.",
    ),
    (
        "audit_shipper_delivered_bytes_total",
        "counter",
        OUTPUT,
        "Bytes of the bodies of acknowledged requests, before they were compressed.",
    ),
    (
        "audit_shipper_sent_bytes_total",
        "counter",
        OUTPUT,
        "Bytes of the bodies of acknowledged requests as they were sent, compressed or not.",
    ),
    (
        "audit_shipper_set_aside_events_total",
        "counter",
        &["output", "reason"],
        "Lines written to the file of rejected events: malformed, rejected, too_large.",
    ),
    ("audit_shipper_rejected_file_bytes", "gauge", OUTPUT, "Size of the file of rejected events."),
    (
        "audit_shipper_rejected_file_limit_bytes",
        "gauge",
        OUTPUT,
        "The size that the file of rejected events may have.",
    ),
    (
        "audit_shipper_rejected_file_dropped_events_total",
        "counter",
        OUTPUT,
        "Events that the file of rejected events held and lost, since it was full.",
    ),
    (
        "audit_shipper_refused_by_endpoint_events_total",
        "counter",
        OUTPUT,
        "Audit events that the endpoint acknowledged without keeping them.",
    ),
    (
        "audit_shipper_diverted_events_total",
        "counter",
        OUTPUT,
        "Acknowledged audit events that the endpoint keeps elsewhere, as in the failure store of Elasticsearch.",
    ),
    ("audit_shipper_buffered_events", "gauge", OUTPUT, "Audit events in memory, read ahead plus in flight."),
    ("audit_shipper_truncated_events_total", "counter", OUTPUT, "Audit events that were cut to fit."),
    (
        "audit_shipper_requests_total",
        "counter",
        &["output", "outcome"],
        "Requests by outcome: accepted, retry, hold, refused.",
    ),
    (
        "audit_shipper_request_duration_seconds",
        "histogram",
        OUTPUT,
        "Time from sending a request to the end of its answer.",
    ),
    (
        "audit_shipper_window_requests",
        "gauge",
        OUTPUT,
        "Requests that may be under way at a time: maxInFlight, or fewer after the endpoint said that it is too much.",
    ),
    ("audit_shipper_batch_events", "histogram", OUTPUT, "Audit events in a batch."),
    (
        "audit_shipper_throttle_wait_seconds_total",
        "counter",
        OUTPUT,
        "Time that batches were held back by the throttle.",
    ),
    (
        "audit_shipper_throttle_limit_events_per_second",
        "gauge",
        OUTPUT,
        "What the throttle lets through on average if all batches are full: qps times maxSize; +Inf when it is off.",
    ),
    (
        "audit_shipper_lag_bytes",
        "gauge",
        OUTPUT,
        "Bytes of the log that are not settled, a .gz at its compressed size.",
    ),
    (
        "audit_shipper_lag_seconds",
        "gauge",
        OUTPUT,
        "Age of the oldest audit event that is not settled; 0 when level.",
    ),
    (
        "audit_shipper_waiting_seconds",
        "gauge",
        OUTPUT,
        "Time since anything was settled, while something waits; 0 when nothing does.",
    ),
    (
        "audit_shipper_log_unreadable",
        "gauge",
        OUTPUT,
        "1 while the log cannot be read, or is in another format than was said.",
    ),
    (
        "audit_shipper_retention_grace_seconds",
        "gauge",
        OUTPUT,
        "Time until a rotator deletes the oldest bytes of the log that are not settled, at the rate at which it is written; 0 once they are deleted, +Inf if they never are.",
    ),
    ("audit_shipper_rotations_total", "counter", &[], "Rotations of the log that were followed."),
    (
        "audit_shipper_gaps_total",
        "counter",
        &["output", "certainty"],
        "Places where audit events are or may be missing: certain, possible.",
    ),
    (
        "audit_shipper_last_gap_timestamp_seconds",
        "gauge",
        &["output", "certainty"],
        "When the last gap was found; 0 if there was none since the start.",
    ),
    ("audit_shipper_lost_bytes_total", "counter", OUTPUT, "Bytes of the log that are certainly lost."),
    (
        "audit_shipper_skipped_nul_bytes_total",
        "counter",
        OUTPUT,
        "Bytes of NUL runs in the log that were skipped.",
    ),
    (
        "audit_shipper_skipped_lines_total",
        "counter",
        OUTPUT,
        "Lines of a container's output that were skipped, since they are no audit events.",
    ),
    ("audit_shipper_pinned_bytes", "gauge", &[], "Bytes of deleted log files that are held open."),
    ("audit_shipper_pinned_files", "gauge", &[], "Deleted log files that are held open."),
    ("audit_shipper_pin_limit_bytes", "gauge", &[], "How many bytes of deleted log files may be held open."),
    ("audit_shipper_pin_limit_files", "gauge", &[], "How many deleted log files may be held open."),
    (
        "audit_shipper_misconfigured",
        "gauge",
        OUTPUT,
        "1 while the endpoint refuses what has nothing to do with single events.",
    ),
    (
        "audit_shipper_certificate_expiry_timestamp_seconds",
        "gauge",
        &["output", "certificate"],
        "When a certificate expires: client and authority (the last one to expire) of the kubeconfig or of a server's tls, server (as the endpoint last showed it).",
    ),
    (
        "audit_shipper_kubeconfig_last_reload_successful",
        "gauge",
        OUTPUT,
        "0 while the kubeconfig, or a file that it or a server's section names, cannot be read; what was good before stays in use.",
    ),
    (
        "audit_shipper_policy_last_reload_successful",
        "gauge",
        OUTPUT,
        "0 while the policy file cannot be read or is wrong; the policy that was good before stays in use.",
    ),
    (
        "audit_shipper_config_last_reload_successful",
        "gauge",
        &[],
        "0 while the configuration file, the manifest or what they name is wrong or cannot be read; the configuration that was good before stays in use.",
    ),
    (
        "audit_shipper_config_last_reload_success_timestamp_seconds",
        "gauge",
        &[],
        "When the configuration was last read without a mistake.",
    ),
    ("audit_shipper_build_info", "gauge", &["version"], "1, with the version of audit-shipper."),
];
