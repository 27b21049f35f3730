//! `check`: the configuration as `run` would load it, whether this node is ready for it, and with `--connect` whether its
//! destinations are there for events.
//!
//! The standard output holds the YAML and nothing else: what was found of the node and of the destinations is for people, and
//! goes to the standard error.

mod connect;
mod file;
mod found;
mod node;

use std::io::Write as _;

use clap::ArgAction;

use super::{Failure, load, runtime};
use crate::config;
use crate::flags::RunArgs;
use found::{State, Tried};

/// What to check.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Also try each output's destination: address, TLS, credentials, what it is asked for; no event is sent. What was found
    /// goes to the standard error, and exit status 1 says that a destination failed
    #[arg(
        long,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value = "false",
        hide_default_value = true,
        overrides_with = "connect",
        value_name = "true|false"
    )]
    connect: bool,
    /// Also look at this node: log, state directory, rotation, rates; what was found goes to the standard error, and changes no
    /// exit status [default: true]
    #[arg(
        long,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value = "true",
        hide_default_value = true,
        overrides_with = "node",
        value_name = "true|false"
    )]
    node: bool,
}

pub(super) fn check(args: &Args) -> Result<(), Failure> {
    let (loaded, prepared) = load(&args.run)?;
    let mut stderr = std::io::stderr();
    for warning in &loaded.warnings {
        writeln!(stderr, "warning: {warning}")?;
    }
    let mut stdout = std::io::stdout();
    stdout.write_all(config::to_yaml(&loaded.config).as_bytes())?;
    stdout.flush()?;
    if args.node {
        write!(stderr, "{}", node::look(&loaded.config))?;
    }
    if !args.connect {
        return Ok(());
    }
    let runtime = runtime()?;
    let outputs = runtime.block_on(connect::try_all(&loaded.config.outputs, prepared));
    // A look-up of a name that hangs in the system keeps nobody from ending in time.
    runtime.shutdown_background();
    for output in &outputs {
        write!(stderr, "{output}")?;
    }
    let failed: Vec<&str> =
        outputs.iter().filter(|output| output.state() == State::Failed).map(Tried::name).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Several(vec![format!(
        "{} of {} destinations failed: {}",
        failed.len(),
        outputs.len(),
        failed.join(", ")
    )]))
}
