//! Several outputs at once: each reads the log for itself, so what each costs must not depend on how many others there are.

use crate::Bench;
use crate::endpoint::Endpoint;
use crate::events::{Corpus, Log};
use crate::report::{Bar, float, median};
use crate::stage::{DRAIN, Drained, Stage, wait_until_delivered};

const LOG_BYTES: u64 = 300_000_000;
const ROUNDS: usize = 5;
const COUNTS: [u32; 4] = [1, 2, 4, 8];
/// Of the CPU of one output, times their number.
const MOST_OF_ONE: f64 = 1.1;
/// `maxMemory` of each, by default.
const MAX_MEMORY_MIB: f64 = 32.0;
/// What the program may have without any: the bar of `idle`.
const BASE_MIB: f64 = 12.0;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let log = Log::new(&Corpus::of_mean(crate::MEAN_BYTES)?, LOG_BYTES, 1)?;
    let mut drains = COUNTS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (count, drains) in COUNTS.into_iter().zip(&mut drains) {
            drains.push(drain(&log, count)?);
        }
        bench.tick()?;
    }
    for (count, drains_of_it) in COUNTS.into_iter().zip(&drains) {
        let ones = drains[0].iter().map(|one| one.cpu_seconds);
        let ratios = drains_of_it
            .iter()
            .zip(ones)
            .map(|(drained, one)| drained.cpu_seconds / (f64::from(count) * one));
        let each = median(drains_of_it.iter().map(|drained| drained.cpu_seconds)) / f64::from(count);
        let bar = if count == 1 { Bar::None } else { Bar::Below(MOST_OF_ONE) };
        bench.report.ratio(
            format!("outputs: {count}, CPU of each"),
            format!("{each:.2} CPU s for {} MB", LOG_BYTES / 1_000_000),
            median(ratios),
            bar,
        );
        let peak = drains_of_it.iter().map(|drained| drained.peak_rss_mib).fold(0.0, f64::max);
        let bound = f64::from(count) * MAX_MEMORY_MIB + BASE_MIB;
        let name = format!("outputs: {count}, peak memory");
        bench.report.absolute(name, peak, " MiB", Bar::Below(bound));
    }
    Ok(())
}

/// Has so many outputs ship the whole log to one endpoint, at once.
fn drain(log: &Log, count: u32) -> anyhow::Result<Drained> {
    let endpoint = Endpoint::new()?;
    let stage = Stage::of_many(&log.live(), endpoint.address, count, &DRAIN)?;
    let mut shipper = stage.start()?;
    wait_until_delivered(&mut shipper, &endpoint, log.events * u64::from(count))?;
    let drained = Drained {
        log_bytes: log.bytes * u64::from(count),
        body_bytes: endpoint.body_bytes(),
        seconds: shipper.started.elapsed().as_secs_f64(),
        cpu_seconds: shipper.cpu_seconds()?,
        peak_rss_mib: shipper.peak_rss_mib()?,
    };
    // Items are shorter than lines, by what is the same in all.
    anyhow::ensure!(
        float(drained.body_bytes) > 0.9 * float(drained.log_bytes),
        "not all of them have shipped all of the log"
    );
    shipper.stop()?;
    Ok(drained)
}
