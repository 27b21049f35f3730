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
