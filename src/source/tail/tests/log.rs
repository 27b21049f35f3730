//! A log whose writer and rotator do as they are told, and what is read of it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::batch::{Batch, Limits};
use crate::buffers::Buffers;
use crate::checkpoint::Cursor;
use crate::config::StartAt;
use crate::gap::Gap;
use crate::source::pins::PinSet;
use crate::source::tail::{Progress, Tail};

pub(super) const LIMITS: Limits =
    Limits { max_lines: 7, max_bytes: 1 << 20, max_first_line_bytes: 1 << 20, max_event_size: None };

/// A log directory whose writer rotates as lumberjack does.
pub(super) struct Log {
    pub(super) dir: tempfile::TempDir,
    pub(super) file: fs::File,
    pub(super) rotations: u64,
    pub(super) written: usize,
    /// Bytes of the next line that are written already.
    pub(super) torn: usize,
}

pub(super) fn event(number: usize) -> String {
    let padding = "x".repeat(number % 50);
    format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"{number:06}","verb":"{padding}"}}"#)
}

pub(super) fn number_of(line: &[u8]) -> usize {
    let text = std::str::from_utf8(line).unwrap();
    text.split("auditID\":\"").nth(1).unwrap()[..6].parse().unwrap()
}

impl Log {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = append(&dir.path().join("audit.log"));
        Self { dir, file, rotations: 0, written: 0, torn: 0 }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&mut self, count: usize) {
        for _ in 0..count {
            let line = event(self.written) + "\n";
            self.file.write_all(&line.as_bytes()[std::mem::take(&mut self.torn)..]).unwrap();
            self.written += 1;
        }
    }

    /// Writes a part of a line; the next write brings the rest.
    pub(super) fn tear(&mut self) {
        let line = event(self.written);
        let end = self.torn + (line.len() - self.torn) / 2;
        self.file.write_all(&line.as_bytes()[self.torn..end]).unwrap();
        self.torn = end;
    }

    /// A writer rotates between lines.
    pub(super) fn end_line(&mut self) {
        self.write(usize::from(self.torn > 0));
    }

    pub(super) fn stamped(number: u64) -> String {
        format!("audit-2026-11-22T02-09-{:02}.{:03}.log", number / 1000, number % 1000)
    }

    pub(super) fn rotate(&mut self) -> String {
        self.rotations += 1;
        let backup = Self::stamped(self.rotations);
        fs::rename(self.path("audit.log"), self.path(&backup)).unwrap();
        self.file = append(&self.path("audit.log"));
        backup
    }

    /// Copies the live file, as logrotate's copytruncate does before it truncates.
    pub(super) fn copy(&mut self) -> String {
        self.rotations += 1;
        let copy = format!("audit.log-20261122-{}", 1_784_831_532 + self.rotations);
        fs::copy(self.path("audit.log"), self.path(&copy)).unwrap();
        copy
    }

    pub(super) fn size(&self) -> u64 {
        self.file.metadata().unwrap().len()
    }

    pub(super) fn gzip(&self, name: &str) {
        let path = self.path(name);
        fs::write(self.path(&format!("{name}.gz")), gz(&fs::read(&path).unwrap())).unwrap();
        fs::remove_file(path).unwrap();
    }

    pub(super) fn tail(&self, cursor: Option<&Cursor>) -> Tail {
        tail_of(&self.path("audit.log"), cursor, StartAt::Oldest)
    }
}

pub(super) fn append(path: &Path) -> fs::File {
    fs::File::options().append(true).create(true).open(path).unwrap()
}

pub(super) fn tail_of(log: &Path, cursor: Option<&Cursor>, start_at: StartAt) -> Tail {
    Tail::new(PinSet::of_one(log), 0, cursor, start_at, 1 << 20)
}

pub(super) fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// What a few batches brought.
pub(super) struct Read {
    pub(super) numbers: Vec<usize>,
    pub(super) end: Option<Cursor>,
    pub(super) finished: Vec<u64>,
    pub(super) gaps: Vec<Gap>,
}

/// Reads at most `batches` batches.
pub(super) fn read(tail: &mut Tail, batches: usize) -> Read {
    let mut read = Read { numbers: Vec::new(), end: None, finished: Vec::new(), gaps: Vec::new() };
    let mut rotations = 0;
    let mut count = 0;
    while count < batches {
        let mut batch = Batch::new(Buffers::default());
        let progress = tail.fill(&mut batch, &LIMITS).unwrap();
        batch.seal();
        read.numbers.extend((0..batch.events()).map(|index| number_of(&batch.line(index))));
        read.finished.extend(batch.finished());
        read.end = batch.end().cloned().or(read.end);
        let observed = tail.take_observed();
        read.gaps.extend(observed.gaps);
        rotations += observed.rotations;
        // Only the first position ever comes without lines.
        count += usize::from(!batch.is_empty());
        if progress == Progress::AtEnd {
            break;
        }
    }
    tail.observed.rotations = rotations;
    read
}

pub(super) fn read_all(tail: &mut Tail) -> (Vec<usize>, Option<Cursor>) {
    let Read { numbers, end, gaps, .. } = read(tail, usize::MAX);
    tail.observed.gaps = gaps;
    (numbers, end)
}

pub(super) fn read_some(tail: &mut Tail, batches: usize) -> (Vec<usize>, Option<Cursor>) {
    let Read { numbers, end, .. } = read(tail, batches);
    (numbers, end)
}
