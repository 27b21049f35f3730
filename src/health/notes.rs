//! What went wrong lately, for whoever looks: each reason once, with when and how often.
//!
//! The words are those of our log, so they hold nothing that must not be there (invariant I11).

use std::collections::VecDeque;

use jiff::Timestamp;

/// Reasons that are remembered.
const MOST: usize = 20;
/// Characters of a reason.
const LONGEST: usize = 400;

/// A reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// In words.
    pub what: String,
    /// When it was first.
    pub first: Timestamp,
    /// When it was last.
    pub last: Timestamp,
    /// How often.
    pub count: u64,
}

/// The latest reasons, the oldest first.
#[derive(Debug, Default)]
pub struct Notes(VecDeque<Note>);

impl Notes {
    /// This has happened now.
    pub fn add(&mut self, what: &str) {
        let now = Timestamp::now();
        let what: String = what.chars().take(LONGEST).collect();
        self.merge_one(Note { what, first: now, last: now, count: 1 });
    }

    /// Adds what happened later.
    pub fn merge(&mut self, later: Self) {
        later.0.into_iter().for_each(|note| self.merge_one(note));
    }

    /// The latest first.
    pub fn latest(&self) -> impl Iterator<Item = &Note> {
        self.0.iter().rev()
    }

    fn merge_one(&mut self, mut note: Note) {
        if let Some(index) = self.0.iter().position(|known| known.what == note.what)
            && let Some(known) = self.0.remove(index)
        {
            note.first = known.first;
            note.count += known.count;
        }
        self.0.push_back(note);
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_there_once_and_the_oldest_go() {
        let mut notes = Notes::default();
        for what in ["a", "b", "a"] {
            notes.add(what);
        }
        let mut later = Notes::default();
        later.add("b");
        notes.merge(later);
        let shown: Vec<_> = notes.latest().map(|note| (note.what.as_str(), note.count)).collect();
        assert_eq!(shown, [("b", 2), ("a", 2)]);
        assert!(notes.latest().all(|note| note.first <= note.last));
        for number in 0..100 {
            notes.add(&format!("{number}{}", "é".repeat(1000)));
        }
        assert_eq!(notes.latest().count(), MOST);
        assert!(notes.latest().all(|note| note.what.chars().count() <= LONGEST));
    }
}
