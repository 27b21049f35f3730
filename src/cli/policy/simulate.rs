//! `policy simulate`: what a policy would do to logs that were recorded, and how two policies differ.
//!
//! Every event is decided on and changed as the daemon would, so all bytes are those that would be left. `describe` says
//! what a rule is about, `report` is all that was found, and `table` shows it to people.

mod describe;
mod report;
mod table;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::reading::{self, Given, Output};
use crate::cli::top::keys;
use crate::cli::{Failure, unless_broken_pipe};
use crate::event::{Event, Field, Level, Parts};
use crate::logs::{self, Progress, Sum};
use crate::policy::{Effect, Evaluator, Policy};
use crate::shown::Screen;
use crate::tally::{Amount, Bound, Measure, Tally};
use report::{OfPolicy, Report};

/// What is kept apart of each rule's users, verbs and resources, of which three are shown.
const BOUND: Bound = Bound { values: 1024, value_bytes: 64 << 10 };

/// The flags of `audit-shipper policy simulate`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    given: Given,
    /// The policy
    #[arg(long, value_name = "FILE")]
    policy_file: PathBuf,
    /// Another policy: which events would fare otherwise under it
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

pub(super) fn simulate(args: &Args) -> Result<(), Failure> {
    let load = |path: &PathBuf| super::load(path).map(Arc::new);
    let policy = load(&args.policy_file)?;
    let against = args.against.as_ref().map(load).transpose()?;
    let logs = args.given.open()?;
    let new = || Simulated::new(&policy, against.as_ref());
    let (simulated, found) = logs::read(&logs, None, new, &mut Progress::on_stderr());
    let Simulated { of, against: other, .. } = &simulated;
    let of_policy = |path: &PathBuf, policy: &Policy, of: &[OfRule]| {
        OfPolicy::new(path.display().to_string(), policy.rules(), of)
    };
    let mut report = Report::new(of_policy(&args.policy_file, &policy, of), &found, logs.count());
    if let (Some(path), Some(policy), Some(other)) = (&args.against, &against, other) {
        report.compare(of_policy(path, policy, &other.of), &other.changes);
    }
    unless_broken_pipe(print(&report, args.output, &reading::heading(&found, logs.count())))?;
    reading::tell(found)
}

fn print(report: &Report, output: Output, heading: &str) -> anyhow::Result<()> {
    let text = match output {
        Output::Json => serde_json::to_string(report)? + "\n",
        Output::Table => table::table(report, heading, &Screen::of_stdout()),
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Dropped,
    /// It is kept at this level.
    Kept(Level),
}

/// What became of the events that one rule decided on.
#[derive(Debug, Clone, Copy, Default)]
struct Fates {
    before: Amount,
    after: Amount,
    dropped: u64,
    lowered: u64,
}

impl Fates {
    /// Adds an event of so many bytes, of which so many are left.
    fn add(&mut self, effect: Effect, before: u64, after: u64) {
        self.before += Amount::of_event(before);
        match effect {
            Effect::Dropped => return self.dropped += 1,
            Effect::Changed => self.lowered += 1,
            Effect::Unchanged => {}
        }
        self.after += Amount::of_event(after);
    }

    fn merge(&mut self, other: Self) {
        self.before += other.before;
        self.after += other.after;
        self.dropped += other.dropped;
        self.lowered += other.lowered;
    }
}

/// One rule, or the lack of any.
#[derive(Debug, Default)]
struct OfRule {
    fates: Fates,
    /// Users, verbs and resources, once there are events.
    tops: Option<Box<[Tally; 3]>>,
}

impl OfRule {
    fn merge(&mut self, other: Self) {
        self.fates.merge(other.fates);
        match (&mut self.tops, other.tops) {
            (Some(tops), Some(more)) => {
                for (tally, more) in tops.iter_mut().zip(*more) {
                    tally.merge(more);
                }
            }
            (None, more) => self.tops = more,
            (Some(_), None) => {}
        }
    }
}

/// A fate under one policy, and another one under the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    from: (Option<usize>, Fate),
    to: (Option<usize>, Fate),
}

/// The events of a change, and their bytes under one policy and under the other.
#[derive(Debug, Clone, Copy, Default)]
struct Changed {
    events: u64,
    bytes_from: u64,
    bytes_to: u64,
}

/// The other policy.
struct Against {
    evaluator: Evaluator,
    of: Vec<OfRule>,
    changes: BTreeMap<Change, Changed>,
    out: Vec<u8>,
}

/// What is found by one thread.
struct Simulated {
    evaluator: Evaluator,
    /// By the rules' numbers; behind them what no rule matches.
    of: Vec<OfRule>,
    against: Option<Against>,
    out: Vec<u8>,
    value: String,
}

impl Simulated {
    fn new(policy: &Arc<Policy>, against: Option<&Arc<Policy>>) -> Self {
        let of = |policy: &Policy| (0..=policy.rules().len()).map(|_| OfRule::default()).collect();
        let evaluator = |policy| Evaluator::new(Arc::clone(policy));
        Self {
            evaluator: evaluator(policy),
            of: of(policy),
            against: against.map(|policy| Against {
                evaluator: evaluator(policy),
                of: of(policy),
                changes: BTreeMap::new(),
                out: Vec::new(),
            }),
            out: Vec::new(),
            value: String::new(),
        }
    }
}

/// What one policy does to an event.
struct Outcome<'a> {
    rule: Option<usize>,
    effect: Effect,
    fate: Fate,
    /// The line that is left.
    left: &'a [u8],
}

impl<'a> Outcome<'a> {
    fn of(
        evaluator: &mut Evaluator,
        line: &'a [u8],
        event: &Event<'_>,
        parts: &Parts,
        out: &'a mut Vec<u8>,
    ) -> Self {
        let decision = evaluator.decide(line, parts);
        out.clear();
        let effect = evaluator.apply(&decision, line, event, parts, out);
        let (fate, left): (_, &[u8]) = match effect {
            Effect::Dropped => (Fate::Dropped, &[]),
            Effect::Unchanged => (Fate::Kept(event.level), line),
            Effect::Changed => (Fate::Kept(decision.level_of(event.level)), out),
        };
        Self { rule: decision.rule, effect, fate, left }
    }

    /// Bytes that are left in a log.
    fn bytes(&self) -> u64 {
        if self.effect == Effect::Dropped { 0 } else { bytes_of(self.left) }
    }

    fn add_to<'b>(&self, line: &[u8], of: &'b mut [OfRule]) -> Option<&'b mut OfRule> {
        let none = of.len().checked_sub(1)?;
        let of_rule = of.get_mut(self.rule.unwrap_or(none))?;
        of_rule.fates.add(self.effect, bytes_of(line), self.bytes());
        Some(of_rule)
    }
}

/// Bytes of a line in a log.
fn bytes_of(line: &[u8]) -> u64 {
    line.len() as u64 + 1
}

impl Sum for Simulated {
    fn add(&mut self, line: &[u8], event: &Event<'_>, parts: &Parts) {
        let Self { evaluator, of, against, out, value } = self;
        let outcome = Outcome::of(evaluator, line, event, parts, out);
        if let Some(of_rule) = outcome.add_to(line, of) {
            let tops = of_rule
                .tops
                .get_or_insert_with(|| Box::new([(); 3].map(|()| Tally::new(Measure::Bytes, BOUND))));
            for (index, tally) in tops.iter_mut().enumerate() {
                value.clear();
                match index {
                    0 => keys::put_user(line, parts, value),
                    1 => keys::put_text(line, parts, Field::Verb, value),
                    _ => keys::put_resource(line, parts, value),
                }
                tally.add(value.as_bytes(), bytes_of(line));
            }
        }
        if let Some(Against { evaluator, of, changes, out }) = against {
            let other = Outcome::of(evaluator, line, event, parts, out);
            other.add_to(line, of);
            if other.fate != outcome.fate || other.left != outcome.left {
                let change = Change { from: (outcome.rule, outcome.fate), to: (other.rule, other.fate) };
                let changed = changes.entry(change).or_default();
                changed.events += 1;
                changed.bytes_from += outcome.bytes();
                changed.bytes_to += other.bytes();
            }
        }
    }

    fn merge(&mut self, other: Self) {
        merge(&mut self.of, other.of);
        if let (Some(against), Some(other)) = (&mut self.against, other.against) {
            merge(&mut against.of, other.of);
            for (change, more) in other.changes {
                let changed = against.changes.entry(change).or_default();
                changed.events += more.events;
                changed.bytes_from += more.bytes_from;
                changed.bytes_to += more.bytes_to;
            }
        }
    }
}

fn merge(of: &mut [OfRule], other: Vec<OfRule>) {
    for (of_rule, more) in of.iter_mut().zip(other) {
        of_rule.merge(more);
    }
}
