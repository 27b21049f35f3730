//! `rejected list | retry | drop`: what was set aside; send it again; give it up.
//!
//! All of them work while the daemon runs. What it sets aside meanwhile stays in the file, and is left for the next time;
//! so are lines that are no entries, since nobody can say what they are.

mod retry;
mod table;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::builder::PossibleValuesParser;

use super::Failure;
use super::state::{self, State};
use crate::batch::Reason;
use crate::checkpoint;
use crate::config::Config;
use crate::rejected::{self, Entry, Lines};
use crate::shown;

/// What to do with the events that were set aside.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print what was set aside, and why
    List {
        #[command(flatten)]
        state: State,
        #[command(flatten)]
        filter: Filter,
    },
    /// Send the events among it again, and take out what the endpoint acknowledges
    Retry {
        #[command(flatten)]
        state: State,
        #[command(flatten)]
        filter: Filter,
        /// Endpoint of a daemon that is run with flags alone
        #[arg(long, value_name = "FILE", env = "AUDIT_SHIPPER_AUDIT_WEBHOOK_CONFIG_FILE")]
        audit_webhook_config_file: Option<PathBuf>,
    },
    /// Take it out for good
    Drop {
        #[command(flatten)]
        state: State,
        #[command(flatten)]
        filter: Filter,
    },
}

/// Which entries are meant; all of them if nothing is said.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Only those of this output
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
    /// Only those that were set aside for this reason
    #[arg(long, value_name = "REASON", value_parser = PossibleValuesParser::new(REASONS.map(Reason::as_str)))]
    reason: Option<String>,
}

const REASONS: [Reason; 4] = [Reason::Malformed, Reason::Rejected, Reason::TooLarge, Reason::Skipped];

pub(super) fn command(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List { state, filter } => {
            let (directory, config) = state.load()?;
            super::unless_broken_pipe(print(&filter.files(&directory, config.as_ref())?, filter))
        }
        Command::Retry { state, filter, audit_webhook_config_file } => {
            let (directory, config) = state.load_with(audit_webhook_config_file.as_deref())?;
            let files = filter.files(&directory, config.as_ref())?;
            retry::retry(&files, filter, &directory, config.as_ref())
        }
        Command::Drop { state, filter } => {
            let (directory, config) = state.load()?;
            Ok(drop_entries(&filter.files(&directory, config.as_ref())?, filter)?)
        }
    }
}

/// The file of one output.
struct OfOutput {
    name: String,
    path: PathBuf,
}

impl OfOutput {
    fn lines(&self) -> anyhow::Result<Option<Lines>> {
        rejected::look(&self.path).with_context(|| self.path.display().to_string())
    }

    fn is_empty(&self) -> anyhow::Result<bool> {
        let Some(mut lines) = self.lines()? else { return Ok(true) };
        Ok(lines.next_line()?.is_none())
    }
}

impl Filter {
    /// The files that are there.
    fn files(&self, state_dir: &Path, config: Option<&Config>) -> anyhow::Result<Vec<OfOutput>> {
        let outputs = |suffix| {
            let at = || format!("the state directory {}", state_dir.display());
            state::outputs(state_dir, suffix).with_context(at)
        };
        let mut names = outputs(rejected::SUFFIX)?;
        if let Some(output) = &self.output {
            let mut configured = config.iter().flat_map(|config| &config.outputs);
            let is_known = names.contains(output)
                || outputs(checkpoint::SUFFIX)?.contains(output)
                || configured.any(|other| other.name == *output);
            if !is_known {
                let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                bail!(
                    "nothing is known of an output {output} in {}; those that have set something aside: {known}",
                    state_dir.display()
                );
            }
            names.retain(|name| name == output);
        }
        let file = |name: String| OfOutput { path: rejected::path(state_dir, &name), name };
        Ok(names.into_iter().map(file).collect())
    }

    /// Whether an entry is meant.
    fn takes(&self, entry: &Entry<'_>) -> bool {
        self.reason.as_ref().is_none_or(|reason| *reason == entry.reason)
    }
}

/// Prints all entries.
fn print(files: &[OfOutput], filter: &Filter) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut totals = Vec::new();
    for file in files {
        let (name, Some(mut lines)) = (&file.name, file.lines()?) else { continue };
        let (mut reasons, mut foreign, mut number) = (BTreeMap::<String, u64>::new(), 0, 0_u64);
        while let Some(line) = lines.next_line()? {
            number += 1;
            let row = match Entry::parse(line) {
                Some(entry) if filter.takes(&entry) => {
                    *reasons.entry(entry.reason.clone().into_owned()).or_default() += 1;
                    table::row(name, &entry)
                }
                None if filter.reason.is_none() && !line.trim_ascii().is_empty() => {
                    foreign += 1;
                    table::no_entry(name, number, line.len())
                }
                _ => continue,
            };
            if totals.is_empty() && reasons.values().sum::<u64>() + foreign == 1 {
                writeln!(out, "{}", table::heading())?;
            }
            writeln!(out, "{row}")?;
        }
        if foreign > 0 || !reasons.is_empty() {
            totals.push(table::total(name, &reasons, foreign));
        }
    }
    if totals.is_empty() {
        writeln!(out, "nothing was set aside")?;
    } else {
        writeln!(out, "\n{}", totals.join("\n"))?;
    }
    Ok(out.flush()?)
}

fn drop_entries(files: &[OfOutput], filter: &Filter) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut all = 0;
    for OfOutput { name, path } in files {
        let is_meant = |line: &[u8]| Entry::parse(line).is_some_and(|entry| filter.takes(&entry));
        let dropped = rejected::remove(path, is_meant).with_context(|| path.display().to_string())?;
        if dropped > 0 {
            writeln!(
                out,
                "{}: dropped {}",
                shown::printable(name),
                shown::count(dropped, "entry", "entries")
            )?;
        }
        all += dropped;
    }
    if all == 0 {
        writeln!(out, "nothing to drop")?;
    }
    Ok(())
}
