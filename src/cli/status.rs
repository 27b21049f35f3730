//! `status`: what the live view shows, in a terminal.

mod ask;
mod table;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;

use super::{Failure, runtime, unless_broken_pipe};
use crate::live::status::{SCHEMA_VERSION, Status};
use crate::shown::Screen;
use ask::Daemon;

/// Between two looks of `--watch`.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Clears a terminal, and puts what follows at its top.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Which daemon, and how it is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration file of the daemon, which says where its live view is
    #[arg(long, value_name = "FILE", env = "AUDIT_SHIPPER_CONFIG")]
    config: Option<PathBuf>,
    /// Where its live view is, such as http://127.0.0.1:9465, https://NAME:9466 or unix:///run/audit-shipper/view.sock; wins
    /// over the configuration file
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// Holds the bearer token of a live view that wants one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The authorities of its certificate (PEM), if not those of this machine
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Print the document as it is, a line of JSON
    #[arg(long)]
    json: bool,
    /// Look again every two seconds
    #[arg(long)]
    watch: bool,
}

pub(super) fn status(args: &Args) -> Result<(), Failure> {
    let daemon = Daemon::of(args)?;
    unless_broken_pipe(runtime()?.block_on(async {
        loop {
            match daemon.status().await.and_then(|json| shown(args, &json)) {
                Ok(shown) => print(args, &shown)?,
                // Who watches wants to see it come back.
                Err(error) if args.watch => print(args, &format!("{error:#}\n"))?,
                Err(error) => return Err(error),
            }
            if !args.watch {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
    }))
}

fn shown(args: &Args, json: &[u8]) -> anyhow::Result<String> {
    if args.json {
        return Ok(format!("{}\n", String::from_utf8_lossy(json)));
    }
    let status: Status =
        serde_json::from_slice(json).context("what is there is no status of audit-shipper")?;
    if status.schema_version != SCHEMA_VERSION {
        anyhow::bail!(
            "the daemon has version {} of the status, and this command {SCHEMA_VERSION}",
            status.schema_version
        );
    }
    let has_colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Ok(table::table(&status, &Screen::of_stdout(), has_colours))
}

fn print(args: &Args, text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.watch && !args.json && out.is_terminal() {
        out.write_all(CLEAR.as_bytes())?;
    }
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
