//! Deleted files that were not read when the daemon ended: systemd holds them, or the spool does, or the loss is told.

use std::fs;

use super::deletion::{TWO_BACKUPS, holding_little, write_seen_generations};
use super::{assert_in_order, blocked_after, shipper};
use crate::support::books::count;
use crate::support::cli::audit_shipper;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Endpoint, Gate};
use crate::support::shipper::Shipper;
use crate::support::systemd::Systemd;
use crate::support::wait_until;
use crate::support::writer::{Writer, assert_each_once};

/// A daemon whose endpoint takes nothing, and who holds ten files that have no name any more.
fn holding_ten(
    start: impl Fn(&Shipper) -> Daemon,
    ships: fn(&Endpoint) -> Shipper,
) -> (Gate, Endpoint, Shipper, Writer, Daemon) {
    holding_ten_after(0, start, ships)
}

/// The same, whose endpoint takes so many requests first.
fn holding_ten_after(
    requests: usize,
    start: impl Fn(&Shipper) -> Daemon,
    ships: fn(&Endpoint) -> Shipper,
) -> (Gate, Endpoint, Shipper, Writer, Daemon) {
    let gate = Gate::closed();
    let endpoint = blocked_after(requests, &gate);
    let shipper = ships(&endpoint).flag("shutdown-grace", "100ms");
    let mut writer = Writer::with(shipper.workdir.log(), TWO_BACKUPS);
    writer.write(1);
    let daemon = start(&shipper);
    write_seen_generations(&daemon, &shipper, &mut writer, 12);
    assert!(daemon.nameless_files_of(&shipper.workdir.log_dir()).len() >= 10);
    (gate, endpoint, shipper, writer, daemon)
}

#[test]
fn kill_9_under_retention_with_systemds_descriptor_store_loses_nothing() {
    let systemd = Systemd::new();
    let start = |shipper: &Shipper| Daemon::spawn(systemd.command(shipper.args()));
    let (gate, endpoint, shipper, mut writer, mut daemon) = holding_ten(start, holding_little);
    wait_until("all handles in the store", || (systemd.stored().len() >= 13).then_some(()));
    for _ in 0..2 {
        daemon.kill9();
        writer.write(30);
        writer.rotate();
        daemon = start(&shipper);
        daemon.wait_until_holds(&shipper.workdir.log());
    }
    gate.open();
    assert_each_once(writer.lines(), endpoint.wait_for_items(writer.lines().len()));
    let metrics = daemon.wait_for_metrics("no pins", |metrics| {
        count(metrics, "audit_shipper_pinned_files", &[]) == 0
            && count(metrics, "audit_shipper_buffered_events", &[]) == 0
    });
    assert_eq!(count(&metrics, "audit_shipper_gaps_total", &[]), 0);
    // Only the live file is not settled.
    wait_until("an empty store", || (systemd.stored().len() <= 1).then_some(()));
    assert!(fs::read_dir(shipper.workdir.state().join("spool")).map_or(0, Iterator::count) == 0);
    writer.finish();
}

fn goes_through_the_spool(ships: fn(&Endpoint) -> Shipper) {
    let (gate, endpoint, shipper, mut writer, mut daemon) = holding_ten(Shipper::start, ships);
    let spool = shipper.workdir.state().join("spool");
    for _ in 0..2 {
        daemon.terminate();
        assert!(daemon.wait().success());
        assert!(fs::read_dir(&spool).unwrap().count() >= 10, "{}", daemon.log());
        writer.write(30);
        daemon = shipper.start();
        daemon.wait_until_holds(&shipper.workdir.log());
    }
    gate.open();
    assert_in_order(&daemon, &endpoint, &writer.lines());
    wait_until("an empty spool", || (fs::read_dir(&spool).unwrap().count() == 0).then_some(()));
    writer.finish();
}

#[test]
fn a_stop_copies_what_has_no_name_to_the_spool_and_the_next_start_goes_on_there() {
    goes_through_the_spool(holding_little);
}

/// All of it is in memory, and nothing is acknowledged.
#[test]
fn what_was_read_and_is_not_settled_goes_through_the_spool_too() {
    goes_through_the_spool(|endpoint| shipper(endpoint).batches_of(20));
}

#[test]
fn an_event_that_is_skipped_may_be_in_the_spool() {
    // Its configuration is valid without the flags of `run`.
    let ships = |endpoint: &_| holding_little(endpoint).webhook("initialBackoff: 20ms, maxBackoff: 100ms");
    let (gate, endpoint, shipper, writer, mut daemon) = holding_ten_after(1, Shipper::start, ships);
    daemon.terminate();
    assert!(daemon.wait().success());
    let taken = endpoint.items().len();
    let config = format!("--config={}", shipper.workdir.path("audit-shipper.yaml").display());
    let said = audit_shipper(["cursor", "skip", "--output=siem", &config]).succeeded();
    assert!(said.starts_with("siem: set aside one line of "), "{said}");
    let mut written = writer.lines();
    assert_eq!(shipper.rejected()[0].line(), written.remove(taken));
    let daemon = shipper.start();
    gate.open();
    assert_in_order(&daemon, &endpoint, &written);
    writer.finish();
}

#[test]
fn what_the_spool_cannot_take_is_told_by_the_next_start() {
    let (gate, endpoint, shipper, writer, mut daemon) = holding_ten(Shipper::start, holding_little);
    daemon.terminate();
    assert!(daemon.wait().success());
    let spool = shipper.workdir.state().join("spool");
    // As if there had been no room for the second oldest.
    let mut copies: Vec<_> = fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path()).collect();
    copies.sort();
    let size = fs::metadata(&copies[1]).unwrap().len();
    fs::remove_file(&copies[1]).unwrap();
    let record = format!(
        r#"{{"name":"audit-2026-11-22T02-09-48.548.log","gz":false,"from":0,"size":{size},"reason":"no room"}}"#
    );
    fs::write(copies[1].with_extension("lost"), record).unwrap();
    let daemon = shipper.start();
    gate.open();
    let written = writer.lines();
    wait_until("the last line", || endpoint.items().contains(written.last().unwrap()).then_some(()));
    let metrics = daemon.wait_for_metrics("nothing in memory", |metrics| {
        count(metrics, "audit_shipper_buffered_events", &[]) == 0
    });
    assert_eq!(count(&metrics, "audit_shipper_gaps_total", &[("certainty", "certain")]), 1);
    assert_eq!(count(&metrics, "audit_shipper_lost_bytes_total", &[]), size);
    let told = daemon.wait_for_line(" missing: ");
    assert!(told.contains("audit-2026-11-22T02-09-48.548.log") && told.contains("no room"), "{told}");
    wait_until("an empty spool", || (fs::read_dir(&spool).unwrap().count() == 0).then_some(()));
    writer.finish();
}

#[test]
fn kill_9_under_retention_without_a_descriptor_store_is_told() {
    let (gate, endpoint, shipper, writer, mut daemon) = holding_ten(Shipper::start, holding_little);
    daemon.kill9();
    let daemon = shipper.start();
    daemon.wait_for_line(" missing: ");
    gate.open();
    let written = writer.lines();
    wait_until("the last line", || endpoint.items().contains(written.last().unwrap()).then_some(()));
    writer.finish();
}
