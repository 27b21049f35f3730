//! What a test needs of a destination, whatever it is.

use std::collections::BTreeSet;

use crate::support::books::{assert_books_balance, count};
use crate::support::daemon::{Daemon, Metrics};
use crate::support::shipper::{POISON, Rejected, Shipper};

/// What becomes of events that are sent again although they were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sinks) enum Repeated {
    /// They are stored again.
    Stored,
    /// They are known again if the whole request is.
    KnownByRequest,
    /// They are known again.
    Known,
}

/// A destination in this process, and what it has stored.
pub(in crate::sinks) trait Destination: Sized {
    /// Takes everything.
    fn new() -> Self;

    /// Takes everything, and its time for it, if it has a way to.
    fn slow() -> Self {
        Self::new()
    }

    /// The configuration that leads there, without long waits and without a throttle.
    fn shipper(&self) -> Shipper;

    /// A daemon that ships there.
    fn start(&self, shipper: &Shipper) -> Daemon {
        shipper.start()
    }

    /// What is stored of a line of the log.
    fn form(line: &str) -> String {
        line.to_owned()
    }

    /// All that is stored, as often as it is.
    fn stored(&self) -> Vec<String>;

    fn repeated(&self) -> Repeated;

    /// Asserts that of the lines of the log that was written those that hold poison were set aside, each once and as it
    /// was, and all others are stored, no more than `most_twice` of them twice.
    fn assert_has(&self, shipper: &Shipper, written: &[String], most_twice: usize) {
        let (bad, good): (Vec<&String>, Vec<&String>) =
            written.iter().partition(|line| line.contains(POISON));
        let mut aside: Vec<String> = shipper.rejected().iter().map(Rejected::line).collect();
        let mut bad: Vec<String> = bad.into_iter().cloned().collect();
        aside.sort_unstable();
        bad.sort_unstable();
        assert!(aside == bad, "{} lines are set aside, {} are wrong", aside.len(), bad.len());
        let expect: BTreeSet<String> = good.into_iter().map(|line| Self::form(line)).collect();
        let stored = self.stored();
        let distinct: BTreeSet<&String> = stored.iter().collect();
        let missing = expect.iter().filter(|line| !distinct.contains(line)).count();
        assert!(distinct.iter().copied().eq(&expect), "{missing} of {} are missing", expect.len());
        let twice = stored.len() - distinct.len();
        assert!(twice <= most_twice, "{twice} are stored twice");
    }
}

/// A destination that can be away.
pub(in crate::sinks) trait Away: Destination {
    /// Takes nothing from now on. This comes before the daemon begins.
    fn close(&self);

    /// Takes everything again.
    fn open(&self);
}

/// Waits until this life of the daemon has read something, and all that there is to read is settled.
pub(in crate::sinks) fn wait_until_drained(daemon: &Daemon) -> Metrics {
    let metrics = daemon.wait_for_metrics("an empty backlog", |metrics| {
        count(metrics, "audit_shipper_read_events_total", &[]) > 0
            && count(metrics, "audit_shipper_lag_bytes", &[]) == 0
            && count(metrics, "audit_shipper_buffered_events", &[]) == 0
    });
    assert_books_balance(daemon);
    metrics
}
