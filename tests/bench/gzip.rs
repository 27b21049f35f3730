//! A backlog of compressed backups, beside nothing but decompressing them, and beside posting what comes of that unread: what
//! a machine of few CPUs, which the endpoint shares, has no more than.

use crate::Bench;
use crate::endpoint::Endpoint;
use crate::events::{Corpus, Log};
use crate::floor::{self, INFLATE, INFLATE_AND_POST};
use crate::report::{Bar, median};
use crate::stage::{DRAIN, Drained, drain};

const LOG_BYTES: u64 = 500_000_000;
const FILES: u64 = 5;
const ROUNDS: usize = 5;
const LEAST_OF_FLOOR: f64 = 0.8;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let log = Log::compressed(&Corpus::small()?, LOG_BYTES, FILES)?;
    let files: Vec<String> = log.backups()?.iter().map(|path| path.display().to_string()).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let (mut floors, mut posts, mut drains) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let floor = floor::measure(INFLATE, &files, log.bytes)?;
        anyhow::ensure!(floor.body_bytes == log.bytes, "{} bytes were inflated", floor.body_bytes);
        floors.push(floor);
        let endpoint = Endpoint::new()?;
        let address = endpoint.address.to_string();
        posts.push(floor::measure(INFLATE_AND_POST, &[&[address.as_str()], &files[..]].concat(), log.bytes)?);
        anyhow::ensure!(endpoint.body_bytes() == log.bytes, "{} bytes were posted", endpoint.body_bytes());
        drains.push(drain(&log, &DRAIN)?);
        bench.tick()?;
    }
    let text = |rounds: &[Drained]| {
        let speed = median(rounds.iter().map(Drained::mb_per_second));
        let efficiency = median(rounds.iter().map(Drained::mb_per_cpu_second));
        format!("{speed:.0} MB/s, {efficiency:.0} MB/CPU s")
    };
    let ratios = drains.iter().zip(&floors).map(|(drained, floor)| floor.seconds / drained.seconds);
    bench.report.note("gzip backlog: floor: zlib-rs alone", text(&floors));
    bench.report.note("gzip backlog: floor: zlib-rs, POST in another thread", text(&posts));
    bench.report.ratio("gzip backlog, speed", text(&drains), median(ratios), Bar::AtLeast(LEAST_OF_FLOOR));
    Ok(())
}
