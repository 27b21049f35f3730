//! What happens between two looks at the directory, and what cannot be looked at.

use std::os::unix::net::UnixDatagram;

use super::*;
use crate::config;
use crate::source::fdstore::{FdStore, Kept};
use crate::source::keep::{Key, LogId};
use crate::source::spool::Spooled;

#[test]
fn a_file_that_cannot_be_read_is_no_new_position() {
    let log = Log::new();
    fs::create_dir(log.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(log.path("elsewhere"), log.path(&Log::stamped(1))).unwrap();
    let mut tail = log.tail(None);
    let mut moves = || {
        let mut batch = Batch::new(Buffers::default());
        tail.fill(&mut batch, &LIMITS).unwrap();
        batch.end().is_some()
    };
    moves();
    assert!(!moves() && !moves(), "the route would write its cursor again and again, without a pause");
}

#[test]
fn a_backup_that_cannot_be_read_holds_up_nothing_but_itself() {
    let mut log = Log::new();
    let backup = Log::stamped(1);
    fs::create_dir(log.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(log.path("elsewhere"), log.path(&backup)).unwrap();
    log.write(3);
    let mut tail = log.tail(None);
    assert_eq!(read_all(&mut tail).0, [0, 1, 2]);
    fs::remove_file(log.path(&backup)).unwrap();
    fs::write(log.path(&backup), event(7) + "\n").unwrap();
    tail.trouble.forget();
    assert_eq!(read_all(&mut tail).0, [7]);
    assert!(tail.take_observed().gaps.is_empty());
}

/// Between a listing and what is done with it anything may happen.
#[test]
fn a_file_that_took_the_name_since_the_listing_is_not_read_from_the_middle() {
    let mut log = Log::new();
    log.write(5);
    let (_, cursor) = read_all(&mut log.tail(None));
    let mut tail = log.tail(cursor.as_ref());
    let entries = tail.list().unwrap();
    tail.ledger.resolve(tail.pins.series(), &entries, None).unwrap();
    let (entry, offset) = tail.oldest_unread(&entries).unwrap().unwrap();
    log.rotate();
    log.write(20);
    tail.open_at(entry, offset).unwrap();
    assert_eq!(read_all(&mut tail).0, (5..25).collect::<Vec<_>>());
}

#[test]
fn a_backup_with_another_content_under_the_same_inode_is_read_anew() {
    let mut log = Log::new();
    log.write(10);
    let backup = log.rotate();
    let mut tail = log.tail(None);
    assert_eq!(read_some(&mut tail, 1).0.len(), 7);
    let open = tail.open.take().unwrap();
    tail.ledger.leave(&open.listed, open.mark(), false);
    let content: String = (20..50).map(|n| event(n) + "\n").collect();
    fs::write(log.path(&backup), content).unwrap();
    assert_eq!(read_all(&mut tail).0, (20..50).collect::<Vec<_>>());
}

#[test]
fn a_file_renamed_during_a_listing_keeps_its_mark() {
    let mut log = Log::new();
    log.write(30);
    let (_, cursor) = read_some(&mut log.tail(None), 2);
    let mut tail = log.tail(cursor.as_ref());
    let entries = tail.list().unwrap();
    log.rotate();
    fs::remove_file(log.path("audit.log")).unwrap();
    let gap = tail.ledger.resolve(tail.pins.series(), &entries, None).unwrap();
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
    let mut tail = tail_of(&log.path("audit.log"), None, StartAt::Newest);
    let entries = tail.list().unwrap();
    log.gzip(&whole);
    let _ = tail.begin(&entries).unwrap();
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
    let mut tail = tail_of(&there.join("audit.log"), None, StartAt::Oldest);
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

#[test]
fn a_directory_that_had_the_name_of_the_log_holds_up_nothing_once_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("audit.log");
    fs::create_dir(&live).unwrap();
    let mut tail = tail_of(&live, None, StartAt::Oldest);
    tail.fill(&mut Batch::new(Buffers::default()), &LIMITS).unwrap_err();
    fs::rename(&live, dir.path().join("elsewhere")).unwrap();
    fs::write(&live, format!("{}\n", event(0))).unwrap();
    assert_eq!(read_all(&mut tail).0, [0]);
    assert!(!tail.leaves_out_files(), "it would be tried, and said, for ever");
    assert_eq!(tail.list().unwrap().len(), 1);
    assert!(tail.take_observed().gaps.is_empty());
}

#[test]
fn a_line_is_not_cut_where_its_file_gives_way_to_the_compressed_form() {
    let mut log = Log::new();
    log.write(5000);
    let limits = config::Pins { limit: 1, max_files: 10, min_free: config::MinFree::Bytes(0) };
    let pins = Arc::new(PinSet::new(&log.path("audit.log"), limits, 1, Box::new(|_, _| {})));
    let mut tail = Tail::new(Arc::clone(&pins), 0, None, StartAt::Oldest, 1 << 20);
    assert_eq!(read_some(&mut tail, 1).0.len(), 7);
    let backup = log.rotate();
    pins.appeared(&log.path(&backup));
    log.gzip(&backup);
    pins.disappeared(&log.path(&backup));
    let Read { numbers, gaps, .. } = read(&mut tail, usize::MAX);
    assert_eq!(numbers, (7..5000).collect::<Vec<_>>());
    assert!(gaps.is_empty(), "{gaps:?}");
}

/// Settles at once what is finished, as a route does.
fn read_and_settle(tail: &mut Tail) -> Vec<usize> {
    let Read { numbers, finished, .. } = read(tail, usize::MAX);
    tail.pins.settled(0, &finished);
    numbers
}

#[test]
fn a_live_file_deleted_under_its_writer_is_held_until_there_is_another() {
    let mut log = Log::new();
    log.write(10);
    log.rotate();
    log.write(5);
    let mut tail = log.tail(None);
    assert_eq!(read_some(&mut tail, 1).0.len(), 7);
    fs::remove_file(log.path("audit.log")).unwrap();
    assert_eq!(read_and_settle(&mut tail), (7..15).collect::<Vec<_>>());
    assert!(read_and_settle(&mut tail).is_empty());
    log.write(2);
    log.tear();
    assert_eq!(read_and_settle(&mut tail), [15, 16]);
    log.write(1);
    log.file = append(&log.path("audit.log"));
    log.write(2);
    assert_eq!(read_and_settle(&mut tail), [17, 18, 19]);
    assert_eq!(tail.list().unwrap().len(), 2, "nobody waits for the deleted one");
}

#[test]
fn a_deleted_file_that_was_read_to_its_end_is_not_let_go_at_a_restart_while_it_is_written() {
    let mut log = Log::new();
    log.write(5);
    let (_, cursor) = read_all(&mut log.tail(None));
    let file = fs::File::open(log.path("audit.log")).unwrap();
    fs::remove_file(log.path("audit.log")).unwrap();
    let key = first_key(&log);
    let kept = Kept { key: key.encode(), log: key.log, sequence: 0, name: key.name, gz: false, file };
    let show = Box::new(|_, _| {});
    let pins = PinSet::new(&log.path("audit.log"), config::Pins::on_any_disk(), 1, show).with_kept(
        vec![kept],
        FdStore::default(),
        &log.path("spool"),
        |_| true,
    );
    let mut tail = Tail::new(Arc::new(pins), 0, cursor.as_ref(), StartAt::Oldest, 1 << 20);
    assert!(read_and_settle(&mut tail).is_empty());
    log.write(3);
    assert_eq!(read_and_settle(&mut tail), [5, 6, 7]);
    log.file = append(&log.path("audit.log"));
    log.write(2);
    assert_eq!(read_and_settle(&mut tail), [8, 9]);
}

#[test]
fn a_live_file_truncated_while_an_older_one_is_read_is_told() {
    let mut log = Log::new();
    log.write(20);
    let mut tail = log.tail(None);
    assert_eq!(read_all(&mut tail).0.len(), 20);
    let late: String = (100..130).map(|n| event(n) + "\n").collect();
    fs::write(log.path(&Log::stamped(1)), late).unwrap();
    assert_eq!(read_some(&mut tail, 1).0, (100..107).collect::<Vec<_>>());
    log.file.set_len(0).unwrap();
    log.write(1);
    let Read { numbers, mut gaps, .. } = read(&mut tail, usize::MAX);
    assert_eq!(numbers, (107..130).chain([20]).collect::<Vec<_>>());
    tail.looked = None;
    gaps.extend(read(&mut tail, usize::MAX).gaps);
    assert!(gaps.len() == 1 && !gaps[0].certain && gaps[0].file == "audit.log", "{gaps:?}");
}

/// Under what the first file of `log` is kept.
fn first_key(log: &Log) -> Key {
    Key { log: LogId::of(&log.path("audit.log")), sequence: 0, name: "audit.log".into(), gz: false }
}

/// What systemd hears, and the files of `log` that it holds.
fn kept_by_systemd(log: &Log) -> (UnixDatagram, PinSet) {
    let socket = UnixDatagram::bind(log.path("notify")).unwrap();
    socket.set_nonblocking(true).unwrap();
    let store = FdStore::at(log.path("notify").as_os_str());
    let pins = PinSet::new(&log.path("audit.log"), config::Pins::on_any_disk(), 1, Box::new(|_, _| {}))
        .with_kept(Vec::new(), store, &log.path("spool"), |_| true);
    pins.list(0).unwrap();
    (socket, pins)
}

/// systemd holds an open file once, under its first name, so that name has to go before the next can come.
#[test]
fn what_systemd_is_to_drop_is_dropped_before_it_is_kept_under_another_name() {
    let mut log = Log::new();
    let (socket, pins) = kept_by_systemd(&log);
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"X=1", log.path("notify")).is_ok() {}
    let backup = log.rotate();
    pins.appeared(&log.path(&backup));
    let received = || {
        let mut bytes = [0; 4096];
        let count = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
    };
    while received().is_some() {}
    pins.list(0).unwrap();
    let told: Vec<String> = std::iter::from_fn(received).collect();
    let at = |what: &str| told.iter().position(|text| text.contains(what));
    let (dropped, kept) =
        (at(&format!("FDSTOREREMOVE=1\nFDNAME={}\n", first_key(&log).encode())), at(&backup));
    assert!(dropped.is_some() && dropped < kept, "{told:?}");
}

/// A mark has the name that the file got last; what is kept under an older one is not matched with it after a restart.
#[test]
fn a_file_that_is_found_compressed_is_kept_under_the_name_that_it_got_before() {
    let mut log = Log::new();
    log.write(5);
    let (socket, pins) = kept_by_systemd(&log);
    let backup = log.rotate();
    log.gzip(&backup);
    pins.list(0).unwrap();
    let received = || {
        let mut bytes = [0; 4096];
        let count = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
    };
    let told: Vec<String> = std::iter::from_fn(received).collect();
    let at = |what: &str| told.iter().position(|text| text.contains(what));
    let (dropped, kept) =
        (at(&format!("FDSTOREREMOVE=1\nFDNAME={}\n", first_key(&log).encode())), at(&backup));
    assert!(dropped.is_some() && dropped < kept, "{told:?}");
}

#[test]
fn what_was_deleted_unnoticed_just_before_the_stop_is_spooled_too() {
    let mut log = Log::new();
    log.write(5);
    let pins = PinSet::of_one(&log.path("audit.log"));
    let backup = log.rotate();
    pins.list(0).unwrap();
    fs::remove_file(log.path(&backup)).unwrap();
    pins.spool(&log.path("spool"), |_, _| 0);
    let spooled = crate::source::spool::load(&log.path("spool"), |_| true);
    assert!(matches!(&spooled[..], [Spooled::File { name, .. }] if *name == backup), "{spooled:?}");
}

#[test]
fn a_file_that_came_and_went_unopened_is_told() {
    let mut log = Log::new();
    let live = log.path("audit.log");
    let pins = PinSet::of_one(&live);
    pins.watched(true);
    let mut tail = Tail::new(Arc::clone(&pins), 0, None, StartAt::Oldest, 1 << 20);
    log.write(3);
    assert_eq!(read_all(&mut tail).0.len(), 3);
    let backups: Vec<PathBuf> = (0..2)
        .map(|_| {
            log.write(1);
            let backup = log.rotate();
            log.path(&backup)
        })
        .collect();
    log.write(1);
    for backup in &backups {
        fs::remove_file(backup).unwrap();
    }
    // The first was held; nobody ever saw the second.
    for backup in &backups {
        pins.appeared(backup);
        pins.renamed(&live, backup);
        pins.appeared(&live);
    }
    assert_eq!(read_all(&mut tail).0, [3, 5]);
    let gaps = tail.take_observed().gaps;
    assert!(gaps.len() == 1 && backups[1].ends_with(&gaps[0].file) && !gaps[0].certain, "{gaps:?}");
}

/// Reading on with the others would send what comes later first.
#[test]
fn where_there_can_be_no_further_thread_everything_waits() {
    let mut log = Log::new();
    log.write(5);
    let backup = log.rotate();
    log.gzip(&backup);
    let mut tail = log.tail(None);
    let listing = tail.look().unwrap();
    let no_thread = || io::Error::from(rustix::io::Errno::AGAIN);
    assert!(tail.cannot_read(&listing[0], no_thread(), None).is_err());
    assert!(!tail.leaves_out_files());
    assert_eq!(read_all(&mut tail).0, [0, 1, 2, 3, 4]);
}

/// Which of the files that nobody else has any more a late message means: one of the same container.
#[test]
fn the_backup_of_one_container_gives_its_name_to_no_file_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let link = |id: u64| format!("kube-apiserver-n_kube-system_kube-apiserver-{id:064x}.log");
    fs::create_dir(path("containers")).unwrap();
    let pins = PinSet::of_one(&path("containers/kube-apiserver-*_kube-system_kube-apiserver-*.log"));
    for id in [1, 2] {
        fs::create_dir(path(&id.to_string())).unwrap();
        fs::write(path(&format!("{id}/0.log")), "a line\n").unwrap();
        std::os::unix::fs::symlink(path(&format!("{id}/0.log")), path("containers").join(link(id))).unwrap();
        pins.list(0).unwrap();
        if id == 1 {
            // It was the one that is written to when it was seen last.
            fs::remove_file(path("1/0.log")).unwrap();
            fs::remove_file(path("containers").join(link(1))).unwrap();
        }
    }
    let backup = path("2/0.log.20260723-100000");
    fs::rename(path("2/0.log"), &backup).unwrap();
    fs::write(path("2/0.log"), "another\n").unwrap();
    fs::remove_file(&backup).unwrap();
    pins.renamed(&path("2/0.log"), &backup);
    let mut listed = pins.list(0).unwrap();
    listed.sort_by_key(|listed| listed.sequence);
    let names: Vec<&str> = listed.iter().map(|listed| listed.entry.base.as_str()).collect();
    assert_eq!(names, [link(1), link(2) + ".20260723-100000", link(2)]);
}
