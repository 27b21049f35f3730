//! What 10 MB a second cost while they are written.

use std::time::{Duration, Instant};

use crate::Bench;
use crate::endpoint::Endpoint;
use crate::events::{Corpus, Log};
use crate::paced;
use crate::report::Bar;
use crate::stage::{Settings, Stage, wait_until_delivered};

const EVENTS_A_SECOND: u32 = 4000;
const MEAN_BYTES: usize = 2500;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(25);

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (log, corpus, endpoint) = (Log::empty()?, Corpus::of_mean(MEAN_BYTES)?, Endpoint::new()?);
    // Whole batches of 400, so that none waits at the end.
    let events = u64::from(EVENTS_A_SECOND) * (WARM_UP + MEASURED).as_secs();
    let stage = Stage::new(&log.live(), endpoint.address, &Settings { redact: true, ..Settings::default() })?;
    let mut shipper = stage.start()?;
    let writer = paced::write(log.live(), corpus, EVENTS_A_SECOND, events, None);
    std::thread::sleep(WARM_UP);
    let (before, began) = (shipper.cpu_seconds()?, Instant::now());
    std::thread::sleep(MEASURED.saturating_sub(Duration::from_millis(500)));
    let share = (shipper.cpu_seconds()? - before) / began.elapsed().as_secs_f64();
    let late = writer.join().map_err(|_| anyhow::anyhow!("the writer failed"))??;
    wait_until_delivered(&mut shipper, &endpoint, events)?;
    let rss = shipper.peak_rss_mib()?;
    shipper.stop()?;
    let last = late.last().copied().unwrap_or_default();
    anyhow::ensure!(last < Duration::from_secs(1), "the writer did not keep its pace: {last:?}");
    bench.report.absolute("steady 10 MB/s, CPU", share * 100.0, "% of a core", Bar::Below(5.0));
    bench.report.absolute("steady 10 MB/s, peak memory", rss, " MiB", Bar::Below(24.0));
    Ok(())
}
