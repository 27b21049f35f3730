//! How often the directory is listed, and that nothing is passed over for it.

use std::time::Instant;

use super::*;

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
