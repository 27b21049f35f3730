//! What an audit policy costs: to decide what is kept of an event, and to take the rest out of it.
//!
//! Real events, one after the other, in memory and already checked; what counts is the CPU time of this thread.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use audit_shipper::demo::replay::Replay;
use audit_shipper::event::{Event, Parts};
use audit_shipper::policy::{Decision, Effect, Evaluator, Policy};
use nix::time::ClockId;

use crate::Bench;
use crate::report::{Bar, float, median};

/// That of GCE's control planes: 17 rules.
const GCE: &str = include_str!("../data/policy/gce.yaml");
/// Takes out all bodies.
const METADATA: &str = "apiVersion: audit.k8s.io/v1\nrules: [{ level: Metadata }]\n";
/// Takes something out of the bodies, for which they have to be looked at.
const MANAGED: &str =
    "apiVersion: audit.k8s.io/v1\nrules: [{ level: RequestResponse, omitManagedFields: true }]\n";
const EVENTS: u64 = 1000;
/// How often all of them are gone through in a round.
const TIMES: u64 = 100;
const ROUNDS: usize = 9;
const MOST_MICROSECONDS: f64 = 1.0;
const MICROSECONDS: f64 = 1e6;

/// A checked event.
struct Checked<'a> {
    line: &'a [u8],
    event: Event<'a>,
    parts: Parts,
}

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let replay = Replay::bundled();
    let lines: Vec<Vec<u8>> = (0..EVENTS)
        .map(|number| {
            let mut line = Vec::new();
            replay.line(number, &mut line);
            line.pop();
            line
        })
        .collect();
    let mut checked = Vec::new();
    for line in &lines {
        let event = Event::parse(line)?;
        let parts = event.parts(line).ok_or_else(|| anyhow::anyhow!("a field is there twice"))?.into_owned();
        checked.push(Checked { line, event, parts });
    }
    let decide = |evaluator: &mut Evaluator, of: &Checked<'_>| {
        black_box::<Decision>(evaluator.decide(of.line, &of.parts));
    };
    let mut out = Vec::new();
    let mut both = |evaluator: &mut Evaluator, of: &Checked<'_>| {
        let decision = evaluator.decide(of.line, &of.parts);
        black_box::<Effect>(evaluator.apply(&decision, of.line, &of.event, &of.parts, &mut out));
    };
    let one_decision = microseconds(bench, GCE, &checked, decide)?;
    let unchanged = microseconds(bench, GCE, &checked, &mut both)?;
    let metadata = microseconds(bench, METADATA, &checked, &mut both)?;
    let managed = microseconds(bench, MANAGED, &checked, &mut both)?;
    bench.report.absolute(
        "policy: one decision, 17 rules",
        one_decision,
        " us",
        Bar::Below(MOST_MICROSECONDS),
    );
    bench.report.note(
        "policy: decided and applied",
        format!(
            "{unchanged:.2} us by 17 rules, {metadata:.2} us down to Metadata, {managed:.2} us without managed fields"
        ),
    );
    Ok(())
}

/// What `work` takes for one event, under a policy.
fn microseconds(
    bench: &mut Bench,
    policy: &str,
    checked: &[Checked<'_>],
    mut work: impl FnMut(&mut Evaluator, &Checked<'_>),
) -> anyhow::Result<f64> {
    let policy = Policy::parse(policy, "policy").map_err(|mistakes| anyhow::anyhow!(mistakes.join("\n")))?;
    let mut evaluator = Evaluator::new(Arc::new(policy.policy));
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        let before = cpu_time()?;
        for _ in 0..TIMES {
            for event in checked {
                work(&mut evaluator, event);
            }
        }
        let taken = cpu_time()?.saturating_sub(before);
        found.push(taken.as_secs_f64() * MICROSECONDS / float(TIMES * EVENTS));
        bench.tick()?;
    }
    Ok(median(found))
}

fn cpu_time() -> anyhow::Result<Duration> {
    Ok(ClockId::CLOCK_THREAD_CPUTIME_ID.now()?.into())
}
