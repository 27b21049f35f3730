//! Whether two bytes stand so far from each other in a text: a look that tells for most texts that a word is not there.
//!
//! It looks at as many bytes at a time as the processor can, which a search for the place of a word does not.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, u8x64};

/// Bytes that are compared at a time.
const BLOCK_BYTES: usize = u64::BITS as usize;
/// Blocks that are compared before it is asked whether the pair was in one of them: nearly never.
const GROUP_BLOCKS: usize = 4;

type Block = [u8; BLOCK_BYTES];

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
        // Zero where the pair is.
        let differences = |(first, second): (&Block, &Block)| {
            (u8x64::from_slice(simd, first) ^ self.first) | (u8x64::from_slice(simd, second) ^ self.second)
        };
        let has_zero = |differences: u8x64<S>| differences.simd_eq(0).any_true();
        let text = &text[..behind.len()];
        let (Some(last), Some(last_behind)) = (text.last_chunk(), behind.last_chunk()) else {
            return text.iter().zip(behind).any(|pair| pair == (&self.first, &self.second));
        };
        let (first_groups, firsts) = text.as_chunks().0.as_chunks::<GROUP_BLOCKS>();
        let (second_groups, seconds) = behind.as_chunks().0.as_chunks::<GROUP_BLOCKS>();
        let in_group = |(first, second): (&[Block; GROUP_BLOCKS], &[Block; GROUP_BLOCKS])| {
            let all = u8x64::splat(simd, u8::MAX);
            has_zero(first.iter().zip(second).fold(all, |least, pair| least.min(differences(pair))))
        };
        // The last block overlaps the one before.
        first_groups.iter().zip(second_groups).any(in_group)
            || firsts.iter().zip(seconds).any(|blocks| has_zero(differences(blocks)))
            || has_zero(differences((last, last_behind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_noticed_wherever_it_is() {
        let pair = Pair::of(b"Secret", 0, 5);
        for length in 6..600 {
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
