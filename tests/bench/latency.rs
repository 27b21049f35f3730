//! From the write of an event to its receipt, when nothing is to wait for long.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Bench;
use crate::endpoint::Endpoint;
use crate::events::{Corpus, Log, numbers_in};
use crate::paced::{self, Stamps};
use crate::report::{Bar, quantile};
use crate::stage::{Settings, Stage, wait_until_delivered};

const EVENTS_A_SECOND: u32 = 1000;
const MEAN_BYTES: usize = 2500;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(15);
const SETTINGS: Settings =
    Settings { max_wait: Some("10ms"), max_in_flight: None, truncate_above: None, compression: None };

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (log, corpus) = (Log::empty()?, Corpus::of_mean(MEAN_BYTES)?);
    let events = u64::from(EVENTS_A_SECOND) * (WARM_UP + MEASURED).as_secs();
    let first_measured = u64::from(EVENTS_A_SECOND) * WARM_UP.as_secs();
    let stamps = Stamps::new(events);
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let endpoint = {
        let (stamps, latencies) = (Arc::clone(&stamps), Arc::clone(&latencies));
        Endpoint::observed(Arc::new(move |body: &[u8], now: Instant| {
            let measured = numbers_in(body).filter(|n| *n >= first_measured);
            let found = measured.filter_map(|n| stamps.latency(n, now)).map(|took| took.as_secs_f64() * 1e3);
            latencies.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        }))?
    };
    let stage = Stage::new(&log.live(), endpoint.address, &SETTINGS)?;
    let mut shipper = stage.start()?;
    let writer = paced::write(log.live(), corpus, EVENTS_A_SECOND, events, Some(stamps));
    std::thread::sleep(WARM_UP);
    let (before, began) = (shipper.cpu_seconds()?, Instant::now());
    std::thread::sleep(MEASURED.saturating_sub(Duration::from_millis(100)));
    let share = (shipper.cpu_seconds()? - before) / began.elapsed().as_secs_f64();
    writer.join().map_err(|_| anyhow::anyhow!("the writer failed"))??;
    wait_until_delivered(&mut shipper, &endpoint, events)?;
    shipper.stop()?;
    let latencies = std::mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner));
    anyhow::ensure!(
        latencies.len() as u64 == events - first_measured,
        "{} of {} events were seen",
        latencies.len(),
        events - first_measured
    );
    let at = |share: f64| quantile(latencies.iter().copied(), share);
    let report = &mut bench.report;
    report.absolute("latency, p50", at(0.5), " ms", Bar::Below(12.0));
    report.absolute("latency, p99", at(0.99), " ms", Bar::Below(25.0));
    report.absolute("latency, longest", at(1.0), " ms", Bar::None);
    report.absolute("latency, CPU at 1,000 events/s", share * 100.0, "% of a core", Bar::Below(5.0));
    report.latencies_ms = latencies;
    Ok(())
}
