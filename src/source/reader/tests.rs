use std::io::Write as _;

use proptest::prelude::*;

use super::*;

fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// All lines from `offset` on, the remainder included; a long one as its length, prefixed by `>`.
fn lines(content: &[u8], compress: bool, offset: u64, max: usize) -> (Vec<Vec<u8>>, u64, Head) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&if compress { gz(content) } else { content.to_vec() }).unwrap();
    let mut reader = Reader::open(file.path(), compress, offset, max).unwrap();
    let mut lines = Vec::new();
    let own = |line: Line<'_>| match line {
        Line::Whole(bytes) => bytes.to_vec(),
        Line::TooLong(long) => format!(">{}", long.line_bytes).into_bytes(),
    };
    loop {
        while let Some(line) = reader.line() {
            lines.push(own(line));
            reader.consume();
        }
        if reader.read_more().unwrap() == 0 {
            break;
        }
    }
    if let Some(line) = reader.remainder() {
        lines.push(own(line));
        reader.consume();
    }
    assert_eq!(reader.offset(), reader.read_offset());
    (lines, reader.offset(), reader.head())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

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
            // The limit is looked at when a piece has been read, so a line just over it may still come out whole.
            let cut = format!(">{}", written.len()).into_bytes();
            prop_assert!(read == written || (written.len() > max && *read == cut));
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
    let mut reader = Reader::open(file.path(), false, 0, 1 << 20).unwrap();
    let found = loop {
        if let Some(Line::TooLong(found)) = reader.line() {
            break found;
        }
        assert!(reader.buf.len() <= 4 << 20, "memory stays bounded");
        assert!(reader.read_more().unwrap() > 0);
    };
    assert_eq!((found.prefix.len(), found.line_bytes), (PREFIX_BYTES, 3 << 20));
    assert_eq!(found.sha256, crate::fingerprint::hex(&long));
    reader.consume();
    assert_eq!(reader.offset(), (3 << 20) + 1);
    assert!(matches!(reader.line(), Some(Line::Whole(b"next"))));
}

#[test]
fn finds_where_the_last_line_begins() {
    for (content, expect) in [(&b""[..], 0), (b"ab", 0), (b"ab\n", 3), (b"ab\ncd", 3), (b"\n\n", 2)] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        assert_eq!(end_of_last_line(file.path()).unwrap(), expect);
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"a\n").unwrap();
    file.write_all(&vec![b'x'; 3 * PIECE_BYTES]).unwrap();
    assert_eq!(end_of_last_line(file.path()).unwrap(), 2);
}
