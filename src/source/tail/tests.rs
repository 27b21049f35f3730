mod any_bytes;
mod containers;
mod formats;
mod gaps;
mod log;
mod looks;
mod passed_on;
mod races;
mod schedules;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use self::log::{LIMITS, Log, Read, append, event, gz, number_of, read, read_all, read_some, tail_of};
use super::trouble::GZ_SETTLES_AFTER;
use super::*;
use crate::batch::{Batch, Limits};
use crate::buffers::Buffers;

#[test]
fn reads_backups_oldest_first_then_the_live_file_then_across_rotations() {
    let mut log = Log::new();
    for _ in 0..3 {
        log.write(10);
        log.rotate();
    }
    log.gzip(&Log::stamped(1));
    log.write(5);
    let mut tail = log.tail(None);
    assert_eq!(read_all(&mut tail).0, (0..35).collect::<Vec<_>>());
    assert_eq!(read_all(&mut tail).0, Vec::<usize>::new());
    log.write(5);
    let first = log.rotate();
    log.write(5);
    log.rotate();
    log.gzip(&first);
    log.write(5);
    assert_eq!(read_all(&mut tail).0, (35..50).collect::<Vec<_>>());
    assert_eq!(tail.take_observed().rotations, 2);
    assert_eq!(tail.unread_bytes().unwrap(), 0);
}

#[test]
fn a_half_written_line_waits_for_its_end() {
    let mut log = Log::new();
    let mut tail = log.tail(None);
    let line = event(0);
    write!(log.file, "{}", &line[..20]).unwrap();
    assert!(read_all(&mut tail).0.is_empty());
    writeln!(log.file, "{}", &line[20..]).unwrap();
    assert_eq!(read_all(&mut tail).0, [0]);
}

#[test]
fn the_last_line_of_a_rotated_file_needs_no_newline() {
    let mut log = Log::new();
    let mut tail = log.tail(None);
    log.write(1);
    write!(log.file, "{}", event(1)).unwrap();
    assert_eq!(read_all(&mut tail).0, [0]);
    log.rotate();
    log.written = 2;
    log.write(1);
    assert_eq!(read_all(&mut tail).0, [1, 2]);
}

#[test]
fn nothing_exists_yet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubernetes/audit.log");
    let mut tail = tail_of(&path, None, StartAt::Oldest);
    assert!(read_all(&mut tail).0.is_empty());
    fs::create_dir(path.parent().unwrap()).unwrap();
    assert!(read_all(&mut tail).0.is_empty());
    fs::write(&path, format!("{}\n", event(0))).unwrap();
    assert_eq!(read_all(&mut tail).0, [0]);
}

#[test]
fn newest_begins_at_the_end_but_reads_files_made_later_from_their_head() {
    let mut log = Log::new();
    log.write(10);
    let backup = log.rotate();
    log.gzip(&backup);
    log.write(10);
    let mut tail = tail_of(&log.path("audit.log"), None, StartAt::Newest);
    assert!(read_all(&mut tail).0.is_empty());
    log.write(3);
    log.rotate();
    log.write(3);
    let (numbers, cursor) = read_all(&mut tail);
    assert_eq!(numbers, (20..26).collect::<Vec<_>>());
    assert!(read_all(&mut log.tail(cursor.as_ref())).0.is_empty());
}

#[test]
fn goes_on_inside_a_backup_that_was_compressed_while_down() {
    let mut log = Log::new();
    log.write(30);
    let (numbers, cursor) = read_some(&mut log.tail(None), 2);
    assert_eq!(numbers.len(), 14);
    let backup = log.rotate();
    log.gzip(&backup);
    log.write(5);
    let mut tail = log.tail(cursor.as_ref());
    assert_eq!(read_all(&mut tail).0, (14..35).collect::<Vec<_>>());
    assert!(tail.take_observed().gaps.is_empty());
}

#[test]
fn a_file_read_before_the_restart_that_is_gone_is_a_possible_gap() {
    let mut log = Log::new();
    log.write(30);
    let (_, cursor) = read_some(&mut log.tail(None), 2);
    let backup = log.rotate();
    fs::remove_file(log.path(&backup)).unwrap();
    log.write(5);
    let mut tail = log.tail(cursor.as_ref());
    assert_eq!(read_all(&mut tail).0, (30..35).collect::<Vec<_>>());
    let gaps = tail.take_observed().gaps;
    assert_eq!(gaps.len(), 1);
    assert!(!gaps[0].certain && gaps[0].file == "audit.log", "{gaps:?}");
}

#[test]
fn a_deleted_file_is_read_to_its_end_from_the_open_handle() {
    let mut log = Log::new();
    let mut tail = log.tail(None);
    log.write(20);
    assert_eq!(read_some(&mut tail, 1).0.len(), 7);
    fs::remove_file(log.path("audit.log")).unwrap();
    log.write(5);
    assert_eq!(read_all(&mut tail).0, (7..25).collect::<Vec<_>>());
    log.write(1);
    assert_eq!(read_all(&mut tail).0, [25]);
    log.file = fs::File::create(log.path("audit.log")).unwrap();
    log.write(3);
    assert_eq!(read_all(&mut tail).0, (26..29).collect::<Vec<_>>());
}

#[test]
fn a_compressed_file_is_waited_for_until_it_is_complete() {
    let mut log = Log::new();
    log.write(20);
    let backup = log.rotate();
    log.write(3);
    let whole = gz(&fs::read(log.path(&backup)).unwrap());
    fs::remove_file(log.path(&backup)).unwrap();
    let compressed = log.path(&format!("{backup}.gz"));
    let mut tail = log.tail(None);
    let mut numbers = Vec::new();
    for length in [0, 10, whole.len() / 2, whole.len() - 4, whole.len()] {
        fs::write(&compressed, &whole[..length]).unwrap();
        tail.trouble.forget();
        tail.looked = None;
        numbers.extend(read_all(&mut tail).0);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..23).collect::<Vec<_>>());
    assert!(tail.take_observed().gaps.is_empty());
}

#[test]
fn a_compressed_file_that_will_never_be_complete_is_reported() {
    let mut log = Log::new();
    log.write(20);
    let backup = log.rotate();
    log.gzip(&backup);
    log.write(3);
    let path = log.path(&format!("{backup}.gz"));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 12]).unwrap();
    let old = SystemTime::now() - 2 * GZ_SETTLES_AFTER;
    fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    let mut tail = log.tail(None);
    let numbers = read_all(&mut tail).0;
    assert!(numbers.ends_with(&[20, 21, 22]), "{numbers:?}");
    let gaps = tail.take_observed().gaps;
    assert!(gaps.len() == 1 && gaps[0].certain && gaps[0].cause.contains(".gz"), "{gaps:?}");
    assert!(read_all(&mut tail).0.is_empty() && tail.take_observed().gaps.is_empty(), "said once");
}

#[test]
fn lines_written_after_the_rotation_are_read_too() {
    let mut log = Log::new();
    let mut tail = log.tail(None);
    log.write(5);
    let mut old = log.file.try_clone().unwrap();
    log.rotate();
    log.write(1);
    assert_eq!(read_all(&mut tail).0, (0..6).collect::<Vec<_>>());
    writeln!(old, "{}", event(77)).unwrap();
    log.write(1);
    tail.looked = None;
    let (numbers, cursor) = read_all(&mut tail);
    assert_eq!(numbers, [6, 77]);
    assert!(read_all(&mut log.tail(cursor.as_ref())).0.is_empty());
}

#[test]
fn backups_with_equal_content_are_each_read() {
    let dir = tempfile::tempdir().unwrap();
    let content: String = (0..30).map(|n| event(n) + "\n").collect();
    for number in 1..=3 {
        fs::write(dir.path().join(Log::stamped(number)), &content).unwrap();
    }
    fs::write(dir.path().join("audit.log"), &content).unwrap();
    let mut tail = tail_of(&dir.path().join("audit.log"), None, StartAt::Oldest);
    let (first, cursor) = read_some(&mut tail, 6);
    let mut resumed = tail_of(&dir.path().join("audit.log"), cursor.as_ref(), StartAt::Oldest);
    let rest = read_all(&mut resumed).0;
    assert_eq!(first.len() + rest.len(), 120);
}

#[test]
fn empty_lines_and_carriage_returns_are_no_events_and_no_errors() {
    let log = Log::new();
    fs::write(log.path("audit.log"), format!("\n\r\n{}\r\n\n  \n{}\n\n", event(0), event(1))).unwrap();
    let mut batch = Batch::new(Buffers::default());
    let mut tail = log.tail(None);
    while tail.fill(&mut batch, &LIMITS).unwrap() != Progress::AtEnd {}
    batch.seal();
    assert_eq!(batch.lines(), 2);
    assert_eq!(batch.line(0), event(0).as_bytes());
    assert!(batch.take_asides().is_empty());
}
