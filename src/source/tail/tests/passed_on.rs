//! Names that one file after the other has.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;

/// A file that was gone before it could be opened is waited for, for a while; it has the name of the next one.
#[test]
fn what_could_not_be_opened_does_not_hide_what_the_next_file_of_its_name_is_made_of() {
    let mut log = Log::new();
    log.write(5);
    // Nobody can open this.
    let _socket = UnixListener::bind(log.path("socket")).unwrap();
    symlink(log.path("socket"), log.path("audit.log.2")).unwrap();
    let mut tail = log.tail(None);
    assert_eq!(read_all(&mut tail).0, [0, 1, 2, 3, 4]);
    fs::remove_file(log.path("audit.log.2")).unwrap();
    fs::rename(log.path("audit.log"), log.path("audit.log.2")).unwrap();
    log.file = append(&log.path("audit.log"));
    log.write(3);
    assert_eq!(read_all(&mut tail).0, [5, 6, 7]);
    log.gzip("audit.log.2");
    fs::rename(log.path("audit.log"), log.path("audit.log.1")).unwrap();
    log.file = append(&log.path("audit.log"));
    log.write(3);
    assert_eq!(read_all(&mut tail).0, [8, 9, 10]);
}

/// A rotator that is quick renames the file once more before the first change is told, whether it was listed meanwhile or not.
#[test]
fn a_file_that_has_its_second_name_already_did_not_come_and_go() {
    for is_listed in [false, true] {
        let mut log = Log::new();
        log.write(5);
        let pins = PinSet::of_one(&log.path("audit.log"));
        pins.watched(true);
        let mut tail = Tail::new(Arc::clone(&pins), 0, None, StartAt::Oldest, 1 << 20);
        assert_eq!(read_all(&mut tail).0, [0, 1, 2, 3, 4]);
        let rename = |from: &str, to: &str| fs::rename(log.path(from), log.path(to)).unwrap();
        rename("audit.log", "audit.log.1");
        rename("audit.log.1", "audit.log.2");
        append(&log.path("audit.log"));
        if is_listed {
            pins.look();
        }
        let told = |pins: &PinSet| {
            pins.appeared(&log.path("audit.log.1"));
            pins.renamed(&log.path("audit.log"), &log.path("audit.log.1"));
        };
        told(&pins);
        assert!(read_all(&mut tail).0.is_empty());
        tail.look_for_missing();
        assert!(tail.take_observed().gaps.is_empty(), "listed: {is_listed}");
        // It explains no other one.
        told(&pins);
        tail.look_for_missing();
        assert_eq!(tail.take_observed().gaps.len(), 1, "listed: {is_listed}");
    }
}
