//! `rejected retry`: sends events that were set aside once more.
//!
//! The file is read as it was at the beginning. What the endpoint has acknowledged is taken out of the file as it is then,
//! now and then and at the end; a kill in between costs duplicates, and never an event. The file is not held while a
//! request is under way.

use std::collections::{HashSet, VecDeque};
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::runtime::Runtime;

use super::{Filter, OfOutput};
use crate::batch::{Batch, Limits, Offer, Origin, Treating, Treatment};
use crate::buffers::Buffers;
use crate::cli::{Failure, Signals, runtime};
use crate::config::{self, Config};
use crate::deliver::Exchange;
use crate::fingerprint;
use crate::kubeconfig::Endpoint;
use crate::redact::Redaction;
use crate::rejected::{self, Entry};
use crate::shown;
use crate::sink::webhook::Webhook;
use crate::sink::{HttpSink, Verdict};
use crate::throttle::Throttle;

/// Rewriting the file takes no more than one part in so many of the time.
const SHARE_OF_REWRITING: u32 = 10;
/// A shorter time is nothing that a kill could waste.
const SHORTEST_TIME_UNSETTLED: Duration = Duration::from_secs(1);

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
            Some(output) => match Endpoint::load(&output.webhook.kubeconfig, output.webhook.timeout) {
                Ok(endpoint) => ready.push((file, output, endpoint)),
                Err(found) => mistakes.extend(found),
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
    for (file, output, endpoint) in ready {
        for warning in endpoint.warnings() {
            writeln!(std::io::stderr(), "warning: {warning}")?;
        }
        let sending = Sending {
            runtime: &runtime,
            stop: &mut stop,
            exchange: Exchange::new(Arc::new(endpoint)),
            sink: &Webhook,
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

/// Sends the entries of one file.
struct Sending<'a> {
    runtime: &'a Runtime,
    stop: &'a mut Signals,
    exchange: Exchange,
    sink: &'a dyn HttpSink,
    throttle: Throttle,
    /// What was set aside before the daemon masked anything leaves no other way than new events do.
    redaction: Option<Arc<Redaction>>,
    tally: Tally,
    settled: Settled<'a>,
}

/// Events for one request, and the entries that they are from.
struct Pending {
    batch: Batch,
    keys: Vec<u128>,
}

/// What became of an event that was offered to a request.
#[derive(Debug, PartialEq, Eq)]
enum Taking {
    Taken,
    /// The request is complete without it.
    Full,
    /// Nobody can tell what is to be masked in it.
    Unsendable,
}

impl Pending {
    fn new(redaction: Option<Arc<Redaction>>) -> Self {
        let treatment = Treatment { policy: None, redaction };
        Self { batch: Batch::with_treating(Buffers::default(), Treating::new(treatment)), keys: Vec::new() }
    }

    fn take(&mut self, event: &[u8], key: u128, limits: &Limits) -> Taking {
        let origin = || Origin { file: "".into(), offset: 0 };
        if self.batch.offer_piece(event, origin, limits) != Offer::Taken {
            return Taking::Full;
        }
        // What cannot be masked is set aside by the batch too. It stays in the file, and is none of the request's events.
        if !self.batch.take_asides().is_empty() {
            return Taking::Unsendable;
        }
        self.keys.push(key);
        Taking::Taken
    }
}

impl Sending<'_> {
    /// Returns what became of the entries, and what went wrong with the file.
    fn run(mut self, filter: &Filter, output: &config::Output) -> (Tally, Option<String>) {
        let limits = Limits {
            max_lines: output.batch.max_size.get(),
            max_bytes: output.truncate.max_batch_size.get(),
            max_first_line_bytes: usize::MAX,
            // They go as they stand in the file: what the daemon would cut was cut before it was set aside.
            max_event_size: None,
        };
        let sent = self.send_all(filter, &limits);
        let settled = self.settled.take_out();
        (self.tally, sent.and(settled).err().map(|error| format!("{error:#}")))
    }

    fn send_all(&mut self, filter: &Filter, limits: &Limits) -> anyhow::Result<()> {
        let Some(mut lines) = self.settled.file.lines()? else { return Ok(()) };
        let mut pending = Pending::new(self.redaction.clone());
        while let Some(line) = lines.next_line()? {
            let Some(entry) = Entry::parse(line).filter(|entry| filter.takes(entry)) else { continue };
            let Some(event) = entry.audit_event() else {
                self.tally.unsendable += 1;
                continue;
            };
            if self.tally.stopped.is_some() {
                self.tally.untried += 1;
                continue;
            }
            let key = key(line);
            let mut taking = pending.take(event, key, limits);
            if taking == Taking::Full {
                self.flush(std::mem::replace(&mut pending, Pending::new(self.redaction.clone())))?;
                // The first event always fits.
                taking = pending.take(event, key, limits);
            }
            self.tally.unsendable += u64::from(taking == Taking::Unsendable);
        }
        self.flush(pending)
    }

    /// Sends `pending`, halving what is refused, until each event of it is decided or nothing more is to be sent.
    fn flush(&mut self, mut pending: Pending) -> anyhow::Result<()> {
        pending.batch.seal();
        let all = 0..pending.batch.events();
        let mut pieces = VecDeque::from_iter([all]);
        // As in the daemon, what is halved is one batch all the same.
        let mut is_throttled = true;
        while let Some(piece) = pieces.pop_front().filter(|piece| !piece.is_empty()) {
            let events = piece.len() as u64;
            if self.tally.stopped.is_some() {
                self.tally.untried += events;
                continue;
            }
            match self.is_taken(&pending.batch, piece.clone(), std::mem::take(&mut is_throttled)) {
                Ok(true) => {
                    self.tally.sent += events;
                    self.settled.keys.extend(&pending.keys[piece]);
                }
                Ok(false) if events == 1 => self.tally.refused += 1,
                Ok(false) => {
                    let middle = piece.start + piece.len() / 2;
                    pieces.push_front(middle..piece.end);
                    pieces.push_front(piece.start..middle);
                }
                Err(stopped) => {
                    self.tally.untried += events;
                    self.tally.stopped = Some(stopped);
                }
            }
        }
        self.settled.take_out_if_due()
    }

    /// One request: whether the endpoint takes the events, or refuses them.
    fn is_taken(&mut self, batch: &Batch, events: Range<usize>, is_throttled: bool) -> Result<bool, Stopped> {
        let body = self.sink.body(batch.version(), batch.items(events));
        let (exchange, throttle) = (&self.exchange, &self.throttle);
        let posting = async {
            if is_throttled {
                throttle.ready().await;
            }
            exchange.post(body).await.map(|(answer, _)| answer)
        };
        let answer = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stop.next() => Err(Stopped::Interrupted),
                answer = posting => answer.map_err(|none| Stopped::NoAnswer(none.reason)),
            }
        })?;
        match self.sink.verdict(&answer) {
            Verdict::Accepted => Ok(true),
            Verdict::Refused { .. } => {
                self.tally.last_refusal = answer.status;
                Ok(false)
            }
            Verdict::Retry { .. } | Verdict::Hold { .. } => Err(Stopped::Answer(answer.status)),
        }
    }
}

/// What was acknowledged and is still in the file.
struct Settled<'a> {
    file: &'a OfOutput,
    keys: HashSet<u128>,
    taken_out_at: Instant,
    rewriting_took: Duration,
}

impl<'a> Settled<'a> {
    fn new(file: &'a OfOutput) -> Self {
        Self { file, keys: HashSet::new(), taken_out_at: Instant::now(), rewriting_took: Duration::ZERO }
    }

    fn take_out_if_due(&mut self) -> anyhow::Result<()> {
        let wait = SHORTEST_TIME_UNSETTLED.max(self.rewriting_took * SHARE_OF_REWRITING);
        if self.taken_out_at.elapsed() < wait { Ok(()) } else { self.take_out() }
    }

    fn take_out(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        if !self.keys.is_empty() {
            let kept = "what was taken by the endpoint is still in it, and would be sent again";
            rejected::remove(&self.file.path, |line| self.keys.contains(&key(line)))
                .with_context(|| format!("{}: {kept}", self.file.path.display()))?;
            self.keys.clear();
        }
        self.taken_out_at = Instant::now();
        self.rewriting_took = began.elapsed();
        Ok(())
    }
}

/// What tells an entry from all others; its place in the file may change.
fn key(line: &[u8]) -> u128 {
    fingerprint::long(line)
}
