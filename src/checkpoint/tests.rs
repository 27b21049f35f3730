use proptest::prelude::*;

use super::*;
use crate::properties::{mutated, mutations};

fn cursor(offset: u64, marks: usize) -> Cursor {
    let mark = |name: &str, offset| Mark { name: name.into(), head: Head::of(b"abc"), offset, before: None };
    Cursor {
        settled: (0..marks).map(|n| mark(&format!("audit-{n}.log"), 5)).collect(),
        last: Some(mark("audit.log", offset)),
        time: Timestamp::from_microsecond(1_700_000_000_000_000 + i64::try_from(offset % 1_000_000).unwrap())
            .ok(),
    }
}

fn load(dir: &Path) -> Loaded {
    Store::open(dir, "siem").1
}

#[test]
fn goes_on_from_the_last_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, loaded) = Store::open(dir.path(), "siem");
    assert!(matches!(loaded, Loaded::Never));
    for (n, marks) in [(1, 0), (2, 0), (3, 500), (4, 500), (5, 1)] {
        store.commit(&cursor(n, marks)).unwrap();
        let Loaded::Cursor(found) = load(dir.path()) else { panic!("not loaded") };
        assert_eq!(found, cursor(n, marks));
    }
    let (mut again, _) = Store::open(dir.path(), "siem");
    again.commit(&cursor(6, 0)).unwrap();
    assert!(matches!(load(dir.path()), Loaded::Cursor(found) if found == cursor(6, 0)));
    store.sync().unwrap();
}

#[test]
fn marks_that_come_change_and_go_are_written_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), "siem");
    let [few, many] = [3, 9].map(|marks| cursor(1, marks));
    let mut changed: Vec<Mark> = many.settled.to_vec();
    changed[4].offset = 77;
    let changed = Cursor { settled: changed.into(), ..many.clone() };
    let gone = Cursor { settled: many.settled[1..].into(), last: None, time: None };
    for cursor in [&few, &many, &changed, &gone, &few, &Cursor::default(), &many] {
        store.commit(cursor).unwrap();
        let Loaded::Cursor(found) = load(dir.path()) else { panic!("not loaded") };
        assert_eq!(found, *cursor);
    }
}

#[test]
fn one_spoiled_slot_costs_one_batch_and_two_are_said_to_be_unreadable() {
    let dir = tempfile::tempdir().unwrap();
    let path = Store::path(dir.path(), "siem");
    let (mut store, _) = Store::open(dir.path(), "siem");
    for n in 1..=4 {
        store.commit(&cursor(n, 0)).unwrap();
    }
    let whole = std::fs::read(&path).unwrap();
    let half = whole.len() / 2;
    for spoiled in 0..2 {
        let mut bytes = whole.clone();
        bytes[spoiled * half + 40] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let expect = if spoiled == 0 { 3 } else { 4 };
        assert!(matches!(load(dir.path()), Loaded::Cursor(found) if found == cursor(expect, 0)));
    }
    for bytes in [&b""[..], &b"\0\0\0\0"[..], &whole[half - 9..half - 2], &b"0123456789abcdef {}"[..]] {
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(load(dir.path()), Loaded::Unreadable(_)), "{bytes:?}");
    }
}

#[test]
fn a_format_of_the_future_is_unreadable_not_misread() {
    let dir = tempfile::tempdir().unwrap();
    let json = r#"{"version":2,"sequence":1,"cursor":{"settled":[],"last":null}}"#;
    let line = format!("{:016x} {json}\n", fingerprint::short(json.as_bytes()));
    std::fs::write(Store::path(dir.path(), "siem"), line).unwrap();
    let Loaded::Unreadable(reason) = load(dir.path()) else { panic!("read") };
    assert!(reason.contains("format 2"), "{reason}");
}

#[test]
fn a_directory_has_one_holder_who_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("a/b");
    let lock = Lock::take(&state).unwrap();
    let error = Lock::take(&state).unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    drop(lock);
    Lock::take(&state).unwrap();
}

/// Writes a cursor file by hand, as another version would.
fn write_slot(dir: &Path, json: &str) {
    let line = format!("{:016x} {json}\n", fingerprint::short(json.as_bytes()));
    std::fs::write(Store::path(dir, "siem"), line).unwrap();
}

#[test]
fn a_cursor_from_before_times_were_kept_is_read_and_so_is_one_with_a_strange_time() {
    let dir = tempfile::tempdir().unwrap();
    let mark = r#"{"name":"audit.log","head":{"len":3,"hash":7},"offset":9}"#;
    for time in ["", r#","time":null"#, r#","time":"yesterday""#] {
        let json = format!(r#"{{"version":1,"sequence":1,"cursor":{{"settled":[],"last":{mark}{time}}}}}"#);
        write_slot(dir.path(), &json);
        let Loaded::Cursor(found) = load(dir.path()) else { panic!("not read: {json}") };
        assert_eq!((found.last.unwrap().offset, found.time), (9, None));
    }
}

#[test]
fn line_breaks_are_no_cursor() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(Store::path(dir.path(), "siem"), "\n\n").unwrap();
    assert!(matches!(load(dir.path()), Loaded::Unreadable(reason) if reason.contains("line breaks")));
}

#[test]
fn a_directory_is_held_though_its_holder_cannot_be_noted() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("daemon.pid")).unwrap();
    let _lock = Lock::take(dir.path()).unwrap();
    assert!(Lock::take(dir.path()).unwrap_err().to_string().contains("is held by another process"));
}

#[test]
fn a_link_leads_no_command_to_a_file_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(&elsewhere, "another's").unwrap();
    std::os::unix::fs::symlink(&elsewhere, dir.path().join("siem.cursor.json.new")).unwrap();
    Store::open(dir.path(), "siem").0.commit(&cursor(1, 1)).unwrap();
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "another's");
    assert!(matches!(Store::open(dir.path(), "siem").1, Loaded::Cursor(read) if read == cursor(1, 1)));
    assert!(!Store::path(dir.path(), "siem").is_symlink());
}

proptest! {
    #![proptest_config(crate::properties::cases(300))]

    /// Whatever was done to the cursor file, loading it does not panic and yields no cursor but one that was committed.
    #[test]
    fn a_spoilt_file_yields_no_cursor_that_was_not_committed(
        commits in prop::collection::vec((any::<u64>(), 0..3_usize), 1..5),
        mutations in mutations(),
        anything in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = Store::path(dir.path(), "siem");
        let (mut store, _) = Store::open(dir.path(), "siem");
        let committed: Vec<Cursor> = commits.iter().map(|(offset, marks)| cursor(*offset, *marks)).collect();
        for cursor in &committed {
            store.commit(cursor).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, mutated(&whole, &mutations)).unwrap();
        match load(dir.path()) {
            Loaded::Cursor(found) => prop_assert!(committed.contains(&found)),
            Loaded::Unreadable(_) => prop_assert!(!mutations.is_empty()),
            Loaded::Never => prop_assert!(false, "the file is there"),
        }
        std::fs::write(&path, anything).unwrap();
        prop_assert!(matches!(load(dir.path()), Loaded::Unreadable(_)));
    }
}
