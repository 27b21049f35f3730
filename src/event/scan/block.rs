//! 64 bytes as masks: which of them are quotes, commas, and so on.

use wide::u8x16;

/// Bytes of a block: a mask has a bit for each, the lowest for the first.
pub(super) const BLOCK_BYTES: usize = u64::BITS as usize;
/// What the last block is filled up with; it has no mark.
pub(super) const FILLER: u8 = b' ';

/// The last control character that must not stand in a string.
const LAST_CONTROL: u8 = 0x1f;

/// The bytes of a block that mean something in JSON, whether they are within a string or not.
#[derive(Default)]
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
    pub(super) fn of(block: &[u8; BLOCK_BYTES]) -> Self {
        let mut marks = Self::default();
        let (mut controls, mut any) = (u8x16::default(), u8x16::default());
        for (index, part) in block.as_chunks().0.iter().enumerate() {
            let bytes = u8x16::new(*part);
            let mask = |hits: u8x16| u64::from(hits.to_bitmask()) << (16 * index);
            let equal = |bytes: u8x16, byte| mask(bytes.simd_eq(u8x16::splat(byte)));
            // Square and curly brackets differ in one bit.
            let as_curly = bytes | u8x16::splat(b'{' ^ b'[');
            marks.quotes |= equal(bytes, b'"');
            marks.backslashes |= equal(bytes, b'\\');
            marks.colons |= equal(bytes, b':');
            marks.commas |= equal(bytes, b',');
            marks.opening |= equal(as_curly, b'{');
            marks.closing |= equal(as_curly, b'}');
            marks.curly |= mask(bytes.simd_eq(as_curly));
            controls |= bytes.simd_le(u8x16::splat(LAST_CONTROL));
            any |= bytes;
        }
        marks.has_control = controls.to_bitmask() != 0;
        // The highest bit of a byte.
        marks.has_non_ascii = any.to_bitmask() != 0;
        marks
    }
}
