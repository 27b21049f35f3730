//! `rejected retry`: sends events that were set aside once more.
//!
//! The file is read as it was at the beginning. What the endpoint has acknowledged is taken out of the file as it is then,
//! now and then and at the end; a kill in between costs duplicates, and never an event. The file is not held while a
//! request is under way.

mod sending;
mod settled;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;

use self::sending::Sending;
use self::settled::Settled;
use super::{Filter, OfOutput};
use crate::cli::{Failure, Signals, runtime};
use crate::config::Config;
use crate::deliver::Exchange;
use crate::endpoint::Endpoint;
use crate::redact::Redaction;
use crate::shown;
use crate::sink;
use crate::throttle::Throttle;

/// Sends what `files` hold to their outputs' endpoints.
pub(super) fn retry(
    files: &[OfOutput],
    filter: &Filter,
    state_dir: &Path,
    config: Option<&Config>,
) -> Result<(), Failure> {
    if files.is_empty() {
        writeln!(std::io::stdout(), "nothing was set aside")?;
        return Ok(());
    }
    let Some(config) = config else {
        return Err(anyhow!("which endpoint? Give --config or --audit-webhook-config-file").into());
    };
    let (mut ready, mut failed, mut mistakes) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        match config.output(&file.name) {
            Some(output) => match (sink::of(output, &config.source.path), Endpoint::of_output(output)) {
                (Some(sink), Ok(endpoint)) => ready.push((file, output, endpoint, sink)),
                (Some(_), Err(found)) => mistakes.extend(found),
                (None, _) if file.is_empty()? => {}
                (None, _) => {
                    let destination = output.destination.name();
                    failed.push(format!(
                        "{}: events are sent again to servers, not to {destination}",
                        file.name
                    ));
                }
            },
            None if file.is_empty()? => {}
            None => {
                failed.push(format!("{}: no such output is configured, so there is no endpoint", file.name));
            }
        }
    }
    if !mistakes.is_empty() {
        return Err(Failure::Config(mistakes));
    }
    let runtime = runtime()?;
    let mut stop = runtime.block_on(async { Signals::new() })?;
    for (file, output, endpoint, sink) in ready {
        for warning in endpoint.warnings() {
            writeln!(std::io::stderr(), "warning: {warning}")?;
        }
        let sending = Sending {
            lane: 0,
            runtime: &runtime,
            stop: &mut stop,
            // What the one learns from an answer, the other signs with.
            exchange: Exchange::new(Arc::new(endpoint), Arc::clone(&sink)),
            sink,
            throttle: Throttle::new(output.batch.throttle),
            redaction: Redaction::beside_daemon(&output.redact, state_dir)?,
            tally: Tally::default(),
            settled: Settled::new(file),
        };
        let (tally, error) = sending.run(filter, output);
        tally.print(&file.name)?;
        failed.extend(tally.trouble().into_iter().chain(error).map(|why| format!("{}: {why}", file.name)));
        if matches!(tally.stopped, Some(Stopped::Interrupted)) {
            break;
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Several(failed)) }
}

/// What became of the entries of one file that are meant.
#[derive(Debug, Default)]
struct Tally {
    sent: u64,
    refused: u64,
    untried: u64,
    unsendable: u64,
    /// Of those that were taken.
    diverted: u64,
    last_refusal: u16,
    stopped: Option<Stopped>,
}

/// Why nothing more was sent.
#[derive(Debug)]
enum Stopped {
    NoAnswer(String),
    Answer(u16),
    Interrupted,
}

impl Tally {
    fn print(&self, output: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let output = shown::printable(output);
        if self.sent + self.refused + self.untried == 0 {
            writeln!(out, "{output}: nothing to send")?;
        } else {
            let Self { sent, refused, untried, .. } = self;
            writeln!(
                out,
                "{output}: {sent} taken by the endpoint, {refused} refused again, {untried} not tried"
            )?;
        }
        if self.diverted > 0 {
            let diverted = self.diverted;
            writeln!(
                out,
                "{output}: {diverted} of those that were taken are not where they were sent; the endpoint keeps them elsewhere"
            )?;
        }
        if self.unsendable > 0 {
            let entries =
                shown::count(self.unsendable, "entry is no audit event", "entries are no audit events");
            writeln!(out, "{output}: {entries}, and cannot be sent")?;
        }
        Ok(())
    }

    /// What keeps events in the file.
    fn trouble(&self) -> Option<String> {
        match &self.stopped {
            Some(Stopped::NoAnswer(reason)) => Some(reason.clone()),
            Some(Stopped::Answer(status)) => Some(format!("the endpoint answers status {status}")),
            Some(Stopped::Interrupted) => Some("interrupted".to_owned()),
            None if self.refused > 0 => {
                Some(format!("the endpoint refuses events with status {}", self.last_refusal))
            }
            None => None,
        }
    }
}
