//! For property tests: how many cases, and bytes as a crash, a broken disk or an enemy leaves them.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

/// In the suite the same `count` cases each time, so that a change is judged by what it changes; with
/// `AUDIT_SHIPPER_SOAK` set, a hundred times as many, and others each time.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let suite = ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("AUDIT_SHIPPER_SOAK") {
        Some(_) => ProptestConfig { cases: count.saturating_mul(100), ..suite },
        None => ProptestConfig { rng_seed: RngSeed::Fixed(1), ..suite },
    }
}

/// One change to some bytes.
#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    /// Another byte in the place of one.
    Replace(Index, u8),
    /// A stretch is gone.
    Remove(Index, Index),
    /// A stretch is there twice.
    Repeat(Index, Index),
    /// Something came between.
    Insert(Index, Vec<u8>),
    /// The end is gone.
    Cut(Index),
}

/// A few changes. What is put in is often what has a meaning in JSON.
pub(crate) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let byte = prop_oneof![prop::sample::select(&b"{}[]\",:\\ \0\n1e-"[..]), any::<u8>()];
    let index = any::<Index>;
    let mutation = prop_oneof![
        3 => (index(), byte.clone()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        1 => (index(), index()).prop_map(|(from, to)| Mutation::Remove(from, to)),
        1 => (index(), index()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
        2 => (index(), prop::collection::vec(byte, 1..5)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => index().prop_map(Mutation::Cut),
    ];
    prop::collection::vec(mutation, 0..4)
}

/// `bytes` with these changes, one after the other.
pub(crate) fn mutated(bytes: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for mutation in mutations {
        let place = |at: &Index| at.index(bytes.len() + 1);
        let stretch = |a: &Index, b: &Index| place(a).min(place(b))..place(a).max(place(b));
        match mutation {
            Mutation::Replace(at, byte) => {
                let at = place(at);
                bytes.iter_mut().skip(at).take(1).for_each(|old| *old = *byte);
            }
            Mutation::Remove(from, to) => drop(bytes.drain(stretch(from, to))),
            Mutation::Repeat(from, to) => bytes.extend_from_within(stretch(from, to)),
            Mutation::Insert(at, new) => {
                let at = place(at);
                drop(bytes.splice(at..at, new.iter().copied()));
            }
            Mutation::Cut(at) => bytes.truncate(place(at)),
        }
    }
    bytes
}

/// A real event, without its newline.
pub(crate) fn real_line() -> impl Strategy<Value = Vec<u8>> {
    let replay = crate::demo::replay::Replay::bundled();
    (0..1000_u64).prop_map(move |number| {
        let mut line = Vec::new();
        replay.line(number, &mut line);
        line.pop();
        line
    })
}
