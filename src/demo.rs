//! `audit-shipper demo`: the whole way of an event on this machine, no cluster needed.
//!
//! Real events are *replayed* into a log that rotates as kube-apiserver's does. The daemon ships them to the built-in
//! receiver, both as child processes of this very executable with nothing but their public flags and metrics between
//! us. At the end every written line is looked up in the receiver's file, by content.
//!
//! In reading order: `workdir` makes the place, `child` runs the two, `writer` writes what `replay` yields by
//! means of `lumberjack`, `progress` shows how far it is, and `summary` compares and reports.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use child::Child;
use progress::{Counts, Progress};
use replay::Replay;
use summary::{Comparison, Summary};
use workdir::Workdir;
use writer::Writer;

pub mod lumberjack;

mod child;
mod progress;
pub mod replay;
mod summary;
mod workdir;
mod writer;

/// How often the counters are read.
const TICK: Duration = Duration::from_millis(200);
/// Nothing written, shipped or received for this long: what has not arrived will not. Longer than the daemon's waits
/// between tries.
const PATIENCE: Duration = Duration::from_secs(30);
/// Missing events that are named.
const NAMED: usize = 5;

/// The flags of `audit-shipper demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Events to write
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub events: u64,
    /// Work in this directory, which is made or is empty, and keep it
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The place to work in is not to be had.
    #[error("cannot work in {}", path.display())]
    Workdir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log cannot be written.
    #[error("cannot write the log")]
    Log(#[source] io::Error),
    /// Our own output cannot be written.
    #[error("cannot write to the standard output")]
    Output(#[source] io::Error),
    /// The daemon or the receiver did not do what it should.
    #[error("`audit-shipper {name}` {problem}; the end of its log:\n{log}")]
    Child {
        /// Its subcommand.
        name: &'static str,
        /// What is wrong.
        problem: String,
        /// Its last lines.
        log: String,
    },
    /// What arrived is not what was written.
    #[error("{problem}; the end of the daemon's log:\n{log}")]
    Different {
        /// What is wrong.
        problem: String,
        /// The daemon's last lines.
        log: String,
    },
    /// Someone asked us to stop.
    #[error("stopped before the end")]
    Stopped,
}

/// Runs the demo and prints its progress and its summary to the standard output.
///
/// # Errors
///
/// If anything was lost or did not work, and if `stop` completes first. The children are gone in every case.
pub async fn demo(args: DemoArgs, stop: impl Future<Output = ()>) -> Result<(), DemoError> {
    let stdout = io::stdout();
    let redraw = stdout.is_terminal();
    let mut progress = Progress::new(stdout, redraw);
    let workdir = Workdir::prepare(args.keep.as_deref())?;
    let played = tokio::select! {
        biased;
        // Dropping the other future kills the children.
        () = stop => Err(DemoError::Stopped),
        played = play(&workdir, args.events, &mut progress) => played,
    };
    progress.end().map_err(DemoError::Output)?;
    let summary = played?;
    progress.print(&summary.table()).map_err(DemoError::Output)?;
    if let Some(kept) = &args.keep {
        progress.print(&format!("\neverything is in {}\n", kept.display())).map_err(DemoError::Output)?;
    }
    summary.verdict().map_err(|problem| DemoError::Different { problem, log: summary.daemon_log })
}

async fn play<W: Write>(
    workdir: &Workdir,
    events: u64,
    progress: &mut Progress<W>,
) -> Result<Summary, DemoError> {
    let replay = Arc::new(Replay::bundled());
    let mut receiver = start(workdir, "receive", &receiver_arguments(workdir))?;
    let receiver_address = receiver.address("listening").await?;
    let path = workdir.kubeconfig();
    std::fs::write(&path, kubeconfig(receiver_address))
        .map_err(|source| DemoError::Workdir { path, source })?;
    let mut daemon = start(workdir, "run", &daemon_arguments(workdir))?;
    let daemon_address = daemon.address("serving metrics and health").await?;
    progress.introduce(workdir.path(), receiver_address, daemon_address).map_err(DemoError::Output)?;

    let started = Instant::now();
    let writer = Writer::start(Arc::clone(&replay), workdir.log(), events);
    let mut counts = arrival(&writer, events, &mut daemon, &mut receiver, progress).await?;
    let elapsed = started.elapsed();
    let (bytes, rotations) = writer.finish().await?;
    counts.rotations = rotations;

    let peak_memory = daemon.peak_memory();
    let daemon_log = daemon.log_tail();
    daemon.terminate().await?;
    receiver.terminate().await?;
    let path = workdir.received();
    let compared = spawn_blocking({
        let path = path.clone();
        move || Comparison::of(&path, &replay, events, NAMED)
    });
    let comparison = compared
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(panic)))
        .map_err(|source| DemoError::Workdir { path, source })?;
    Ok(Summary { counts, bytes, elapsed, peak_memory, daemon_log, comparison })
}

/// Waits until every event was written, shipped and received, or until waiting is no use: the comparison tells.
async fn arrival<W: Write>(
    writer: &Writer,
    events: u64,
    daemon: &mut Child,
    receiver: &mut Child,
    progress: &mut Progress<W>,
) -> Result<Counts, DemoError> {
    let mut last = Counts::default();
    let mut moved = Instant::now();
    loop {
        let counts = Counts {
            written: writer.events(),
            rotations: writer.rotations(),
            shipped: daemon.metric("audit_shipper_delivered_events_total").await?,
            received: receiver.metric("audit_shipper_receiver_events_total").await?,
        };
        progress.show(counts).map_err(DemoError::Output)?;
        if counts != last {
            (last, moved) = (counts, Instant::now());
        }
        let arrived = counts.written.min(counts.shipped).min(counts.received) >= events;
        if arrived || writer.failed() || moved.elapsed() > PATIENCE {
            return Ok(counts);
        }
        tokio::time::sleep(TICK).await;
    }
}

fn start(workdir: &Workdir, name: &'static str, arguments: &[String]) -> Result<Child, DemoError> {
    Child::start(name, arguments, workdir.path())
        .map_err(|source| DemoError::Workdir { path: workdir.path().to_owned(), source })
}

fn receiver_arguments(workdir: &Workdir) -> Vec<String> {
    vec!["--bind-address=127.0.0.1:0".to_owned(), flag("--output", &workdir.received())]
}

fn daemon_arguments(workdir: &Workdir) -> Vec<String> {
    vec![
        flag("--audit-log-path", &workdir.log()),
        flag("--audit-webhook-config-file", &workdir.kubeconfig()),
        "--audit-webhook-batch-max-wait=1s".to_owned(),
        flag("--state-dir", &workdir.state()),
        "--bind-address=127.0.0.1:0".to_owned(),
    ]
}

fn flag(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

fn kubeconfig(receiver: SocketAddr) -> String {
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: receiver\n\
         \x20 cluster:\n\
         \x20   server: http://{receiver}/audit\n\
         contexts:\n\
         - name: demo\n\
         \x20 context:\n\
         \x20   cluster: receiver\n\
         current-context: demo\n"
    )
}
