//! The entries of one file on their way to the endpoint, until each of them is decided.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Runtime;

use super::settled::{Settled, key};
use super::{Stopped, Tally};
use crate::batch::{Batch, Limits, Offer, Origin, Treating, Treatment};
use crate::buffers::Buffers;
use crate::cli::Signals;
use crate::cli::rejected::Filter;
use crate::config;
use crate::deliver::Exchange;
use crate::redact::Redaction;
use crate::rejected::Entry;
use crate::shown;
use crate::sink::{Answer, EventVerdict, Events, HttpSink, Request, Verdict};
use crate::throttle::Throttle;

/// How often, and how many times, an endpoint is asked whether what it took is safe.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(2);
const MOST_QUESTIONS: usize = 90;

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
pub(super) struct Sending<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) stop: &'a mut Signals,
    pub(super) exchange: Exchange,
    pub(super) sink: Arc<dyn HttpSink>,
    pub(super) throttle: Throttle,
    /// Of the last request.
    pub(super) lane: u64,
    /// What was set aside before the daemon masked anything leaves no other way than new events do.
    pub(super) redaction: Option<Arc<Redaction>>,
    pub(super) tally: Tally,
    pub(super) settled: Settled<'a>,
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
        let treatment = Treatment { redaction, ..Treatment::default() };
        Self { batch: Batch::with_treating(Buffers::default(), Treating::new(treatment)), keys: Vec::new() }
    }

    /// Takes the `event` of an entry. It says where it comes from as it did before, and so do protocols that make a name or
    /// a time of that.
    fn take(&mut self, event: &[u8], entry: &Entry<'_>, key: u128, limits: &Limits) -> Taking {
        let origin = || Origin {
            file: entry.file.as_deref().unwrap_or_default().into(),
            offset: entry.offset.unwrap_or_default(),
        };
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
    pub(super) fn run(mut self, filter: &Filter, output: &config::Output) -> (Tally, Option<String>) {
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
            let mut taking = pending.take(event, &entry, key, limits);
            if taking == Taking::Full {
                self.flush(std::mem::replace(&mut pending, Pending::new(self.redaction.clone())))?;
                // The first event always fits.
                taking = pending.take(event, &entry, key, limits);
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
            self.settled.note(keys[place]);
        }
    }

    fn note_each(&mut self, events: &Events, verdicts: &[EventVerdict], status: u16, keys: &[u128]) {
        for (place, verdict) in events.places().zip(verdicts) {
            match verdict {
                EventVerdict::Accepted => self.note_taken(std::iter::once(place), keys),
                EventVerdict::Refused { .. } | EventVerdict::Unfit { .. } => {
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
        if events.len() > 1 && request.body.unpacked_len() > self.sink.limits().body_bytes {
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
        let mut answer = self.send(request)?;
        let mut verdict = self.sink.verdict(events.len(), &answer);
        if verdict == Verdict::Again {
            answer = self.send(self.sink.request(events, SystemTime::now()))?;
            verdict = self.sink.verdict(events.len(), &answer);
        }
        if let Verdict::Accepted | Verdict::Each(_) = verdict {
            self.tally.diverted += self.sink.diverted(&answer);
        }
        match verdict {
            Verdict::Accepted | Verdict::AcceptedBut { refused: 0, .. } => Ok(Reply::Taken),
            // A login that is refused, say: for others a reason to give up.
            Verdict::AcceptedBut { .. } if !matches!(answer.status, 200..=299 | 400 | 413 | 422) => {
                Err(Stopped::Answer(answer.status))
            }
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

    /// One request at a time, and none in the lane of one that came to no end.
    fn send(&mut self, request: Request) -> Result<Answer, Stopped> {
        self.lane += 1;
        let headers = request.headers.into_iter().chain(self.sink.lane(self.lane)).collect();
        self.post(Request { headers, ..request })
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
