//! Random schedules of a writer, a rotator and a reader.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// Cursors that a restart may go on from.
const REMEMBERED: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    /// A part of a line; the rest comes with the next write.
    Tear,
    Rotate,
    /// A part of the compressed file, beside the plain one.
    HalfGzip,
    GzipOldest,
    /// Retention takes the oldest backup, if it was read before the oldest cursor that a restart may go on from.
    DeleteRead,
    Read(usize),
    /// Forget everything but the cursor of the last read, or of one before it, and go on from there.
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1..30_usize).prop_map(Step::Write),
        2 => Just(Step::Tear),
        4 => Just(Step::Rotate),
        1 => Just(Step::HalfGzip),
        2 => Just(Step::GzipOldest),
        2 => Just(Step::DeleteRead),
        5 => (1..6_usize).prop_map(Step::Read),
        1 => Just(Step::Restart(0)),
        1 => (1..REMEMBERED).prop_map(Step::Restart),
    ]
}

struct World {
    log: Log,
    tail: Tail,
    seen: Vec<usize>,
    /// How much had been seen at the newest cursors, newest first.
    cursors: VecDeque<(usize, Option<Cursor>)>,
    /// Backups, oldest first, with the number of lines written until their rotation.
    backups: VecDeque<(String, usize)>,
}

impl World {
    fn new() -> Self {
        let log = Log::new();
        let tail = log.tail(None);
        Self { log, tail, seen: Vec::new(), cursors: [(0, None)].into(), backups: VecDeque::new() }
    }

    fn take(&mut self, step: &Step) {
        let plain = self.backups.iter().map(|(name, _)| name).find(|name| self.log.path(name).exists());
        match step {
            Step::Write(count) => self.log.write(*count),
            Step::Tear => self.log.tear(),
            Step::Rotate => {
                self.log.end_line();
                self.backups.push_back((self.log.rotate(), self.log.written));
            }
            Step::HalfGzip => {
                if let Some(name) = plain {
                    let whole = gz(&fs::read(self.log.path(name)).unwrap());
                    fs::write(self.log.path(&format!("{name}.gz")), &whole[..whole.len() / 2]).unwrap();
                }
            }
            Step::GzipOldest => plain.iter().for_each(|name| self.log.gzip(name)),
            Step::DeleteRead => self.delete_read(),
            Step::Read(batches) => self.read(*batches),
            Step::Restart(back) => {
                self.cursors.drain(..(*back).min(self.cursors.len() - 1));
                let (seen, cursor) = &self.cursors[0];
                self.seen.truncate(*seen);
                self.tail = self.log.tail(cursor.as_ref());
            }
        }
    }

    fn delete_read(&mut self) {
        let (settled, _) = self.cursors[self.cursors.len() - 1];
        let is_read = self.backups.front().is_some_and(|(_, written)| *written < settled);
        if let Some((name, _)) = is_read.then(|| self.backups.pop_front()).flatten() {
            let _ = fs::remove_file(self.log.path(&name));
            let _ = fs::remove_file(self.log.path(&format!("{name}.gz")));
        }
    }

    fn read(&mut self, batches: usize) {
        let (numbers, end) = read(&mut self.tail, batches);
        self.seen.extend(numbers);
        if end.is_some() {
            self.cursors.push_front((self.seen.len(), end));
            self.cursors.truncate(REMEMBERED);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the order of writes, rotations, compressions, deletions of what was read, reads and restarts: after the
    /// cursor that a restart goes on from, each line arrives exactly once, in the order in which it was written, and no
    /// gap is reported.
    #[test]
    fn every_line_arrives_once_and_in_order(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.take(&step);
            prop_assert!(world.tail.take_observed().gaps.is_empty());
        }
        world.log.end_line();
        world.read(usize::MAX);
        prop_assert_eq!(world.seen, (0..world.log.written).collect::<Vec<_>>());
        prop_assert_eq!(world.tail.unread_bytes().unwrap(), 0);
    }
}
