//! What tailers and shippers got wrong: a process, a directory, an endpoint, and everything that rotators, filesystems
//! and operators do in between. The numbers are those of the list that these were collected in, from the issue trackers
//! and test suites of other shippers, of lumberjack and of kube-apiserver.
//!
//! Each test asserts the same: every line that was written arrives, once, in the order of writing as far as the scenario
//! leaves one; no gap is reported; the books balance.
//!
//! | number | test |
//! |---|---|
//! | 21 – 23, 25 – 32 | [`rotation`], by name; 27 twice, the second time as `rotate_by_copy_while_sink_blocked` |
//! | 24 | [`matrix`] |
//! | 33, 34 | [`names`] |
//! | 32 for longer | `soak::soak_of_everything_at_once` |
//! | 35 – 38, 46, 47 | [`truncation`] |
//! | 39 – 43 | [`deletion`], with what is given up when it cannot all be held; over a restart [`kept`] |
//! | 44, 45 | [`links`] |
//! | 48 – 51 | [`trouble`] |
//! | 52 – 57, 59 – 61 | [`compression`] |
//! | 58 | `rotation::a_clean_stop_and_a_restart_double_nothing_though_all_was_compressed_meanwhile` |
//! | 62 – 67, 70 | [`restart`] |
//! | 68 | `rotation::a_spoiled_cursor_costs_duplicates_not_events`, and the tests of the cursor |
//! | 69 | `crash::kill_9_loses_nothing_and_doubles_no_more_than_what_was_in_flight` |
//! | 71 | `cli::two_daemons_do_not_share_a_state_directory` |

use std::path::{Path, PathBuf};

use audit_shipper::demo::lumberjack::Options;

use crate::support::books::{assert_books_balance, count};
use crate::support::daemon::{Daemon, Metrics};
use crate::support::endpoint::{Answer, Endpoint, Gate};
use crate::support::shipper::Shipper;
use crate::support::writer::assert_each_once;

mod compression;
mod deletion;
mod kept;
mod links;
mod matrix;
mod names;
mod restart;
mod rotation;
mod trouble;
mod truncation;

/// Keeps and never compresses; larger than any line of the replay.
const KEEP_ALL: Options =
    Options { max_bytes: 400_000, max_backups: 0, compress: false, avoid_name_clash: true };

pub(crate) fn taking_everything() -> Endpoint {
    Endpoint::start(|_, _| Answer::ok())
}

/// An endpoint that answers 503 until the gate is open.
pub(crate) fn blocked_by(gate: &Gate) -> Endpoint {
    blocked_after(0, gate)
}

/// The same from the n-th request on; it takes those before.
fn blocked_after(requests: usize, gate: &Gate) -> Endpoint {
    let gate = gate.clone();
    Endpoint::start(
        move |_, n| {
            if n < requests || gate.is_open() { Answer::ok() } else { Answer::status(503) }
        },
    )
}

/// A daemon that sends one batch after another, so that what arrives is in the order of reading.
pub(crate) fn shipper(endpoint: &Endpoint) -> Shipper {
    Shipper::new(endpoint)
        .one_at_a_time()
        .flag("audit-webhook-batch-throttle-enable", false)
        .flag("audit-webhook-batch-max-wait", "20ms")
}

/// The `n`-th name that lumberjack could give to a backup.
fn stamped(log: &Path, n: u32) -> PathBuf {
    log.with_file_name(format!("audit-2026-07-23T18-45-32.{n:03}.log"))
}

/// Waits until `lines` have arrived and nothing is unread, and returns all that arrived.
pub(crate) fn arrived(daemon: &Daemon, endpoint: &Endpoint, lines: usize) -> (Vec<String>, Metrics) {
    endpoint.wait_for_items(lines);
    let metrics = daemon.wait_for_metrics("a level log", |metrics| {
        count(metrics, "audit_shipper_buffered_events", &[]) == 0
            && count(metrics, "audit_shipper_lag_bytes", &[]) == 0
    });
    assert_books_balance(daemon);
    (endpoint.items(), metrics)
}

pub(crate) fn assert_no_gaps(metrics: &Metrics) {
    for (name, labels) in [
        ("audit_shipper_gaps_total", &[("certainty", "certain")]),
        ("audit_shipper_gaps_total", &[("certainty", "possible")]),
        ("error_total", &[("reason", "lost")]),
    ] {
        assert_eq!(count(metrics, name, labels), 0, "{name} {labels:?}");
    }
}

/// Everything that was written has arrived, once and in that order, and nothing is said to be missing.
pub(crate) fn assert_in_order(daemon: &Daemon, endpoint: &Endpoint, written: &[String]) {
    let (arrived, metrics) = arrived(daemon, endpoint, written.len());
    if arrived != written {
        assert_each_once(written.to_vec(), arrived.clone());
        let first = written.iter().zip(&arrived).take_while(|(written, arrived)| written == arrived).count();
        panic!("all {} lines are there, but line {first} is not in its place", written.len());
    }
    assert_no_gaps(&metrics);
}

/// Everything that was written has arrived, once, and nothing is said to be missing.
fn assert_once(daemon: &Daemon, endpoint: &Endpoint, written: &[String]) {
    let (arrived, metrics) = arrived(daemon, endpoint, written.len());
    assert_each_once(written.to_vec(), arrived);
    assert_no_gaps(&metrics);
}
