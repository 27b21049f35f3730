use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const ALL: Bound = Bound { values: 1000, value_bytes: 1 << 20 };

fn counted(events: &[(u8, u16)], bound: Bound, measure: Measure) -> Tally {
    let mut tally = Tally::new(measure, bound);
    for (value, bytes) in events {
        tally.add(value.to_string().as_bytes(), u64::from(*bytes));
    }
    tally
}

fn truth(events: &[(u8, u16)]) -> HashMap<Vec<u8>, Amount> {
    let mut truth: HashMap<Vec<u8>, Amount> = HashMap::new();
    for (value, bytes) in events {
        *truth.entry(value.to_string().into_bytes()).or_default() += Amount::of_event(u64::from(*bytes));
    }
    truth
}

/// Whatever was counted, the rows and the rest are the total, no count is too high or too low by more than is said, and
/// no value is missing that has more than is said.
fn check(tally: &Tally, events: &[(u8, u16)], limit: usize) {
    let truth = truth(events);
    let top = tally.top(limit);
    let mut sum = top.rest;
    for row in &top.rows {
        let real = truth[row.value];
        assert!(row.amount.events <= real.events && row.amount.bytes <= real.bytes);
        assert!(tally.measure.of(row.amount) + row.missed >= tally.measure.of(real));
        sum += row.amount;
    }
    let mut all = Amount::default();
    for amount in truth.values() {
        all += *amount;
    }
    assert_eq!((sum, tally.total()), (all, all));
    assert_eq!(top.rows.len() + top.others, tally.values());
    for (value, real) in &truth {
        let is_kept = tally.counts.contains_key(value.as_slice());
        assert!(is_kept || tally.measure.of(*real) <= tally.forgotten());
    }
    assert!(tally.values() <= tally.bound.values && tally.value_bytes <= tally.bound.value_bytes);
    assert_eq!(tally.value_bytes, tally.counts.keys().map(|value| value.len()).sum::<usize>());
}

proptest! {
    #![proptest_config(crate::properties::cases(300))]

    /// In bounded memory, alone or put together from parts, a tally is as right as it says.
    #[test]
    fn a_tally_is_as_right_as_it_says(
        events in prop::collection::vec((any::<u8>(), 1..2000_u16), 0..600),
        repeated in prop::collection::vec((0..4_u8, 1..2000_u16), 0..200),
        cut in any::<prop::sample::Index>(),
        values in 2..40_usize,
        by_events: bool,
        limit in 0..12_usize,
    ) {
        let measure = if by_events { Measure::Events } else { Measure::Bytes };
        let mut mixed = events;
        for (index, event) in repeated.into_iter().enumerate() {
            mixed.insert((index * 3).min(mixed.len()), event);
        }
        let bound = Bound { values, value_bytes: 3 * values };
        check(&counted(&mixed, bound, measure), &mixed, limit);
        let (first, second) = mixed.split_at(cut.index(mixed.len() + 1));
        let mut merged = counted(first, bound, measure);
        merged.merge(counted(second, bound, measure));
        check(&merged, &mixed, limit);
    }
}

#[test]
fn nobody_hides_behind_a_crowd() {
    let mut tally = Tally::new(Measure::Bytes, Bound { values: 64, value_bytes: 1 << 10 });
    for n in 0..100_000_u32 {
        tally.add(n.to_string().as_bytes(), 100);
        if n % 50 == 0 {
            tally.add(b"heavy", 1000);
        }
    }
    let top = tally.top(1);
    assert_eq!(top.rows[0].value, b"heavy");
    assert!(top.rows[0].amount.bytes + top.rows[0].missed >= 2_000_000);
    assert!(top.rows[0].missed <= tally.total().bytes / 16, "{top:?}");
}

#[test]
fn up_to_the_bound_all_counts_are_exact() {
    let events: Vec<(u8, u16)> = (0..=255).chain(0..100).map(|value| (value, u16::from(value) + 1)).collect();
    let tally = counted(&events, ALL, Measure::Bytes);
    let truth = truth(&events);
    assert_eq!((tally.forgotten(), tally.values()), (0, 256));
    assert!(tally.top(256).rows.iter().all(|row| row.amount == truth[row.value] && row.missed == 0));
}

#[test]
fn the_largest_come_first_and_ties_have_an_order() {
    let events = [(1, 10), (2, 30), (3, 10), (4, 10), (1, 10), (9, 5), (9, 5), (9, 5)];
    let values = |measure| {
        let tally = counted(&events, ALL, measure);
        let values = |limit| tally.top(limit).rows.iter().map(|row| row.value[0] - b'0').collect::<Vec<_>>();
        assert_eq!(values(3), values(10)[..3]);
        values(10)
    };
    assert_eq!(values(Measure::Bytes), [2, 1, 9, 3, 4]);
    assert_eq!(values(Measure::Events), [9, 1, 2, 3, 4]);
}

#[test]
fn a_mark_begins_a_new_count_of_events() {
    let mut tally = counted(&[(1, 10), (1, 10)], ALL, Measure::Bytes);
    assert_eq!(tally.top(1).rows[0].since_mark, 2);
    tally.mark();
    tally.add(b"1", 10);
    assert_eq!(tally.top(1).rows[0].since_mark, 1);
}

#[test]
fn a_value_without_end_is_cut() {
    let mut tally = Tally::new(Measure::Bytes, ALL);
    tally.add(&vec![b'x'; 1 << 20], 1 << 20);
    assert_eq!(tally.top(1).rows[0].value.len(), LONGEST);
}
