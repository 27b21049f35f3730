//! Logs that a container runtime writes, and kubelet rotates.

mod corners;

use proptest::prelude::*;

use super::*;
use crate::batch::Reason;
use crate::properties::{cases, mutated, mutations};
use crate::source::format::Stream;
use crate::source::format::tests::{physical, wrapped};

const KLOG: &str = "I1122 02:16:11.462030   12676 flags.go:59] FLAG: --audit-log-path=\"-\"";

/// What was read so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    events: Vec<Vec<u8>>,
    /// What is kept of them, and how long they are.
    asides: Vec<(Reason, Vec<u8>, u64)>,
    skipped: u64,
    log_bytes: u64,
}

/// A reader of a log, and the position that a restart goes on from.
struct Reading {
    format: Format,
    tail: Tail,
    max_line_bytes: usize,
    limits: Limits,
    outcome: Outcome,
    cursor: Option<Cursor>,
}

impl Reading {
    fn new(log: &Log, format: Format, max_lines: usize, max_line_bytes: usize) -> Self {
        let limits = Limits { max_lines, ..LIMITS };
        let tail = Self::tail(log, format, None, max_line_bytes);
        Self { format, tail, max_line_bytes, limits, outcome: Outcome::default(), cursor: None }
    }

    fn tail(log: &Log, format: Format, cursor: Option<&Cursor>, max_line_bytes: usize) -> Tail {
        let pins = PinSet::of_one(&log.path("audit.log"));
        Tail::new(pins, 0, cursor, StartAt::Oldest, max_line_bytes).in_format(format)
    }

    /// Reads at most so many batches.
    fn read(&mut self, batches: usize) {
        self.tail.looked = None;
        for _ in 0..batches {
            let mut batch = Batch::new(Buffers::default());
            let progress = self.tail.fill(&mut batch, &self.limits).unwrap();
            batch.seal();
            assert!(batch.lines() <= self.limits.max_lines);
            self.outcome.events.extend((0..batch.events()).map(|index| batch.line(index)));
            let asides = batch.take_asides().into_iter();
            self.outcome.asides.extend(asides.map(|aside| (aside.reason, aside.line, aside.line_bytes)));
            self.outcome.skipped += batch.skipped().lines;
            self.outcome.log_bytes += batch.log_bytes();
            self.cursor = batch.end().cloned().or(self.cursor.take());
            if progress == Progress::AtEnd {
                return;
            }
        }
    }

    /// Another daemon goes on from the last position.
    fn kill(&mut self, log: &Log) {
        self.tail = Self::tail(log, self.format, self.cursor.as_ref(), self.max_line_bytes);
    }
}

/// Events of a container, and what else it wrote.
fn container() -> impl Strategy<Value = Vec<(Stream, Vec<u8>)>> {
    let line = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Stream::Stdout)),
        2 => Just(Some(Stream::Stderr)),
    ];
    prop::collection::vec(line, 1..25).prop_map(|lines| {
        let mut number = 0;
        let mut of = |line| match line {
            Some(stream) => (stream, KLOG.into()),
            None => {
                number += 1;
                (Stream::Stdout, event(number - 1).into_bytes())
            }
        };
        lines.into_iter().map(&mut of).collect()
    })
}

/// What happens behind a physical line.
#[derive(Debug, Clone)]
enum Step {
    Nothing,
    Rotate,
    /// The file is renamed, and the runtime writes so many more lines to it before there is a new one.
    RotateLate(usize),
    Gzip,
    Read(usize),
    Kill,
    /// A part of the next line is written, and read.
    Tear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Nothing),
        3 => Just(Step::Rotate),
        1 => (1..4_usize).prop_map(Step::RotateLate),
        1 => Just(Step::Gzip),
        5 => (1..5_usize).prop_map(Step::Read),
        1 => Just(Step::Kill),
        1 => Just(Step::Tear),
    ]
}

/// Writes `lines` as `steps` say, and reads them.
fn run(format: Format, lines: &[Vec<u8>], steps: &[Step], max_lines: usize) -> (Reading, Log) {
    let mut log = Log::new();
    let mut reading = Reading::new(&log, format, max_lines, 1 << 20);
    let (mut late, mut backup) = (None, None);
    for (line, step) in lines.iter().zip(steps.iter().cycle()) {
        if matches!(step, Step::Tear) {
            let (torn, rest) = line.split_at(line.len() / 2);
            log.file.write_all(torn).unwrap();
            reading.read(2);
            log.file.write_all(rest).unwrap();
        } else {
            log.file.write_all(line).unwrap();
        }
        late = late.and_then(|left: usize| left.checked_sub(1));
        if late == Some(0) {
            log.file = append(&log.path("audit.log"));
            late = None;
        }
        match step {
            Step::Read(batches) => reading.read(*batches),
            Step::Kill => reading.kill(&log),
            Step::Rotate if late.is_none() => backup = Some(log.rotate()),
            Step::RotateLate(lines) if late.is_none() => {
                log.rotations += 1;
                let name = Log::stamped(log.rotations);
                fs::rename(log.path("audit.log"), log.path(&name)).unwrap();
                (late, backup) = (Some(*lines), None);
            }
            Step::Gzip if late.is_none() => {
                if let Some(backup) = backup.take() {
                    log.gzip(&backup);
                }
            }
            // What is told while the file has no successor yet is not done.
            Step::Nothing | Step::Tear | Step::Rotate | Step::RotateLate(_) | Step::Gzip => {}
        }
    }
    reading.read(usize::MAX);
    (reading, log)
}

proptest! {
    #![proptest_config(cases(200))]

    /// However the runtime cuts a container's lines into parts and mixes its streams, wherever the file is rotated, even
    /// between two parts, and however small a batch is: each event arrives exactly once, as it was, in the order in which
    /// they ended, everything else is skipped and counted, and each byte of the files counts once.
    #[test]
    fn every_event_arrives_once(
        written in container(),
        cuts in prop::collection::vec(5..90_usize, 1..5),
        turns in prop::collection::vec(any::<bool>(), 1..9),
        steps in prop::collection::vec(step(), 1..40),
        docker: bool,
        auto: bool,
        max_lines in 1..5_usize,
    ) {
        let format = if docker { Format::Docker } else { Format::Cri };
        let (lines, ends) = wrapped(format, &written, &cuts, &turns);
        let is_kill = |step: &Step| matches!(step, Step::Kill);
        let steps: Vec<_> = steps.into_iter().map(|step| if is_kill(&step) { Step::Nothing } else { step }).collect();
        let (mut reading, _log) = run(if auto { Format::Auto } else { format }, &lines, &steps, max_lines);
        let is_event = |text: &[u8]| text.starts_with(b"{");
        let events = ends.iter().map(|end| written[*end].1.clone()).filter(|text| is_event(text));
        let expected = Outcome {
            events: events.collect(),
            asides: Vec::new(),
            skipped: written.iter().filter(|(_, text)| !is_event(text)).count() as u64,
            log_bytes: lines.iter().map(|line| line.len() as u64).sum(),
        };
        prop_assert_eq!(&reading.outcome, &expected);
        prop_assert_eq!(reading.tail.unread_bytes().unwrap(), 0);
    }

    /// The same where the daemon is killed: each event arrives, some of them twice, and nothing else does.
    #[test]
    fn every_event_arrives_whatever_is_killed(
        written in container(),
        cuts in prop::collection::vec(5..90_usize, 1..5),
        turns in prop::collection::vec(any::<bool>(), 1..9),
        steps in prop::collection::vec(step(), 1..40),
        docker: bool,
        max_lines in 1..5_usize,
    ) {
        let format = if docker { Format::Docker } else { Format::Cri };
        let (lines, _) = wrapped(format, &written, &cuts, &turns);
        let (reading, _log) = run(format, &lines, &steps, max_lines);
        let written: Vec<_> = written.into_iter().map(|(_, text)| text).filter(|text| text.starts_with(b"{")).collect();
        let missing = written.iter().filter(|text| !reading.outcome.events.contains(text)).count();
        prop_assert_eq!(missing, 0);
        prop_assert!(reading.outcome.events.iter().all(|event| written.contains(event)));
        prop_assert_eq!(reading.outcome.asides, []);
    }

    /// Whatever bytes there are, and however short a line may be: how they come and how small a batch is makes no
    /// difference to what becomes of them.
    #[test]
    fn how_bytes_come_makes_no_difference(
        written in container(),
        cuts in prop::collection::vec(5..90_usize, 1..5),
        turns in prop::collection::vec(any::<bool>(), 1..9),
        mutations in mutations(),
        pieces in prop::collection::vec(1..300_usize, 1..20),
        format in prop::sample::select(&[Format::Cri, Format::Docker, Format::Legacy, Format::Auto][..]),
        max_lines in 1..4_usize,
        max_line_bytes in prop::sample::select(&[30, 100, 400, 1 << 20][..]),
    ) {
        let runtime = if format == Format::Docker { Format::Docker } else { Format::Cri };
        let (lines, _) = wrapped(runtime, &written, &cuts, &turns);
        // It begins as it should, or it would not be read at all.
        let first = if format == Format::Legacy { b"\n".to_vec() } else { physical(runtime, Stream::Stderr, b"x", true) };
        let content = [first, mutated(&lines.concat(), &mutations)].concat();
        let read = |pieces: &[usize], max_lines: usize| {
            let mut log = Log::new();
            let mut reading = Reading::new(&log, format, max_lines, max_line_bytes);
            reading.tail.is_new = false;
            let (mut rest, mut sizes) = (content.as_slice(), pieces.iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                log.file.write_all(piece).unwrap();
                rest = later;
                reading.read(usize::MAX);
            }
            log.rotate();
            reading.read(usize::MAX);
            // What is left open waits for the next file.
            log.file.write_all(&physical(runtime, Stream::Stdout, b"", true)).unwrap();
            log.file.write_all(&physical(runtime, Stream::Stderr, b"", true)).unwrap();
            log.rotate();
            reading.read(usize::MAX);
            reading.outcome.log_bytes = 0;
            reading.outcome
        };
        if format == Format::Legacy {
            return Ok(());
        }
        prop_assert_eq!(read(&pieces, max_lines), read(&[usize::MAX], 1000));
    }
}
