//! What a power loss may not take: the content of the file, and its name.

use std::io::ErrorKind;

use super::{Shipper, rejected_args, shipper};
use crate::support::cli::{audit_shipper, finish};
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::wait_until_settled;
use crate::support::workdir::real_events;

/// Runs the command and returns what it asked of the disk, such as `fsync state`; `None` without strace.
fn asked_of_the_disk(shipper: &Shipper, args: Vec<String>) -> Option<Vec<String>> {
    let trace = shipper.workdir.path("trace");
    let mut command = std::process::Command::new("strace");
    Daemon::isolate(&mut command);
    command.args(["-f", "-y", "-s", "4096", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2"]);
    command.arg("-o").arg(&trace).arg(env!("CARGO_BIN_EXE_audit-shipper")).args(args);
    let version = std::process::Command::new("strace").arg("-V").output();
    if version.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        eprintln!("skipped: strace is not on the PATH");
        return None;
    }
    let ended = finish(command);
    if ended.stderr.contains("PTRACE") {
        eprintln!("skipped: strace may not trace: {}", ended.stderr);
        return None;
    }
    ended.succeeded();
    let text = std::fs::read_to_string(trace).unwrap();
    let state = shipper.workdir.state();
    let short = |line: &str| -> Option<String> {
        let (call, arguments) = line.split_once(' ')?.1.trim_start().split_once('(')?;
        let path = arguments.split_once(state.to_str().unwrap())?.1;
        let name: String = path.chars().take_while(|c| !">\"".contains(*c)).collect();
        let call = if call.starts_with("rename") { "rename" } else { call };
        Some(format!("{call} {}", name.strip_prefix('/').unwrap_or("state")))
    };
    Some(text.lines().filter_map(short).collect())
}

fn skip_args(shipper: &Shipper) -> Vec<String> {
    let config = format!("--config={}", shipper.workdir.path("audit-shipper.yaml").display());
    vec!["cursor".into(), "skip".into(), "--output=siem".into(), config]
}

#[test]
fn the_name_of_the_file_reaches_the_disk_with_its_content() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint).log(&real_events(1));
    let mut daemon = shipper.start();
    wait_until_settled(&daemon, 1);
    daemon.terminate();
    daemon.wait();
    shipper.workdir.append(&real_events(3)[1..]);
    let skip = || asked_of_the_disk(&shipper, skip_args(&shipper));
    let Some(first) = skip() else { return };
    assert_eq!(first[..2], ["fsync state", "fdatasync siem.rejected.ndjson"], "{first:?}");
    let second = skip().unwrap();
    assert_eq!(second[0], "fdatasync siem.rejected.ndjson", "{second:?}");
    let dropped = asked_of_the_disk(&shipper, rejected_args(&shipper, &["drop"])).unwrap();
    let replaced = ["fsync siem.rejected.ndjson.new", "rename siem.rejected.ndjson.new", "fsync state"];
    assert_eq!(dropped, replaced);
}

/// Nothing is dropped for an entry that then cannot be written.
#[test]
fn the_oldest_entries_go_in_the_step_in_which_the_new_ones_come_and_that_is_said() {
    let endpoint = Endpoint::start(|_, _| Answer::ok());
    let shipper = shipper(&endpoint).log(&real_events(1)).output("rejected: { maxSize: 8000 }");
    let mut daemon = shipper.start();
    wait_until_settled(&daemon, 1);
    daemon.terminate();
    daemon.wait();
    shipper.workdir.append(&real_events(20)[1..]);
    let (mut said, mut skipped) = (String::new(), 0);
    while !said.contains("lost") {
        said = audit_shipper(skip_args(&shipper)).succeeded();
        skipped += 1;
    }
    let lost = skipped - shipper.rejected().len();
    assert!(said.contains(&format!("its oldest entries are lost ({lost})")), "{said}");
    let Some(mut asked) = asked_of_the_disk(&shipper, skip_args(&shipper)) else { return };
    while asked[0] == "fdatasync siem.rejected.ndjson" {
        asked = asked_of_the_disk(&shipper, skip_args(&shipper)).unwrap();
    }
    let replaced = ["fsync siem.rejected.ndjson.new", "rename siem.rejected.ndjson.new", "fsync state"];
    assert_eq!(asked[..3], replaced);
    assert!(!asked[3..].iter().any(|call| call.contains("rejected")), "{asked:?}");
}
