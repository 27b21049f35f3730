use std::io::Read;

use flate2::read::GzDecoder;

use super::*;

const TEN: &[u8] = b"123456789\n";

fn options(max_bytes: u64, max_backups: usize, compress: bool) -> Options {
    Options { max_bytes, max_backups, compress, avoid_name_clash: false }
}

/// Starts at a fixed time and is a millisecond later at each rotation.
fn clock() -> impl FnMut() -> Timestamp + Send + 'static {
    let mut now = Timestamp::from_millisecond(1_795_313_388_546).unwrap();
    move || {
        now += jiff::SignedDuration::from_millis(1);
        now
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_rotated_before_the_line_that_would_exceed_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let mut log = Lumberjack::with_clock(&path, options(30, 0, false), clock());
    for _ in 0..3 {
        log.write_line(TEN).unwrap();
    }
    assert_eq!(log.rotations(), 0, "exactly full is not too large");
    log.write_line(TEN).unwrap();
    assert_eq!(log.rotations(), 1);
    log.finish();
    assert_eq!(names(directory.path()), ["audit-2026-11-22T02-09-48.547.log", "audit.log"]);
    assert_eq!(fs::read(directory.path().join("audit-2026-11-22T02-09-48.547.log")).unwrap(), TEN.repeat(3));
    assert_eq!(fs::read(&path).unwrap(), TEN);
}

#[test]
fn a_line_longer_than_a_file_is_refused_and_the_next_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let mut log = Lumberjack::new(&path, options(9, 0, false));
    assert_eq!(log.write_line(TEN).unwrap_err().to_string(), "write length 10 exceeds maximum file size 9");
    log.write_line(b"{}\n").unwrap();
    log.finish();
    assert_eq!(fs::read(&path).unwrap(), b"{}\n");
}

#[test]
fn a_restart_appends_and_turns_one_byte_earlier() {
    for (limit, rotations, lines) in [(21, 0, 2), (20, 1, 1)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        fs::write(&path, TEN).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut log = Lumberjack::new(&path, options(limit, 0, false));
        log.write_line(TEN).unwrap();
        assert_eq!(log.rotations(), rotations);
        log.finish();
        assert_eq!(fs::read(&path).unwrap(), TEN.repeat(lines));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640, "the new file has the old mode");
    }
}

#[test]
fn the_mill_deletes_by_name_then_compresses() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let stranger = "audit-2026-11-22T02-09-48.log";
    fs::write(directory.path().join(stranger), "not a backup").unwrap();
    // What a crash in the midst of compression leaves: the plain file is the truth.
    fs::write(directory.path().join("audit-2026-11-22T02-09-48.000.log"), TEN).unwrap();
    fs::write(directory.path().join("audit-2026-11-22T02-09-48.000.log.gz"), b"\x1f\x8b").unwrap();
    fs::write(directory.path().join("audit-2026-11-22T02-09-47.999.log.gz"), b"old").unwrap();
    let mut log = Lumberjack::with_clock(&path, options(10, 3, true), clock());
    for _ in 0..3 {
        log.write_line(TEN).unwrap();
    }
    log.finish();
    let expected = [
        "audit-2026-11-22T02-09-48.000.log.gz",
        "audit-2026-11-22T02-09-48.547.log.gz",
        "audit-2026-11-22T02-09-48.548.log.gz",
        stranger,
        "audit.log",
    ];
    assert_eq!(names(directory.path()), expected);
    for name in &expected[..3] {
        let bytes = fs::read(directory.path().join(name)).unwrap();
        let mut text = Vec::new();
        GzDecoder::new(bytes.as_slice()).read_to_end(&mut text).unwrap();
        assert_eq!(text, TEN, "{name}");
        assert_eq!(&bytes[..10], b"\x1f\x8b\x08\0\0\0\0\0\0\xff", "no name, no time, as Go's header");
    }
}

#[test]
fn two_rotations_in_one_millisecond_lose_the_first_as_in_the_original() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let now = Timestamp::now();
    let mut log = Lumberjack::with_clock(&path, options(10, 0, false), move || now);
    for line in [b"a\n", b"b\n", b"c\n"] {
        log.write_line(line).unwrap();
        log.rotate().unwrap();
    }
    assert_eq!((log.rotations(), names(directory.path()).len()), (3, 2));

    let directory = tempfile::tempdir().unwrap();
    let careful = Options { avoid_name_clash: true, ..options(10, 0, false) };
    let mut log = Lumberjack::new(directory.path().join("audit.log"), careful);
    for _ in 0..50 {
        log.write_line(TEN).unwrap();
    }
    assert_eq!((log.rotations(), names(directory.path()).len()), (49, 50));
}

#[test]
fn a_name_without_extension_and_a_missing_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/audit");
    let mut log = Lumberjack::with_clock(&path, options(10, 0, false), clock());
    log.write_line(TEN).unwrap();
    log.rotate().unwrap();
    assert_eq!(names(path.parent().unwrap()), ["audit", "audit-2026-11-22T02-09-48.547"]);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}
