//! `top`: who fills the log.
//!
//! A table for each key, the largest values first. `--by user,verb` is two tables and `--by user+verb` one of both
//! together. A file that is given is read alone, a directory is the series in it.

mod follow;
mod json;
pub(super) mod keys;
mod table;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use jiff::Timestamp;

use super::reading::{self, Given, Output};
use super::{Cli, Failure, unless_broken_pipe};
use crate::config;
use crate::event::{Event, Parts};
use crate::logs::{self, Found, Progress, Sum};
use crate::policy::{Evaluator, Policy};
use crate::shown::Screen;
use crate::tally::{Bound, Measure, Tally};
use keys::{Key, Keys};

/// What one table keeps apart: a few megabytes, whoever chooses the values.
const BOUND: Bound = Bound { values: 16_384, value_bytes: 2 << 20 };

/// The flags of `audit-shipper top`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    given: Given,
    /// A table for each of these: user, verb, resource, namespace, agent, code, level, stage, rule. With + between them,
    /// one table of several together
    #[arg(long, value_name = "KEY[+KEY],...", value_delimiter = ',', default_value = "user,verb,resource")]
    by: Vec<Keys>,
    /// Only events from then on: a time of RFC 3339, or how long ago, such as 90m
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Go on with what is written from now on, across rotations; with --since also what was written since then
    #[arg(long)]
    follow: bool,
    /// Between two tables of --follow; by default 1s on a terminal, 5s elsewhere
    #[arg(long, value_name = "DURATION", value_parser = interval, requires = "follow")]
    interval: Option<Duration>,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// What comes first
    #[arg(long, value_enum, default_value = "bytes")]
    sort: Measure,
    /// Rows of a table at most; 0: all
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// The audit policy that rules belong to, for the key rule
    #[arg(long, value_name = "FILE")]
    policy_file: Option<PathBuf>,
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let wrong =
        || format!("{text:?} is neither a time such as 2026-11-22T01:00:00Z nor a duration such as 90m");
    let ago = config::duration(text).map_err(|_| wrong())?;
    Timestamp::now().checked_sub(ago).map_err(|_| wrong())
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = config::duration(text)?;
    if interval.is_zero() { Err("must be above 0".to_owned()) } else { Ok(interval) }
}

pub(super) fn top(args: Args) -> Result<(), Failure> {
    let needs_policy = args.by.iter().any(|keys| keys.has(Key::Rule));
    let policy = match &args.policy_file {
        Some(path) => Some(Arc::new(super::policy::load(path)?)),
        None if needs_policy => {
            let what = "the key rule needs --policy-file <FILE>";
            Cli::command().error(ErrorKind::MissingRequiredArgument, what).exit();
        }
        None => None,
    };
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let view = View { keys: args.by, output: args.output, sort: args.sort, limit };
    let new = || Counted::new(&view, policy.as_ref().filter(|_| needs_policy));
    if args.follow {
        return follow::follow(&args.given.logs, args.since, args.interval, &view, new());
    }
    let logs = args.given.open()?;
    let (counted, found) = logs::read(&logs, args.since, new, &mut Progress::on_stderr());
    unless_broken_pipe(print(&view, &counted, &found, logs.count()))?;
    reading::tell(found)
}

fn print(view: &View, counted: &Counted, found: &Found, files: usize) -> anyhow::Result<()> {
    let text = match view.output {
        Output::Json => json::object(view, counted, found, files)? + "\n",
        Output::Table => {
            let tables = table::tables(view, counted, &Screen::of_stdout(), view.limit, None);
            reading::heading(found, files) + &tables
        }
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// What is to be seen, and how.
struct View {
    keys: Vec<Keys>,
    output: Output,
    sort: Measure,
    limit: usize,
}

/// A tally for each table.
struct Counted {
    tallies: Vec<(Keys, Tally)>,
    evaluator: Option<Evaluator>,
    value: String,
}

impl Counted {
    fn new(view: &View, policy: Option<&Arc<Policy>>) -> Self {
        let tally = |keys: &Keys| (keys.clone(), Tally::new(view.sort, BOUND));
        Self {
            tallies: view.keys.iter().map(tally).collect(),
            evaluator: policy.map(|policy| Evaluator::new(Arc::clone(policy))),
            value: String::new(),
        }
    }
}

impl Sum for Counted {
    fn add(&mut self, line: &[u8], event: &Event<'_>, parts: &Parts) {
        let rule = self.evaluator.as_mut().and_then(|evaluator| evaluator.decide(line, parts).rule);
        for (keys, tally) in &mut self.tallies {
            keys.values_of(line, event, parts, rule, &mut self.value);
            tally.add(self.value.as_bytes(), line.len() as u64 + 1);
        }
    }

    fn merge(&mut self, other: Self) {
        for ((_, tally), (_, more)) in self.tallies.iter_mut().zip(other.tallies) {
            tally.merge(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_as_they_are_or_as_how_long_ago() {
        assert_eq!(since("2026-11-22T01:00:00+01:00").unwrap().to_string(), "2026-11-22T00:00:00Z");
        let before = Timestamp::now();
        let ago = since("1h30m").unwrap() + Duration::from_secs(5400);
        assert!((before..=Timestamp::now()).contains(&ago), "{before} {ago}");
        for wrong in ["yesterday", "", "10", "-1h", "2026-11-22"] {
            assert!(since(wrong).unwrap_err().contains("is neither a time such as"), "{wrong}");
        }
        assert!(interval("0").is_err() && interval("100ms").is_ok());
    }
}
