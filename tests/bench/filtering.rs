//! What a policy and redaction cost: the same log with and without them.
//!
//! A policy that drops or lowers events makes a drain cheaper. So what counts is one whose rules are all looked at and
//! that changes nothing; what a policy as GCE's leaves is told beside it.

use crate::Bench;
use crate::report::{Bar, float, median};
use crate::stage::{DRAIN, Settings, drain};

/// Where others share the machine a round may take half as long again as the next, so there are many.
const ROUNDS: usize = 15;
const MOST_OF_PLAIN: f64 = 1.25;
const GCE: &str = include_str!("../data/policy/gce.yaml");
const BOTH: Settings = Settings { policy: Some(Policy::KeepsAll), redact: true, ..DRAIN };
const FILTERING: Settings = Settings { policy: Some(Policy::Gce), ..BOTH };

/// Which audit policy is in use.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Policy {
    /// As on a cluster of GCE: 17 rules.
    Gce,
    /// The same rules, each of which keeps all of an event.
    KeepsAll,
}

impl Policy {
    pub(crate) fn text(self) -> String {
        let keeps_all = |line: &str| match line.split_once("level:") {
            Some((before, _)) => format!("{before}level: RequestResponse\n"),
            None if line.contains("RequestReceived") => String::new(),
            None if line.trim_end().ends_with("omitStages:") => String::new(),
            None => format!("{line}\n"),
        };
        match self {
            Self::Gce => GCE.to_owned(),
            Self::KeepsAll => GCE.lines().map(keeps_all).collect(),
        }
    }
}

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let log = bench.gigabyte()?;
    let (mut ratios, mut efficiencies, mut filtering, mut sent) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
    for _ in 0..ROUNDS {
        let (plain, both, gce) = (drain(&log, &DRAIN)?, drain(&log, &BOTH)?, drain(&log, &FILTERING)?);
        // Every event goes on: only a few are masked.
        anyhow::ensure!(both.body_bytes > plain.body_bytes / 10 * 9, "the policy keeps less than all");
        ratios.push(both.cpu_seconds / plain.cpu_seconds);
        efficiencies.push(both.mb_per_cpu_second());
        filtering.push(gce.mb_per_cpu_second());
        sent = float(gce.body_bytes) / float(plain.body_bytes);
        bench.tick()?;
    }
    bench.report.ratio(
        "policy of 17 rules and redaction, CPU",
        format!("{:.0} MB/CPU s", median(efficiencies)),
        median(ratios),
        Bar::Below(MOST_OF_PLAIN),
    );
    let efficiency = median(filtering);
    let told = format!("{efficiency:.0} MB/CPU s, {:.0}% of the bytes sent", sent * 100.0);
    bench.report.note("policy as GCE's and redaction".to_owned(), told);
    Ok(())
}
