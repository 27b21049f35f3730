//! Random schedules of a writer, a rotator and a reader.

mod world;

use std::collections::BTreeSet;

use proptest::prelude::*;

use self::world::{REMEMBERED, Step, World};

/// What a schedule consists of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Files are renamed; what is deleted was read.
    Rename,
    /// Files are copied and truncated; what is deleted was read.
    CopyTruncate,
    /// Files are renamed, and deleted whether they were read or not.
    Retention,
}

fn step(kind: Kind) -> impl Strategy<Value = Step> {
    let only = |is: bool, step: Step| Just(if is { step } else { Step::Write(1) });
    let renames = kind != Kind::CopyTruncate;
    prop_oneof![
        5 => (1..30_usize).prop_map(Step::Write),
        2 => only(renames, Step::Tear),
        4 => only(renames, Step::Rotate),
        4 => only(!renames, Step::Copy),
        4 => only(!renames, Step::Truncate),
        1 => Just(Step::HalfGzip),
        2 => Just(Step::GzipOldest),
        2 => only(kind != Kind::Retention, Step::DeleteRead),
        3 => only(kind == Kind::Retention, Step::DeleteOldest),
        3 => (1..6_usize).prop_map(Step::Tell),
        5 => (1..6_usize).prop_map(Step::Read),
        3 => (3..9_usize, 0..5_usize).prop_map(move |(batches, lines)| {
            if renames { Step::ReadMeanwhile(batches, lines) } else { Step::Read(batches) }
        }),
        2 => Just(Step::Settle),
        1 => Just(Step::Kill(0)),
        1 => (1..REMEMBERED).prop_map(Step::Kill),
    ]
}

fn steps(kind: Kind) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(kind), 1..80)
}

fn run(watched: bool, steps: &[Step]) -> World {
    let mut world = World::new(watched);
    for step in steps {
        world.take(step);
    }
    world.finish();
    world
}

proptest! {
    #![proptest_config(crate::properties::cases(300))]

    /// Whatever the order of writes, rotations, compressions, deletions of what was read, reads and restarts, and however
    /// late changes are told: after the cursor that a restart goes on from, each line arrives exactly once, in the order
    /// in which it was written, and no gap is reported.
    #[test]
    fn every_line_arrives_once_and_in_order(steps in steps(Kind::Rename)) {
        let mut world = run(true, &steps);
        prop_assert!(world.gaps.is_empty() || world.deleted_while_down, "{:?}", world.gaps);
        prop_assert!(world.gaps.iter().all(|gap| !gap.certain), "{:?}", world.gaps);
        prop_assert_eq!(world.seen, (0..world.log.written).collect::<Vec<_>>());
        prop_assert_eq!(world.tail.unread_bytes().unwrap(), 0);
    }

    /// The same where nobody tells of changes; only that a file which was live at the last look is gone now is a possible
    /// gap, since others may have gone with it.
    #[test]
    fn every_line_arrives_once_and_in_order_by_looking_alone(steps in steps(Kind::Rename)) {
        let world = run(false, &steps);
        prop_assert!(world.gaps.iter().all(|gap| !gap.certain), "{:?}", world.gaps);
        prop_assert_eq!(world.seen, (0..world.log.written).collect::<Vec<_>>());
    }

    /// The same where files are copied and truncated instead of renamed.
    #[test]
    fn every_line_of_copied_and_truncated_files_arrives_once(watched: bool, steps in steps(Kind::CopyTruncate)) {
        let mut world = run(watched, &steps);
        prop_assert!(world.gaps.is_empty() || world.deleted_while_down, "{:?}", world.gaps);
        prop_assert!(world.gaps.iter().all(|gap| !gap.certain), "{:?}", world.gaps);
        // A copy that appears when the file behind it is open already is read after it.
        world.seen.sort_unstable();
        prop_assert_eq!(world.seen, (0..world.log.written).collect::<Vec<_>>());
    }

    /// Retention that deletes what was not read takes nothing that was opened in time; whatever is missing was reported,
    /// nothing arrives twice, and nothing is reported unless it deleted what was not read.
    #[test]
    fn what_is_missing_was_reported(steps in steps(Kind::Retention)) {
        let world = run(true, &steps);
        let seen: BTreeSet<usize> = world.seen.iter().copied().collect();
        prop_assert_eq!(seen.len(), world.seen.len(), "none twice");
        let missing = world.log.written - seen.len();
        prop_assert!(missing == 0 || !world.gaps.is_empty() || world.unknowable, "{missing} missing in silence");
        prop_assert!(world.gaps.iter().all(|gap| !gap.certain), "nothing was given up: {:?}", world.gaps);
        prop_assert!(world.gaps.is_empty() || missing > 0 || world.kills > 0, "{:?}", world.gaps);
    }

    /// While changes are told at once and the daemon lives, retention takes nothing at all.
    #[test]
    fn pins_hold_everything(steps in steps(Kind::Retention)) {
        let mut world = World::new(true);
        for step in steps.iter().filter(|step| !matches!(step, Step::Kill(_))) {
            world.take(step);
            world.tell(usize::MAX);
        }
        world.finish();
        prop_assert!(world.gaps.is_empty(), "{:?}", world.gaps);
        prop_assert_eq!(world.seen, (0..world.log.written).collect::<Vec<_>>());
    }
}

/// A file that is known by what it was compressed to is not the live one any more, however late the changes of others
/// are told.
#[test]
fn a_file_found_compressed_is_not_taken_for_one_that_was_renamed_before() {
    use Step::{DeleteOldest, GzipOldest, Read, Rotate, Write};
    let steps = [
        Write(1),
        Rotate,
        Write(1),
        Rotate,
        DeleteOldest,
        DeleteOldest,
        Read(1),
        Write(1),
        Rotate,
        GzipOldest,
    ];
    let world = run(true, &steps);
    assert_eq!(world.seen, [0, 2]);
    assert_eq!(world.gaps.len(), 1, "{:?}", world.gaps);
}
