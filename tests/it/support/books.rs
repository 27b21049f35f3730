//! The daemon's books: contract.md, "Metrics".

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Stdio};

use super::daemon::{Daemon, Metrics};

/// A sample that counts things; 0 if there is none.
pub(crate) fn count(metrics: &Metrics, name: &str, labels: &[(&str, &str)]) -> u64 {
    // The sum of no samples is -0.
    format!("{:.0}", metrics.value_or_zero(name, labels) + 0.0).parse().unwrap()
}

/// Events of which the books of all outputs say this, such as `delivered`.
pub(crate) fn of_output(metrics: &Metrics, what: &str) -> u64 {
    count(metrics, &format!("audit_shipper_{what}_events_total"), &[])
}

/// Asserts what holds at any time of each output: read = filtered + delivered + set aside + refused by endpoint + buffered,
/// each line set aside is an error, and the page is one that Prometheus takes.
pub(crate) fn assert_books_balance(daemon: &Daemon) {
    let metrics = daemon.metrics();
    let outputs = metrics.outputs();
    assert!(!outputs.is_empty(), "{}", metrics.text());
    for output in outputs {
        assert_law(&metrics, output);
        for reason in ["malformed", "rejected", "too_large"] {
            let of = [("output", output), ("reason", reason)];
            let count = |name| count(&metrics, name, &of);
            assert_eq!(count("error_total"), count("audit_shipper_set_aside_events_total"), "{of:?}");
        }
    }
    assert_prometheus_takes(metrics.text());
}

/// Asserts the law of the metrics for one output.
pub(crate) fn assert_law(metrics: &Metrics, output: &str) {
    let count = |name: &str| count(metrics, &format!("audit_shipper_{name}"), &[("output", output)]);
    let read = count("read_events_total");
    let accounts = [
        "filtered_events_total",
        "delivered_events_total",
        "set_aside_events_total",
        "refused_by_endpoint_events_total",
        "buffered_events",
    ]
    .map(count);
    assert_eq!(read, accounts.iter().sum::<u64>(), "{output}: {accounts:?} in:\n{}", metrics.text());
}

/// Exit status 1 is a page that cannot be read, 3 is only a matter of taste.
fn assert_prometheus_takes(page: &str) {
    let promtool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn();
    let mut promtool = match promtool {
        Ok(promtool) => promtool,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: promtool is not on the PATH, /metrics is not checked with it");
            return;
        }
        Err(error) => panic!("promtool: {error}"),
    };
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    assert_ne!(promtool.wait().unwrap().code(), Some(1), "{page}");
}
