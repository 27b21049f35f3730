//! Standard output, or what may stand in its place.

use std::io::{ErrorKind, PipeReader, pipe};
use std::os::fd::OwnedFd;

use rustix::event::Timespec;
use rustix::fs::OFlags;

use super::*;

/// More than a pipe has room for.
fn large_batch() -> (Vec<u8>, Events) {
    let (lines, events) = batch(0..300);
    assert!(lines.len() > 256 << 10);
    (lines, events)
}

fn piped() -> (PipeReader, Stream) {
    let (reader, writer) = pipe().unwrap();
    let mut stream = Stream::of(File::from(OwnedFd::from(writer))).unwrap();
    stream.patience = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    (reader, stream)
}

fn read_to_end(mut reader: PipeReader) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        all
    })
}

#[test]
fn a_reader_gets_all_lines() {
    for nonblocking in [false, true] {
        let (reader, mut stream) = piped();
        stream.patience.tv_sec = 60;
        if nonblocking {
            rustix::fs::fcntl_setfl(&stream.file, OFlags::NONBLOCK).unwrap();
        }
        let all = read_to_end(reader);
        let ((first, events), (second, more)) = (large_batch(), batch(300..310));
        assert_eq!(stream.write(&events).unwrap(), first.len() as u64);
        stream.write(&more).unwrap();
        drop(stream);
        assert!(all.join().unwrap() == [first, second].concat());
    }
}

#[test]
fn a_batch_goes_on_where_nobody_read_it() {
    let (reader, mut stream) = piped();
    let (lines, events) = large_batch();
    for _ in 0..3 {
        let error = stream.write(&events).unwrap_err();
        assert!(
            matches!(&error, WriteError::Io { source, .. } if source.kind() == ErrorKind::TimedOut),
            "{error}"
        );
        assert!(error.to_string().starts_with("standard output: nobody"), "{error}");
    }
    stream.patience.tv_sec = 60;
    let all = read_to_end(reader);
    stream.write(&events).unwrap();
    drop(stream);
    assert!(all.join().unwrap() == lines);
}

#[test]
fn another_batch_begins_on_a_line_of_its_own() {
    let (reader, mut stream) = piped();
    let ((lines, events), (others, other_events)) = (large_batch(), batch(300..301));
    stream.write(&events).unwrap_err();
    stream.patience.tv_sec = 60;
    let all = read_to_end(reader);
    stream.write(&other_events).unwrap();
    drop(stream);
    let all = all.join().unwrap();
    let begun = all.strip_suffix(&others[..]).unwrap();
    assert!(begun.ends_with(b"\n") && lines.starts_with(&begun[..begun.len() - 1]));
}

#[test]
fn without_a_reader_it_says_so_and_the_next_one_gets_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let open = |flags| File::from(rustix::fs::open(&path, flags | OFlags::NONBLOCK, mode).unwrap());
    let first = open(OFlags::RDONLY);
    let mut stream = Stream::of(open(OFlags::WRONLY)).unwrap();
    stream.patience = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    let (lines, events) = large_batch();
    stream.write(&events).unwrap_err();
    drop(first);
    let error = stream.write(&events).unwrap_err();
    assert!(what_is_wrong(&error).contains("nobody reads it any more"), "{error}");
    let second = open(OFlags::RDONLY);
    rustix::fs::fcntl_setfl(&second, OFlags::empty()).unwrap();
    stream.patience.tv_sec = 60;
    let all = std::thread::spawn(move || {
        let mut all = Vec::new();
        { second }.read_to_end(&mut all).unwrap();
        all
    });
    stream.write(&events).unwrap();
    drop(stream);
    assert!(all.join().unwrap() == lines);
}

#[test]
fn a_full_device_is_an_error_in_words() {
    let mut stream = Stream::of(File::options().write(true).open("/dev/full").unwrap()).unwrap();
    let error = stream.write(&batch(0..1).1).unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");
}

#[test]
fn a_file_in_its_place_is_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let (lines, events) = batch(0..5);
    let mut stream = Stream::of(File::create(&path).unwrap()).unwrap();
    stream.write(&events).unwrap();
    assert!(fs::read(&path).unwrap() == lines);
}

/// A process that was killed leaves half a line in the file, and the next one begins behind it.
#[test]
fn what_a_crash_has_torn_in_a_file_is_no_part_of_the_next_line() {
    let (lines, events) = batch(0..2);
    let (more_lines, more_events) = batch(2..3);
    for (before, separator) in [("", ""), ("{}\n", ""), ("{}\n{\"kind\":\"Ev", "\n")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        fs::write(&path, before).unwrap();
        let mut stream = Stream::of(File::options().append(true).open(&path).unwrap()).unwrap();
        stream.write(&events).unwrap();
        stream.write(&more_events).unwrap();
        let expect = [before.as_bytes(), separator.as_bytes(), &lines, &more_lines].concat();
        assert!(fs::read(&path).unwrap() == expect, "{before:?}");
    }
}

#[test]
fn what_stands_in_a_file_that_is_written_from_its_beginning_does_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    fs::write(&path, "x").unwrap();
    let (lines, events) = batch(0..2);
    let mut stream = Stream::of(File::options().write(true).open(&path).unwrap()).unwrap();
    stream.write(&events).unwrap();
    assert!(fs::read(&path).unwrap() == lines);
}
