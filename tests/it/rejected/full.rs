//! The file of rejected events is full: what `onFull` says.

use std::fs::File;

use super::{events, refuses_poison, shipper};
use crate::support::books::{assert_books_balance, count};
use crate::support::endpoint::Endpoint;
use crate::support::shipper::{POISON, Rejected, wait_until_settled};
use crate::support::wait_until;

const MAX_SIZE: u64 = 32 << 10;

fn poison(events: &[String]) -> Vec<&String> {
    events.iter().filter(|line| line.contains(POISON)).collect()
}

#[test]
fn wait_stops_shipping_until_there_is_room_and_loses_nothing() {
    let endpoint = Endpoint::start(|request, _| refuses_poison(request, "no"));
    let events = events(120);
    let shipper = shipper(&endpoint).one_at_a_time().batches_of(6).log(&events);
    let shipper = shipper.output("rejected: { maxSize: 32KiB, onFull: wait }");
    let daemon = shipper.start();
    let mut taken = Vec::new();
    while taken.len() < poison(&events).len() {
        let is_full = || daemon.get("/readyz").1.contains("is full (32768 bytes)");
        let is_settled = || count(&daemon.metrics(), "audit_shipper_delivered_events_total", &[]) == 80;
        wait_until("a full file, or the end", || (is_full() || is_settled()).then_some(()));
        let was_settled = is_settled();
        // Moved away as an operator may do it, but not in the middle of an entry.
        let Ok(file) = File::open(shipper.rejected_file()) else {
            assert!(!was_settled, "{} of {} were set aside", taken.len(), poison(&events).len());
            continue;
        };
        file.lock().unwrap();
        taken.extend(shipper.rejected().iter().map(Rejected::line));
        std::fs::rename(shipper.rejected_file(), shipper.workdir.path("moved")).unwrap();
    }
    let metrics = wait_until_settled(&daemon, events.len());
    assert!(poison(&events).into_iter().eq(&taken));
    assert_eq!(count(&metrics, "error_total", &[("reason", "lost")]), 0);
    let log = daemon.log();
    assert!(
        log.contains("ERROR") && log.contains("lines cannot be set aside; nothing is lost, the log waits")
    );
    assert!(log.contains("lines can be set aside again"));
    wait_until("readiness", || (daemon.get("/readyz").0 == 200).then_some(()));
}

#[test]
fn drop_oldest_keeps_the_limit_and_counts_what_is_lost() {
    let endpoint = Endpoint::start(|request, _| refuses_poison(request, "no"));
    let events = events(300);
    let shipper = shipper(&endpoint).one_at_a_time().batches_of(6).log(&events);
    let shipper = shipper.flag("audit-webhook-batch-throttle-enable", false);
    let shipper = shipper.output("rejected: { maxSize: 32KiB, onFull: dropOldest }");
    let daemon = shipper.start();
    let metrics = wait_until_settled(&daemon, events.len());
    let (kept, poison) = (shipper.rejected(), poison(&events));
    assert!(shipper.rejected_file().metadata().unwrap().len() <= MAX_SIZE);
    let newest = &poison[poison.len() - kept.len()..];
    assert!(!kept.is_empty() && kept.iter().map(Rejected::line).eq(newest.iter().copied().cloned()));
    let lost = count(&metrics, "error_total", &[("reason", "lost")]);
    assert_eq!(lost, (poison.len() - kept.len()) as u64);
    assert_eq!(count(&metrics, "audit_shipper_rejected_file_dropped_events_total", &[]), lost);
    assert!(daemon.log().contains("the file of rejected events is full; its oldest entries are lost"));
    assert_books_balance(&daemon);
}
