//! 1 GB of backlog, beside the least that has to be done with it.

use crate::Bench;
use crate::compare;
use crate::floor::{self, CHECK_AND_POST, POST};
use crate::report::{Bar, Efficiency, median};
use crate::stage::{DRAIN, Drained, drain};

const ROUNDS: usize = 5;
const LEAST_OF_FLOOR: f64 = 0.75;
const MOST_RSS_MIB: f64 = 48.0;
/// Not a bar, but what the bar leads to.
const AIM: f64 = 800.0;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let log = bench.gigabyte()?;
    let (mut posts, mut checks, mut drains) = (Vec::new(), Vec::new(), Vec::new());
    let mut others: Vec<_> = compare::others().into_iter().map(|other| (other, Vec::new())).collect();
    for _ in 0..ROUNDS {
        posts.push(floor::measure_post(POST, &log.live(), log.bytes)?);
        checks.push(floor::measure_post(CHECK_AND_POST, &log.live(), log.bytes)?);
        drains.push(drain(&log, &DRAIN)?);
        for (other, rounds) in &mut others {
            rounds.push(other.drain(&log)?);
        }
        bench.tick()?;
    }
    let of = |rounds: &[Drained], figure: fn(&Drained) -> f64| median(rounds.iter().map(figure));
    let mut tell = |name: &str, rounds: &[Drained], is_floor: bool| {
        let efficiency = of(rounds, Drained::mb_per_cpu_second);
        let (speed, rss) = (of(rounds, Drained::mb_per_second), of(rounds, |round| round.peak_rss_mib));
        bench.report.note(
            format!("drain: {name}"),
            format!("{speed:.0} MB/s, {efficiency:.0} MB/CPU s, {rss:.1} MiB"),
        );
        let name = name.to_owned();
        bench.report.efficiencies.push(Efficiency { name, mb_per_cpu_second: efficiency, is_floor });
    };
    tell("floor: read, POST", &posts, true);
    tell("floor: read, check, POST", &checks, true);
    tell("audit-shipper", &drains, false);
    for (other, rounds) in &others {
        tell(other.name, rounds, false);
    }
    let ratios = drains.iter().zip(&checks).map(|(drained, floor)| floor.cpu_seconds / drained.cpu_seconds);
    let efficiency = of(&drains, Drained::mb_per_cpu_second);
    bench.report.ratio(
        "drain, per CPU second",
        format!("{efficiency:.0} MB (aim {AIM})"),
        median(ratios),
        Bar::AtLeast(LEAST_OF_FLOOR),
    );
    let rss = drains.iter().map(|drained| drained.peak_rss_mib).fold(0.0, f64::max);
    bench.report.absolute("drain, peak memory", rss, " MiB", Bar::Below(MOST_RSS_MIB));
    Ok(())
}
