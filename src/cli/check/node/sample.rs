//! How fast the log was written, by the events themselves: a look at the beginning of the newest files, and at the end of the
//! last one. Events carry their time, so it does not matter when anybody looks, or what became of the files since.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use crate::config::{Output, Source};
use crate::logs::{each_event, each_line};
use crate::policy::Matcher;
use crate::source::format::{Format, Records};
use crate::source::held::Held;
use crate::source::reader;
use crate::source::series::{Entry, Series};

/// So many of the newest files are looked at.
const MOST_FILES: usize = 8;
/// And so much of each end of one: a single large event must not count for all the others.
const PIECE_BYTES: usize = 4 << 20;
/// Less time tells nothing of a pace.
const SHORTEST_SECONDS: f64 = 10.0;

/// What was seen of the pace of a log.
#[derive(Debug)]
pub(super) struct Pace {
    /// Of the fastest of the newest files; of several in a row, where one is written within seconds.
    pub(super) bytes_per_second: f64,
    /// The same in events.
    pub(super) events_per_second: f64,
    /// What of them each output takes, 0 to 1.
    pub(super) taken: Vec<f64>,
}

/// What was seen of a log.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    /// `None` if there were too few events, or of too short a time.
    pub(super) pace: Option<Pace>,
    /// Time of the last event.
    pub(super) newest: Option<Timestamp>,
    /// How much was looked at.
    pub(super) bytes: u64,
    pub(super) events: u64,
}

/// Some events.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    pub(super) taken: Vec<u64>,
}

/// A file, by its beginning.
struct Begun {
    content_bytes: u64,
    begin: Option<Timestamp>,
    end: Option<Timestamp>,
}

pub(super) fn sample(source: &Source, outputs: &[Output]) -> Sampled {
    let entries = Series::new(&source.path).list().unwrap_or_default();
    let mut matchers: Vec<Option<Matcher>> =
        outputs.iter().map(|output| output.takes.clone().map(Matcher::new)).collect();
    let mut all = Piece { taken: vec![0; outputs.len()], ..Piece::default() };
    let mut files = Vec::new();
    for entry in &entries[entries.len().saturating_sub(MOST_FILES)..] {
        files.extend(begun(entry, source.format, &mut matchers, &mut all).ok());
    }
    let newest = files.iter().rev().find_map(|file| file.end.or(file.begin));
    let speeds = (0..files.len()).filter_map(|first| bytes_per_second_from(&files[first..]));
    let bytes_per_second = speeds.fold(0.0, f64::max);
    let pace = (bytes_per_second > 0.0 && all.events > 0).then(|| Pace {
        bytes_per_second,
        events_per_second: bytes_per_second * float(all.events) / float(all.bytes),
        taken: all.taken.iter().map(|taken| float(*taken) / float(all.events)).collect(),
    });
    Sampled { pace, newest, bytes: all.bytes, events: all.events }
}

/// Of the first of these files, and of as many behind it as it takes to have time enough.
fn bytes_per_second_from(files: &[Begun]) -> Option<f64> {
    let begin = files.first()?.begin?;
    let mut content_bytes: u64 = 0;
    files.iter().enumerate().find_map(|(index, file)| {
        content_bytes = content_bytes.saturating_add(file.content_bytes);
        let end = files[index + 1..].iter().find_map(|file| file.begin).or(file.end)?;
        let seconds = end.duration_since(begin).as_secs_f64();
        (seconds >= SHORTEST_SECONDS).then(|| float(content_bytes) / seconds)
    })
}

/// Adds what is at the ends of a file to `all`.
fn begun(
    entry: &Entry,
    format: Format,
    matchers: &mut [Option<Matcher>],
    all: &mut Piece,
) -> io::Result<Begun> {
    // A pipe has no end.
    if !std::fs::metadata(&entry.path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file = Arc::new(Held::open(&entry.path)?);
    let size = file.metadata()?.len();
    let mut head = reader::head_of(&file, entry.gz, PIECE_BYTES)?;
    head.truncate(head.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    let first = all.add(format, &head, matchers);
    if entry.gz {
        let content_bytes = reader::gz_trailer_bytes(&file)?.into();
        return Ok(Begun { content_bytes, begin: first.0, end: None });
    }
    let rest = size.saturating_sub(head.len() as u64).min(PIECE_BYTES as u64);
    let mut tail = vec![0; usize::try_from(rest).unwrap_or(PIECE_BYTES)];
    let read = file.read_full_at(&mut tail, size - rest)?;
    tail.truncate(read);
    // The end of a line that has begun before.
    let whole = if rest == size.saturating_sub(head.len() as u64) {
        0
    } else {
        tail.iter().position(|byte| *byte == b'\n').map_or(read, |at| at + 1)
    };
    let last = all.add(format, &tail[whole..], matchers);
    Ok(Begun { content_bytes: size, begin: first.0, end: last.1.or(first.1) })
}

impl Piece {
    /// Adds the events of some lines; tells the time of the first and of the last of them.
    pub(super) fn add(
        &mut self,
        format: Format,
        text: &[u8],
        matchers: &mut [Option<Matcher>],
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        let (mut first, mut last) = (None, None);
        self.bytes += text.len() as u64;
        let mut line = |line: &[u8]| {
            each_event(line, |text, event| {
                let Ok(event) = event else { return };
                self.events += 1;
                let time = event.stage_timestamp.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
                first = first.or(time);
                last = time.or(last);
                for (matcher, taken) in matchers.iter_mut().zip(&mut self.taken) {
                    let parts = event.parts(text);
                    let takes = |matcher: &mut Matcher| {
                        parts.as_deref().is_none_or(|parts| matcher.takes(text, event, parts))
                    };
                    *taken += u64::from(matcher.as_mut().is_none_or(takes));
                }
            });
        };
        if format.is_plain() {
            text.split(|byte| *byte == b'\n').for_each(line);
        } else {
            each_line(&mut Records::of(format), text, |text, _| line(text));
        }
        self.first = self.first.or(first);
        self.last = last.or(self.last);
        (first, last)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn float(number: u64) -> f64 {
    number as f64
}
