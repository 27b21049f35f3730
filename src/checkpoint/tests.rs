use super::*;

fn cursor(offset: u64, marks: usize) -> Cursor {
    let mark = |name: &str, offset| Mark { name: name.into(), head: Head::of(b"abc"), offset };
    Cursor {
        settled: (0..marks).map(|n| mark(&format!("audit-{n}.log"), 5)).collect(),
        last: Some(mark("audit.log", offset)),
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
