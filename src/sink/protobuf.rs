//! Protocol Buffers as they are written: field by field into one buffer, so that a line is copied once and nothing else is
//! allocated. What we read, which is short, is for `prost`.
//!
//! `field` is the number that the `.proto` file gives it. Fields with the default value are left out by the caller.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// A message within another one.
pub(super) fn message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    encode_key(field, WireType::LengthDelimited, out);
    // Most messages are short. What is longer is moved aside for a longer length, which costs less than to look twice
    // at all that is to be written.
    out.push(0);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    if let Ok(length @ ..0x80) = u8::try_from(length) {
        out[start - 1] = length;
    } else {
        let mut varint = Vec::with_capacity(5);
        encode_varint(length as u64, &mut varint);
        out.splice(start - 1..start, varint);
    }
}

/// What comes before a message of this many bytes.
pub(super) fn head(field: u32, length: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(1 + encoded_len_varint(length as u64));
    encode_key(field, WireType::LengthDelimited, &mut head);
    encode_varint(length as u64, &mut head);
    head
}

/// A string, or bytes, in pieces.
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, pieces: &[&[u8]]) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(pieces.iter().map(|piece| piece.len() as u64).sum(), out);
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
}

/// An integer, a boolean or an enumeration; of a signed one its two's complement.
pub(super) fn varint(out: &mut Vec<u8>, field: u32, value: u64) {
    encode_key(field, WireType::Varint, out);
    encode_varint(value, out);
}

/// A `fixed64`; of a `double` its bits.
pub(super) fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    encode_key(field, WireType::SixtyFourBit, out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A `fixed32`.
pub(super) fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    encode_key(field, WireType::ThirtyTwoBit, out);
    out.extend_from_slice(&value.to_le_bytes());
}
