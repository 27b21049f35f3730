use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::properties::{mutated, mutations};

pub(super) fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn held(file: &tempfile::NamedTempFile) -> Arc<Held> {
    Arc::new(Held::open(file.path()).unwrap())
}

/// All lines from `offset` on, the remainder included; a long one as its length, prefixed by `>`.
fn lines(content: &[u8], compress: bool, offset: u64, max: usize) -> (Vec<Vec<u8>>, u64, Head) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&if compress { gz(content) } else { content.to_vec() }).unwrap();
    let mut reader = Reader::open(held(&file), compress, offset, max).unwrap();
    let mut lines = Vec::new();
    let own = |line: Line<'_>| match line {
        Line::Whole(bytes) | Line::Piece(bytes) => bytes.to_vec(),
        Line::TooLong(long) => format!(">{}", long.line_bytes).into_bytes(),
    };
    loop {
        while let Some((_, line)) = reader.line() {
            lines.push(own(line));
            reader.consume();
        }
        if reader.read_more().unwrap() == 0 {
            break;
        }
    }
    if let Some((_, line)) = reader.remainder() {
        lines.push(own(line));
        reader.consume();
    }
    assert_eq!(reader.offset(), reader.read_offset());
    (lines, reader.offset(), reader.head())
}

proptest! {
    #![proptest_config(crate::properties::cases(64))]

    /// Whatever the lengths of the lines, compressed or not, they come out as they went in, those over the limit
    /// as their length, and the offset ends at the end.
    #[test]
    fn lines_come_out_as_they_went_in(
        lengths in prop::collection::vec(prop_oneof![0..200_usize, 250_000..270_000_usize, 500_000..800_000_usize], 0..8),
        compress: bool,
        final_newline: bool,
    ) {
        let max = 600_000;
        let mut written: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(n, len)| vec![b'a' + u8::try_from(n).unwrap(); *len]).collect();
        let mut content = written.join(&b'\n');
        if final_newline && !written.is_empty() {
            content.push(b'\n');
        } else if written.last().is_some_and(Vec::is_empty) {
            written.pop();
        }
        let (read, offset, head) = lines(&content, compress, 0, max);
        prop_assert_eq!(offset, content.len() as u64);
        prop_assert_eq!(head, Head::of(&content));
        prop_assert_eq!(read.len(), written.len());
        for (read, written) in read.iter().zip(&written) {
            let cut = format!(">{}", written.len()).into_bytes();
            prop_assert_eq!(read, if written.len() > max { &cut } else { written });
        }
    }
}

#[test]
fn goes_on_at_an_offset_with_the_same_identity() {
    let content: Vec<u8> = (0..500).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    let offset = content.windows(8).position(|w| w == b"line 300").unwrap();
    for compress in [false, true] {
        let (read, end, head) = lines(&content, compress, offset as u64, 1 << 20);
        assert_eq!((read.len(), end, head), (200, content.len() as u64, Head::of(&content)));
        assert_eq!(read[0], b"line 300");
    }
}

#[test]
fn keeps_the_beginning_the_length_and_the_hash_of_a_line_that_is_too_long() {
    let long = vec![b'x'; 3 << 20];
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&long).unwrap();
    file.write_all(b"\nnext\n").unwrap();
    let mut reader = Reader::open(held(&file), false, 0, 1 << 20).unwrap();
    let found = loop {
        if let Some((0, Line::TooLong(found))) = reader.line() {
            break found;
        }
        assert!(reader.buf.len() <= 4 << 20, "memory stays bounded");
        assert!(reader.read_more().unwrap() > 0);
    };
    assert_eq!((found.prefix.len(), found.line_bytes), (4 << 10, 3 << 20));
    assert_eq!(found.sha256, crate::fingerprint::hex(&long));
    reader.consume();
    assert_eq!(reader.offset(), (3 << 20) + 1);
    assert!(matches!(reader.line(), Some((_, Line::Whole(b"next")))));
}

#[test]
fn finds_where_the_last_line_begins() {
    for (content, expect) in [(&b""[..], 0), (b"ab", 0), (b"ab\n", 3), (b"ab\ncd", 3), (b"\n\n", 2)] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        assert_eq!(end_of_last_line(&held(&file)).unwrap(), expect);
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"a\n").unwrap();
    file.write_all(&vec![b'x'; 3 * PIECE_BYTES]).unwrap();
    assert_eq!(end_of_last_line(&held(&file)).unwrap(), 2);
}

/// The content that a compressed file yields up to its end or an error.
fn content_of(compressed: &[u8]) -> (Vec<u8>, io::Result<()>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(compressed).unwrap();
    let max = 10_000;
    let mut reader = match Reader::open(held(&file), true, 0, max) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let mut content = Vec::new();
    loop {
        while let Some((_, line)) = reader.line() {
            if let Line::Whole(line) = line {
                content.extend_from_slice(line);
                content.push(b'\n');
            }
            reader.consume();
        }
        assert!(reader.buf.len() <= max + 2 * PIECE_BYTES, "memory stays bounded");
        match reader.read_more() {
            Ok(0) => return (content, Ok(())),
            Ok(_) => {}
            Err(error) => return (content, Err(error)),
        }
    }
}

proptest! {
    #![proptest_config(crate::properties::cases(200))]

    /// Whatever a compressed file holds, reading it does not panic and takes bounded memory. One that is cut yields a
    /// prefix of its lines; one that is spoilt yields an error, unless its content is untouched.
    #[test]
    fn a_spoilt_compressed_file_is_an_error_not_other_lines(
        members in prop::collection::vec(prop::collection::vec("[a-c]{0,400}\n", 0..40), 1..4),
        cut: prop::sample::Index,
        spoilt: prop::sample::Index,
        bit in 0..8_u8,
        mutations in mutations(),
        anything in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let content = members.concat().concat().into_bytes();
        let compressed: Vec<u8> = members.iter().flat_map(|lines| gz(lines.concat().as_bytes())).collect();
        let (all, end) = content_of(&compressed);
        prop_assert!(all == content && end.is_ok());
        let (some, _) = content_of(&compressed[..cut.index(compressed.len())]);
        prop_assert!(content.starts_with(&some));
        let mut flipped = compressed.clone();
        flipped[spoilt.index(compressed.len())] ^= 1 << bit;
        let (found, end) = content_of(&flipped);
        prop_assert!(end.is_err() || found == content);
        for hostile in [mutated(&compressed, &mutations), [&compressed, &anything[..]].concat(), anything] {
            let _ = content_of(&hostile);
        }
    }
}

#[test]
fn nuls_end_a_line_and_are_part_of_the_identity() {
    for (content, compress) in [(&b"\0\0ab\0\0\0\ncd\n\0"[..], false), (&b"\0\0ab\0\0\0\ncd\n\0"[..], true)] {
        let (read, offset, head) = lines(content, compress, 0, 100);
        assert_eq!(read, [&b"ab"[..], b"", b"cd"]);
        assert_eq!((offset, head), (content.len() as u64, Head::of(content)));
    }
    let content = [vec![0; 3 * PIECE_BYTES + 5], b"a\n".to_vec()].concat();
    let (read, offset, head) = lines(&content, false, 0, 100);
    assert_eq!((read, offset, head), (vec![b"a".to_vec()], content.len() as u64, Head::of(&[0; 2000])));
}

#[test]
fn a_nul_ends_a_line_that_is_too_long_as_well() {
    let content = [vec![b'x'; 300], vec![0; 2], vec![b'y'; 200], b"\nz\n".to_vec()].concat();
    let (read, offset, head) = lines(&content, false, 0, 100);
    assert_eq!(read, [&b">300"[..], b">200", b"z"]);
    assert_eq!((offset, head), (content.len() as u64, Head::of(&content)));
}
