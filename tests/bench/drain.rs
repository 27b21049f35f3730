//! `cargo bench`: what the way of an event costs, as a ratio to a floor in the same run.
//!
//! The floor is the least that any shipper which checks its lines must do: read the file, find the newlines, have
//! serde_json check each line. The machine's noise is in both, so ratios are what counts; each is the median of several
//! rounds in which all candidates take turns.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use audit_shipper::batch::{Batch, Limits};
use audit_shipper::buffers::Buffers;
use audit_shipper::config::StartAt;
use audit_shipper::demo::replay::Replay;
use audit_shipper::event::Event;
use audit_shipper::sink::HttpSink as _;
use audit_shipper::sink::webhook::Webhook;
use audit_shipper::source::pins::PinSet;
use audit_shipper::source::tail::{Progress, Tail};

const LOG_BYTES: usize = 200 << 20;
const ROUNDS: usize = 5;
const BATCH: Limits =
    Limits { max_lines: 400, max_bytes: 10 << 20, max_first_line_bytes: usize::MAX, max_event_size: None };

/// Reads and checks each line, and nothing else. Returns how many there were.
fn floor(log: &Path) -> usize {
    let mut file = File::open(log).expect("the log is there");
    let (mut buffer, mut kept, mut lines) = (vec![0; 1 << 20], 0, 0);
    loop {
        let count = file.read(&mut buffer[kept..]).expect("the log can be read");
        if count == 0 {
            return lines;
        }
        let (mut start, end) = (0, kept + count);
        while let Some(length) = memchr::memchr(b'\n', &buffer[start..end]) {
            lines += usize::from(Event::parse(&buffer[start..start + length]).is_ok());
            start += length + 1;
        }
        buffer.copy_within(start..end, 0);
        kept = end - start;
    }
}

/// The whole way up to the network: tail, check, truncate, items, bodies. Returns how many events there were.
fn drain(log: &Path, limits: &Limits) -> usize {
    let buffers = Buffers::new(8 << 20);
    let mut tail = Tail::new(PinSet::of_one(log), 0, None, StartAt::Oldest, 16 << 20);
    let (mut events, mut bytes) = (0, 0);
    loop {
        let mut batch = Batch::new(buffers.clone());
        let progress = tail.fill(&mut batch, limits).expect("the log can be read");
        batch.seal();
        events += batch.events();
        bytes += Webhook.body(batch.version(), batch.items(0..batch.events())).len();
        if progress == Progress::AtEnd {
            assert!(bytes > 0);
            return events;
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() -> std::io::Result<()> {
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("audit.log");
    let (replay, mut line, mut written, mut events) = (Replay::bundled(), Vec::new(), 0, 0);
    let mut file = std::io::BufWriter::new(File::create(&log)?);
    while written < LOG_BYTES {
        replay.line(events, &mut line);
        file.write_all(&line)?;
        written += line.len();
        events += 1;
    }
    file.into_inner()?.sync_all()?;

    let truncating = Limits { max_event_size: Some(8 << 10), ..BATCH };
    let candidates: [(&str, &dyn Fn() -> usize); 3] = [
        ("floor: read and check", &|| floor(&log)),
        ("drain", &|| drain(&log, &BATCH)),
        ("drain, events over 8 KiB truncated", &|| drain(&log, &truncating)),
    ];
    let mut times = candidates.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((_, run), times) in candidates.iter().zip(&mut times) {
            let began = Instant::now();
            assert_eq!(run() as u64, events);
            times.push(began.elapsed());
        }
    }
    let medians = times.map(median);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{events} events, {} MB, median of {ROUNDS} rounds", written / 1_000_000)?;
    writeln!(out, "{:<36} {:>8} {:>16}", "", "MB/s", "ratio to floor")?;
    for ((name, _), time) in candidates.iter().zip(medians) {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
        let speed = written as f64 / 1e6 / time.as_secs_f64();
        let ratio = medians[0].as_secs_f64() / time.as_secs_f64();
        writeln!(out, "{name:<36} {speed:>8.0} {ratio:>16.2}")?;
    }
    Ok(())
}
