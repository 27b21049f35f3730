use proptest::prelude::*;

use super::*;
use crate::properties::{mutated, mutations, real_line};

/// Whether a slow and strict reader takes the line for an event. Two things that it also minds do no harm in an event:
/// halves of surrogate pairs, and numbers beyond its range.
#[expect(clippy::disallowed_types, reason = "the oracle of a test")]
fn is_event(line: &[u8]) -> bool {
    match serde_json::from_slice::<serde_json::Value>(line) {
        Ok(value) => {
            let version = value["apiVersion"].as_str();
            value["kind"] == "Event" && version.is_some_and(|version| ApiVersion::parse(version).is_some())
        }
        Err(error) => {
            let harmless = ["surrogate", "hex escape", "number out of range", "recursion limit"];
            harmless.iter().any(|harmless| error.to_string().contains(harmless))
        }
    }
}

proptest! {
    #![proptest_config(crate::properties::cases(2000))]

    /// Whatever was done to a real event, reading it does not panic, and what is accepted is an event.
    #[test]
    fn accepts_no_more_than_a_strict_reader_does(line in real_line(), mutations in mutations()) {
        let line = mutated(&line, &mutations);
        if Event::parse(&line).is_ok() {
            prop_assert!(is_event(&line));
        } else {
            prop_assert!(!mutations.is_empty());
        }
    }

    /// Arbitrary bytes are no event, are not taken for one, and hold none.
    #[test]
    fn arbitrary_bytes_are_no_event(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Event::parse(&bytes).is_err());
        prop_assert!(glued::ends(&bytes).is_empty());
    }

    /// Whatever was done to real events on one line, its pieces are all of the line, in order, and each event among them
    /// is whole.
    #[test]
    fn pieces_are_the_line(lines in prop::collection::vec((real_line(), mutations()), 1..4)) {
        let line: Vec<u8> = lines.iter().flat_map(|(line, mutations)| mutated(line, mutations)).collect();
        let ends = glued::ends(&line);
        prop_assert!(ends.is_sorted_by(|a, b| a < b));
        prop_assert!(ends.last().is_none_or(|last| *last == line.len()));
        let whole = |piece: &[u8]| Event::parse(piece).is_ok() && is_event(piece);
        let mut begin = 0;
        let events = ends.iter().filter(|end| whole(&line[std::mem::replace(&mut begin, **end)..**end])).count();
        prop_assert_eq!(events == 0, ends.is_empty());
    }
}
