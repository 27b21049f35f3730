//! The file as the daemon writes it, and as commands change it meanwhile.

use super::*;
use crate::batch::{Origin, Reason};

fn aside(line: &[u8]) -> Aside {
    Aside {
        reason: Reason::Rejected,
        detail: "refused".into(),
        answer: Some((400, "no".into())),
        origin: Some(Origin { file: "audit.log".into(), offset: 7 }),
        line: line.to_vec(),
        line_bytes: line.len() as u64,
        sha256: crate::fingerprint::hex(line),
    }
}

fn file(dir: &Path, max_size: u64, on_full: OnFull) -> RejectedFile {
    RejectedFile::new(dir, "siem", config::Rejected { max_size, on_full })
}

#[test]
fn keeps_each_line_with_its_reason_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let rejected = file(dir.path(), 1 << 20, OnFull::Wait);
    let long = Aside { line_bytes: 99, ..aside(b"begin") };
    rejected.append(&[aside(br#"{"a":1.50}"#), aside(b"klog \"x\""), aside(b"\xff"), long]).unwrap();
    let path = dir.path().join("siem.rejected.ndjson");
    let text = std::fs::read_to_string(&path).unwrap();
    let ends = [r#""event":{"a":1.50}}"#, r#""text":"klog \"x\""}"#, r#""base64":"/w=="}"#, r#""bytes":99,"#];
    for (line, end) in text.lines().zip(ends) {
        assert!(line.contains(end), "{end} in {line}");
        assert!(line.contains(r#""reason":"rejected","detail":"refused","status":400,"answer":"no","file":"audit.log","offset":7,"#), "{line}");
    }
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_full_file_waits_or_drops_its_oldest_entries_and_says_how_many() {
    let dir = tempfile::tempdir().unwrap();
    let entry = Entry::of(&aside(b"0000")).to_line().unwrap().len() as u64;
    let waiting = file(dir.path(), 10 * entry + entry / 2, OnFull::Wait);
    let lines: Vec<String> = (0..12).map(|n| format!("{n:04}")).collect();
    for line in &lines[..10] {
        assert_eq!(waiting.append(&[aside(line.as_bytes())]).unwrap(), Appended { dropped: 0 });
    }
    assert!(matches!(waiting.append(&[aside(b"0010")]), Err(Error::Full { .. })));
    let dropping = file(dir.path(), 10 * entry + entry / 2, OnFull::DropOldest);
    assert_eq!(dropping.append(&[aside(b"0010")]).unwrap(), Appended { dropped: 6 });
    assert_eq!(dropping.append(&[aside(b"0011")]).unwrap(), Appended { dropped: 0 });
    let text = std::fs::read_to_string(dir.path().join("siem.rejected.ndjson")).unwrap();
    assert_eq!(text.lines().count(), 6);
    assert!(text.lines().next().unwrap().contains("0006") && text.lines().last().unwrap().contains("0011"));
}

#[test]
fn an_empty_file_takes_what_is_more_than_it_may_hold() {
    for on_full in [OnFull::Wait, OnFull::DropOldest] {
        let dir = tempfile::tempdir().unwrap();
        let rejected = file(dir.path(), 1_000, on_full);
        let asides: Vec<_> = (0..20).map(|_| aside(b"0000")).collect();
        assert_eq!(rejected.append(&asides).unwrap(), Appended { dropped: 0 });
    }
}

#[test]
fn lines_set_aside_at_the_same_time_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    let rejected = file(dir.path(), 1 << 20, OnFull::Wait);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| rejected.append(&[aside(b"a"), aside(b"b")]).unwrap());
        }
    });
    let text = std::fs::read_to_string(dir.path().join("siem.rejected.ndjson")).unwrap();
    assert_eq!(text.lines().filter(|line| line.ends_with('}')).count(), 16);
}

#[test]
fn a_line_longer_than_the_file_may_be_is_there_by_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let rejected = file(dir.path(), 20_000, OnFull::Wait);
    assert_eq!(rejected.append(&[aside(&vec![b'x'; 30_000])]).unwrap(), Appended { dropped: 1 });
    let text = std::fs::read_to_string(dir.path().join("siem.rejected.ndjson")).unwrap();
    assert!(text.contains(r#""bytes":30000"#) && text.contains(r#""beginning":"xxx"#) && text.len() < 5_000);
}

#[test]
fn an_entry_torn_by_a_crash_does_not_spoil_the_next() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("siem.rejected.ndjson"), "{\"torn").unwrap();
    file(dir.path(), 1 << 20, OnFull::Wait).append(&[aside(b"x")]).unwrap();
    let text = std::fs::read_to_string(dir.path().join("siem.rejected.ndjson")).unwrap();
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn entries_taken_out_while_others_are_written_are_the_only_ones_that_go() {
    let dir = tempfile::tempdir().unwrap();
    let rejected = file(dir.path(), 1 << 20, OnFull::Wait);
    let path = path(dir.path(), "siem");
    let text_of = |line: &[u8]| Entry::parse(line).unwrap().text.unwrap().into_owned();
    let (mut removed, writing) = (0, std::sync::atomic::AtomicUsize::new(4));
    let done = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (rejected, writing) = (&rejected, &writing);
            scope.spawn(move || {
                for n in 0..50 {
                    let asides =
                        ["keep", "take"].map(|word| aside(format!("{word}-{thread}-{n}").as_bytes()));
                    rejected.append(&asides).unwrap();
                }
                writing.fetch_sub(1, done);
            });
        }
        while writing.load(done) > 0 {
            removed += remove(&path, |line| text_of(line).starts_with("take")).unwrap();
        }
    });
    removed += remove(&path, |line| text_of(line).starts_with("take")).unwrap();
    assert_eq!(removed, 200);
    let mut left: Vec<String> = std::fs::read(&path)
        .unwrap()
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(text_of)
        .collect();
    left.sort_unstable();
    let mut kept: Vec<String> = (0..200).map(|n| format!("keep-{}-{}", n / 50, n % 50)).collect();
    kept.sort_unstable();
    assert_eq!(left, kept);
}

#[test]
fn what_is_no_entry_is_not_lost_when_others_are_taken_out() {
    let dir = tempfile::tempdir().unwrap();
    let rejected = file(dir.path(), 1 << 20, OnFull::Wait);
    let path = path(dir.path(), "siem");
    assert_eq!(remove(&path, |_| true).unwrap(), 0, "there is none, and none is made");
    assert!(!path.exists());
    rejected.append(&[aside(b"x")]).unwrap();
    let entry = std::fs::read_to_string(&path).unwrap();
    let inode = |path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let before = inode(&path);
    assert_eq!(remove(&path, |_| false).unwrap(), 0);
    assert_eq!(inode(&path), before, "there was nothing to rewrite it for");
    std::fs::write(&path, format!("foreign\n{entry}\0\0\n{{\"torn")).unwrap();
    assert_eq!(remove(&path, |line| Entry::parse(line).is_some()).unwrap(), 1);
    rejected.append(&[aside(b"y")]).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("foreign\n\0\0\n{\"torn\n{\"time\":"), "{text}");
}
