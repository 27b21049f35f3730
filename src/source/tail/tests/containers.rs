//! The logs of containers, one after the other, as kubelet keeps them: random schedules of it, of a watcher and a reader.

mod world;

use proptest::prelude::*;

use super::*;
use world::{LINKS, REMEMBERED, World};

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    /// The container's log is renamed and begun anew.
    Rotate,
    GzipOldest,
    /// The next container, of the same pod or of another.
    Restart {
        new_pod: bool,
    },
    /// The oldest backup goes, if it was read before the oldest cursor that a restart may go on from.
    DeleteRead,
    /// A former container goes, if it was read so.
    RemoveRead,
    Tell(usize),
    Read(usize),
    /// The same; and between the end of the live file and the look at its name there are more lines, and then the next
    /// container.
    ReadMeanwhile(usize, usize),
    /// A line of the container before the last.
    Late,
    Settle,
    Kill(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..30_usize).prop_map(Step::Write),
        3 => Just(Step::Rotate),
        2 => Just(Step::GzipOldest),
        2 => any::<bool>().prop_map(|new_pod| Step::Restart { new_pod }),
        2 => Just(Step::DeleteRead),
        2 => Just(Step::RemoveRead),
        3 => (1..6_usize).prop_map(Step::Tell),
        5 => (1..6_usize).prop_map(Step::Read),
        2 => (3..9_usize, 0..5_usize).prop_map(|(batches, lines)| Step::ReadMeanwhile(batches, lines)),
        2 => Just(Step::Settle),
        1 => Just(Step::Kill(0)),
        1 => (1..REMEMBERED).prop_map(Step::Kill),
    ];
    prop::collection::vec(step, 1..80)
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
    #![proptest_config(crate::properties::cases(200))]

    /// Whatever the order of writes, rotations, compressions, restarts of the container and of the daemon, removals of what
    /// was read, and however late changes are told: after the cursor that a restart goes on from, each line arrives exactly
    /// once, in the order in which it was written, and no gap is reported.
    #[test]
    fn every_line_of_every_container_arrives_once_and_in_order(steps in steps()) {
        let mut world = run(true, &steps);
        prop_assert!(world.gaps.is_empty() || world.deleted_while_down, "{:?}", world.gaps);
        prop_assert!(world.gaps.iter().all(|gap| !gap.certain), "{:?}", world.gaps);
        prop_assert_eq!(world.seen, (0..world.written).collect::<Vec<_>>());
        prop_assert_eq!(world.tail.unread_bytes().unwrap(), 0);
    }

    /// The same where nobody tells of changes.
    #[test]
    fn every_line_of_every_container_arrives_by_looking_alone(steps in steps()) {
        let world = run(false, &steps);
        prop_assert!(world.gaps.iter().all(|gap| !gap.certain), "{:?}", world.gaps);
        prop_assert_eq!(world.seen, (0..world.written).collect::<Vec<_>>());
    }

    /// What a container wrote after the next one had begun arrives too, once, and later than in its turn.
    #[test]
    fn late_lines_of_a_former_container_arrive_once(
        steps in prop::collection::vec(prop_oneof![9 => steps().prop_map(|mut steps| steps.remove(0)), 1 => Just(Step::Late)], 1..80)
    ) {
        let keeps = |step: &&Step| !matches!(step, Step::DeleteRead | Step::RemoveRead);
        let steps: Vec<Step> = steps.iter().filter(keeps).cloned().collect();
        let mut world = run(true, &steps);
        prop_assert!(world.gaps.is_empty(), "{:?}", world.gaps);
        world.seen.sort_unstable();
        prop_assert_eq!(world.seen, (0..world.written).collect::<Vec<_>>());
    }
}

#[test]
fn newest_begins_behind_all_containers_that_are_there() {
    let mut world = World::new(true);
    world.write(5);
    world.restart(false);
    world.write(5);
    let links = world.dir.path().join("containers").join(LINKS);
    let mut tail = tail_of(&links, None, StartAt::Newest);
    assert!(read_all(&mut tail).0.is_empty());
    world.write(2);
    world.restart(true);
    world.write(2);
    assert_eq!(read_all(&mut tail).0, [10, 11, 12, 13]);
    assert_eq!(tail.take_observed().rotations, 1);
}

#[test]
fn a_container_whose_link_is_gone_is_read_from_its_handle() {
    let mut world = World::new(true);
    world.write(20);
    world.read(1);
    world.restart(true);
    world.write(3);
    world.tell(usize::MAX);
    let former = world.containers.remove(0);
    fs::remove_file(&former.log).unwrap();
    fs::remove_file(&former.link).unwrap();
    world.pins.disappeared(&former.log);
    world.pins.disappeared(&former.link);
    world.finish();
    assert_eq!(world.seen, (0..23).collect::<Vec<_>>());
    assert!(world.gaps.is_empty(), "{:?}", world.gaps);
}

/// Somebody removes the link alone, and makes it again: the container writes on meanwhile.
#[test]
fn a_link_that_is_gone_for_a_while_costs_nothing() {
    let mut world = World::new(true);
    world.write(20);
    world.read(usize::MAX);
    let (link, log) = (world.last().link.clone(), world.last().log.clone());
    fs::remove_file(&link).unwrap();
    world.pins.disappeared(&link);
    for _ in 0..2 {
        world.tail.looked = None;
        world.write(3);
        world.read(usize::MAX);
        world.take(&Step::Settle);
    }
    world.write(3);
    std::os::unix::fs::symlink(&log, &link).unwrap();
    world.pins.appeared(&link);
    world.write(3);
    world.finish();
    assert_eq!(world.seen, (0..32).collect::<Vec<_>>());
    assert!(world.gaps.is_empty(), "{:?}", world.gaps);
}
