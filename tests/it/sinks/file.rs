//! Files and standard output: every line arrives byte for byte and in order, whatever happens to the file or the daemon.

pub(super) mod destination;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use flate2::read::MultiGzDecoder;

use crate::support::books::count;
use crate::support::daemon::Daemon;
use crate::support::shipper::{Shipper, wait_until_settled};
use crate::support::wait_until;
use crate::support::workdir::{large_events, real_events, sensitive_events};

/// Ships to `name` in a directory beside the log's.
fn shipper(name: &str, fields: &str) -> (Shipper, PathBuf) {
    let shipper = Shipper::to("http://127.0.0.1:1");
    let path = shipper.workdir.path("out").join(name);
    let shipper = shipper.sink("file", &format!("path: \"{}\", {fields}", path.display()));
    (shipper, path)
}

/// The lines of a file and of its backups, in the order of writing.
fn lines(path: &Path) -> Vec<String> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The names hold the time, and the live file's is shorter.
    files.sort_by_key(|file| (file == path, file.clone()));
    let mut text = String::new();
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        if file.extension().is_some_and(|extension| extension == "gz") {
            MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        } else {
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
    text.split_inclusive('\n').map(str::to_owned).collect()
}

#[test]
fn every_line_is_in_the_file_and_its_backups_in_order() {
    let events = [real_events(1250), large_events(), sensitive_events()].concat();
    for fields in ["maxSize: 1MiB, maxBackups: 0", "maxSize: 300KiB, maxBackups: 0, compress: true"] {
        let (shipper, path) = shipper("audit.ndjson", fields);
        let shipper = shipper.log(&events);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let mut daemon = shipper.start();
        wait_until_settled(&daemon, events.len());
        daemon.terminate();
        daemon.wait();
        assert!(lines(&path) == events);
        assert!(std::fs::read_dir(path.parent().unwrap()).unwrap().count() > 2, "it was not rotated");
    }
}

#[test]
fn a_place_that_is_not_there_is_waited_for_and_told() {
    let events = real_events(50);
    let (shipper, path) = shipper("audit.ndjson", "compress: true");
    let shipper = shipper.log(&events);
    let daemon = shipper.start();
    daemon.wait_for_line("its directory does not exist; make it, or name another");
    assert_eq!(count(&daemon.metrics(), "audit_shipper_misconfigured", &[]), 1);
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    wait_until_settled(&daemon, events.len());
    assert!(lines(&path) == events);
}

/// Each kill costs lines that are there twice, and never one, nor half of one.
#[test]
fn a_kill_leaves_no_half_line_and_loses_none() {
    let events = real_events(1250);
    let (shipper, path) = shipper("audit.ndjson", "maxSize: 1MiB, maxBackups: 0");
    let shipper = shipper.log(&events).batches_of(20);
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let lines_of = |path: PathBuf| {
        // It may have been renamed a moment ago.
        std::fs::read(path).map_or(0, |bytes| memchr::memchr_iter(b'\n', &bytes).count())
    };
    let directory = path.parent().unwrap();
    let lines_so_far = || -> usize {
        std::fs::read_dir(directory).unwrap().map(|entry| lines_of(entry.unwrap().path())).sum()
    };
    for round in 1..6 {
        let mut daemon = shipper.start();
        wait_until("some more lines", || (lines_so_far() >= round * 100).then_some(()));
        daemon.kill9();
        // What a crash of the machine may leave.
        let mut torn = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        std::io::Write::write_all(&mut torn, b"{\"kind\":\"Ev").unwrap();
    }
    let daemon = shipper.start();
    daemon.wait_for_metrics("an empty backlog", |metrics| {
        count(metrics, "audit_shipper_lag_bytes", &[]) == 0
            && count(metrics, "audit_shipper_read_events_total", &[]) > 0
            && count(metrics, "audit_shipper_buffered_events", &[]) == 0
    });
    let written = lines(&path);
    let (known, found): (std::collections::BTreeSet<&String>, std::collections::BTreeSet<&String>) =
        (events.iter().collect(), written.iter().collect());
    assert!(found == known, "{} of {}", found.len(), known.len());
}

#[test]
fn standard_output_holds_the_lines_and_nothing_else() {
    let events = [real_events(300), large_events()].concat();
    let shipper = Shipper::to("http://127.0.0.1:1").sink("stdout", "").log(&events);
    let mut command = Daemon::command();
    command.args(shipper.args()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let expect: usize = events.iter().map(String::len).sum();
    let mut bytes = vec![0; expect];
    out.read_exact(&mut bytes).unwrap();
    child.kill().unwrap();
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    child.wait().unwrap();
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert!(bytes == events.concat().into_bytes());
}

/// Nobody would miss what nobody reads.
#[test]
fn without_a_standard_output_it_says_so() {
    let shipper = Shipper::to("http://127.0.0.1:1").sink("stdout", "").log(&real_events(3));
    let daemon = shipper.start();
    daemon.wait_for_line("standard output is closed or goes to /dev/null");
}
