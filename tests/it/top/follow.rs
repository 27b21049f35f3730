//! `top --follow`: across rotations, from a pipe, and to an orderly end.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use super::{Object, check, object, top};
use crate::support::daemon::Daemon;
use crate::support::rotators::gzip;
use crate::support::wait_until;
use crate::support::workdir::{Workdir, lines_of, real_events};

/// The last whole line of a file, as an object.
fn last_object(path: &Path) -> Option<Object> {
    lines_of(path).iter().rfind(|line| line.ends_with('\n')).map(|line| object(line))
}

#[test]
fn follow_survives_rotation_and_ends_with_all() {
    let (workdir, lines) = (Workdir::new(), real_events(600));
    workdir.append(&lines[..200]);
    let out = workdir.path("out");
    let mut command = Daemon::command();
    command.args(["top", "--follow", "--since=2000-01-01T00:00:00Z", "--interval=20ms", "--output=json"]);
    command.args(["--limit=0", "--by=user,verb+resource"]).arg(workdir.log());
    command.stdout(File::create(&out).unwrap());
    let mut running = Daemon::spawn(command);
    let wait = |events: u64| {
        wait_until("so many events", || last_object(&out).filter(|object| object.events >= events));
    };
    wait(200);
    workdir.append(&lines[200..300]);
    let backup = |n: usize| workdir.log_dir().join(format!("audit-2026-11-22T02-09-4{n}.548.log"));
    for n in 0..3 {
        fs::rename(workdir.log(), backup(n)).unwrap();
        workdir.append(&lines[300 + n * 100..400 + n * 100]);
        if n == 1 {
            gzip(&backup(0));
        }
        if n == 2 {
            fs::remove_file(backup(1)).unwrap();
        }
        wait(400 + 100 * n as u64);
    }
    running.terminate();
    assert_eq!(running.wait().code(), Some(0), "{}", running.log());
    check(&last_object(&out).unwrap(), &lines);
    assert_eq!(running.log(), "");
}

#[test]
fn follow_reads_a_pipe_as_it_comes_and_ends_with_it() {
    let lines = real_events(300);
    let mut command = Daemon::command();
    command.args(["top", "--follow", "--interval=20ms", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = running.stdin.take().unwrap();
    let mut said = BufReader::new(running.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut wait = |begin: &str| assert!(said.any(|line| line.starts_with(begin)), "no {begin}");
    stdin.write_all(lines[..100].concat().as_bytes()).unwrap();
    wait("100 events, ");
    stdin.write_all(lines[100..].concat().as_bytes()).unwrap();
    wait("300 events, ");
    drop(stdin);
    let rest: Vec<String> = said.collect();
    let ended = running.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), ""));
    // The last table is a whole one, without the column of a second.
    let last = rest.iter().rposition(|line| line.starts_with("300 events, ")).unwrap();
    let heads = rest[last..].iter().filter(|line| line.ends_with("%BYTES") && !line.contains("EV/S"));
    assert_eq!(heads.count(), 3, "{rest:?}");
}

#[test]
fn what_cannot_be_followed_is_said() {
    let workdir = Workdir::new();
    fs::write(workdir.log(), real_events(3).concat()).unwrap();
    let compressed = gzip(&workdir.log());
    for (log, what) in [(compressed, "a compressed file"), (workdir.log_dir(), "a directory")] {
        let ended = top(&log, &["--follow"]);
        let said = format!("{}: {what} cannot be followed; give the file that is written to", log.display());
        assert_eq!((ended.code, ended.errors()), (Some(1), vec![said.as_str()]));
    }
}
