//! 64 bytes as masks: which of them are quotes, commas, and so on.

use fearless_simd::prelude::*;
use fearless_simd::u8x64;

/// Bytes of a block: a mask has a bit for each, the lowest for the first.
pub(super) const BLOCK_BYTES: usize = u64::BITS as usize;
/// What the last block is filled up with; it has no mark.
pub(super) const FILLER: u8 = b' ';

/// The last control character that must not stand in a string.
const LAST_CONTROL: u8 = 0x1f;
const LAST_ASCII: u8 = 0x7f;

/// The bytes of a block that mean something in JSON, whether they are within a string or not.
pub(super) struct Marks {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
    pub(super) colons: u64,
    pub(super) commas: u64,
    /// Brackets of both kinds that open.
    pub(super) opening: u64,
    /// Brackets of both kinds that close.
    pub(super) closing: u64,
    /// Curly ones among the brackets. Says nothing of other bytes.
    pub(super) curly: u64,
    pub(super) has_control: bool,
    pub(super) has_non_ascii: bool,
}

impl Marks {
    #[expect(clippy::inline_always, reason = "the masks have to stay in registers")]
    #[inline(always)]
    pub(super) fn of<S: Simd>(simd: S, block: &[u8; BLOCK_BYTES]) -> Self {
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
