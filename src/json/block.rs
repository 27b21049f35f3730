//! 64 bytes as masks: which of them are quotes, commas, and so on.

use fearless_simd::prelude::*;
use fearless_simd::u8x64;

/// Bytes of a block: a mask has a bit for each, the lowest for the first.
pub(crate) const BLOCK_BYTES: usize = u64::BITS as usize;
/// What the last block is filled up with; it has no mark.
pub(crate) const FILLER: u8 = b' ';

/// The last control character that must not stand in a string.
const LAST_CONTROL: u8 = 0x1f;
const LAST_ASCII: u8 = 0x7f;

/// The bytes of a block that mean something in JSON, whether they are within a string or not.
pub(crate) struct Marks {
    pub(crate) quotes: u64,
    pub(crate) backslashes: u64,
    pub(crate) colons: u64,
    pub(crate) commas: u64,
    /// Brackets of both kinds that open.
    pub(crate) opening: u64,
    /// Brackets of both kinds that close.
    pub(crate) closing: u64,
    /// Curly ones among the brackets. Says nothing of other bytes.
    pub(crate) curly: u64,
    pub(crate) has_control: bool,
    pub(crate) has_non_ascii: bool,
}

impl Marks {
    #[expect(clippy::inline_always, reason = "the masks have to stay in registers")]
    #[inline(always)]
    pub(crate) fn of<S: Simd>(simd: S, block: &[u8; BLOCK_BYTES]) -> Self {
        let bytes = u8x64::from_slice(simd, block);
        // Square and curly brackets differ in one bit.
        let as_curly = bytes | (b'{' ^ b'[');
        Self {
            quotes: bytes.simd_eq(b'"').to_bitmask(),
            backslashes: bytes.simd_eq(b'\\').to_bitmask(),
            colons: bytes.simd_eq(b':').to_bitmask(),
            commas: bytes.simd_eq(b',').to_bitmask(),
            opening: as_curly.simd_eq(b'{').to_bitmask(),
            closing: as_curly.simd_eq(b'}').to_bitmask(),
            curly: bytes.simd_eq(as_curly).to_bitmask(),
            has_control: bytes.simd_le(LAST_CONTROL).any_true(),
            has_non_ascii: bytes.simd_gt(LAST_ASCII).any_true(),
        }
    }
}

/// The bytes that a backslash stands before and escapes. `carried` is the bit of the byte before the block.
#[inline(always)]
pub(crate) fn escaped(backslashes: u64, carried: &mut u64) -> u64 {
    /// Every second bit.
    const EVEN: u64 = u64::MAX / 3;
    if backslashes | *carried == 0 {
        return 0;
    }
    // Of a run of backslashes each second one is escaped: those at an odd distance from where the run begins. To add a
    // bit where a run begins at an odd place finds its end, and so tells the two kinds of runs apart.
    let backslashes = backslashes & !*carried;
    let behind_one = backslashes << 1 | *carried;
    let odd_begins = backslashes & !EVEN & !behind_one;
    let (sum, overflowed) = odd_begins.overflowing_add(backslashes);
    *carried = u64::from(overflowed);
    (EVEN ^ sum << 1) & behind_one
}

/// Which bits have an odd number of `mask`'s bits at or before them.
#[expect(clippy::inline_always, reason = "the masks have to stay in registers")]
#[inline(always)]
pub(crate) fn parity(mut mask: u64) -> u64 {
    for distance in [1, 2, 4, 8, 16, 32] {
        mask ^= mask << distance;
    }
    mask
}
