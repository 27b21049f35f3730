//! From the write of an event to its receipt, when nothing is to wait for long.
//!
//! Each second is judged by itself, and the median second counts: on a machine that others use too, the worst seconds
//! are theirs. How late the writer's own timer woke is told beside it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Bench;
use crate::endpoint::Endpoint;
use crate::events::{Corpus, Log, numbers_in};
use crate::paced::{self, Stamps};
use crate::report::{Bar, median, quantile};
use crate::stage::{DRAIN, Settings, Stage, wait_until_delivered};

const EVENTS_A_SECOND: u32 = 1000;
const MEAN_BYTES: usize = 2500;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(15);
const SETTINGS: Settings = Settings { max_wait: Some("10ms"), truncate_above: None, ..DRAIN };

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (log, corpus) = (Log::empty()?, Corpus::of_mean(MEAN_BYTES)?);
    let events = u64::from(EVENTS_A_SECOND) * (WARM_UP + MEASURED).as_secs();
    let first_measured = u64::from(EVENTS_A_SECOND) * WARM_UP.as_secs();
    let stamps = Stamps::new(events);
    let latencies = Arc::new(Mutex::new(Vec::<(u64, f64)>::new()));
    let endpoint = {
        let (stamps, latencies) = (Arc::clone(&stamps), Arc::clone(&latencies));
        Endpoint::observed(Arc::new(move |body: &[u8], now: Instant| {
            let measured = numbers_in(body).filter(|n| *n >= first_measured);
            let found = measured
                .filter_map(|n| Some((n / u64::from(EVENTS_A_SECOND), stamps.latency(n, now)?)))
                .map(|(second, took)| (second, took.as_secs_f64() * 1e3));
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
    let late = writer.join().map_err(|_| anyhow::anyhow!("the writer failed"))??;
    wait_until_delivered(&mut shipper, &endpoint, events)?;
    shipper.stop()?;
    let latencies = std::mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner));
    anyhow::ensure!(
        latencies.len() as u64 == events - first_measured,
        "{} of {} events were seen",
        latencies.len(),
        events - first_measured
    );
    let seconds = || WARM_UP.as_secs()..(WARM_UP + MEASURED).as_secs();
    let in_median_second = |share: f64| {
        let of_second = |wanted: u64| latencies.iter().filter(move |(second, _)| *second == wanted);
        median(seconds().map(|second| quantile(of_second(second).map(|(_, ms)| *ms), share)))
    };
    let latencies_ms: Vec<f64> = latencies.iter().map(|(_, ms)| *ms).collect();
    let of_all = |share| quantile(latencies_ms.iter().copied(), share);
    let report = &mut bench.report;
    report.absolute("latency, p50", in_median_second(0.5), " ms", Bar::Below(12.0));
    report.absolute("latency, p99", in_median_second(0.99), " ms", Bar::Below(25.0));
    report.note(
        "latency, of all seconds",
        format!("p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms", of_all(0.5), of_all(0.99), of_all(1.0)),
    );
    let late_ms = quantile(late.iter().map(|late| late.as_secs_f64() * 1e3), 0.99);
    report.absolute("latency, of a timer of the writer, p99", late_ms, " ms", Bar::None);
    report.absolute("latency, CPU at 1,000 events/s", share * 100.0, "% of a core", Bar::Below(5.0));
    report.latencies_ms = latencies_ms;
    Ok(())
}
