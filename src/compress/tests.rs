use std::cell::Cell;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use proptest::prelude::*;

use super::*;
use crate::demo::replay::Replay;

const BOTH: [Coding; 2] = [Coding::Gzip, Coding::Zstd];

fn compressor(coding: Coding, level: u8) -> Compressor {
    Compressor::new(Compression { coding, level }, Buffers::new(4 * BUFFER_BYTES))
}

/// What a receiver of `body` reads.
pub(crate) fn decoded(body: &Body) -> Vec<u8> {
    let sent = body.concat();
    let mut plain = Vec::new();
    match body.coding() {
        None => return sent,
        Some(Coding::Gzip) => MultiGzDecoder::new(&sent[..]).read_to_end(&mut plain).unwrap(),
        Some(Coding::Zstd) => {
            zstd::stream::read::Decoder::new(&sent[..]).unwrap().read_to_end(&mut plain).unwrap()
        }
    };
    plain
}

/// The first `count` real events, in pieces of `bytes`.
fn real(count: u64, bytes: usize) -> Body {
    let (replay, mut line, mut all) = (Replay::bundled(), Vec::new(), Vec::new());
    for n in 0..count {
        replay.line(n, &mut line);
        all.extend_from_slice(&line);
    }
    all.chunks(bytes).map(Bytes::copy_from_slice).collect()
}

/// What no library makes smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut generator = fastrand::Rng::with_seed(5);
    std::iter::repeat_with(|| generator.u8(..)).take(bytes).collect()
}

#[test]
fn real_events_come_out_as_they_went_in_at_every_level() {
    let body = real(400, 100_000);
    for (coding, most) in [(Coding::Gzip, 9), (Coding::Zstd, 19)] {
        for level in 1..=most {
            let packed = compressor(coding, level).compress(&body, || true).unwrap();
            assert_eq!(packed.coding(), Some(coding));
            assert!(decoded(&packed) == body.concat(), "{coding:?} {level}");
            assert!(packed.len() * 5 < body.len(), "{coding:?} {level}: {} of {}", packed.len(), body.len());
        }
    }
}

#[test]
fn the_frame_tells_its_length_and_has_a_checksum() {
    let body = real(10, 5000);
    let packed = compressor(Coding::Zstd, 1).compress(&body, || true).unwrap().concat();
    assert_eq!(zstd::zstd_safe::get_frame_content_size(&packed).unwrap(), Some(body.len()));
    // The flag of the frame header (RFC 8878, 3.1.1.1.1).
    assert_ne!(packed[4] & 4, 0);
    for coding in BOTH {
        let mut spoilt = compressor(coding, 1).compress(&body, || true).unwrap().concat();
        // The checksum of both is at the end; that of gzip is followed by the length.
        let last = spoilt.len() - if coding == Coding::Gzip { 5 } else { 1 };
        spoilt[last] ^= 1;
        let plain = match coding {
            Coding::Gzip => MultiGzDecoder::new(&spoilt[..]).read_to_end(&mut Vec::new()),
            Coding::Zstd => {
                zstd::stream::read::Decoder::new(&spoilt[..]).unwrap().read_to_end(&mut Vec::new())
            }
        };
        assert!(plain.is_err(), "{coding:?}");
    }
}

#[test]
fn what_cannot_be_made_smaller_takes_little_more_and_comes_in_pieces() {
    for coding in BOTH {
        for bytes in [0, 1, 100, BUFFER_BYTES, 3 * BUFFER_BYTES] {
            // In one piece, as a long event is.
            let body: Body = [Bytes::from(noise(bytes))].into_iter().collect();
            let packed = compressor(coding, 1).compress(&body, || true).unwrap();
            assert!(decoded(&packed) == body.concat());
            assert!(
                packed.len() <= body.len() + body.len() / 16 + 64,
                "{coding:?}: {} of {bytes}",
                packed.len()
            );
            assert!(packed.pieces().all(|piece| piece.len() <= BUFFER_BYTES));
        }
    }
}

#[test]
fn a_small_body_holds_no_buffer() {
    for coding in BOTH {
        let buffers = Buffers::new(BUFFER_BYTES);
        let place = buffers.take(1).as_ptr();
        let mut compressor = Compressor::new(Compression { coding, level: 1 }, buffers.clone());
        let packed = compressor.compress(&real(1, 1 << 20), || true).unwrap();
        assert_eq!(buffers.take(1).as_ptr(), place);
        drop(packed);
    }
}

#[test]
fn nothing_is_left_of_a_body_that_is_wanted_no_more() {
    for coding in BOTH {
        let mut compressor = compressor(coding, 1);
        let body = real(50, 3000);
        let before = compressor.compress(&body, || true).unwrap().concat();
        let asked = Cell::new(0);
        let interrupted = compressor.compress(&real(400, 3000), || asked.replace(asked.get() + 1) < 7);
        assert_eq!(interrupted.unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(compressor.compress(&body, || true).unwrap().concat() == before);
    }
}

/// Bytes with repetitions in them, in pieces of any length.
fn body() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..600),
        (any::<u8>(), 0..400_000usize).prop_map(|(byte, count)| vec![byte; count]),
        (0..300_000usize).prop_map(noise),
    ];
    prop::collection::vec(piece, 0..8)
}

proptest! {
    #![proptest_config(crate::properties::cases(60))]

    /// Bodies come out of one compressor as they went into it, whatever went before them, and each one as it would come
    /// out of a new one.
    #[test]
    fn one_body_after_the_other(bodies in prop::collection::vec(body(), 1..4), gzip: bool) {
        let coding = BOTH[usize::from(!gzip)];
        let mut used = compressor(coding, 1);
        for pieces in bodies {
            let body: Body = pieces.into_iter().map(Bytes::from).collect();
            let packed = used.compress(&body, || true).unwrap();
            prop_assert!(decoded(&packed) == body.concat());
            let anew = compressor(coding, 1).compress(&body, || true).unwrap();
            prop_assert!(anew.concat() == packed.concat());
        }
    }
}
