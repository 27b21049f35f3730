//! 1 GB waits while there is no endpoint, and is then shipped as fast as that goes.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::Bench;
use crate::endpoint::Endpoint;
use crate::report::Bar;
use crate::stage::{DRAIN, Stage, wait_until_delivered};

const OUTAGE: Duration = Duration::from_secs(20);
const MOST_RSS_MIB: f64 = 64.0;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let log = bench.gigabyte()?;
    // Nobody else is given the port at once, so there is none that answers until the endpoint has it.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let stage = Stage::new(&log.live(), address, &DRAIN)?;
    let mut shipper = stage.start()?;
    std::thread::sleep(OUTAGE);
    let during = shipper.peak_rss_mib()?;
    let (endpoint, back) = (Endpoint::at(address)?, Instant::now());
    wait_until_delivered(&mut shipper, &endpoint, log.events)?;
    let level = endpoint.last().context("nothing came")?.saturating_duration_since(back);
    let peak = shipper.peak_rss_mib()?;
    shipper.stop()?;
    for warning in stage.warnings()? {
        bench.say(&warning)?;
    }
    let text = format!("{:.1} s after it, {during:.1} MiB at its end", level.as_secs_f64());
    bench.report.note(format!("outage of {OUTAGE:?}, 1 GB level"), text);
    bench.report.absolute("outage, peak memory", peak, " MiB", Bar::Below(MOST_RSS_MIB));
    Ok(())
}
