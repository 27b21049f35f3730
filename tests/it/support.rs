//! What the integration tests share.
//!
//! Nothing here sleeps for a fixed time to be in step with another process: a condition is waited for, and the
//! deadline only bounds how long a failing test takes.

use std::time::{Duration, Instant};

pub(crate) mod books;
pub(crate) mod certificates;
pub(crate) mod cli;
pub(crate) mod daemon;
pub(crate) mod endpoint;
pub(crate) mod faults;
pub(crate) mod hosts;
pub(crate) mod http1;
pub(crate) mod proc;
pub(crate) mod proxies;
pub(crate) mod rotators;
pub(crate) mod shipper;
pub(crate) mod systemd;
pub(crate) mod typed;
pub(crate) mod workdir;
pub(crate) mod writer;

/// Generous: a loaded machine must not fail a test.
const DEADLINE: Duration = Duration::from_secs(180);

/// Polls until `condition` yields something; panics with `what` at the deadline.
pub(crate) fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Says that a part of a test is left out, since this machine has not what it needs. Where changes are judged (`CI=true`)
/// nothing may be missing: `.ci/run` installs it.
pub(crate) fn leave_out(why: impl std::fmt::Display) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "left out, and must not be: {why}");
    eprintln!("left out: {why}");
}
