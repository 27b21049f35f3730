//! Where a list or an object ends.

use fearless_simd::{Level as Instructions, Simd, dispatch};

use super::block::{BLOCK_BYTES, FILLER, Marks, escaped, parity};
use super::string_end;

/// Most containers are shorter, and to find out what the processor can takes longer than to look.
const SHORT_BYTES: usize = 128;

/// Past the bracket that closes the one at `open`.
pub(super) fn container_end(text: &[u8], open: usize) -> usize {
    let (mut at, mut depth) = (open, 0_usize);
    while at < open + SHORT_BYTES {
        match text.get(at) {
            Some(b'"') => {
                at = string_end(text, at);
                continue;
            }
            Some(b'{' | b'[') => depth += 1,
            Some(b'}' | b']') => depth = depth.saturating_sub(1),
            Some(_) => {}
            None => return text.len(),
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    let Some(rest) = text.get(at..) else { return text.len() };
    dispatch!(Instructions::new(), simd => end_of_rest(simd, rest, depth)).map_or(text.len(), |end| at + end)
}

/// Where `depth` containers are closed, block by block.
#[expect(clippy::inline_always, reason = "it is compiled for the instructions of its caller")]
#[inline(always)]
fn end_of_rest<S: Simd>(simd: S, text: &[u8], mut depth: usize) -> Option<usize> {
    // All ones within a string; a bit behind a backslash.
    let (mut in_string, mut is_escaped) = (0_u64, 0_u64);
    let mut end_in = |block: &[u8; BLOCK_BYTES]| {
        let marks = Marks::of(simd, block);
        let quotes = marks.quotes & !escaped(marks.backslashes, &mut is_escaped);
        let strings = parity(quotes) ^ in_string;
        in_string = (strings >> (u64::BITS - 1)).wrapping_neg();
        let (opening, closing) = (marks.opening & !strings, marks.closing & !strings);
        let closed = closing.count_ones() as usize;
        if closed < depth {
            depth = depth - closed + opening.count_ones() as usize;
            return None;
        }
        let mut brackets = opening | closing;
        while brackets != 0 {
            let bit = brackets.trailing_zeros();
            depth = if opening >> bit & 1 == 1 { depth + 1 } else { depth - 1 };
            if depth == 0 {
                return Some(bit as usize + 1);
            }
            brackets &= brackets - 1;
        }
        None
    };
    let (blocks, rest) = text.as_chunks();
    for (index, block) in blocks.iter().enumerate() {
        if let Some(end) = end_in(block) {
            return Some(index * BLOCK_BYTES + end);
        }
    }
    let mut block = [FILLER; BLOCK_BYTES];
    block[..rest.len()].copy_from_slice(rest);
    end_in(&block).map(|end| text.len() - rest.len() + end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::properties::cases;

    /// Byte by byte.
    fn naive_end(text: &[u8]) -> usize {
        let (mut at, mut depth) = (0, 0_usize);
        while let Some(byte) = text.get(at) {
            match byte {
                b'"' => {
                    at = string_end(text, at);
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                return at;
            }
        }
        text.len()
    }

    proptest! {
        #![proptest_config(cases(2000))]

        /// A container ends at the same place for one who looks at each byte, whatever is in its strings and however long it is.
        #[test]
        fn blocks_find_the_end_that_bytes_do(
            pieces in proptest::collection::vec(
                r#"[\[{]{1,3}|[\]}]|[0-9,:]{1,9}|"([ax{}\[\],]|\\["\\]){0,60}""#, 0..60)
        ) {
            let text = format!("{{[[{}", pieces.concat());
            prop_assert_eq!(container_end(text.as_bytes(), 0), naive_end(text.as_bytes()));
        }
    }
}
