//! `rejected retry`: sends events that were set aside once more.
//!
//! The file is read as it was at the beginning. What the endpoint has acknowledged is taken out of the file as it is then,
//! now and then and at the end; a kill in between costs duplicates, and never an event. The file is not held while a
//! request is under way.

use std::collections::{HashSet, VecDeque};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

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
use crate::sink::{self, Answer, EventVerdict, Events, HttpSink, Request, Verdict};
use crate::throttle::Throttle;

/// Rewriting the file takes no more than one part in so many of the time.
const SHARE_OF_REWRITING: u32 = 10;
/// A shorter time is nothing that a kill could waste.
const SHORTEST_TIME_UNSETTLED: Duration = Duration::from_secs(1);

/// How often, and how many times, an endpoint is asked whether what it took is safe.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(2);
const MOST_QUESTIONS: usize = 90;

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
            Some(output) => {
                match (sink::of(&output.destination, &config.source.path), Endpoint::of_output(output)) {
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
                }
            }
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

/// What the endpoint says of the events of a request.
enum Reply {
    Taken,
    Refused,
    /// They are more than a request may hold, or the endpoint refuses some and does not say which.
    TooMuch,
    Each {
        verdicts: Vec<EventVerdict>,
        status: u16,
    },
}

/// Sends the entries of one file.
struct Sending<'a> {
    runtime: &'a Runtime,
    stop: &'a mut Signals,
    exchange: Exchange,
    sink: Arc<dyn HttpSink>,
    throttle: Throttle,
    lane: u64,
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
    fn flush(&mut self, pending: Pending) -> anyhow::Result<()> {
        let Pending { mut batch, keys } = pending;
        batch.seal();
        let mut pieces = VecDeque::new();
        if batch.events() > 0 {
            pieces.push_back(Events::all(Arc::new(batch)));
        }
        // As in the daemon, what is halved is one batch all the same.
        let mut is_throttled = true;
        while let Some(piece) = pieces.pop_front() {
            let events = piece.len() as u64;
            if self.tally.stopped.is_some() {
                self.tally.untried += events;
                continue;
            }
            match self.ask(&piece, std::mem::take(&mut is_throttled)) {
                Ok(Reply::Taken) => self.note_taken(piece.places(), &keys),
                Ok(Reply::Refused) if events == 1 => self.tally.refused += 1,
                Ok(Reply::Refused | Reply::TooMuch) => {
                    let (first, second) = piece.halves();
                    pieces.push_front(second);
                    pieces.push_front(first);
                }
                Ok(Reply::Each { verdicts, status }) => self.note_each(&piece, &verdicts, status, &keys),
                Err(stopped) => {
                    self.tally.untried += events;
                    self.tally.stopped = Some(stopped);
                }
            }
        }
        self.settled.take_out_if_due()
    }

    fn note_taken(&mut self, places: impl Iterator<Item = usize>, keys: &[u128]) {
        for place in places {
            self.tally.sent += 1;
            self.settled.keys.insert(keys[place]);
        }
    }

    fn note_each(&mut self, events: &Events, verdicts: &[EventVerdict], status: u16, keys: &[u128]) {
        for (place, verdict) in events.places().zip(verdicts) {
            match verdict {
                EventVerdict::Accepted => self.note_taken(std::iter::once(place), keys),
                EventVerdict::Refused { .. } => {
                    self.tally.refused += 1;
                    self.tally.last_refusal = status;
                }
                EventVerdict::Retry | EventVerdict::Again | EventVerdict::Hold => {
                    self.tally.untried += 1;
                    self.tally.stopped = Some(Stopped::Answer(status));
                }
            }
        }
    }

    /// One request: what the endpoint says of its events.
    fn ask(&mut self, events: &Events, is_throttled: bool) -> Result<Reply, Stopped> {
        let request = self.sink.request(events, SystemTime::now());
        if events.len() > 1 && request.body.len() > self.sink.limits().body_bytes {
            return Ok(Reply::TooMuch);
        }
        if is_throttled {
            let throttle = &self.throttle;
            self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = self.stop.next() => Err(Stopped::Interrupted),
                    _ = throttle.ready() => Ok(()),
                }
            })?;
        }
        // One request at a time, and none in the lane of one that came to no end.
        self.lane += 1;
        let lane = self.sink.lane(self.lane);
        let headers = request.headers.into_iter().chain(lane).collect();
        let answer = self.post(Request { headers, ..request })?;
        match self.sink.verdict(events.len(), &answer) {
            Verdict::Accepted | Verdict::AcceptedBut { refused: 0, .. } => Ok(Reply::Taken),
            // Which one it is comes out when each is sent alone.
            Verdict::AcceptedBut { .. } if events.len() > 1 => Ok(Reply::TooMuch),
            Verdict::AcceptedBut { reason, .. } => {
                let _ = writeln!(std::io::stderr(), "refused: {}", shown::printable(&reason));
                self.tally.last_refusal = answer.status;
                Ok(Reply::Refused)
            }
            Verdict::Refused { .. } => {
                self.tally.last_refusal = answer.status;
                Ok(Reply::Refused)
            }
            Verdict::Each(verdicts) if verdicts.contains(&EventVerdict::Again) => Ok(Reply::TooMuch),
            Verdict::Each(verdicts) if verdicts.len() == events.len() => {
                Ok(Reply::Each { verdicts, status: answer.status })
            }
            Verdict::Poll { ticket } => self.wait_until_settled(ticket, &answer),
            Verdict::Each(_) | Verdict::Retry { .. } | Verdict::Again | Verdict::Hold { .. } => {
                Err(Stopped::Answer(answer.status))
            }
        }
    }

    fn post(&mut self, request: Request) -> Result<Answer, Stopped> {
        let exchange = &self.exchange;
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stop.next() => Err(Stopped::Interrupted),
                answer = exchange.post(request) => match answer {
                    Ok((answer, _)) => Ok(answer),
                    Err(none) => Err(Stopped::NoAnswer(none.reason)),
                },
            }
        })
    }

    /// Asks until the endpoint says that it has made safe what it took.
    fn wait_until_settled(&mut self, ticket: u64, taken: &Answer) -> Result<Reply, Stopped> {
        for _ in 0..MOST_QUESTIONS {
            self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = self.stop.next() => Err(Stopped::Interrupted),
                    () = tokio::time::sleep(BETWEEN_QUESTIONS) => Ok(()),
                }
            })?;
            let Some(question) = self.sink.poll(self.lane, ticket, taken) else { break };
            let answer = self.post(question)?;
            if self.sink.is_settled(ticket, &answer) == Some(true) {
                return Ok(Reply::Taken);
            }
        }
        Err(Stopped::NoAnswer("the endpoint does not say that what it took is safe".to_owned()))
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
