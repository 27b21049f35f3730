//! The daemon is killed and stopped while the log is written and rotated, and the destination goes away.

use std::time::{Duration, Instant};

use audit_shipper::demo::lumberjack::Options;

use super::{Away, Destination, Repeated, wait_until_drained};
use crate::support::books::count;
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::wait_until;
use crate::support::writer::Writer;

const BATCH: usize = 10;
/// `maxInFlight` by default.
const IN_FLIGHT: usize = 4;
/// Larger than any line of the replay, so that lumberjack takes each of them.
const FILE_BYTES: u64 = 150_000;

const DELIVERED: &str = "audit_shipper_delivered_events_total";

/// Batches come one after another, and answers late: whatever ends a life finds batches that wait and some under way.
fn at_a_pace(shipper: Shipper) -> Shipper {
    shipper
        .batches_of(BATCH)
        .flag("audit-webhook-batch-throttle-enable", true)
        .flag("audit-webhook-batch-throttle-qps", 50)
        .flag("audit-webhook-batch-throttle-burst", 1)
}

/// The same without waits between batches.
fn at_once(shipper: Shipper) -> Shipper {
    shipper.flag("audit-webhook-batch-throttle-enable", false)
}

pub(super) fn kill<D: Destination>() {
    const KILLS: usize = 6;
    let place = D::slow();
    let shipper = at_a_pace(place.shipper());
    let mut writer = Writer::new(shipper.workdir.log(), FILE_BYTES);
    for _ in 0..KILLS {
        writer.write(100);
        let mut daemon = place.start(&shipper);
        // Somewhere in the work of this life, which begins with what the last one left.
        let wanted = fastrand::u64(0..60);
        daemon.wait_for_metrics("some progress", |metrics| count(metrics, DELIVERED, &[]) >= wanted);
        writer.write(20);
        if fastrand::bool() {
            writer.rotate();
        }
        daemon.kill9();
    }
    writer.write(10);
    let shipper = at_once(shipper);
    let mut daemon = place.start(&shipper);
    wait_until_drained(&daemon);
    daemon.terminate();
    assert!(daemon.wait().success());
    assert!(!daemon.log().contains(" missing: "), "{}", daemon.log());
    let is_known = place.repeated() == Repeated::Known;
    let most_twice = if is_known { 0 } else { KILLS * IN_FLIGHT * BATCH };
    place.assert_has(&shipper, &writer.lines(), most_twice);
    writer.finish();
}

/// The destination is away for longer than the rotation keeps its files.
pub(super) fn rotation<D: Away>() {
    let place = D::new();
    let shipper = place.shipper().batches_of(100);
    place.close();
    // It rotates here alone, each time when the live file is held: no file comes and goes while the daemon stands still.
    let options = Options { max_bytes: 100 << 20, max_backups: 2, compress: true, avoid_name_clash: true };
    let mut writer = Writer::with(shipper.workdir.log(), options);
    writer.write(1);
    let daemon = place.start(&shipper);
    daemon.wait_until_holds(&shipper.workdir.log());
    for _ in 0..6 {
        writer.write(100);
        writer.rotate();
        writer.write(10);
        daemon.wait_until_holds(&shipper.workdir.log());
    }
    wait_until("a file that is deleted", || {
        (!daemon.nameless_files_of(&shipper.workdir.log_dir()).is_empty()).then_some(())
    });
    place.open();
    // What was written last may not have been seen yet, and so be in no backlog.
    let metrics = wait_until_settled(&daemon, writer.lines().len());
    assert_eq!(count(&metrics, "audit_shipper_gaps_total", &[]), 0);
    place.assert_has(&shipper, &writer.lines(), 0);
    writer.finish();
}

/// Each stop comes while it ships, but for the last; then the log is rotated.
pub(super) fn stop<D: Destination>() {
    const GRACE: Duration = Duration::from_secs(60);
    let place = D::slow();
    let mut shipper = at_a_pace(place.shipper()).flag("shutdown-grace", "60s");
    let mut writer = Writer::new(shipper.workdir.log(), FILE_BYTES);
    for life in 1..=4 {
        writer.write(200);
        if life == 4 {
            shipper = at_once(shipper);
        }
        let mut daemon = place.start(&shipper);
        if life < 4 {
            daemon.wait_for_metrics("some progress", |metrics| count(metrics, DELIVERED, &[]) > 0);
        } else {
            wait_until_drained(&daemon);
        }
        let asked = Instant::now();
        daemon.terminate();
        assert_eq!(daemon.wait().code(), Some(0));
        assert!(asked.elapsed() < GRACE && !daemon.log().contains("the grace is over"), "{}", daemon.log());
        writer.rotate();
    }
    place.assert_has(&shipper, &writer.lines(), 0);
    writer.finish();
}
