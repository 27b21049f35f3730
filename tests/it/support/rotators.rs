//! What other rotators than lumberjack do to a log, one step at a time: logrotate with numbers, with dates and with
//! `copytruncate`, and gzip.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// `path` with `suffix` behind its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// `audit.log.N`
pub(crate) fn numbered(log: &Path, number: u32) -> PathBuf {
    with_suffix(log, &format!(".{number}"))
}

/// `audit.log-YYYYMMDD-SECONDS`, logrotate's dateext with `dateformat -%Y%m%d-%s`; `n` seconds after the first one.
pub(crate) fn dated(log: &Path, n: u32) -> PathBuf {
    with_suffix(log, &format!("-20260723-{}", 1_784_831_532 + n))
}

/// Each `log.N`, compressed or not, becomes `log.N+1`; the highest number first.
pub(crate) fn shift(log: &Path) {
    let exists = |number: u32| ["", ".gz"].map(|end| with_suffix(&numbered(log, number), end));
    let mut last = 0;
    while exists(last + 1).iter().any(|path| path.exists()) {
        last += 1;
    }
    for number in (1..=last).rev() {
        for (from, to) in exists(number).iter().zip(exists(number + 1)) {
            if from.exists() {
                fs::rename(from, to).unwrap();
            }
        }
    }
}

/// One turn of logrotate with numbers: `log` becomes `log.1`. A new log is the writer's affair.
pub(crate) fn rotate_numbered(log: &Path) {
    shift(log);
    fs::rename(log, numbered(log, 1)).unwrap();
}

/// logrotate's `copytruncate`: the log is copied, then emptied in place. What is written in between is lost, so a test
/// writes nothing then.
pub(crate) fn copytruncate(log: &Path, copy: &Path) {
    fs::copy(log, copy).unwrap();
    truncate(log);
}

/// Empties the file in place.
pub(crate) fn truncate(log: &Path) {
    OpenOptions::new().write(true).open(log).unwrap().set_len(0).unwrap();
}

/// As gzip does it: `x.gz` grows under its final name, then `x` is deleted. Returns the new path.
pub(crate) fn gzip(path: &Path) -> PathBuf {
    let compressed = with_suffix(path, ".gz");
    fs::write(&compressed, gzipped(&fs::read(path).unwrap())).unwrap();
    fs::remove_file(path).unwrap();
    compressed
}

/// One member of a compressed file.
pub(crate) fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Opens a log as most writers do, with O_APPEND.
pub(crate) fn appending(log: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(log).unwrap()
}

/// Opens a new log as lumberjack does after a rotation: it is written at the writer's own offset, so that a truncation
/// by somebody else leaves a hole.
pub(crate) fn at_own_offset(log: &Path) -> File {
    OpenOptions::new().create(true).write(true).truncate(true).open(log).unwrap()
}

/// Writes lines, each with one write.
pub(crate) fn write_lines(log: &mut File, lines: &[String]) {
    for line in lines {
        log.write_all(line.as_bytes()).unwrap();
    }
}

/// Bytes of these lines together.
pub(crate) fn bytes_of(lines: &[String]) -> usize {
    lines.iter().map(String::len).sum()
}

#[test]
fn numbers_go_up_and_a_copy_leaves_the_log_empty() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("audit.log");
    for content in ["a", "b", "c"] {
        fs::write(&log, content).unwrap();
        rotate_numbered(&log);
        if content == "b" {
            gzip(&numbered(&log, 2));
        }
    }
    let read = |number| fs::read(numbered(&log, number)).unwrap();
    assert_eq!((read(1), read(2)), (b"c".to_vec(), b"b".to_vec()));
    assert!(with_suffix(&numbered(&log, 3), ".gz").exists() && !log.exists());
    fs::write(&log, "d").unwrap();
    copytruncate(&log, &dated(&log, 0));
    assert_eq!((fs::read(&log).unwrap(), fs::read(dated(&log, 0)).unwrap()), (vec![], b"d".to_vec()));
    assert!(dated(&log, 0).ends_with("audit.log-20260723-1784831532"));
}
