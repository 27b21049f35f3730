//! `cursor show | reset | skip`: where each output stands; forget it; set the event at the head aside.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::Failure;
use super::state::{self, State};
use crate::batch::{Aside, Batch, Limits, Reason, Treating, Treatment};
use crate::buffers::Buffers;
use crate::checkpoint::{Cursor, Loaded, Lock, SUFFIX, Store};
use crate::config::{self, Config, MinFree};
use crate::gap::Gap;
use crate::pipeline;
use crate::policy::Policy;
use crate::redact::Redaction;
use crate::rejected::RejectedFile;
use crate::source::fdstore::FdStore;
use crate::source::format::Format;
use crate::source::keep::LogId;
use crate::source::pins::PinSet;
use crate::source::spool;
use crate::source::tail::{Progress, Tail};

const SKIPPED: &str = "skipped by an operator";

/// What to do with cursors.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print where each output stands
    Show(State),
    /// Forget where an output stands: it begins anew at the oldest file, and sends again what is still there
    Reset {
        #[command(flatten)]
        state: State,
        /// Name of the output
        #[arg(long, value_name = "NAME")]
        output: String,
    },
    /// Set the event that an output would send next aside, into its file of rejected events
    Skip(Skip),
}

#[derive(Debug, clap::Args)]
pub(super) struct Skip {
    #[command(flatten)]
    state: State,
    /// Name of the output; `webhook` if the daemon is run with flags alone
    #[arg(long, value_name = "NAME")]
    output: String,
    /// The log that the daemon tails, if no configuration file names it
    #[arg(long, value_name = "PATH", env = "AUDIT_SHIPPER_AUDIT_LOG_PATH")]
    audit_log_path: Option<PathBuf>,
    /// What kube-apiserver writes, json or legacy, if no configuration file says what the log is made of
    #[arg(long, value_name = "FORMAT", env = "AUDIT_SHIPPER_AUDIT_LOG_FORMAT", value_parser = ["json", "legacy"])]
    audit_log_format: Option<String>,
    /// The audit policy that the daemon is run with, if no configuration file names it
    #[arg(long, value_name = "FILE", env = "AUDIT_SHIPPER_AUDIT_POLICY_FILE")]
    audit_policy_file: Option<PathBuf>,
    /// The daemon is run with --redact, so what is set aside is masked
    #[arg(long)]
    redact: bool,
    /// The daemon is run with --gap-records, so a gap record may be what it would send next
    #[arg(long)]
    gap_records: bool,
}

pub(super) fn command(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Show(state) => Ok(show(&state.load()?.0)?),
        Command::Reset { state, output } => Ok(reset(&state.load()?.0, output)?),
        Command::Skip(skip) => skip.run(),
    }
}

fn show(state_dir: &Path) -> anyhow::Result<()> {
    let names = state::outputs(state_dir, SUFFIX)
        .with_context(|| format!("the state directory {}", state_dir.display()))?;
    let mut out = std::io::stdout().lock();
    if names.is_empty() {
        writeln!(out, "no output has a cursor in {}", state_dir.display())?;
        return Ok(());
    }
    writeln!(out, "{:<20} {:>14}  {:<45} SETTLED FILES", "OUTPUT", "OFFSET", "FILE")?;
    for name in names {
        match Store::open(state_dir, &name).1 {
            Loaded::Cursor(Cursor { settled, last: Some(last), .. }) => {
                writeln!(out, "{name:<20} {:>14}  {:<45} {}", last.offset, last.name, settled.len())?;
            }
            Loaded::Cursor(Cursor { settled, last: None, .. }) => {
                writeln!(
                    out,
                    "{name:<20} {:>14}  {:<45} {}",
                    "-",
                    "(at the head of the next file)",
                    settled.len()
                )?;
            }
            Loaded::Unreadable(reason) => writeln!(out, "{name:<20} unreadable: {reason}")?,
            Loaded::Never => {}
        }
    }
    Ok(())
}

fn reset(state_dir: &Path, output: &str) -> anyhow::Result<()> {
    let _lock = lock(state_dir)?;
    let mut store = known(state_dir, output)?.0;
    store.commit(&Cursor::default()).and_then(|()| store.sync()).context("writing the cursor")?;
    writeln!(std::io::stdout(), "{output}: begins at the oldest file")?;
    Ok(())
}

/// Takes the state directory, which a daemon would make: here one that does not exist is a typing error.
fn lock(state_dir: &Path) -> anyhow::Result<Lock> {
    if !state_dir.is_dir() {
        bail!("the state directory {} does not exist", state_dir.display());
    }
    Ok(Lock::take(state_dir)?)
}

/// The cursor of an output that has one.
fn known(state_dir: &Path, output: &str) -> anyhow::Result<(Store, Loaded)> {
    let (store, loaded) = Store::open(state_dir, output);
    if matches!(loaded, Loaded::Never) {
        let names = state::outputs(state_dir, SUFFIX)?;
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        bail!("the output {output} has no cursor in {}; those that have one: {known}", state_dir.display());
    }
    Ok((store, loaded))
}

impl Skip {
    fn run(&self) -> Result<(), Failure> {
        let (directory, config) = self.state.load()?;
        let output = config.as_ref().and_then(|config| config.output(&self.output));
        let named = output.and_then(|output| output.policy_file.as_ref());
        let policy = match self.audit_policy_file.as_ref().or(named) {
            Some(path) => Some(Arc::new(Policy::load(path).map_err(Failure::Config)?.policy)),
            None => None,
        };
        Ok(self.skip(&directory, config.as_ref(), policy)?)
    }

    /// What the daemon does to events.
    fn treatment(
        &self,
        state_dir: &Path,
        output: Option<&config::Output>,
        policy: Option<Arc<Policy>>,
    ) -> anyhow::Result<Treatment> {
        let mut redact = output.map(|output| output.redact.clone()).unwrap_or_default();
        redact.enabled |= self.redact;
        let takes = output.and_then(|output| output.takes.clone());
        Ok(Treatment { takes, policy, redaction: Redaction::beside_daemon(&redact, state_dir)? })
    }

    /// What the log is made of.
    fn format(&self, source: Option<&config::Source>) -> Format {
        match (source, self.audit_log_format.as_deref()) {
            (Some(source), _) => source.format,
            (None, Some("legacy")) => Format::Legacy,
            (None, _) => Format::Json,
        }
    }

    fn skip(
        &self,
        state_dir: &Path,
        config: Option<&Config>,
        policy: Option<Arc<Policy>>,
    ) -> anyhow::Result<()> {
        let output = &self.output;
        let _lock = lock(state_dir)?;
        let (mut store, loaded) = known(state_dir, output)?;
        let cursor = match loaded {
            Loaded::Cursor(cursor) => cursor,
            Loaded::Never => Cursor::default(),
            Loaded::Unreadable(reason) => bail!("the cursor of {output} cannot be read: {reason}"),
        };
        let of_cursor = config.map(|config| pipeline::log_of_cursor(config, output));
        let source = of_cursor.as_ref().map(|(source, _)| source);
        let Some(log) = self.audit_log_path.as_ref().or(source.map(|source| &source.path)) else {
            bail!("which log? Give --config or --audit-log-path");
        };
        let configured = config.and_then(|config| config.output(output));
        let gap_records = self.gap_records || configured.is_some_and(|output| output.gap_records);
        let max_line_bytes = source.map_or(config::DEFAULT_MAX_LINE_BYTES, |source| source.max_line_bytes);
        let is_own = |log| of_cursor.as_ref().is_none_or(|(_, is_own)| is_own(log));
        let mut tail = Tail::new(
            files(log, state_dir, is_own),
            0,
            Some(&cursor),
            config::StartAt::Oldest,
            max_line_bytes.get(),
        )
        .in_format(self.format(source));
        let treatment = self.treatment(state_dir, configured, policy)?;
        let Some((asides, end)) = head(&mut tail, output, treatment, gap_records)? else {
            bail!("nothing to skip: {output} has sent everything that is in {}", log.display());
        };
        let limits = configured.map_or_else(config::Rejected::default, |output| output.rejected.clone());
        let rejected = RejectedFile::new(state_dir, output, limits);
        let dropped = rejected.append(&asides).map_err(anyhow::Error::msg)?.dropped;
        store.commit(&end).and_then(|()| store.sync()).context("writing the cursor")?;
        let mut out = std::io::stdout();
        for Aside { line_bytes, sha256, .. } in &asides {
            writeln!(out, "{output}: set aside one line of {line_bytes} bytes (SHA-256 {sha256})")?;
        }
        if dropped > 0 {
            let lost = "the file of rejected events was full; its oldest entries are lost";
            writeln!(out, "{output}: {lost} ({dropped})")?;
        }
        Ok(())
    }
}

/// The files of the log, and the copies that are its own, of those that have lost their names. Nothing is given up for a look at them.
fn files(log: &Path, state_dir: &Path, is_own: impl Fn(LogId) -> bool) -> Arc<PinSet> {
    let limits = config::Pins { limit: u64::MAX, max_files: usize::MAX, min_free: MinFree::Bytes(0) };
    let pins = PinSet::new(log, limits, 1, Box::new(|_, _| {}));
    Arc::new(pins.with_kept(Vec::new(), FdStore::default(), &spool::directory(state_dir), is_own))
}

/// What `output` would send next, and the position past it: the event at the head of what is unread, or the records of
/// the gaps before it. Gaps that are not to be sent are told here, since nobody will hear of them again.
fn head(
    tail: &mut Tail,
    output: &str,
    treatment: Treatment,
    gap_records: bool,
) -> anyhow::Result<Option<(Vec<Aside>, Cursor)>> {
    let mut batch = Batch::with_treating(Buffers::default(), Treating::new(treatment));
    let mut limits = Limits {
        max_lines: 1,
        max_bytes: usize::MAX,
        max_first_line_bytes: usize::MAX,
        max_event_size: None,
    };
    // This says in its own words what the system said.
    loop {
        match tail.fill(&mut batch, &limits).map_err(anyhow::Error::msg)? {
            Progress::Gap => {}
            Progress::More => continue,
            // No position is between lines that a container wrote into each other.
            Progress::Full if tail.is_within_span() => {
                limits.max_lines += 1;
                continue;
            }
            Progress::Full | Progress::AtEnd => break,
        }
        let gaps = tail.take_observed().gaps;
        for gap in &gaps {
            let are = if gap.certain { "are" } else { "may be" };
            writeln!(std::io::stdout(), "{output}: events {are} missing: {gap}")?;
        }
        if gap_records && batch.is_empty() {
            let aside = |gap: &Gap| Aside::of(&gap.record(), Reason::Skipped, SKIPPED.into(), None);
            return Ok(Some((gaps.iter().map(aside).collect(), tail.cursor())));
        }
    }
    batch.seal();
    let mut asides = batch.take_asides();
    asides.extend((0..batch.events()).map(|index| skipped(&batch, index)));
    Ok(batch.end().cloned().filter(|_| !asides.is_empty()).map(|end| (asides, end)))
}

fn skipped(batch: &Batch, index: usize) -> Aside {
    batch.aside_of(index, Reason::Skipped, SKIPPED.into(), None)
}
