//! What it costs to wait for a log that nobody writes.

use std::time::{Duration, Instant};

use crate::Bench;
use crate::endpoint::Endpoint;
use crate::events::{Corpus, Log};
use crate::report::Bar;
use crate::stage::{DRAIN, Stage, wait_until_delivered};

const LOG_BYTES: u64 = 2_000_000;
const SETTLED_AFTER: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(60);

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let log = Log::new(&Corpus::small()?, LOG_BYTES, 3)?;
    let endpoint = Endpoint::new()?;
    let stage = Stage::new(&log.live(), endpoint.address, &DRAIN)?;
    let mut shipper = stage.start()?;
    wait_until_delivered(&mut shipper, &endpoint, log.events)?;
    std::thread::sleep(SETTLED_AFTER);
    let (before, began) = (shipper.cpu_seconds()?, Instant::now());
    std::thread::sleep(MEASURED);
    let share = (shipper.cpu_seconds()? - before) / began.elapsed().as_secs_f64();
    let rss = shipper.rss_mib()?;
    shipper.stop()?;
    bench.report.absolute("idle, CPU", share * 100.0, "% of a core", Bar::Below(0.05));
    bench.report.absolute("idle, memory", rss, " MiB", Bar::Below(12.0));
    Ok(())
}
