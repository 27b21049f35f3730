//! From the start of the program to its first request, with a long history on disk and a cursor in the middle of a
//! plain file of it.

use std::time::Duration;

use anyhow::Context as _;

use crate::Bench;
use crate::endpoint::Endpoint;
use crate::report::{Bar, median};
use crate::stage::{DRAIN, Stage};

const STARTS: usize = 7;
const MOST_MS: f64 = 50.0;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let log = bench.history()?;
    let endpoint = Endpoint::new()?;
    let address = endpoint.address;
    let stage = Stage::new(&log.live(), address, &DRAIN)?;
    let mut shipper = stage.start()?;
    while endpoint.body_bytes() < log.bytes / 2 {
        shipper.must_run()?;
        std::thread::sleep(Duration::from_millis(1));
    }
    shipper.stop()?;
    drop(endpoint);
    let mut times = Vec::new();
    for _ in 0..STARTS {
        // Another one each time, on the same port, so that the first request is that of this start.
        let endpoint = Endpoint::at(address)?;
        let mut shipper = stage.start()?;
        while endpoint.first().is_none() {
            shipper.must_run()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        let first = endpoint.first().context("no request")?;
        times.push((first - shipper.started).as_secs_f64() * 1e3);
        shipper.kill()?;
    }
    let (files, megabytes) = (crate::HISTORY_FILES, log.bytes / 1_000_000);
    bench.report.absolute(
        format!("start to first request, {files} files, {megabytes} MB"),
        median(times),
        " ms",
        Bar::Below(MOST_MS),
    );
    Ok(())
}
