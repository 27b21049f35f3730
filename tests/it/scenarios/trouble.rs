//! Group C, the rest: what the system refuses for a while, and what it does not tell.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use audit_shipper::demo::lumberjack::Options;

use super::{assert_in_order, assert_once, blocked_by, shipper, stamped, taking_everything};
use crate::support::daemon::Daemon;
use crate::support::endpoint::Gate;
use crate::support::rotators::{appending, rotate_numbered, write_lines};
use crate::support::shipper::Shipper;
use crate::support::wait_until;
use crate::support::workdir::real_events;
use crate::support::writer::Writer;

const NOBODY: u32 = 65_534;

/// Root may read everything, so the daemon is run as somebody else.
fn start_without_privileges(shipper: &Shipper) -> Daemon {
    let args = shipper.args();
    let mut command = Daemon::command();
    if rustix::process::geteuid().is_root() {
        let root = shipper.workdir.path("");
        fs::set_permissions(root, Permissions::from_mode(0o755)).unwrap();
        chown(shipper.workdir.state(), Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    command.args(args);
    Daemon::spawn(command)
}

/// The system checks the way to the program too.
fn others_may_run_the_program() -> bool {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_audit-shipper"));
    let open = |path: &std::path::Path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    };
    !rustix::process::geteuid().is_root() || program.ancestors().all(open)
}

#[test]
fn permission_denied_then_restored() {
    if !others_may_run_the_program() {
        eprintln!("skipped: nobody but root may run the program where it is");
        return;
    }
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(60));
    write_lines(&mut appending(&log), &events[..20]);
    let daemon = start_without_privileges(&shipper);
    endpoint.wait_for_items(20);
    let next = log.with_file_name("next");
    write_lines(&mut appending(&next), &events[20..40]);
    fs::set_permissions(&next, Permissions::from_mode(0o000)).unwrap();
    rotate_numbered(&log);
    fs::rename(next, &log).unwrap();
    daemon.wait_for_line("the log cannot be read");
    fs::set_permissions(&log, Permissions::from_mode(0o644)).unwrap();
    endpoint.wait_for_items(40);
    rotate_numbered(&log);
    write_lines(&mut appending(&log), &events[40..]);
    assert_in_order(&daemon, &endpoint, &events);
}

/// Nothing of it is in memory, and still it waits.
#[test]
fn a_log_that_grew_and_cannot_be_read_is_a_reason_not_to_be_ready() {
    if !others_may_run_the_program() {
        eprintln!("skipped: nobody but root may run the program where it is");
        return;
    }
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint).output("readyAfter: 200ms");
    let (log, events) = (shipper.workdir.log(), real_events(40));
    write_lines(&mut appending(&log), &events[..20]);
    let daemon = start_without_privileges(&shipper);
    endpoint.wait_for_items(20);
    wait_until("readiness", || (daemon.get("/readyz").0 == 200).then_some(()));
    let next = log.with_file_name("next");
    write_lines(&mut appending(&next), &events[20..]);
    fs::set_permissions(&next, Permissions::from_mode(0o000)).unwrap();
    rotate_numbered(&log);
    fs::rename(next, &log).unwrap();
    let said =
        wait_until("readiness to fail", || Some(daemon.get("/readyz")).filter(|(status, _)| *status == 503));
    assert!(said.1.starts_with("siem: nothing was acknowledged for "), "{}", said.1);
    assert!(said.1.contains("audit.log: Permission denied"), "{}", said.1);
    assert_eq!(daemon.get("/livez"), (200, "ok\n".to_owned()));
    fs::set_permissions(&log, Permissions::from_mode(0o644)).unwrap();
    endpoint.wait_for_items(40);
    wait_until("readiness", || (daemon.get("/readyz").0 == 200).then_some(()));
    assert_in_order(&daemon, &endpoint, &events);
}

/// More files than the daemon may open, all unread.
#[test]
fn fd_exhaustion() {
    let gate = Gate::closed();
    let endpoint = blocked_by(&gate);
    let shipper = shipper(&endpoint).batches_of(20).flag("audit-webhook-batch-buffer-size", 20);
    let (log, events) = (shipper.workdir.log(), real_events(1220));
    let mut command = Daemon::command_behind(&[], r#"ulimit -n 40; exec "$0" "$@""#);
    command.args(shipper.args());
    let daemon = Daemon::spawn(command);
    daemon.address();
    for (n, lines) in (0..).zip(events[..1200].chunks(20)) {
        write_lines(&mut appending(&log), lines);
        fs::rename(&log, stamped(&log, n)).unwrap();
    }
    write_lines(&mut appending(&log), &events[1200..]);
    endpoint.wait_for("a try", |requests| !requests.is_empty());
    gate.open();
    // What cannot be opened when it is its turn comes later.
    assert_once(&daemon, &endpoint, &events);
}

#[test]
fn directory_removed_and_made_again() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(80));
    write_lines(&mut appending(&log), &events[..20]);
    let daemon = shipper.start();
    endpoint.wait_for_items(20);
    for (round, lines) in events[20..].chunks(20).enumerate() {
        fs::remove_dir_all(shipper.workdir.log_dir()).unwrap();
        fs::create_dir(shipper.workdir.log_dir()).unwrap();
        write_lines(&mut appending(&log), lines);
        endpoint.wait_for_items(20 * (round + 2));
    }
    assert_in_order(&daemon, &endpoint, &events);
}

/// While the volume is not mounted, its place is an empty directory. How long that lasts is the scenario, and nothing
/// waits for it.
#[test]
fn directory_unmounted_and_remounted() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, directory) = (shipper.workdir.log(), shipper.workdir.log_dir());
    let events = real_events(80);
    write_lines(&mut appending(&log), &events[..20]);
    rotate_numbered(&log);
    write_lines(&mut appending(&log), &events[20..40]);
    let daemon = shipper.start();
    endpoint.wait_for_items(40);
    let volume = shipper.workdir.path("volume");
    fs::rename(&directory, &volume).unwrap();
    fs::create_dir(&directory).unwrap();
    std::thread::sleep(Duration::from_secs(4));
    fs::remove_dir(&directory).unwrap();
    fs::rename(&volume, &directory).unwrap();
    write_lines(&mut appending(&log), &events[40..60]);
    endpoint.wait_for_items(60);
    rotate_numbered(&log);
    write_lines(&mut appending(&log), &events[60..]);
    assert_in_order(&daemon, &endpoint, &events);
}

/// So much happens between two looks that the kernel forgets what.
#[test]
fn inotify_overflow() {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let (log, events) = (shipper.workdir.log(), real_events(100));
    write_lines(&mut appending(&log), &events[..20]);
    let daemon = shipper.start();
    endpoint.wait_for_items(20);
    daemon.pause();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: u32 = limit.trim().parse().unwrap();
    let foreign = log.with_file_name("foreign");
    for _ in 0..=limit / 2 {
        File::create(&foreign).unwrap();
        fs::remove_file(&foreign).unwrap();
    }
    for lines in events[20..].chunks(20) {
        rotate_numbered(&log);
        write_lines(&mut appending(&log), lines);
    }
    daemon.resume();
    assert_in_order(&daemon, &endpoint, &events);
}

/// Without inotify there is the clock: the limit of instances counts for each user namespace.
#[test]
fn polling_only_filesystem() {
    const NO_INOTIFY: &str = "echo 0 > /proc/sys/user/max_inotify_instances";
    let namespace = ["unshare", "-Ur"];
    let mut probe = Command::new(namespace[0]);
    probe.args([namespace[1], "sh", "-c", NO_INOTIFY]).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: a user namespace without inotify cannot be made here");
        return;
    }
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let mut command = Daemon::command_behind(&namespace, &format!(r#"{NO_INOTIFY} && exec "$0" "$@""#));
    command.args(shipper.args()).env("RUST_LOG", "audit_shipper=debug");
    let daemon = Daemon::spawn(command);
    daemon.wait_for_line("polling");
    let options = Options { max_bytes: 400_000, max_backups: 0, compress: true, avoid_name_clash: true };
    let mut writer = Writer::with(shipper.workdir.log(), options);
    for round in 1..=3 {
        writer.write(20);
        endpoint.wait_for_items(20 * round);
        writer.rotate();
    }
    for _ in 0..5 {
        writer.write(20);
        writer.rotate();
    }
    writer.write(20);
    assert_in_order(&daemon, &endpoint, &writer.lines());
    writer.finish();
}
