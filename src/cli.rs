//! The command line: which command, with which configuration, and what exit status tells the caller.
//!
//! Exit status: 0 done, 1 failed while running, 2 wrong usage (clap's), 78 the configuration is wrong.

mod check;
mod cursor;
mod documents;
mod import;
mod policy;
mod reading;
mod rejected;
mod setup;
mod state;
mod status;
mod top;

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Errors, Loaded, LogFormat};
use crate::demo::{self, DemoArgs};
use crate::flags::RunArgs;
use crate::pipeline;
use crate::prepare::{self, Prepared};
use crate::receive::{self, ReceiveArgs, ReceiveError};
use crate::source::fdstore;
use crate::supervisor;

/// `EX_CONFIG` of sysexits.h: a restart does not help, and the unit file says so.
const EXIT_CONFIG: u8 = 78;

/// Ships kube-apiserver's rotated audit log to a remote endpoint; no event is lost in silence.
#[derive(Debug, clap::Parser)]
#[command(name = "audit-shipper", version)]
enum Cli {
    /// Tail, batch, throttle, truncate, ship; until SIGTERM
    Run(RunArgs),
    /// Load the configuration as `run` would and print the effective one as YAML; look at the node, and try its destinations
    Check(check::Args),
    /// Make a configuration of kube-apiserver's static pod manifest
    Import(import::Args),
    /// An endpoint for people who have none: takes what `run` sends and appends each event as a line to a file
    Receive(ReceiveArgs),
    /// The whole thing on this machine, no cluster needed
    Demo(DemoArgs),
    /// How each output of a running daemon does, now and over the last hour
    Status(status::Args),
    /// Where each output stands
    #[command(subcommand)]
    Cursor(cursor::Command),
    /// What was set aside
    #[command(subcommand)]
    Rejected(rejected::Command),
    /// What an audit policy would do
    #[command(subcommand)]
    Policy(policy::Command),
    /// Who fills the log
    Top(top::Args),
    /// What an endpoint needs before events are sent to it
    #[command(subcommand)]
    Setup(setup::Command),
    /// Completions of these commands for a shell
    Completion(documents::CompletionArgs),
    /// The man pages, for whoever makes a package
    #[command(hide = true)]
    Man(documents::ManArgs),
}

/// Why a command ended without success.
enum Failure {
    Config(Vec<String>),
    Running(anyhow::Error),
    /// Several things went wrong while running.
    Several(Vec<String>),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Running(error.into())
    }
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse() {
        Cli::Run(args) => run(&args),
        Cli::Check(args) => check::check(&args),
        Cli::Import(args) => import::import(&args),
        Cli::Receive(args) => receive(args),
        Cli::Demo(args) => demo(args),
        Cli::Status(args) => status::status(&args),
        Cli::Cursor(command) => cursor::command(&command),
        Cli::Rejected(command) => rejected::command(&command),
        Cli::Policy(command) => policy::command(&command),
        Cli::Top(args) => top::top(args),
        Cli::Setup(command) => setup::command(&command),
        Cli::Completion(args) => documents::completion(&args),
        Cli::Man(args) => documents::man(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(mistakes)) => say(mistakes, ExitCode::from(EXIT_CONFIG)),
        Err(Failure::Running(error)) => say(vec![format!("{error:#}")], ExitCode::FAILURE),
        Err(Failure::Several(errors)) => say(errors, ExitCode::FAILURE),
    }
}

fn say(errors: Vec<String>, status: ExitCode) -> ExitCode {
    let mut stderr = std::io::stderr();
    for error in errors {
        let _ = writeln!(stderr, "error: {error}");
    }
    status
}

fn run(args: &RunArgs) -> Result<(), Failure> {
    let (loaded, prepared) = load_once_it_is_there(args)?;
    start_logging(loaded.log_format);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    // Before anything else is opened or started.
    let kept = fdstore::inherited();
    let stop = CancellationToken::new();
    let runtime = runtime()?;
    let again = args.clone();
    let again = Arc::new(move || again.load(|name| std::env::var_os(name)));
    let load = pipeline::Load { file: loaded.file, again };
    let result = runtime.block_on(async {
        let signals = Signals::new()?;
        let hangups = signal(SignalKind::hangup())?;
        tokio::spawn(signals.stop_then_exit(stop.clone()));
        pipeline::run(loaded.config, prepared, load, kept, hangups, stop).await?;
        Ok(())
    });
    // A read that hangs in the kernel keeps nobody from ending in time: what it would read is not settled.
    runtime.shutdown_background();
    result
}

/// The same, but for a manifest that is not there yet: on a node that is being set up somebody is about to write it.
/// Nothing else may be wrong.
fn load_once_it_is_there(args: &RunArgs) -> Result<(Loaded, Vec<Prepared>), Failure> {
    /// Between two looks; systemd is asked for more time than that.
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    const MORE_TIME_US: u32 = 30_000_000;
    let mut is_told = false;
    loop {
        let errors = match args.load(|name| std::env::var_os(name)) {
            Err(errors) if errors.is_manifest_awaited() => errors,
            _ => return load(args),
        };
        if !is_told {
            for waiting in errors.iter() {
                let _ = writeln!(std::io::stderr(), "waiting: {waiting}");
            }
            is_told = true;
        }
        supervisor::notify(&[
            NotifyState::Status("waiting for the manifest of kube-apiserver"),
            NotifyState::ExtendTimeoutUsec(MORE_TIME_US),
        ]);
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The configuration and what it names, or everything that is wrong with either.
fn load(args: &RunArgs) -> Result<(Loaded, Vec<Prepared>), Failure> {
    let mut loaded = args.load(|name| std::env::var_os(name)).map_err(|errors| {
        let found = prepare::mistakes_in_files(&errors);
        Failure::Config([errors.into_mistakes(), found].concat())
    })?;
    let prepared = prepare::prepare(&mut loaded).map_err(Failure::Config)?;
    Ok((loaded, prepared))
}

impl Failure {
    fn config(errors: Errors) -> Self {
        Self::Config(errors.into_mistakes())
    }
}

/// Whoever reads only the first lines of what is printed is no error.
fn unless_broken_pipe(result: anyhow::Result<()>) -> Result<(), Failure> {
    let is_broken_pipe = |error: &anyhow::Error| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    match result {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        other => Ok(other?),
    }
}

fn receive(args: ReceiveArgs) -> Result<(), Failure> {
    start_logging(LogFormat::Text);
    runtime()?.block_on(async {
        let stop = Signals::new()?.any();
        match receive::receive(args, stop).await {
            Err(ReceiveError::Config(mistakes)) => Err(Failure::Config(mistakes)),
            other => Ok(other?),
        }
    })
}

fn demo(args: DemoArgs) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let stop = Signals::new()?.any();
        Ok(demo::demo(args, stop).await?)
    })
}

/// One thread for the routes and one for the admin server are enough: files are read on threads of their own.
fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// Our own log goes to the standard error. `RUST_LOG` says how much of it, `info` without it.
fn start_logging(format: LogFormat) {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, unknown) = filter_of(&wanted);
    // A line that cannot be written would be told with `eprintln!`, which panics for the same reason.
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => registry.with(lines).init(),
        LogFormat::Json => registry.with(lines.json()).init(),
    }
    for directive in unknown {
        tracing::warn!(directive, "RUST_LOG: neither a level nor target=level; passed over");
    }
}

/// Levels, for all targets or for one, separated by commas; and what is no such thing.
fn filter_of(wanted: &str) -> (Targets, Vec<&str>) {
    let directives = wanted.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let (known, unknown): (Vec<&str>, Vec<&str>) =
        directives.partition(|directive| directive.parse::<Targets>().is_ok());
    let filter = known.join(",").parse().ok().filter(|_| !known.is_empty());
    (filter.unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO)), unknown)
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Returns at the first signal.
    async fn any(mut self) {
        self.next().await;
    }

    /// The first signal stops in order, the second at once.
    async fn stop_then_exit(mut self, stop: CancellationToken) {
        self.next().await;
        stop.cancel();
        self.next().await;
        tracing::warn!("a second signal: stopping at once");
        std::process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::filter_of;

    #[test]
    fn how_much_is_logged() {
        let shows = |wanted, target, level| filter_of(wanted).0.would_enable(target, &level);
        for nothing in ["", " ", ",", "no=such"] {
            assert!(shows(nothing, "hyper", Level::INFO) && !shows(nothing, "audit_shipper", Level::DEBUG));
        }
        let one = "audit_shipper=debug";
        assert!(shows(one, "audit_shipper::route", Level::DEBUG) && !shows(one, "hyper", Level::ERROR));
        let both = "warn, audit_shipper=trace";
        assert!(shows(both, "audit_shipper", Level::TRACE));
        assert!(shows(both, "hyper", Level::WARN) && !shows(both, "hyper", Level::INFO));
        let (filter, unknown) = filter_of("no=such,debug,[a{b}]=x=y");
        assert_eq!(unknown, ["no=such", "[a{b}]=x=y"]);
        assert!(filter.would_enable("hyper", &Level::DEBUG));
    }
}
