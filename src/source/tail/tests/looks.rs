//! How often the directory is listed, and that nothing is passed over for it.

use std::time::Instant;

use super::*;
use crate::config::Pins;

/// A log of so many backups of 20 lines each, and a live file.
fn log_of(backups: usize) -> Log {
    let mut log = Log::new();
    for _ in 0..backups {
        log.write(20);
        log.rotate();
    }
    log.write(20);
    log
}

/// Reads until so many more backups were left, line by line in order; returns when the directory was listed last.
fn leave(tail: &mut Tail, seen: &mut Vec<usize>, backups: u64) -> Instant {
    let mut left = 0;
    while left < backups {
        let Read { numbers, .. } = read(tail, 1);
        left += std::mem::take(&mut tail.observed.rotations);
        seen.extend(numbers);
    }
    tail.looked.as_ref().unwrap().at
}

/// A tail for which all backups have come later than its beginning, so that leaving one counts as a rotation.
fn tail_before(log: &mut Log) -> Tail {
    let mut tail = log.tail(None);
    read(&mut tail, 1);
    for _ in 0..9 {
        log.write(20);
        log.rotate();
    }
    log.write(20);
    tail
}

#[test]
fn the_end_of_a_backup_is_no_reason_to_list_the_others_again() {
    let mut log = Log::new();
    let (mut tail, mut seen) = (tail_before(&mut log), Vec::new());
    let at = leave(&mut tail, &mut seen, 2);
    assert_eq!(leave(&mut tail, &mut seen, 3), at);
    tail.pins.disappeared(&log.path(&Log::stamped(1)));
    assert_ne!(leave(&mut tail, &mut seen, 1), at, "a change of names is");
    seen.extend(read_all(&mut tail).0);
    assert_eq!(seen, (0..log.written).collect::<Vec<_>>());
}

#[test]
fn what_was_ahead_and_came_to_be_compressed_or_deleted_is_read_all_the_same() {
    let log = log_of(5);
    let mut tail = log.tail(None);
    let (mut seen, _) = read_some(&mut tail, 1);
    log.gzip(&Log::stamped(2));
    fs::remove_file(log.path(&Log::stamped(3))).unwrap();
    seen.extend(read_all(&mut tail).0);
    assert_eq!(seen, (0..log.written).collect::<Vec<_>>());
}

#[test]
fn a_batch_that_is_full_does_not_wait_for_more() {
    for max_lines in [1, 7] {
        let mut log = Log::new();
        log.write(1);
        let mut tail = log.tail(None);
        read_all(&mut tail);
        for _ in 0..3 {
            log.write(max_lines);
            let (mut batch, limits) = (Batch::new(Buffers::default()), Limits { max_lines, ..LIMITS });
            assert_eq!(tail.fill(&mut batch, &limits).unwrap(), Progress::Full);
            assert_eq!(batch.lines(), max_lines);
        }
    }
}

#[test]
fn a_file_that_could_not_be_read_is_tried_before_what_is_ahead() {
    let mut log = log_of(4);
    let first = Log::stamped(1);
    log.gzip(&first);
    let path = log.path(&format!("{first}.gz"));
    let whole = fs::read(&path).unwrap();
    let header_bytes = 10;
    fs::write(&path, &whole[..header_bytes]).unwrap();
    let mut tail = log.tail(None);
    let mut seen = read_some(&mut tail, 1).0;
    assert_eq!(seen, (20..27).collect::<Vec<_>>());
    assert!(tail.leaves_out_files() && !tail.ahead.is_empty());
    // No name changes with it.
    append(&path).write_all(&whole[header_bytes..]).unwrap();
    tail.trouble.make_due();
    seen.extend(read_all(&mut tail).0);
    log.write(1);
    seen.extend(read_all(&mut tail).0);
    assert_eq!(seen, (20..40).chain(0..20).chain(40..101).collect::<Vec<_>>());
}

/// A deleted file grows, so an older one has to go: its handle is closed under the tail that reads it, no name changes,
/// and its compressed form takes its place.
#[test]
fn a_file_that_is_given_up_in_the_middle_is_read_on_before_what_was_ahead() {
    let mut log = Log::new();
    // More than one read brings.
    log.write(5000);
    let old = log.rotate();
    log.write(20);
    let mut stale = log.file.try_clone().unwrap();
    let growing = log.rotate();
    let bytes = |name: &String| fs::metadata(log.path(name)).unwrap().len();
    let limits = Pins { limit: bytes(&old) + bytes(&growing) + 1, ..Pins::on_any_disk() };
    let pins = Arc::new(PinSet::new(&log.path("audit.log"), limits, 1, Box::new(|_, _| {})));
    pins.list(0).unwrap();
    log.gzip(&old);
    fs::remove_file(log.path(&growing)).unwrap();
    let mut tail = Tail::new(pins, 0, None, StartAt::Oldest, 1 << 20);
    let (mut seen, _) = read_some(&mut tail, 1);
    assert_eq!((seen.len(), tail.ahead.len()), (7, 1));
    for number in 5020..5040 {
        writeln!(stale, "{}", event(number)).unwrap();
    }
    log.written = 5040;
    // The route measures its backlog so.
    tail.unread_bytes().unwrap();
    assert!(!tail.may_have_changed(), "the tail would look in any case");
    log.write(5);
    let Read { numbers, gaps, .. } = read(&mut tail, usize::MAX);
    seen.extend(numbers);
    assert_eq!(seen, (0..log.written).collect::<Vec<_>>());
    assert!(gaps.is_empty(), "{gaps:?}");
}
