//! What an answer of the endpoint means: contract.md's table, row by row.

mod hold;
mod redirects;
mod refused;
mod retry;
mod too_large;
mod window;

use crate::support::books::count;
use crate::support::daemon::{Daemon, Metrics};
use crate::support::endpoint::Endpoint;

/// Requests by outcome: accepted, retry, hold, refused.
fn requests(metrics: &Metrics) -> [u64; 4] {
    ["accepted", "retry", "hold", "refused"]
        .map(|outcome| count(metrics, "audit_shipper_requests_total", &[("outcome", outcome)]))
}

/// Asserts that these lines, and no others, were accepted once each; in any order, as requests overtake each other.
pub(crate) fn assert_delivered_once<'a>(endpoint: &Endpoint, lines: impl IntoIterator<Item = &'a String>) {
    let mut expect: Vec<&String> = lines.into_iter().collect();
    let mut items = endpoint.items();
    expect.sort();
    items.sort();
    assert!(items.iter().eq(expect.iter().copied()), "{} items for {} events", items.len(), expect.len());
}

/// Waits for an output that needs somebody to act; returns what `/readyz` says.
fn wait_until_misconfigured(daemon: &Daemon) -> String {
    daemon.wait_for_metrics("misconfigured 1", |metrics| {
        count(metrics, "audit_shipper_misconfigured", &[("output", "siem")]) == 1
    });
    let (status, reason) = daemon.get("/readyz");
    assert_eq!(status, 503, "{reason}");
    reason
}

fn assert_ready_again(daemon: &Daemon) {
    assert_eq!(count(&daemon.metrics(), "audit_shipper_misconfigured", &[]), 0);
    assert_eq!(daemon.get("/readyz").0, 200);
}
