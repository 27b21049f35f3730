//! Compressed requests, beside the bare compressor over batches of the same size.

use std::net::{Ipv4Addr, SocketAddr};

use crate::Bench;
use crate::events::{Corpus, Log};
use crate::floor::{self, GZIP, ZSTD};
use crate::report::{Bar, float, median};
use crate::stage::{DRAIN, Drained, Settings, Stage, drain};

const LOG_BYTES: u64 = 500_000_000;
const ROUNDS: usize = 5;
/// Events of a batch.
const BATCH: u64 = 400;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let log = Log::new(&Corpus::small()?, LOG_BYTES, 1)?;
    for (name, floor, bar) in [("zstd", ZSTD, Bar::AtLeast(0.8)), ("gzip", GZIP, Bar::None)] {
        let settings = Settings { compression: Some(name), ..DRAIN };
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        if !Stage::new(&log.live(), nowhere, &settings)?.is_understood()? {
            bench.report.note(format!("{name} requests"), "not known to this version");
            continue;
        }
        let path = log.live().display().to_string();
        let batch_bytes = (log.bytes * BATCH / log.events).to_string();
        let (mut ratios, mut speeds, mut efficiencies, mut sizes) = (vec![], vec![], vec![], vec![]);
        let mut floors = Vec::new();
        for _ in 0..ROUNDS {
            let bare = floor::measure(floor, &[&path, &batch_bytes], log.bytes)?;
            let drained = drain(&log, &settings)?;
            ratios.push(bare.seconds / drained.seconds);
            speeds.push(drained.mb_per_second());
            efficiencies.push(drained.mb_per_cpu_second());
            sizes.push(float(drained.body_bytes) / float(log.bytes));
            floors.push(bare);
            bench.tick()?;
        }
        let (bare_speed, bare_size) = (
            median(floors.iter().map(Drained::mb_per_second)),
            median(floors.iter().map(|bare| float(bare.body_bytes) / float(bare.log_bytes))),
        );
        bench.report.note(
            format!("{name} requests: floor: {name} alone, level 1"),
            format!("{bare_speed:.0} MB/s, to {:.1}%", bare_size * 100.0),
        );
        let (speed, efficiency, size) = (median(speeds), median(efficiencies), median(sizes) * 100.0);
        bench.report.ratio(
            format!("{name} requests, speed"),
            format!("{speed:.0} MB/s, {efficiency:.0} MB/CPU s, to {size:.1}%"),
            median(ratios),
            bar,
        );
    }
    Ok(())
}
