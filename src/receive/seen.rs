//! Recognises lines that were written before.
//!
//! A line is known by 128 bits of its SHA-256. Memory is bounded by two *generations*: hashes go into the younger
//! one, and when it is full the older one is forgotten. So at least the last 7 million lines are remembered, at
//! most the last 14 million, in 136 MiB a generation: 17 bytes a slot, of which an eighth stays empty.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

/// What a table of 2^23 slots takes before it doubles.
const GENERATION: usize = (1 << 23) / 8 * 7;

/// Hash of a line, its newline included.
pub(crate) fn line_hash(line: &[u8]) -> u128 {
    finish(Sha256::new_with_prefix(line))
}

/// The same for a line that was fed to the hasher piece by piece.
pub(super) fn finish(line: Sha256) -> u128 {
    let digest: [u8; 32] = line.finalize().into();
    digest.iter().take(16).fold(0, |hash, byte| hash << 8 | u128::from(*byte))
}

/// The hashes of the lines written last.
pub(super) struct Seen {
    younger: HashSet<u128>,
    older: HashSet<u128>,
    generation: usize,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { younger: HashSet::new(), older: HashSet::new(), generation: GENERATION }
    }

    /// Remembers the line and says whether it was new.
    pub(super) fn insert(&mut self, hash: u128) -> bool {
        if self.younger.len() >= self.generation {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(hash) && !self.older.contains(&hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_one_generation_is_remembered() {
        let mut seen = Seen { generation: 3, ..Seen::new() };
        assert!((0..100).all(|hash| seen.insert(hash)));
        assert!((97..100).all(|hash| !seen.insert(hash)), "the last three");
        assert!(seen.insert(0), "long forgotten");
        assert!(seen.younger.len() <= 3 && seen.older.len() <= 3);
    }

    #[test]
    fn a_line_in_pieces_has_the_same_hash() {
        let mut pieces = Sha256::new();
        pieces.update(b"{\"a\"");
        pieces.update(b":1}\n");
        assert_eq!(finish(pieces), line_hash(b"{\"a\":1}\n"));
        assert_ne!(line_hash(b"{}\n"), line_hash(b"{}"));
    }
}
