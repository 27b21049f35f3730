//! Group F: every way in which the endpoint, or the network before it, can be bad.
//!
//! After each fault the way is free again. Then every event has arrived, once where the fault makes that certain, and
//! the daemon has needed nobody.

mod answers;
mod connections;
mod early;
mod names;
mod proxies;
mod restarts;
mod tls;

use std::collections::HashSet;

use crate::support::books::count;
use crate::support::daemon::{Daemon, Metrics};
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::faults::{Fault, Network};
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::workdir::real_events;

/// Events in a request.
const BATCH: usize = 5;

/// Requests by what became of them: accepted, and tried again. None may be refused or held.
fn requests(metrics: &Metrics) -> [u64; 2] {
    let outcome = |name| count(metrics, "audit_shipper_requests_total", &[("outcome", name)]);
    assert_eq!(
        (outcome("hold"), outcome("refused")),
        (0, 0),
        "no fault of the network is the endpoint's word"
    );
    ["accepted", "retry"].map(outcome)
}

fn taking_everything() -> Endpoint {
    Endpoint::start(|_, _| Answer::ok())
}

/// For a test in which something hangs. A loaded machine may stand still for some seconds, and nothing else is to hang then.
const IMPATIENT: &str = "maxBackoff: 50ms, timeout: 5s";

/// For a test that tells a connection that hangs from an answer that does: the connection has ten seconds of these.
const WITHOUT_CONNECTION: &str = "maxBackoff: 50ms, timeout: 15s";

/// Small batches to `server`, and time enough for every answer that comes.
fn shipper_to(server: &str) -> Shipper {
    Shipper::to(server).webhook("maxBackoff: 50ms, timeout: 30s").batches_of(BATCH)
}

/// The lines without those that came before.
pub(crate) fn without_duplicates(lines: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    lines.into_iter().filter(|line| seen.insert(line.clone())).collect()
}

/// The first connections meet these faults, one each, all others none. Of the requests that met a fault the endpoint
/// has taken `taken`, and the shipper cannot know that.
fn weathered(faults: &[Fault], taken: usize) -> (Daemon, Shipper) {
    let endpoint = taking_everything();
    let faults = faults.to_vec();
    let broken = faults.len();
    let network = Network::start(endpoint.address(), move |n| faults.get(n).cloned().unwrap_or(Fault::Pass));
    let events = real_events(4 * BATCH);
    let shipper = shipper_to(&network.url()).webhook(IMPATIENT).one_at_a_time().log(&events);
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    assert_eq!(requests(&metrics), [4, broken as u64]);
    // Each fault hits the first batch.
    let twice = events[..BATCH].iter().cycle().take(taken * BATCH);
    let expect: Vec<String> = twice.chain(&events).cloned().collect();
    let items = endpoint.items();
    assert!(items == expect, "{} lines arrived, not {}", items.len(), expect.len());
    assert!(network.connections() > broken, "{} connections", network.connections());
    assert_recovered(&daemon, &shipper);
    (daemon, shipper)
}

/// Said once that it is bad and once that it is good again, nobody was called, and nothing was given up.
fn assert_recovered(daemon: &Daemon, shipper: &Shipper) {
    let log = daemon.log();
    let [bad, good] = ["the endpoint does not answer as it should", "the endpoint takes events again"];
    assert_eq!((log.matches(bad).count(), log.matches(good).count()), (1, 1), "{log}");
    assert!(!log.contains(" ERROR "), "{log}");
    assert_eq!(daemon.get("/readyz").0, 200);
    assert!(!shipper.rejected_file().exists());
}
