//! Batches, crashes and rotators in any order.

use proptest::prelude::*;

use super::*;
use crate::properties::cases;

#[derive(Debug, Clone)]
enum Step {
    /// So many events.
    Write(u64),
    /// The process dies while it writes; so many bytes are left of the next line. Then goes another batch.
    Crash(usize),
    /// The machine does, and the file system has kept the length only.
    PowerLoss(usize),
    /// Somebody else moves the file away.
    Move,
    /// Somebody else copies and empties it.
    CopyTruncate,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..4_u64).prop_map(Step::Write),
        1 => (0..4000_usize).prop_map(Step::Crash),
        1 => (0..4000_usize).prop_map(Step::PowerLoss),
        1 => Just(Step::Move),
        1 => Just(Step::CopyTruncate),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(cases(60))]

    /// Each batch that was taken is in the files once, in order, and nothing else is.
    #[test]
    fn what_was_taken_is_there_once_and_in_order(steps in steps(), max_size in 500..8000_u64) {
        let mut place = Place::new();
        place.config.max_size = max_size;
        let mut writer = place.writer();
        let (mut next, mut taken, mut moved) = (0, Vec::new(), Vec::new());
        // Backups and the live file; what others have taken away came before.
        let collect = |place: &Place| {
            let names = place.backups();
            let live = fs::read(&place.config.path).unwrap_or_default();
            let all: Vec<u8> = names.iter().flat_map(|name| place.read(name)).chain(live).collect();
            for name in names {
                fs::remove_file(place.path(&name)).unwrap();
            }
            all
        };
        for step in steps {
            match step {
                Step::Write(events) => {
                    let (lines, events_of) = batch(next..next + events);
                    next += events;
                    writer.write(&events_of).unwrap();
                    taken.extend_from_slice(&lines);
                }
                Step::Crash(bytes) | Step::PowerLoss(bytes) => {
                    drop(writer);
                    let (lines, _) = batch(next..next + 5);
                    let torn = match step {
                        // Not a whole line, which would be there twice, as it may.
                        Step::Crash(_) => lines[..bytes.min(lines.iter().position(|byte| *byte == b'\n').unwrap())].to_vec(),
                        _ => vec![0; bytes],
                    };
                    if place.config.path.exists() && !place.content().is_empty() {
                        let content = [place.content(), torn].concat();
                        fs::write(&place.config.path, content).unwrap();
                    }
                    writer = place.writer();
                    // Before anybody moves away what is torn.
                    let (lines, events) = batch(next..next + 1);
                    next += 1;
                    writer.write(&events).unwrap();
                    taken.extend_from_slice(&lines);
                }
                Step::Move => {
                    moved.extend(collect(&place));
                    let _ = fs::rename(&place.config.path, place.path("moved"));
                }
                Step::CopyTruncate => {
                    moved.extend(collect(&place));
                    if let Ok(live) = File::options().write(true).open(&place.config.path) {
                        live.set_len(0).unwrap();
                    }
                }
            }
        }
        moved.extend(collect(&place));
        prop_assert!(moved == taken);
    }
}
