//! `status`: what the live view shows, in a terminal.

mod ask;
mod table;

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::time::sleep;

use super::{Failure, runtime, unless_broken_pipe};
use crate::live::status::{SCHEMA_VERSION, Status};
use crate::shown::{Screen, printable};
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
        return Ok(format!("{}\n", escaped(&String::from_utf8_lossy(json))));
    }
    // What answers may be anybody, and what it says is told by these errors.
    let no_status = |error: serde_json::Error| {
        anyhow!("what is there is no status of audit-shipper: {}", printable(&error.to_string()))
    };
    // The version first: another one may have fields and states that are not known here.
    let Version { schema_version } = serde_json::from_slice(json).map_err(no_status)?;
    if schema_version != SCHEMA_VERSION {
        bail!("the daemon has version {schema_version} of the status, and this command {SCHEMA_VERSION}");
    }
    let status: Status = serde_json::from_slice(json).map_err(no_status)?;
    let has_colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Ok(table::table(&status, &Screen::of_stdout(), has_colours))
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    schema_version: u32,
}

/// JSON that means the same and holds nothing that a terminal would obey: clients of the API server choose names.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1 {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

fn print(args: &Args, text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.watch && !args.json && out.is_terminal() {
        out.write_all(CLEAR.as_bytes())?;
    }
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(json: bool) -> Args {
        Args { config: None, address: None, token_file: None, ca_file: None, json, watch: false }
    }

    #[test]
    fn nothing_of_the_document_is_for_the_terminal() {
        let hostile = "{\"value\":\"\u{9b}2J\u{7f}\u{202e}\u{e0041}\\\"\\u001b é\"}";
        let shown = shown(&args(true), hostile.as_bytes()).unwrap();
        let expected = r#"{"value":"\u009b2J\u007f\u202e\udb40\udc41\"\u001b é"}"#;
        assert_eq!(shown, format!("{expected}\n"));
        let read =
            |text: &str| serde_json::from_str::<std::collections::HashMap<String, String>>(text).unwrap();
        assert_eq!(read(&shown), read(hostile));
    }

    #[test]
    fn what_is_no_status_is_told_in_plain_words() {
        let told = |json: &str| shown(&args(false), json.as_bytes()).unwrap_err().to_string();
        let other = told(r#"{"schemaVersion":2,"outputs":"others"}"#);
        assert_eq!(other, "the daemon has version 2 of the status, and this command 1");
        let hostile = told("{\"schemaVersion\":1,\"version\":7,\"\u{9b}2J\":[]}");
        assert!(hostile.starts_with("what is there is no status of audit-shipper: "), "{hostile}");
        let state = told("{\"schemaVersion\":\"\\u001b[2J\"}");
        assert!(state.contains(r"\u{1b}[2J") && !state.contains('\u{1b}'), "{state}");
    }
}
