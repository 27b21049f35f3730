//! kube-apiserver with `--audit-log-path=-`: its log is the container runtime's, which kubelet rotates, and which ends
//! with its container. One path with a `*` is that of all of them.

use std::fs::{self, File};
use std::io::Write as _;

use crate::scenarios::{
    arrived, assert_in_order, assert_no_gaps, blocked_by, shipper as plain_shipper, taking_everything,
};
use crate::support::books::count;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Endpoint, Gate};
use crate::support::rotators::{Kubelet, compress_as_kubelet};
use crate::support::shipper::Shipper;
use crate::support::systemd::Systemd;
use crate::support::wait_until;
use crate::support::workdir::real_events;

/// A daemon that tails all containers of a node.
fn shipper(endpoint: &Endpoint) -> (Shipper, Kubelet) {
    let shipper = plain_shipper(endpoint);
    let kubelet = Kubelet::new(&shipper.workdir.log_dir());
    let pattern = kubelet.pattern();
    let shipper = shipper.source("format: cri").batches_of(20);
    (shipper.flag("audit-log-path", pattern.display()), kubelet)
}

/// Writes lines as containerd does, the longer ones in two parts.
fn write_lines(log: &mut File, lines: &[String]) {
    const PART_BYTES: usize = 1024;
    for line in lines {
        let line = line.trim_end();
        let (begin, end) = line.split_at(if line.len() > PART_BYTES { PART_BYTES } else { 0 });
        let time = "2026-07-23T18:45:32.123456789Z stdout";
        if !begin.is_empty() {
            writeln!(log, "{time} P {begin}").unwrap();
        }
        writeln!(log, "{time} F {end}").unwrap();
    }
}

/// The same with next to nothing in memory.
fn holding_little(endpoint: &Endpoint) -> (Shipper, Kubelet) {
    let (shipper, kubelet) = shipper(endpoint);
    (shipper.flag("audit-webhook-batch-buffer-size", 20).flag("shutdown-grace", "100ms"), kubelet)
}

fn stop(mut daemon: Daemon) {
    daemon.terminate();
    assert!(daemon.wait().success());
}

/// Two rotations, one of them compressed, then the next container; three times, the last one in a new pod. `after` is
/// called when each of these has happened, and says how many lines have been written.
fn three_containers(kubelet: &mut Kubelet, events: &[String], mut after: impl FnMut(&Kubelet, usize)) {
    let mut file: Option<File> = None;
    for (number, part) in events.chunks(events.len() / 9).enumerate() {
        let mut writer = match (number, file.take()) {
            (0 | 6, _) => kubelet.start_pod(),
            (3, _) => kubelet.restart(),
            (_, Some(_)) => {
                let (backup, file) = kubelet.rotate();
                if number % 3 == 2 {
                    compress_as_kubelet(&backup);
                }
                file
            }
            (_, None) => unreachable!("a container runs"),
        };
        write_lines(&mut writer, part);
        file = Some(writer);
        after(kubelet, part.len() * (number + 1));
    }
}

#[test]
fn every_container_is_followed_from_its_first_line_to_its_last() {
    let endpoint = taking_everything();
    let (shipper, mut kubelet) = shipper(&endpoint);
    let daemon = shipper.start();
    daemon.wait_for_line("the log does not exist yet; waiting for it");
    let events = real_events(360);
    three_containers(&mut kubelet, &events, |_, lines| drop(endpoint.wait_for_items(lines)));
    assert_in_order(&daemon, &endpoint, &events);
    assert_eq!(daemon.log().matches("does not exist yet").count(), 1);
}

#[test]
fn what_is_there_at_the_start_is_read_container_by_container() {
    let endpoint = taking_everything();
    let (shipper, mut kubelet) = shipper(&endpoint);
    let events = real_events(360);
    three_containers(&mut kubelet, &events, |_, _| {});
    let daemon = shipper.start();
    assert_in_order(&daemon, &endpoint, &events);
    stop(daemon);
    // And there is nothing that the next one would read again.
    let more = real_events(365)[360..].to_vec();
    write_lines(&mut kubelet.restart(), &more);
    assert_in_order(&shipper.start(), &endpoint, &real_events(365));
}

/// A daemon whose endpoint takes nothing, while kubelet removes each file once it is held and a newer one is there, and
/// each container with its link.
fn removed_while_down(
    start: impl Fn(&Shipper) -> Daemon,
    restart: impl Fn(&Shipper, Daemon) -> Daemon,
) -> (Shipper, Daemon) {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let (shipper, mut kubelet) = holding_little(&endpoint);
    let mut daemon = start(&shipper);
    let events = real_events(360);
    let mut former = None;
    let mut file = kubelet.start_pod();
    for (number, part) in events.chunks(40).enumerate() {
        write_lines(&mut file, part);
        daemon.wait_until_holds(&kubelet.container().log);
        if let Some(former) = former.take() {
            Kubelet::remove(&former);
            let directory = former.log.parent().unwrap();
            // As when a pod is gone; while the next container has its log there, it stays.
            let _ = fs::remove_dir(directory);
        }
        file = if number % 3 == 2 {
            former = Some(kubelet.container().clone());
            if number == 5 { kubelet.start_pod() } else { kubelet.restart() }
        } else {
            let (backup, file) = kubelet.rotate();
            daemon.wait_until_holds(&backup);
            fs::remove_file(backup).unwrap();
            file
        };
        daemon.wait_until_holds(&kubelet.container().log);
        if number == 6 {
            daemon = restart(&shipper, daemon);
            daemon.wait_until_holds(&kubelet.container().log);
        }
    }
    gate.open();
    assert_in_order(&daemon, &endpoint, &events);
    daemon.wait_for_metrics("no pins", |metrics| count(metrics, "audit_shipper_pinned_files", &[]) == 0);
    (shipper, daemon)
}

#[test]
fn files_links_and_directories_that_go_while_the_endpoint_is_down_are_shipped_all_the_same() {
    removed_while_down(Shipper::start, |_, daemon| daemon);
}

#[test]
fn they_go_through_the_spool_and_find_their_container_again() {
    let (shipper, _daemon) = removed_while_down(Shipper::start, |shipper, daemon| {
        stop(daemon);
        let spool = shipper.workdir.state().join("spool");
        assert!(fs::read_dir(spool).unwrap().count() >= 5);
        shipper.start()
    });
    let spool = shipper.workdir.state().join("spool");
    wait_until("an empty spool", || (fs::read_dir(&spool).unwrap().count() == 0).then_some(()));
}

#[test]
fn systemd_holds_them_over_kill_9() {
    let systemd = Systemd::new();
    let start = |shipper: &Shipper| Daemon::spawn(systemd.command(shipper.args()));
    let _ = removed_while_down(start, |shipper, mut daemon| {
        // Seven that were ended or rotated, and the one that is written to.
        wait_until("all of them in the store", || (systemd.stored().len() >= 8).then_some(()));
        daemon.kill9();
        start(shipper)
    });
}

#[test]
fn kill_9_between_any_two_steps_loses_nothing() {
    let endpoint = taking_everything();
    let (shipper, mut kubelet) = shipper(&endpoint);
    let events = real_events(360);
    let mut daemon = Some(shipper.start());
    three_containers(&mut kubelet, &events, |_, lines| {
        let mut before = daemon.take().unwrap();
        // In the midst of what is there.
        wait_until("some lines", || (endpoint.items().len() * 2 >= lines).then_some(()));
        before.kill9();
        daemon = Some(shipper.start());
    });
    let daemon = daemon.unwrap();
    wait_until("every line", || {
        let arrived = endpoint.items();
        events.iter().all(|line| arrived.contains(line)).then_some(())
    });
    assert_no_gaps(&daemon.metrics());
}

/// A container that was read to its end, and goes while nobody looks.
#[test]
fn a_container_that_was_settled_may_go_while_the_daemon_is_down() {
    let endpoint = taking_everything();
    let (shipper, mut kubelet) = shipper(&endpoint);
    let events = real_events(60);
    let daemon = shipper.start();
    write_lines(&mut kubelet.start_pod(), &events[..20]);
    let former = kubelet.container().clone();
    let mut file = kubelet.restart();
    write_lines(&mut file, &events[20..40]);
    assert_in_order(&daemon, &endpoint, &events[..40]);
    stop(daemon);
    Kubelet::remove(&former);
    let daemon = shipper.start();
    write_lines(&mut file, &events[40..]);
    assert_in_order(&daemon, &endpoint, &events);
}

/// The runtime may write the last lines of a container after the next one has begun.
#[test]
fn late_lines_of_a_former_container_arrive_too() {
    let endpoint = taking_everything();
    let (shipper, mut kubelet) = shipper(&endpoint);
    let events = real_events(60);
    let daemon = shipper.start();
    let mut former = kubelet.start_pod();
    write_lines(&mut former, &events[..20]);
    let mut file = kubelet.restart();
    write_lines(&mut file, &events[20..40]);
    endpoint.wait_for_items(40);
    write_lines(&mut former, &events[40..50]);
    write_lines(&mut kubelet.rotate().1, &events[50..]);
    let (mut arrived, metrics) = arrived(&daemon, &endpoint, 60);
    let mut written = events;
    arrived.sort();
    written.sort();
    assert!(arrived == written);
    assert_no_gaps(&metrics);
}

#[test]
fn the_name_of_one_container_is_followed_through_rotations_and_its_successor_is_told() {
    let endpoint = taking_everything();
    let plain = plain_shipper(&endpoint).source("format: cri");
    let mut kubelet = Kubelet::new(&plain.workdir.log_dir());
    let events = real_events(60);
    write_lines(&mut kubelet.start_pod(), &events[..20]);
    let shipper = plain.flag("audit-log-path", kubelet.container().link.display());
    let daemon = shipper.start();
    endpoint.wait_for_items(20);
    let (backup, mut file) = kubelet.rotate();
    write_lines(&mut file, &events[20..40]);
    endpoint.wait_for_items(40);
    compress_as_kubelet(&backup);
    assert_in_order(&daemon, &endpoint, &events[..40]);
    write_lines(&mut kubelet.restart(), &events[40..]);
    let said = daemon.wait_for_line("the log is that of a container which has a successor");
    let pattern = "containers/kube-apiserver-n1_kube-system_kube-apiserver-*.log";
    assert!(
        said.contains(&format!(
            "set source.path: {}",
            kubelet.pattern().with_file_name("").join(&pattern[11..]).display()
        )),
        "{said}"
    );
    assert_eq!(endpoint.items().len(), 40);
    stop(daemon);
    // With that path the rest arrives, and nothing twice: a file is known by its content.
    let shipper = shipper.flag("audit-log-path", kubelet.pattern().display());
    assert_in_order(&shipper.start(), &endpoint, &events);
}
