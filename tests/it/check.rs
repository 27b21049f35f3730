//! What `check` finds of the node, with each finding brought about.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::process::{Command, Stdio};

use crate::support::cli::{Ended, finish};
use crate::support::daemon::Daemon;
use crate::support::shipper::Shipper;
use crate::support::workdir::{Workdir, large_events, real_events};

const NOBODY: u32 = 65_534;

fn shipper() -> Shipper {
    Shipper::to("http://127.0.0.1:1")
}

/// `check` of the configuration, by what `command` runs.
fn check_by(mut command: Command, shipper: &Shipper) -> Ended {
    let mut args = shipper.args();
    "check".clone_into(&mut args[0]);
    command.args(args);
    let ended = finish(command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("source:\n"), "{}", ended.stdout);
    ended
}

fn check(shipper: &Shipper) -> String {
    check_by(Daemon::command(), shipper).stderr
}

/// Asserts that a line of this name holds these words, and tells what follows it.
#[track_caller]
fn assert_says(said: &str, name: &str, words: &str) {
    let is_it = |line: &str| {
        line.trim_start()
            .strip_prefix(name)
            .is_some_and(|what| what.starts_with("  ") && what.contains(words))
    };
    let Some(at) = said.lines().position(is_it) else { panic!("no {name} with {words:?} in\n{said}") };
    let next = said.lines().nth(at + 1).unwrap_or_default();
    let has_advice = next.trim_start().starts_with("to do  ");
    assert_eq!(has_advice, ["warning", "wrong"].contains(&name), "{said}");
}

/// Root may do everything, so the command is run as somebody else, who has these words of `setpriv` besides.
fn as_nobody(workdir: &Workdir, more: &[&str]) -> Option<Command> {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_audit-shipper"));
    let may_pass = |path: &std::path::Path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    };
    let is_root = rustix::process::geteuid().is_root();
    let has_setpriv = Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_root || !has_setpriv || !program.ancestors().all(may_pass) {
        eprintln!("skipped: it takes root, setpriv, and a program that others may run");
        return None;
    }
    fs::set_permissions(workdir.path(""), Permissions::from_mode(0o755)).unwrap();
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let words: Vec<&str> = user.iter().chain(more).copied().collect();
    Some(Daemon::command_behind(&words, r#"exec "$0" "$@""#))
}

#[test]
fn a_machine_without_the_log_is_not_looked_at() {
    let shipper = shipper();
    fs::remove_dir(shipper.workdir.log_dir()).unwrap();
    let said = check(&shipper);
    assert!(said.starts_with("node: not looked at\n"), "{said}");
    assert_says(&said, "not shown", "anything of the node: ");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert_eq!(check(&shipper.flag("node", false)), "");
}

#[test]
fn a_node_that_is_ready_is_good() {
    let shipper = shipper().log(&large_events());
    let said = check(&shipper.flag("audit-log-maxbackup", 100_000));
    // Where directories of tests are in memory, or in a container's own layer, that is told.
    let is_on_disk = !said.contains("/state can be written to, on ");
    assert!(!is_on_disk || said.starts_with("node: good\n"), "{said}");
    assert_says(&said, if is_on_disk { "shown" } else { "warning" }, "/state can be written to");
    assert_says(&said, "shown", "audit.log (mode 0");
    assert_says(&said, "shown", "are free on the log's file system");
    assert_says(&said, "shown", "retention deletes an event after ");
    assert_says(&said, "shown", "siem: up to ");
}

#[test]
fn a_log_that_is_yet_to_be_made_is_told() {
    let said = check(&shipper());
    assert_says(&said, "not shown", "audit.log does not exist yet");
    assert_says(&said, "not shown", "how fast the log is written");
    let directory = shipper();
    fs::create_dir(directory.workdir.log()).unwrap();
    let said = check(&directory);
    assert_says(&said, "wrong", "audit.log is no regular file");
    // Nothing is said of what is in it.
    assert!(!said.contains("how fast the log is written"), "{said}");
}

#[test]
fn a_path_that_leads_in_a_circle_is_no_matter_of_permissions() {
    let shipper = shipper();
    symlink("audit.log", shipper.workdir.log()).unwrap();
    let said = check(&shipper);
    assert_says(&said, "wrong", "audit.log: Too many levels of symbolic links");
    assert!(
        said.contains("look at what the path leads to") && !said.contains("run it as the user"),
        "{said}"
    );
}

#[test]
fn a_log_without_events() {
    let klog = |_| "I1122 02:16:11.462030   12676 flags.go:59] FLAG: --address=\"127.0.0.1\"".to_owned();
    let lines: Vec<String> = (0..100).map(klog).collect();
    let of_container = shipper().log(&lines).source("format: auto");
    let said = check(&of_container);
    // It has just begun.
    assert!(!said.contains("there are no audit events"), "{said}");
    assert_says(&said, "not shown", "less than ten seconds of events");
    assert_says(
        &check(&shipper().log(&lines)),
        "warning",
        "there are no audit events in 7.0 kB of the newest files",
    );
}

#[test]
fn a_log_that_only_root_may_read() {
    let shipper = shipper().log(&real_events(10));
    let workdir = &shipper.workdir;
    fs::set_permissions(workdir.log(), Permissions::from_mode(0o600)).unwrap();
    chown(workdir.state(), Some(NOBODY), Some(NOBODY)).unwrap_or_default();
    let Some(command) = as_nobody(workdir, &["--bounding-set=-all"]) else { return };
    let said = check_by(command, &shipper).stderr;
    assert!(said.starts_with("node: FAILED\n"), "{said}");
    let who = "as uid 65534 without CAP_DAC_READ_SEARCH";
    assert_says(&said, "wrong", "audit.log (mode 0600, owner 0:0): Permission denied");
    assert_says(&said, "wrong", who);
    assert!(said.contains("/state can be written to"), "{said}");
    fs::set_permissions(workdir.log_dir(), Permissions::from_mode(0o700)).unwrap();
    let said = check_by(as_nobody(workdir, &["--bounding-set=-all"]).unwrap(), &shipper).stderr;
    assert_says(&said, "wrong", "/log (mode 0700, owner 0:0): Permission denied");
    // What the unit has.
    let capability = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"];
    let said = check_by(as_nobody(workdir, &capability).unwrap(), &shipper).stderr;
    assert_says(&said, "shown", "can be read as uid 65534 with CAP_DAC_READ_SEARCH");
    assert!(!said.contains("wrong"), "{said}");
}

#[test]
fn a_state_directory_that_nobody_may_write_to() {
    let shipper = shipper().log(&real_events(10));
    let Some(command) = as_nobody(&shipper.workdir, &["--bounding-set=-all"]) else { return };
    let said = check_by(command, &shipper).stderr;
    assert_says(&said, "wrong", "/state cannot be written to: ");
    fs::remove_dir(shipper.workdir.state()).unwrap();
    let command = as_nobody(&shipper.workdir, &["--bounding-set=-all"]).unwrap();
    assert_says(&check_by(command, &shipper).stderr, "wrong", "/state cannot be made: ");
    let said = check(&shipper);
    assert!(said.contains("/state can be made") && !said.contains("cannot be made"), "{said}");
    assert!(!shipper.workdir.state().exists());
}

/// The user of the unit, before its first start.
#[test]
fn a_state_directory_that_systemd_makes() {
    let shipper = shipper().log(&real_events(10)).flag("state-dir", "/var/lib/audit-shipper-of-nobody");
    let Some(command) = as_nobody(&shipper.workdir, &["--bounding-set=-all"]) else { return };
    let said = check_by(command, &shipper).stderr;
    assert!(said.starts_with("node: good\n"), "{said}");
    assert_says(
        &said,
        "not shown",
        "whether the state directory /var/lib/audit-shipper-of-nobody can be written",
    );
}

#[test]
fn a_state_directory_that_is_a_file() {
    let shipper = shipper().log(&real_events(10));
    let state = shipper.workdir.state();
    fs::remove_dir(&state).unwrap();
    fs::write(&state, "").unwrap();
    // Which may be executed, as a directory may be searched.
    fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
    assert_says(&check(&shipper), "wrong", "/state is no directory");
    let below = shipper.flag("state-dir", state.join("below").display());
    assert_says(&check(&below), "wrong", "/state is no directory");
}

#[test]
fn a_state_directory_in_memory() {
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: there is no /dev/shm");
        return;
    };
    let shipper = shipper().log(&real_events(10)).flag("state-dir", memory.path().display());
    let said = check(&shipper);
    assert_says(&said, "warning", "on tmpfs: what is kept there is gone with a restart of the machine");
}

#[test]
fn a_disk_without_room() {
    let shipper = shipper().log(&real_events(10)).output("rejected: { maxSize: 8000000TiB }");
    let text = shipper.args();
    let config = shipper.workdir.path("audit-shipper.yaml");
    let full = fs::read_to_string(&config).unwrap().replace("pinMinFree: 0,", "pinMinFree: 100%,");
    fs::write(&config, full).unwrap();
    let ended = finish({
        let mut command = Daemon::command();
        command.arg("check").args(&text[1..]);
        command
    });
    assert_says(&ended.stderr, "warning", "less than source.pinMinFree");
    assert_says(
        &ended.stderr,
        "warning",
        "are free for the state directory, and the files of rejected events may have",
    );
}

#[test]
fn logrotate_that_has_the_log_too() {
    let shipper = shipper().log(&real_events(10));
    let etc = shipper.workdir.path("etc");
    fs::create_dir_all(etc.join("logrotate.d")).unwrap();
    let bind = format!(r#"mount --bind "{}" /etc && exec "$0" "$@""#, etc.display());
    let namespace = ["unshare", "-Urm"];
    let mut probe = Command::new(namespace[0]);
    probe.args([namespace[1], "sh", "-c", &bind, "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: a namespace with another /etc cannot be made here");
        return;
    }
    let said = || check_by(Daemon::command_behind(&namespace, &bind), &shipper).stderr;
    assert_says(&said(), "shown", "logrotate does not have the log");
    // As in a pod.
    fs::rename(etc.join("logrotate.d"), etc.join("x")).unwrap();
    assert_says(&said(), "not shown", "whether logrotate has the log");
    fs::rename(etc.join("x"), etc.join("logrotate.d")).unwrap();
    let pattern = shipper.workdir.log_dir().join("*.log");
    let stanza = |directives: &str| format!("{} {{\n  daily\n{directives}}}\n", pattern.display());
    let file = etc.join("logrotate.d/kubernetes");
    fs::write(&file, stanza("  copytruncate\n")).unwrap();
    assert_says(&said(), "warning", "copies and truncates the log (/etc/logrotate.d/kubernetes)");
    fs::write(&file, stanza("")).unwrap();
    assert_says(&said(), "warning", "renames the log (/etc/logrotate.d/kubernetes)");
    // What a package leaves there does not count.
    fs::rename(&file, file.with_extension("dpkg-old")).unwrap();
    assert_says(&said(), "shown", "logrotate does not have the log");
    fs::write(etc.join("more"), stanza("")).unwrap();
    fs::write(etc.join("logrotate.conf"), "weekly\ninclude /etc/more\n").unwrap();
    assert_says(&said(), "warning", "renames the log (/etc/more)");
}

#[test]
fn a_log_that_is_rotated_away_too_soon() {
    let shipper = shipper().log(&large_events()).source("rotation: { maxSize: 10MiB, maxBackups: 5 }");
    let said = check(&shipper);
    assert!(said.starts_with("node: ") && said.contains(" warning"), "{said}");
    // 2.5 MB in 11.3 s, and five files of 10 MiB after what is left of the live one.
    assert_says(&said, "warning", "retention deletes an event after 4m");
}

/// Whole files are written within seconds: of one alone there is too little to know its pace.
#[test]
fn a_log_that_is_rotated_every_few_seconds() {
    let shipper = shipper().source("rotation: { maxSize: 1MiB, maxBackups: 3 }");
    let workdir = &shipper.workdir;
    let events = large_events();
    let count = events.len().div_ceil(4);
    for (number, lines) in events.chunks(count).enumerate() {
        workdir.append(lines);
        if (number + 1) * count < events.len() {
            let name = format!("audit-2026-07-18T04-24-{number:02}.000.log");
            fs::rename(workdir.log(), workdir.log().with_file_name(name)).unwrap();
        }
    }
    assert_says(&check(&shipper), "warning", "retention deletes an event after 1");
}

#[test]
fn a_log_that_is_faster_than_the_throttle() {
    // 58 events a second.
    let flags =
        |qps| shipper().log(&large_events()).flag("audit-webhook-batch-throttle-qps", qps).batches_of(10);
    let said = check(&flags(1));
    assert_says(&said, "warning", "siem: up to 5");
    assert_says(&said, "warning", "of the 10 that batch.throttle.qps x batch.maxSize let through");
    assert_says(
        &check(&flags(10)),
        "shown",
        "of the 100 that batch.throttle.qps x batch.maxSize let through",
    );
    // An output that takes less needs less.
    let fewer = flags(1).output("match: [{ verbs: [delete] }]");
    assert_says(&check(&fewer), "shown", "of the 10 that");
}

#[test]
fn a_limit_of_open_files_that_is_too_low() {
    let shipper = shipper().log(&real_events(10));
    let command = Daemon::command_behind(&[], r#"ulimit -n 200; exec "$0" "$@""#);
    assert_says(&check_by(command, &shipper).stderr, "warning", "200 files may be open at a time");
}

#[test]
fn a_clock_that_is_behind() {
    let ahead: Vec<String> =
        real_events(10).iter().map(|event| event.replace("\"2026-", "\"2126-")).collect();
    assert_says(&check(&shipper().log(&ahead)), "warning", "ahead of the clock of this machine");
}
