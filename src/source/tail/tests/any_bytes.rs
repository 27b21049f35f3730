//! Any bytes in: what becomes of them, against a slow and simple model.

use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::batch::Reason;
use crate::event::{Event, glued};

/// What the bytes of a log became.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Outcome {
    events: Vec<Vec<u8>>,
    /// Where they begin, what is kept of them, and how long they are.
    asides: Vec<(u64, Reason, Vec<u8>, u64)>,
}

impl Outcome {
    fn since(&self, events: usize, asides: usize) -> Self {
        Self { events: self.events[events..].to_vec(), asides: self.asides[asides..].to_vec() }
    }
}

/// The model: what becomes of `content`, and which bytes of it are events. Everything is tried everywhere.
fn expected(content: &[u8], max_line_bytes: usize) -> (Outcome, Vec<Range<usize>>) {
    let (mut outcome, mut shipped, mut begin) = (Outcome::default(), Vec::new(), 0);
    for line in content.split(|byte| matches!(byte, b'\n' | 0)) {
        if line.len() > max_line_bytes {
            let prefix = line[..line.len().min(4096)].to_vec();
            let aside = without_returns(prefix, line.len() as u64);
            outcome.asides.push((begin as u64, Reason::TooLarge, aside.0, aside.1));
        } else {
            let mut from = 0;
            for end in ends(line) {
                let piece = bare(&line[from..end]);
                let at = begin + from + line[from..end].len() - without_mark(&line[from..end]).len();
                if Event::parse(piece).is_ok() {
                    shipped.push(at..at + piece.len());
                    outcome.events.push(piece.trim_ascii().to_vec());
                } else if !piece.iter().all(u8::is_ascii_whitespace) {
                    let offset = (begin + from) as u64;
                    let aside = without_returns(piece.to_vec(), piece.len() as u64);
                    outcome.asides.push((offset, Reason::Malformed, aside.0, aside.1));
                }
                from = end;
            }
        }
        begin += line.len() + 1;
    }
    (outcome, shipped)
}

/// A line that is set aside, and its length: of several carriage returns at its end, one or two are no part of it.
fn without_returns(mut line: Vec<u8>, line_bytes: u64) -> (Vec<u8>, u64) {
    let before = line.len();
    while line.pop_if(|last| *last == b'\r').is_some() {}
    let returns = (before - line.len()) as u64;
    (line, line_bytes - returns)
}

fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(glued::BOM).unwrap_or(line)
}

fn bare(line: &[u8]) -> &[u8] {
    let line = without_mark(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Where the pieces of a line end, its own end among them.
fn ends(line: &[u8]) -> Vec<usize> {
    let (mut ends, mut free) = (Vec::new(), 0);
    while Event::parse(bare(line)).is_err() {
        let marked = free + line[free..].len() - without_mark(&line[free..]).len();
        let first = line[marked..].iter().position(|byte| !b" \t\r".contains(byte)).map(|at| marked + at);
        let event = (free..line.len()).find_map(|at| {
            let begins = line[at..].starts_with(br#"{"kind":"Event","apiVersion":"audit.k8s.io/"#);
            (begins || Some(at) == first).then(|| event_at(line, at)).flatten()
        });
        let Some(event) = event else { break };
        ends.extend([event.start, event.end]);
        free = event.end;
    }
    ends.push(line.len());
    ends
}

fn event_at(line: &[u8], at: usize) -> Option<Range<usize>> {
    let mut values = serde_json::Deserializer::from_slice(&line[at..]).into_iter::<serde::de::IgnoredAny>();
    let is_object = line[at] == b'{' && values.next()?.is_ok();
    let event = at..at + values.byte_offset();
    let next = line[event.end..].iter().find(|byte| !b" \t\r".contains(byte));
    let goes_on = next.is_some_and(|byte| b",}]".contains(byte));
    (is_object && !goes_on && Event::parse(&line[event.clone()]).is_ok()).then_some(event)
}

/// An event whose body looks like an event.
fn nested(number: usize) -> String {
    let body = event(number);
    format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","requestObject":[{body},{{"a":{body}}}]}}"#)
}

#[derive(Debug, Clone)]
enum Segment {
    Event(usize),
    Nested(usize),
    Torn(usize, Index),
    TornNested(usize, Index),
    /// Just before a value, where what follows looks like a part of the body.
    TornBeforeValue,
    Newline,
    Nuls(usize),
    Text(&'static str),
    Bytes(Vec<u8>),
}

const TEXTS: &[&str] = &[
    "\r\n",
    "\r",
    "\u{feff}",
    " ",
    "\t",
    "{",
    "}",
    ",",
    "]",
    "\"",
    "\\",
    "{\"a\":\"",
    "I1122 klog",
    "\u{e9}",
];

fn segment() -> impl Strategy<Value = Segment> {
    prop_oneof![
        6 => (0..999_usize).prop_map(Segment::Event),
        1 => (0..999_usize).prop_map(Segment::Nested),
        3 => (0..999_usize, any::<Index>()).prop_map(|(number, at)| Segment::Torn(number, at)),
        2 => (0..999_usize, any::<Index>()).prop_map(|(number, at)| Segment::TornNested(number, at)),
        1 => Just(Segment::TornBeforeValue),
        5 => Just(Segment::Newline),
        2 => prop_oneof![1..5_usize, 4000..9000_usize].prop_map(Segment::Nuls),
        4 => prop::sample::select(TEXTS).prop_map(Segment::Text),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Segment::Bytes),
    ]
}

impl Segment {
    fn bytes(&self) -> Vec<u8> {
        let torn = |text: String, at: &Index| text.as_bytes()[..at.index(text.len())].to_vec();
        match self {
            Self::Event(number) => event(*number).into_bytes(),
            Self::Nested(number) => nested(*number).into_bytes(),
            Self::Torn(number, at) => torn(event(*number), at),
            Self::TornNested(number, at) => torn(nested(*number), at),
            Self::TornBeforeValue => {
                br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","requestObject":{"a":["#.to_vec()
            }
            Self::Newline => b"\n".to_vec(),
            Self::Nuls(count) => vec![0; *count],
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// A tail, and what it made of the log so far.
struct Reading {
    tail: Tail,
    limits: Limits,
    outcome: Outcome,
    nul_bytes: u64,
    /// Each position that was reported, with the numbers of events and asides before it.
    cursors: Vec<(usize, usize, Cursor)>,
}

impl Reading {
    fn new(log: &Log, cursor: Option<&Cursor>, max_lines: usize, max_line_bytes: usize) -> Self {
        Self {
            tail: Tail::new(
                PinSet::of_one(&log.path("audit.log")),
                0,
                cursor,
                StartAt::Oldest,
                max_line_bytes,
            ),
            limits: Limits { max_lines, ..LIMITS },
            outcome: Outcome::default(),
            nul_bytes: 0,
            cursors: Vec::new(),
        }
    }

    fn read(&mut self) {
        loop {
            let mut batch = Batch::new(Buffers::default());
            let progress = self.tail.fill(&mut batch, &self.limits).unwrap();
            batch.seal();
            assert!(batch.lines() <= self.limits.max_lines);
            // Blanks around an event are no part of it, and a piece of a line may keep them where a line does not.
            let lines = (0..batch.events()).map(|index| batch.line(index).trim_ascii().to_vec());
            self.outcome.events.extend(lines);
            self.outcome.asides.extend(batch.take_asides().into_iter().map(|aside| {
                let (line, bytes) = without_returns(aside.line, aside.line_bytes);
                (aside.origin.unwrap().offset, aside.reason, line, bytes)
            }));
            self.nul_bytes += self.tail.take_observed().nuls.iter().map(|nuls| nuls.bytes).sum::<u64>();
            let (events, asides) = (self.outcome.events.len(), self.outcome.asides.len());
            self.cursors.extend(batch.end().map(|end| (events, asides, end.clone())));
            if progress == Progress::AtEnd {
                return;
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::properties::cases(150))]

    /// Whatever bytes are in the log, however they come and however small a batch is: each is in exactly one of an event
    /// that is shipped, a line that is set aside, a newline, a run of NULs, an empty line or a mark of byte order; every
    /// whole event is shipped, in order, unless its line is too long or a comma or a bracket follows it; and from every
    /// position that was reported, another reader makes the same of the rest.
    #[test]
    fn every_byte_has_one_fate(
        segments in prop::collection::vec(segment(), 0..25),
        pieces in prop::collection::vec(1..300_usize, 1..20),
        max_lines in 1..4_usize,
        max_line_bytes in prop::sample::select(&[30, 200, 1000, 1 << 20][..]),
        restart: Index,
    ) {
        let (mut content, mut whole) = (Vec::new(), Vec::new());
        for segment in &segments {
            let begin = content.len();
            content.extend(segment.bytes());
            whole.extend(matches!(segment, Segment::Event(_)).then(|| begin..content.len()));
        }
        let mut log = Log::new();
        let mut reading = Reading::new(&log, None, max_lines, max_line_bytes);
        let (mut rest, mut sizes) = (content.as_slice(), pieces.iter().cycle());
        while !rest.is_empty() {
            let (piece, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            log.file.write_all(piece).unwrap();
            rest = later;
            reading.read();
        }
        log.rotate();
        reading.read();

        let (expected, shipped) = expected(&content, max_line_bytes);
        prop_assert_eq!(&reading.outcome, &expected);
        prop_assert_eq!(reading.nul_bytes, memchr::memchr_iter(0, &content).count() as u64);
        for event in whole {
            let begin = content[..event.start].iter().rposition(|byte| matches!(byte, b'\n' | 0)).map_or(0, |at| at + 1);
            let behind = &content[event.end..];
            let end = behind.iter().position(|byte| matches!(byte, b'\n' | 0)).unwrap_or(behind.len());
            let next = behind[..end].iter().find(|byte| !b" \t\r".contains(byte));
            let goes_on = next.is_some_and(|byte| b",}]".contains(byte));
            let too_long = event.end + end - begin > max_line_bytes;
            // An item keeps the blanks around it.
            let is_shipped = shipped.iter().any(|item| {
                item.contains(&event.start) && content[item.clone()].trim_ascii() == &content[event.clone()]
            });
            prop_assert!(goes_on || too_long || is_shipped, "{event:?}");
        }
        let last = |cursor: &Cursor| cursor.last.as_ref().map(|last| last.offset);
        let in_first = reading.cursors.iter().filter_map(|(_, _, cursor)| last(cursor));
        prop_assert!(in_first.is_sorted());
        if !reading.cursors.is_empty() {
            let (events, asides, cursor) = restart.get(&reading.cursors);
            let mut again = Reading::new(&log, Some(cursor), max_lines, max_line_bytes);
            again.read();
            prop_assert_eq!(again.outcome, expected.since(*events, *asides));
        }
    }
}
