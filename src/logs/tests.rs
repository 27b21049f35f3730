use std::path::PathBuf;

use super::*;

fn names(given: &[PathBuf]) -> (Vec<String>, Vec<String>) {
    let logs = Logs::open(given).unwrap();
    let name = |file: &LogFile| Path::new(&file.name).file_name().unwrap().to_string_lossy().into_owned();
    (logs.files.iter().map(name).collect(), logs.notes)
}

#[test]
fn a_directory_stands_for_the_logs_in_it_and_a_file_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["audit.log", "audit-2026-11-22T02-09-48.548.log.gz", "audit.log.1", "policy.yaml", "wtmp"] {
        std::fs::write(path(name), name).unwrap();
    }
    std::fs::create_dir(path("old.log")).unwrap();
    let all = ["audit-2026-11-22T02-09-48.548.log.gz", "audit.log", "audit.log.1"];
    assert_eq!(names(&[dir.path().to_owned()]).0, all);
    assert_eq!(names(&[path("audit.log")]).0, ["audit.log"]);
    assert_eq!(names(&[path("wtmp")]).0, ["wtmp"]);
    std::os::unix::fs::symlink(path("audit.log"), path("link.log")).unwrap();
    let (names, notes) = names(&[path("audit.log"), path("link.log"), dir.path().to_owned()]);
    assert_eq!(names, ["audit.log", all[0], "audit.log.1"]);
    assert_eq!(notes.len(), 3, "{notes:?}");
}

#[test]
fn what_is_being_compressed_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.log", "a.log.gz", "b.log.gz"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let (names, notes) = names(&[dir.path().to_owned()]);
    assert_eq!(names, ["a.log", "b.log.gz"]);
    assert!(notes.len() == 1 && notes[0].ends_with("a.log.gz is not read: it is there uncompressed too"));
}

#[test]
fn everything_that_cannot_be_read_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let given = [dir.path().join("none"), dir.path().to_owned()];
    let mistakes = Logs::open(&given).unwrap_err();
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert!(mistakes[0].contains("none: No such file"));
    assert!(mistakes[1].ends_with(": a directory without a file that has .log in its name"));
}
