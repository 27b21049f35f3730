//! A writer, a rotator, a watcher and a reader that take the steps of a schedule, and what is known of each of them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::*;

/// Cursors that a restart may go on from.
pub(super) const REMEMBERED: usize = 4;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Write(usize),
    /// A part of a line; the rest comes with the next write.
    Tear,
    Rotate,
    /// A copy of the live file, and then it is truncated; a read may come between.
    Copy,
    Truncate,
    /// A part of the compressed file, beside the plain one.
    HalfGzip,
    GzipOldest,
    /// Retention takes the oldest backup: any, or only one that was read before the oldest cursor that a restart may go
    /// on from.
    DeleteOldest,
    DeleteRead,
    /// The watcher's thread gets to some of the changes that were not told yet.
    Tell(usize),
    Read(usize),
    /// The same; and between the end of the live file and the look at its name a torn line is ended, more are written, and
    /// the file is rotated.
    ReadMeanwhile(usize, usize),
    /// The endpoint has acknowledged everything that was read.
    Settle,
    /// The daemon is killed; the next read is by one that goes on from the cursor of the last read, or of one before it.
    Kill(usize),
}

/// What the watcher's thread is told.
enum Change {
    Appeared(PathBuf),
    Disappeared(PathBuf),
    Renamed(PathBuf, PathBuf),
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct World {
    pub(super) log: Log,
    pins: Arc<PinSet>,
    pub(super) tail: Tail,
    /// Whether changes are told; else the tail has to find out.
    watched: bool,
    changes: VecDeque<Change>,
    pub(super) seen: Vec<usize>,
    pub(super) gaps: Vec<Gap>,
    /// How much had been seen at the newest cursors, newest first.
    cursors: VecDeque<(usize, Option<Cursor>)>,
    finished: Vec<u64>,
    /// Backups, oldest first, with the number of lines written until their rotation.
    backups: VecDeque<(String, usize)>,
    /// A copy that was made and whose original is not truncated yet.
    copied: bool,
    down: bool,
    pub(super) kills: usize,
    pub(super) deleted_while_down: bool,
    /// Lines up to the last deletion.
    deleted: usize,
    /// Whether something was deleted before there was a cursor.
    pub(super) unknowable: bool,
}

impl World {
    pub(super) fn new(watched: bool) -> Self {
        let log = Log::new();
        let pins = PinSet::of_one(&log.path("audit.log"));
        let tail = Tail::new(Arc::clone(&pins), 0, None, StartAt::Oldest, 1 << 20);
        let mut world = Self {
            log,
            pins,
            tail,
            watched,
            changes: VecDeque::new(),
            seen: Vec::new(),
            gaps: Vec::new(),
            cursors: [(0, None)].into(),
            finished: Vec::new(),
            backups: VecDeque::new(),
            copied: false,
            down: true,
            kills: 0,
            deleted_while_down: false,
            deleted: 0,
            unknowable: false,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        if !std::mem::take(&mut self.down) {
            return;
        }
        let (_, cursor) = self.cursors[0].clone();
        self.pins = PinSet::of_one(&self.log.path("audit.log"));
        self.pins.watched(self.watched);
        self.changes.clear();
        self.finished.clear();
        self.tail = Tail::new(Arc::clone(&self.pins), 0, cursor.as_ref(), StartAt::Oldest, 1 << 20);
        if cursor.is_none() {
            self.read(1);
        }
    }

    pub(super) fn take(&mut self, step: &Step) {
        let plain =
            self.backups.iter().map(|(name, _)| name).find(|name| self.log.path(name).exists()).cloned();
        match step {
            Step::Write(count) => self.write(*count),
            Step::Tear => self.log.tear(),
            Step::Rotate => self.rotate(),
            Step::Copy => self.copy(),
            Step::Truncate => self.truncate(),
            Step::HalfGzip => {
                if let Some(name) = plain.filter(|_| !self.copied) {
                    let whole = gz(&fs::read(self.log.path(&name)).unwrap());
                    let path = self.log.path(&format!("{name}.gz"));
                    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
                    self.changes.push_back(Change::Appeared(path));
                }
            }
            Step::GzipOldest => {
                if let Some(name) = plain.filter(|_| !self.copied) {
                    self.log.gzip(&name);
                    self.changes.push_back(Change::Appeared(self.log.path(&format!("{name}.gz"))));
                    self.changes.push_back(Change::Disappeared(self.log.path(&name)));
                }
            }
            Step::DeleteRead => {
                let (settled, _) = self.cursors[self.cursors.len() - 1];
                let known: BTreeSet<usize> = self.seen[..settled].iter().copied().collect();
                let is_read = |(_, written): &(String, usize)| {
                    *written < settled && (0..*written).all(|line| known.contains(&line))
                };
                if self.backups.front().is_some_and(is_read) {
                    self.delete_oldest();
                }
            }
            // Nobody can know of a file that it was empty if it was never opened.
            Step::DeleteOldest => {
                if self.backups.front().is_some_and(|(_, written)| *written > self.deleted) {
                    self.delete_oldest();
                }
            }
            Step::Tell(count) => self.tell(*count),
            Step::Read(batches) => self.read(*batches),
            Step::ReadMeanwhile(batches, lines) => self.read_meanwhile(*batches, *lines),
            Step::Settle => self.pins.settled(0, &std::mem::take(&mut self.finished)),
            Step::Kill(back) => {
                // The watcher's thread is late, but not by a life; and what it found is told at once.
                self.tell(usize::MAX);
                self.tail.look_for_missing();
                self.gaps.extend(self.tail.take_observed().gaps);
                // Once there is a cursor, there is one.
                let committed = self.cursors.iter().filter(|(_, cursor)| cursor.is_some()).count();
                self.cursors.drain(..(*back).min(committed.saturating_sub(1)));
                self.seen.truncate(self.cursors[0].0);
                self.pins = PinSet::of_one(&self.log.path("audit.log"));
                self.tail = Tail::new(Arc::clone(&self.pins), 0, None, StartAt::Oldest, 1 << 20);
                self.finished.clear();
                self.kills += 1;
                self.down = true;
            }
        }
    }

    /// Between copy and truncation nothing is written: that would be lost by the rotator.
    fn write(&mut self, count: usize) {
        if !self.copied {
            self.log.write(count);
        }
    }

    fn rotate(&mut self) {
        self.log.end_line();
        let live = self.log.path("audit.log");
        let backup = self.log.rotate();
        let path = self.log.path(&backup);
        self.backups.push_back((backup, self.log.written));
        self.changes.push_back(Change::Appeared(path.clone()));
        self.changes.push_back(Change::Renamed(live.clone(), path));
        self.changes.push_back(Change::Appeared(live));
    }

    fn copy(&mut self) {
        if !self.copied && self.log.size() > 0 {
            let name = self.log.copy();
            self.changes.push_back(Change::Appeared(self.log.path(&name)));
            self.backups.push_back((name, self.log.written));
            self.copied = true;
        }
    }

    fn truncate(&mut self) {
        if std::mem::take(&mut self.copied) {
            self.log.file.set_len(0).unwrap();
        }
    }

    fn delete_oldest(&mut self) {
        if self.copied {
            return;
        }
        let Some((name, written)) = self.backups.pop_front() else { return };
        self.deleted_while_down |= self.down;
        self.deleted = written;
        self.unknowable |= written > self.seen.len() && self.cursors[0].1.is_none();
        for path in [self.log.path(&name), self.log.path(&format!("{name}.gz"))] {
            if fs::remove_file(&path).is_ok() {
                self.changes.push_back(Change::Disappeared(path));
            }
        }
    }

    pub(super) fn tell(&mut self, count: usize) {
        for _ in 0..count {
            match self.changes.pop_front().filter(|_| self.watched && !self.down) {
                Some(Change::Appeared(path)) => self.pins.appeared(&path),
                Some(Change::Disappeared(path)) => self.pins.disappeared(&path),
                Some(Change::Renamed(from, to)) => self.pins.renamed(&from, &to),
                None => return,
            }
        }
    }

    fn read(&mut self, batches: usize) {
        self.start();
        let Read { numbers, end, finished, gaps } = read(&mut self.tail, batches);
        self.seen.extend(numbers);
        self.finished.extend(finished);
        self.gaps.extend(gaps);
        if end.is_some() {
            self.cursors.push_front((self.seen.len(), end));
            self.cursors.truncate(REMEMBERED);
        }
    }

    fn read_meanwhile(&mut self, batches: usize, lines: usize) {
        self.start();
        let (live, backup) = (self.log.path("audit.log"), Log::stamped(self.log.rotations + 1));
        let backup_path = self.log.path(&backup);
        let count = lines + usize::from(self.log.torn > 0);
        let text: String = (0..count).map(|n| event(self.log.written + n) + "\n").collect();
        let rest = text.into_bytes().split_off(self.log.torn);
        let (mut file, happened) = (self.log.file.try_clone().unwrap(), Arc::new(AtomicBool::new(false)));
        self.tail.at_end_of_live = Some(Box::new({
            let (live, backup_path, happened) = (live.clone(), backup_path.clone(), Arc::clone(&happened));
            move || {
                file.write_all(&rest).unwrap();
                fs::rename(&live, &backup_path).unwrap();
                append(&live);
                happened.store(true, Ordering::Relaxed);
            }
        }));
        self.read(batches);
        self.tail.at_end_of_live = None;
        if happened.load(Ordering::Relaxed) {
            self.log.written += count;
            (self.log.torn, self.log.file) = (0, append(&live));
            self.log.rotations += 1;
            self.backups.push_back((backup, self.log.written));
            self.changes.push_back(Change::Appeared(backup_path.clone()));
            self.changes.push_back(Change::Renamed(live.clone(), backup_path));
            self.changes.push_back(Change::Appeared(live));
        }
    }

    pub(super) fn finish(&mut self) {
        self.truncate();
        self.log.end_line();
        self.start();
        self.tell(usize::MAX);
        self.read(usize::MAX);
    }
}
