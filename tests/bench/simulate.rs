//! What a policy would do to 1 GB of log, beside a loop that checks each line of it.

use std::process::{Command, Stdio};

use crate::Bench;
use crate::events::Log;
use crate::floor::{self, CHECK_AND_POST};
use crate::process::Process;
use crate::report::{Bar, median, megabytes};

const ROUNDS: usize = 5;
const LEAST_OF_FLOOR: f64 = 0.5;
/// 17 rules, as on the clusters that have the most events.
const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/policy/gce.yaml");

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let log = bench.gigabyte()?;
    let (mut floors, mut simulations, mut tops) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(floor::measure_post(CHECK_AND_POST, &log.live(), log.bytes)?);
        simulations.push(Read::all_of(&log, &["policy", "simulate", "--policy-file", POLICY])?);
        tops.push(Read::all_of(&log, &["top"])?);
        bench.tick()?;
    }
    let mut tell = |name: &str, reads: &[Read], bar| {
        let speed = median(reads.iter().map(|read| megabytes(log.bytes) / read.seconds));
        let efficiency = median(reads.iter().map(|read| megabytes(log.bytes) / read.cpu_seconds));
        let ratios = reads.iter().zip(&floors).map(|(read, floor)| floor.cpu_seconds / read.cpu_seconds);
        let value = format!("{speed:.0} MB/s, {efficiency:.0} MB/CPU s");
        bench.report.ratio(name, value, median(ratios), bar);
    };
    tell("policy simulate, 17 rules, per CPU second", &simulations, Bar::AtLeast(LEAST_OF_FLOOR));
    tell("top, three tables, per CPU second", &tops, Bar::AtLeast(LEAST_OF_FLOOR));
    Ok(())
}

/// What it took a command to read a log.
struct Read {
    seconds: f64,
    cpu_seconds: f64,
}

impl Read {
    fn all_of(log: &Log, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_audit-shipper"));
        command.args(arguments).arg(log.live()).stdin(Stdio::null()).stdout(Stdio::null());
        let process = Process::start(&mut command)?;
        process.wait_for_end()?;
        let read =
            Self { seconds: process.started.elapsed().as_secs_f64(), cpu_seconds: process.cpu_seconds()? };
        process.wait()?;
        Ok(read)
    }
}
