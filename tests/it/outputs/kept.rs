//! Files that retention has deleted are kept over a restart in which outputs come, go and change places.

use std::fs;

use super::{
    HOLDING_LITTLE, IN_ORDER, Outputs, TWO_BACKUPS, assert_in_order, blocked_by, of, stop, taking_everything,
    wait_until_level, write_through_retention,
};
use crate::support::books::count;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Endpoint, Gate};
use crate::support::systemd::Systemd;
use crate::support::wait_until;
use crate::support::writer::Writer;

/// The lines that arrived are those that were written; which of them came more than once.
fn assert_once(output: &str, written: &[String], arrived: &[String]) {
    let times = |line: &String| arrived.iter().filter(|other| *other == line).count();
    let wrong: Vec<(usize, usize)> =
        written.iter().map(times).enumerate().filter(|(_, times)| *times != 1).collect();
    assert!(wrong.is_empty() && written.len() == arrived.len(), "{output}: line and times {wrong:?}");
}

/// They go through a restart in which the outputs have other numbers.
fn kept_while_outputs_change(
    start: impl Fn(&Outputs, &[&str]) -> Daemon,
    end: impl FnOnce(Daemon, &Outputs),
    is_kept: impl Fn(&Outputs) -> usize,
) {
    let (gate, fast, new) = (Gate::closed(), taking_everything(), taking_everything());
    let slow = blocked_by(&gate);
    let outputs = Outputs::new()
        .with("slow", &slow, HOLDING_LITTLE)
        .with("fast", &fast, IN_ORDER)
        .with("new", &new, IN_ORDER)
        .source("startAt: oldest");
    let mut writer = Writer::with(outputs.workdir.log(), TWO_BACKUPS);
    writer.write(1);
    let daemon = start(&outputs, &["slow", "fast"]);
    write_through_retention(&daemon, &outputs, &mut writer, 10, &fast);
    wait_until_level(&daemon, "fast");
    end(daemon, &outputs);
    assert!(is_kept(&outputs) >= 8);
    writer.write(30);
    let daemon = start(&outputs, &["fast", "new", "slow"]);
    gate.open();
    for (output, endpoint) in [("slow", &slow), ("fast", &fast), ("new", &new)] {
        endpoint.wait_for_items(writer.lines().len());
        wait_until_level(&daemon, output);
        assert_once(output, &writer.lines(), &endpoint.items());
    }
    daemon.wait_for_metrics("no pins", |metrics| count(metrics, "audit_shipper_pinned_files", &[]) == 0);
    wait_until("nothing to be kept but the live file", || (is_kept(&outputs) <= 1).then_some(()));
    writer.finish();
}

fn spooled(outputs: &Outputs) -> usize {
    fs::read_dir(outputs.workdir.state().join("spool")).map_or(0, Iterator::count)
}

#[test]
fn the_spool_serves_outputs_of_other_numbers() {
    kept_while_outputs_change(Outputs::start, |daemon, _| stop(daemon), spooled);
}

#[test]
fn systemds_store_serves_outputs_of_other_numbers() {
    let systemd = Systemd::new();
    let start = |outputs: &Outputs, names: &[&str]| Daemon::spawn(systemd.command(outputs.args(names)));
    let kill = |mut daemon: Daemon, _: &Outputs| {
        // Ten that were rotated, and the live one: the slow output has settled none of them.
        wait_until("all files in the store", || (systemd.stored().len() >= 11).then_some(()));
        daemon.kill9();
    };
    kept_while_outputs_change(start, kill, |_| systemd.stored().len());
}

/// Two outputs, of which one has shipped all there is; the other has shipped next to nothing, and retention has deleted most
/// of it.
fn stopped_with_one_behind(slow: &Endpoint, fast: &Endpoint) -> (Outputs, Writer) {
    let outputs = Outputs::new().with("slow", slow, HOLDING_LITTLE).with("fast", fast, IN_ORDER);
    let mut writer = Writer::with(outputs.workdir.log(), TWO_BACKUPS);
    writer.write(1);
    let daemon = outputs.start(&["slow", "fast"]);
    write_through_retention(&daemon, &outputs, &mut writer, 10, fast);
    wait_until_level(&daemon, "fast");
    stop(daemon);
    (outputs, writer)
}

#[test]
fn what_only_a_removed_output_waited_for_is_let_go() {
    let (gate, fast) = (Gate::closed(), taking_everything());
    let slow = blocked_by(&gate);
    let (outputs, writer) = stopped_with_one_behind(&slow, &fast);
    assert!(spooled(&outputs) >= 8);
    let daemon = outputs.start(&["fast"]);
    wait_until("an empty spool", || (spooled(&outputs) == 0).then_some(()));
    assert_in_order(&daemon, "fast", &fast, &writer.lines());
    stop(daemon);
    writer.finish();
}

/// Of a file that could not be kept the one that had shipped it misses nothing.
#[test]
fn what_could_not_be_kept_is_lost_to_those_alone_that_had_not_shipped_it() {
    let (gate, fast) = (Gate::closed(), taking_everything());
    let slow = blocked_by(&gate);
    let (outputs, writer) = stopped_with_one_behind(&slow, &fast);
    // As if there had been no room for the third oldest.
    let spool = outputs.workdir.state().join("spool");
    let mut copies: Vec<_> = fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path()).collect();
    copies.sort();
    let key = copies[2].file_stem().unwrap().to_str().unwrap();
    let name = key.split_once("-as-").unwrap().1;
    let size = fs::metadata(&copies[2]).unwrap().len();
    let record = format!(r#"{{"name":"{name}","gz":false,"from":0,"size":{size},"reason":"no room"}}"#);
    fs::remove_file(&copies[2]).unwrap();
    fs::write(copies[2].with_extension("lost"), record).unwrap();
    gate.open();
    let daemon = outputs.start(&["slow", "fast"]);
    let last = writer.lines().pop().unwrap();
    wait_until("the last line", || slow.items().contains(&last).then_some(()));
    let metrics = daemon.wait_for_metrics("nothing in memory", |metrics| {
        of(metrics, "slow", "buffered_events") == 0 && of(metrics, "slow", "gaps_total") > 0
    });
    assert_eq!((of(&metrics, "slow", "gaps_total"), of(&metrics, "slow", "lost_bytes_total")), (1, size));
    assert_in_order(&daemon, "fast", &fast, &writer.lines());
    wait_until("an empty spool", || (spooled(&outputs) == 0).then_some(()));
    writer.finish();
}
