//! Random schedules of a writer, a rotator and a reader.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Rotate,
    GzipOldest,
    Read(usize),
    /// Forget everything but the cursor of the last read, and go on from there.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..30_usize).prop_map(Step::Write),
        3 => Just(Step::Rotate),
        2 => Just(Step::GzipOldest),
        4 => (1..6_usize).prop_map(Step::Read),
        2 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the order of writes, rotations, compressions, reads and restarts, as long as nothing is deleted each
    /// line arrives exactly once, in the order in which it was written, and no gap is reported.
    #[test]
    fn every_line_arrives_once_and_in_order(steps in prop::collection::vec(step(), 1..60)) {
        let mut log = Log::new();
        let (mut tail, mut cursor, mut seen) = (log.tail(None), None, Vec::new());
        let mut plain = std::collections::VecDeque::new();
        for step in steps {
            match step {
                Step::Write(count) => log.write(count),
                Step::Rotate => plain.push_back(log.rotate()),
                Step::GzipOldest => plain.pop_front().iter().for_each(|name| log.gzip(name)),
                Step::Read(batches) => {
                    let (numbers, end) = read(&mut tail, batches);
                    seen.extend(numbers);
                    cursor = end.or(cursor);
                }
                Step::Restart => tail = log.tail(cursor.as_ref()),
            }
            prop_assert!(tail.take_observed().gaps.is_empty());
        }
        seen.extend(read_all(&mut tail).0);
        prop_assert_eq!(seen, (0..log.written).collect::<Vec<_>>());
        prop_assert_eq!(tail.unread_bytes().unwrap(), 0);
    }
}
