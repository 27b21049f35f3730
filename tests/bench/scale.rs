//! An event costs the same, however many there are and however many files they are in; and what is rotated away leaves
//! nothing behind.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use audit_shipper::demo::lumberjack::{Lumberjack, Options};

use crate::endpoint::Endpoint;
use crate::events::{Corpus, Log, numbers_in};
use crate::process::Daemon;
use crate::report::{Bar, float, median};
use crate::stage::{DRAIN, Settings, Stage, drain, wait_until_delivered};
use crate::{Bench, GIGABYTE, MEAN_BYTES};

const ROUNDS: usize = 3;
const MOST_OF_REFERENCE: Bar = Bar::Below(1.25);

const START_UPS: usize = 7;

/// How often 1 MB is appended, or a single event.
const SMALL_BACKLOGS: u64 = 100;
const SMALL_BYTES: u64 = 1_000_000;
const ONE_EVENT: u64 = 1;

const FILES: [u64; 2] = [100, 1000];

/// Longer than marks outlive their files: at some 250 rotations a second there are hundreds of those, and no more.
const WARM_UP_ROTATIONS: u64 = 2000;
const ROTATIONS: u64 = 5000;
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// About six small events a file; 3 backups are kept.
const ROTATED: Options =
    Options { max_bytes: 12_000, max_backups: 3, compress: false, avoid_name_clash: true };
/// A connection more or less is none of them.
const MOST_HANDLES_LEFT: f64 = 5.0;
const MOST_GROWTH_MIB: f64 = 2.0;

/// From 1 MB to 10 GB of backlog.
pub(crate) fn bytes(bench: &mut Bench) -> anyhow::Result<()> {
    let corpus = Corpus::of_mean(MEAN_BYTES)?;
    let start = start_up_cpu(&corpus)?;
    bench.report.note("scale: start-up, taken off below", format!("{:.1} ms of CPU", start * 1e3));
    let per_event = |log: &Log, rounds| -> anyhow::Result<f64> {
        let mut found = Vec::new();
        for _ in 0..rounds {
            found.push((drain(log, &DRAIN)?.cpu_seconds - start) / float(log.events));
        }
        Ok(median(found))
    };
    let reference = per_event(&*bench.gigabyte()?, ROUNDS)?;
    bench.tick()?;
    let alone = small_backlogs(&corpus, ONE_EVENT)?.0;
    bench.tick()?;
    let (backlog, events) = small_backlogs(&corpus, SMALL_BYTES)?;
    let small = (backlog - alone) / events;
    bench.tick()?;
    let medium = per_event(&Log::new(&corpus, GIGABYTE / 10, 1)?, ROUNDS)?;
    bench.tick()?;
    let history = bench.history()?;
    let large = per_event(&history, 1)?;
    // Nobody needs it any more.
    bench.history = None;
    let micros = |seconds: f64| format!("{:.2} us of CPU", seconds * 1e6);
    bench.report.note("scale: an event that comes alone, taken off 1 MB below", micros(alone));
    bench.report.note("scale: an event of a 1 GB backlog", micros(reference));
    let large_name = format!("{} GB", history.bytes / GIGABYTE);
    for (name, cost) in [("1 MB", small), ("100 MB", medium), (large_name.as_str(), large)] {
        let name = format!("scale: an event of a {name} backlog");
        bench.report.ratio(name, micros(cost), cost / reference, MOST_OF_REFERENCE);
    }
    Ok(())
}

/// What one event costs with all that comes before it.
fn start_up_cpu(corpus: &Corpus) -> anyhow::Result<f64> {
    let log = Log::new(corpus, 1, 1)?;
    let rounds: Result<Vec<_>, _> = (0..START_UPS).map(|_| drain(&log, &DRAIN)).collect();
    Ok(median(rounds?.iter().map(|round| round.cpu_seconds)))
}

/// One process, which finds so many bytes again and again: the CPU that they take with the wake-up and the request for
/// them, and how many events they are.
fn small_backlogs(corpus: &Corpus, bytes: u64) -> anyhow::Result<(f64, f64)> {
    let (mut log, (endpoint, received)) = (Log::new(corpus, SMALL_BYTES, 1)?, counting()?);
    let stage = Stage::new(&log.live(), endpoint.address, &DRAIN)?;
    let shipper = stage.start()?;
    wait_for(&received, log.events)?;
    let (before, events) = (shipper.cpu_seconds()?, log.events);
    for _ in 0..SMALL_BACKLOGS {
        let mut added = Vec::new();
        log.fill(corpus, log.bytes + bytes, &mut added)?;
        OpenOptions::new().append(true).open(log.live())?.write_all(&added)?;
        wait_for(&received, log.events)?;
    }
    let used = shipper.cpu_seconds()? - before;
    shipper.stop()?;
    Ok((used / float(SMALL_BACKLOGS), float(log.events - events) / float(SMALL_BACKLOGS)))
}

/// An endpoint that counts the events which it is sent. The program's metrics would say it too, but each look costs the
/// program as much as a small backlog does.
fn counting() -> anyhow::Result<(Endpoint, Arc<AtomicU64>)> {
    let received = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&received);
    let endpoint = Endpoint::observed(Arc::new(move |body: &[u8], _| {
        counter.fetch_add(numbers_in(body).count() as u64, Ordering::Relaxed);
    }))?;
    Ok((endpoint, received))
}

fn wait_for(received: &AtomicU64, events: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    while received.load(Ordering::Relaxed) < events {
        anyhow::ensure!(began.elapsed() < STUCK_AFTER, "the shipper is stuck");
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// 1 GB in one file, and in many.
pub(crate) fn files(bench: &mut Bench) -> anyhow::Result<()> {
    let corpus = Corpus::of_mean(MEAN_BYTES)?;
    let one = bench.gigabyte()?;
    let many: Result<Vec<_>, _> = FILES.iter().map(|files| Log::new(&corpus, GIGABYTE, *files)).collect();
    let many = many?;
    let mut ratios = FILES.map(|_| Vec::new());
    let mut peaks = FILES.map(|_| 0.0_f64);
    for _ in 0..ROUNDS {
        let reference = drain(&one, &DRAIN)?;
        for ((log, ratios), peak) in many.iter().zip(&mut ratios).zip(&mut peaks) {
            let drained = drain(log, &DRAIN)?;
            ratios.push(drained.cpu_seconds / reference.cpu_seconds);
            *peak = peak.max(drained.peak_rss_mib);
        }
        bench.tick()?;
    }
    for ((files, ratios), peak) in FILES.iter().zip(ratios).zip(peaks) {
        let name = format!("scale: 1 GB in {files} files, CPU");
        bench.report.ratio(name, format!("peak {peak:.1} MiB"), median(ratios), MOST_OF_REFERENCE);
    }
    Ok(())
}

/// Thousands of rotations, each as soon as the shipper has followed the last but one.
pub(crate) fn handles(bench: &mut Bench) -> anyhow::Result<()> {
    let (log, corpus, (endpoint, received)) = (Log::empty()?, Corpus::small()?, counting()?);
    let stage = Stage::new(&log.live(), endpoint.address, &Settings { max_wait: Some("1ms"), ..DRAIN })?;
    let mut shipper = stage.start()?;
    let mut writer = Lumberjack::new(log.live(), ROTATED);
    let (mut written, mut line, mut at_rotations) = (0, Vec::new(), vec![0]);
    let mut rotate_until = |shipper: &mut Daemon, rotations: u64| -> anyhow::Result<u64> {
        while writer.rotations() < rotations {
            let rotated = writer.rotations();
            corpus.line(written, &mut line);
            writer.write_line(&line)?;
            written += 1;
            if writer.rotations() > rotated {
                let followed = at_rotations.last().copied().unwrap_or_default();
                at_rotations.push(written);
                wait_for(&received, followed).with_context(|| format!("after {rotated} rotations"))?;
            }
        }
        wait_until_delivered(shipper, &endpoint, written)?;
        Ok(written)
    };
    rotate_until(&mut shipper, WARM_UP_ROTATIONS)?;
    let (handles_before, rss_before) = (shipper.handles()?, shipper.rss_mib()?);
    let written = rotate_until(&mut shipper, WARM_UP_ROTATIONS + ROTATIONS)?;
    let (handles, rss) = (shipper.handles()?, shipper.rss_mib()?);
    let seconds = shipper.started.elapsed().as_secs_f64();
    let cpu = shipper.cpu_seconds()?;
    shipper.stop()?;
    bench.report.note(
        format!("scale: {} rotations, {written} events", WARM_UP_ROTATIONS + ROTATIONS),
        format!(
            "{seconds:.1} s, {:.2} ms of CPU a rotation",
            cpu * 1e3 / float(WARM_UP_ROTATIONS + ROTATIONS)
        ),
    );
    let left = float(handles as u64) - float(handles_before as u64);
    bench.report.absolute(
        format!("scale: handles left by {ROTATIONS} rotations, of {handles}"),
        left,
        "",
        Bar::Below(MOST_HANDLES_LEFT),
    );
    bench.report.absolute(
        format!("scale: memory left by {ROTATIONS} rotations, of {rss:.1} MiB"),
        rss - rss_before,
        " MiB",
        Bar::Below(MOST_GROWTH_MIB),
    );
    Ok(())
}
