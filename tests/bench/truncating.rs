//! What it costs to cut large events: the same log with and without truncation.
//!
//! Both runs read and check every byte; the one that truncates sends fewer. So CPU is compared per byte of the log, and
//! the share that was sent is told beside it.

use crate::Bench;
use crate::events::{Corpus, Log};
use crate::report::{Bar, float, median};
use crate::stage::{DRAIN, Settings, drain};

const LOG_BYTES: u64 = 500_000_000;
const ROUNDS: usize = 5;
const MOST_OF_PLAIN: f64 = 1.10;
/// Below every large event and above every other one.
const TRUNCATING: Settings = Settings { truncate_above: Some("16KiB"), ..DRAIN };
const PLAIN: Settings = Settings { truncate_above: None, ..DRAIN };

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let log = Log::new(&Corpus::with_large_ones()?, LOG_BYTES, 1)?;
    let (mut ratios, mut sent, mut efficiencies) = (Vec::new(), 0.0, Vec::new());
    for _ in 0..ROUNDS {
        let (plain, truncating) = (drain(&log, &PLAIN)?, drain(&log, &TRUNCATING)?);
        ratios.push(truncating.cpu_seconds / plain.cpu_seconds);
        efficiencies.push(truncating.mb_per_cpu_second());
        sent = float(truncating.body_bytes) / float(plain.body_bytes);
        bench.tick()?;
    }
    anyhow::ensure!(sent < 0.9, "nothing was truncated");
    bench.report.ratio(
        "truncating 5% large events, CPU",
        format!("{:.0} MB/CPU s, {:.0}% of the bytes sent", median(efficiencies), sent * 100.0),
        median(ratios),
        Bar::Below(MOST_OF_PLAIN),
    );
    Ok(())
}
