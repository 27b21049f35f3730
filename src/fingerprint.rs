//! What tells two pieces of content apart: hashes that are stable across builds and machines.
//!
//! SHA-256 throughout: a client chooses part of what an event says, so an identity must not be forgeable.

use sha2::{Digest, Sha256};

/// The first 64 bits of the SHA-256 of `bytes`.
#[must_use]
pub fn short(bytes: &[u8]) -> u64 {
    short_of(&Sha256::digest(bytes))
}

/// The first 128 bits of the SHA-256 of `bytes`.
#[must_use]
pub fn long(bytes: &[u8]) -> u128 {
    Sha256::digest(bytes).iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

/// The SHA-256 of `bytes`, in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    hex_of(Sha256::digest(bytes).as_slice())
}

/// A SHA-256 that is fed piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Streamed(Sha256);

impl Streamed {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// [`short`] of all pieces.
    #[must_use]
    pub fn finish_short(self) -> u64 {
        short_of(&self.0.finalize())
    }

    /// The digest of all pieces, in lower-case hexadecimal.
    #[must_use]
    pub fn finish_hex(self) -> String {
        hex_of(self.0.finalize().as_slice())
    }
}

fn short_of(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// Any bytes in lower-case hexadecimal.
pub(crate) fn hex_of(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|d| char::from(DIGITS[usize::from(d)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_plain_sha256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex(b""), empty);
        assert_eq!(Streamed::default().finish_hex(), empty);
        assert_eq!(short(b""), 0xe3b0_c442_98fc_1c14);
        assert_eq!(long(b""), 0xe3b0_c442_98fc_1c14_9afb_f4c8_996f_b924);
        let mut streamed = Streamed::default();
        streamed.update(b"ab");
        streamed.update(b"c");
        assert_eq!(streamed.finish_hex(), hex(b"abc"));
    }
}
