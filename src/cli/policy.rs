//! `policy check | eval | simulate`: whether a file is an audit policy, and what it says of recorded events.

mod eval;
mod simulate;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::policy::{Loaded, Policy};

/// What to do with a policy.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Is this a valid audit policy? All mistakes are listed, each with its line
    Check {
        /// The policy
        file: PathBuf,
    },
    /// Print what a policy says of each event of a log, one JSON object a line
    Eval {
        /// The policy
        #[arg(long, value_name = "FILE")]
        policy_file: PathBuf,
        /// The log, plain or compressed; - is the standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Show what each rule of a policy would keep, lower and drop of logs: events, bytes, share
    Simulate(simulate::Args),
}

pub(super) fn command(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Check { file } => check(file),
        Command::Eval { policy_file, file } => eval::eval(load(policy_file)?, file),
        Command::Simulate(args) => simulate::simulate(args),
    }
}

fn check(file: &Path) -> Result<(), Failure> {
    let rules = load(file)?.rules().len();
    let noun = if rules == 1 { "rule" } else { "rules" };
    let verdict = writeln!(std::io::stdout(), "{}: a valid audit policy, {rules} {noun}", file.display());
    super::unless_broken_pipe(verdict.map_err(anyhow::Error::from))
}

/// The policy in a file; what its author should know is said on the standard error.
pub(super) fn load(file: &Path) -> Result<Policy, Failure> {
    let Loaded { policy, warnings } = Policy::load(file).map_err(Failure::Config)?;
    let mut stderr = std::io::stderr();
    for warning in warnings {
        let _ = writeln!(stderr, "warning: {warning}");
    }
    Ok(policy)
}
