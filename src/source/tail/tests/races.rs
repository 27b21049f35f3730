//! What happens between two looks at the directory, and what cannot be looked at.

use super::*;

#[test]
fn a_file_that_cannot_be_read_is_no_new_position() {
    let log = Log::new();
    fs::create_dir(log.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(log.path("elsewhere"), log.path(&Log::stamped(1))).unwrap();
    let mut tail = log.tail(None);
    let mut moves = || {
        let mut batch = Batch::new(Buffers::default());
        tail.fill(&mut batch, &LIMITS).unwrap_err();
        batch.end().is_some()
    };
    moves();
    assert!(!moves() && !moves(), "the route would write its cursor again and again, without a pause");
}

/// Between a listing and what is done with it anything may happen.
#[test]
fn a_file_that_took_the_name_since_the_listing_is_not_read_from_the_middle() {
    let mut log = Log::new();
    log.write(5);
    let (_, cursor) = read_all(&mut log.tail(None));
    let mut tail = log.tail(cursor.as_ref());
    let entries = tail.list().unwrap();
    tail.ledger.resolve(&tail.series, &entries, None).unwrap();
    let (entry, offset) = tail.oldest_unread(&entries).unwrap().unwrap();
    log.rotate();
    log.write(20);
    assert!(!tail.open_at(entry, offset).unwrap());
    assert_eq!(read_all(&mut tail).0, (5..25).collect::<Vec<_>>());
}

#[test]
fn a_backup_with_another_content_under_the_same_inode_is_read_anew() {
    let mut log = Log::new();
    log.write(10);
    let backup = log.rotate();
    let mut tail = log.tail(None);
    assert_eq!(read(&mut tail, 1).0.len(), 7);
    tail.ledger.leave(&backup, &tail.open.take().unwrap().reader, false);
    let content: String = (20..50).map(|n| event(n) + "\n").collect();
    fs::write(log.path(&backup), content).unwrap();
    assert_eq!(read_all(&mut tail).0, (20..50).collect::<Vec<_>>());
}

#[test]
fn a_file_renamed_during_a_listing_keeps_its_mark() {
    let mut log = Log::new();
    log.write(30);
    let (_, cursor) = read(&mut log.tail(None), 2);
    let mut tail = log.tail(cursor.as_ref());
    let entries = tail.list().unwrap();
    log.rotate();
    fs::remove_file(log.path("audit.log")).unwrap();
    let gap = tail.ledger.resolve(&tail.series, &entries, None).unwrap();
    assert!(gap.is_none(), "{gap:?}");
    assert_eq!(read_all(&mut tail).0, (14..30).collect::<Vec<_>>());
}

#[test]
fn newest_leaves_out_what_cannot_be_looked_at_too() {
    let mut log = Log::new();
    log.write(10);
    let (broken, whole) = (log.rotate(), {
        log.write(10);
        log.rotate()
    });
    log.gzip(&broken);
    fs::write(log.path(&format!("{broken}.gz")), b"\x1f\x8b").unwrap();
    log.write(10);
    let mut tail = Tail::new(&log.path("audit.log"), None, StartAt::Newest, 1 << 20);
    let entries = tail.list().unwrap();
    log.gzip(&whole);
    assert!(!tail.begin(&entries).unwrap(), "a file of the listing is gone: another look is needed");
    assert!(read_all(&mut tail).0.is_empty());
    log.write(3);
    assert_eq!(read_all(&mut tail).0, (30..33).collect::<Vec<_>>());
}

#[test]
fn a_directory_that_cannot_be_reached_does_not_end_the_line_that_is_being_written() {
    let outer = tempfile::tempdir().unwrap();
    let (there, away) = (outer.path().join("logs"), outer.path().join("away"));
    fs::create_dir(&there).unwrap();
    let mut file = fs::File::create(there.join("audit.log")).unwrap();
    let mut tail = Tail::new(&there.join("audit.log"), None, StartAt::Oldest, 1 << 20);
    let line = event(0);
    write!(file, "{}", &line[..20]).unwrap();
    assert!(read_all(&mut tail).0.is_empty());
    fs::rename(&there, &away).unwrap();
    std::os::unix::fs::symlink(&there, &there).unwrap();
    tail.fill(&mut Batch::new(Buffers::default()), &LIMITS).unwrap_err();
    fs::remove_file(&there).unwrap();
    fs::rename(&away, &there).unwrap();
    writeln!(file, "{}", &line[20..]).unwrap();
    assert_eq!(read_all(&mut tail).0, [0]);
}

#[test]
fn a_directory_with_the_name_of_a_backup_is_none() {
    let mut log = Log::new();
    log.write(1);
    fs::create_dir(log.path(&Log::stamped(9))).unwrap();
    assert_eq!(read_all(&mut log.tail(None)).0, [0]);
}
