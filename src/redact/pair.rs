//! Whether two bytes stand so far from each other in a text: a look that tells for most texts that a word is not there.
//!
//! It looks at as many bytes at a time as the processor can, which a search for the place of a word does not.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, u8x64};

/// Bytes that are compared at a time.
const BLOCK_BYTES: usize = u64::BITS as usize;

/// Two bytes, and how far the second is behind the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    first: u8,
    second: u8,
    gap: usize,
}

impl Pair {
    /// The bytes of a word that are there; both are seldom in a text without it.
    pub(super) const fn of(word: &[u8], first: usize, second: usize) -> Self {
        Self { first: word[first], second: word[second], gap: second - first }
    }

    /// Whether it is in `text`. May say yes of one that is not.
    pub(super) fn may_be_in(self, text: &[u8]) -> bool {
        dispatch!(Level::new(), simd => self.look(simd, text))
    }

    #[expect(clippy::inline_always, reason = "it is compiled for the instructions of its caller")]
    #[inline(always)]
    fn look<S: Simd>(self, simd: S, text: &[u8]) -> bool {
        let Some(behind) = text.get(self.gap..) else { return false };
        let is_pair = |first: &[u8], second: &[u8]| {
            let first = u8x64::from_slice(simd, first).simd_eq(self.first);
            (first & u8x64::from_slice(simd, second).simd_eq(self.second)).any_true()
        };
        let (firsts, rest) = text[..behind.len()].as_chunks::<BLOCK_BYTES>();
        let (seconds, rest_behind) = behind.as_chunks::<BLOCK_BYTES>();
        let found = firsts.iter().zip(seconds).any(|(first, second)| is_pair(first, second));
        found
            || rest
                .iter()
                .zip(rest_behind)
                .any(|(first, second)| *first == self.first && *second == self.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_noticed_wherever_it_is() {
        let pair = Pair::of(b"Secret", 0, 5);
        for length in 6..300 {
            let empty = vec![b'S'; length];
            assert!(!pair.may_be_in(&empty), "{length}");
            for at in 0..=length - 6 {
                let mut text = empty.clone();
                text[at..at + 6].copy_from_slice(b"Secret");
                assert!(pair.may_be_in(&text), "{at} of {length}");
                assert!(!pair.may_be_in(&text[..at + 5]), "{at} of {length}");
                assert!(!pair.may_be_in(&text[at + 1..]), "{at} of {length}");
            }
        }
        assert!(!pair.may_be_in(b"") && !pair.may_be_in(b"Secre"));
    }
}
