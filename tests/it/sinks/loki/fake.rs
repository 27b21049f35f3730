//! As much of Loki as decides which entries it takes: its limits with their default values, by its own clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde::Deserialize;

use super::super::protobuf::{all, number, one, text};
use crate::support::endpoint::{Answer, body};
use crate::support::http1::Recorded;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
const MAX_LINE_BYTES: usize = 256 << 10;
/// What a tenant may send at once, before snappy; more is never taken.
const BURST_BYTES: usize = 6 << 20;

/// One entry of a request.
pub(super) struct Entry {
    pub(super) labels: String,
    pub(super) nanoseconds: i64,
    pub(super) line: String,
    pub(super) metadata: BTreeMap<String, String>,
}

/// A clone is the same Loki.
#[derive(Clone, Default)]
pub(super) struct Loki(Arc<Mutex<Stored>>);

struct Stored {
    /// How far its clock is ahead of ours.
    ahead_by: i64,
    /// How old an entry may be.
    oldest_taken: i64,
    /// The time of the newest entry of each stream.
    newest: BTreeMap<String, i64>,
    entries: BTreeSet<(String, i64, String)>,
}

impl Default for Stored {
    fn default() -> Self {
        Self { ahead_by: 0, oldest_taken: 168 * HOUR, newest: BTreeMap::new(), entries: BTreeSet::new() }
    }
}

impl Loki {
    /// With a clock that is so many seconds ahead, and another limit of age.
    pub(super) fn with(ahead_by_seconds: i64, oldest_hours: i64) -> Self {
        let (ahead_by, oldest_taken) = (ahead_by_seconds * SECOND, oldest_hours * HOUR);
        Self(Arc::new(Mutex::new(Stored { ahead_by, oldest_taken, ..Stored::default() })))
    }

    /// What it is by its own clock.
    fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        i64::try_from(now).unwrap() + self.0.lock().unwrap().ahead_by
    }

    /// Takes what is good in a request, and answers for the rest.
    pub(super) fn push(&self, request: &Recorded) -> Answer {
        self.push_but(request, |_| None)
    }

    /// The same, but for lines that there is something against.
    pub(super) fn push_but(&self, request: &Recorded, against: impl Fn(&str) -> Option<String>) -> Answer {
        let entries = entries(request);
        if entries.is_empty() {
            return Answer::with_body(422, "error at least one valid stream is required for ingestion\n");
        }
        let bytes: usize = entries.iter().map(|entry| entry.line.len()).sum();
        if bytes > BURST_BYTES {
            return Answer::with_body(
                429,
                "Ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec)",
            );
        }
        let refusals: Vec<String> = entries
            .into_iter()
            .filter_map(|entry| against(&entry.line).or_else(|| self.take(entry)))
            .collect();
        let now = UNIX_EPOCH + Duration::from_nanos(self.now().try_into().unwrap());
        let headers = vec![("Date".to_owned(), httpdate::fmt_http_date(now))];
        let code = if refusals.is_empty() { 204 } else { 400 };
        Answer::Status { code, headers, body: refusals.join("\n") }
    }

    /// Why it does not.
    fn take(&self, entry: Entry) -> Option<String> {
        let now = self.now();
        let mut stored = self.0.lock().unwrap();
        let Entry { labels, nanoseconds: time, line, metadata } = entry;
        assert!(metadata.len() < 128 && metadata.values().map(String::len).sum::<usize>() < 64 << 10);
        if line.len() > MAX_LINE_BYTES {
            let bytes = line.len();
            return Some(format!(
                "Max entry size '262144' bytes exceeded for stream '{labels}' while adding an entry with length '{bytes}' bytes"
            ));
        }
        let shown = |time: i64| format!("{:.0}", Timestamp::from_nanosecond(time.into()).unwrap());
        let oldest = now - stored.oldest_taken;
        if time < oldest {
            let (time, oldest) = (shown(time), shown(oldest));
            return Some(format!(
                "entry for stream '{labels}' has timestamp too old: {time}, oldest acceptable timestamp is: {oldest}"
            ));
        }
        if time > now + 600 * SECOND {
            return Some(format!("entry for stream '{labels}' has timestamp too new: {}", shown(time)));
        }
        let newest = stored.newest.entry(labels.clone()).or_insert(time);
        if time < *newest - HOUR {
            return Some(format!(
                "entry with timestamp {time} ignored, reason: 'entry too far behind, entry timestamp is: {time}, oldest acceptable timestamp is: {newest}'"
            ));
        }
        *newest = time.max(*newest);
        // The same entry twice is stored once.
        stored.entries.insert((labels, time, line));
        None
    }

    /// The lines of all that is stored, as often as they are.
    pub(super) fn lines(&self) -> Vec<String> {
        let stored = self.0.lock().unwrap();
        let mut lines: Vec<_> = stored.entries.iter().map(|(_, _, line)| format!("{line}\n")).collect();
        lines.sort_unstable();
        lines
    }

    /// The labels of all streams.
    pub(super) fn streams(&self) -> Vec<String> {
        self.0.lock().unwrap().newest.keys().cloned().collect()
    }
}

/// What a request carries.
pub(super) fn entries(request: &Recorded) -> Vec<Entry> {
    let body = body(request);
    match request.header("content-type") {
        Some("application/json") => entries_of_json(&body),
        Some("application/x-protobuf") => {
            let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
            all(&plain, 1).into_iter().flat_map(entries_of_stream).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn entries_of_stream(stream: &[u8]) -> Vec<Entry> {
    let labels = text(stream, 1);
    let entry = |entry: &[u8]| {
        let time = one(entry, 1);
        let nanoseconds =
            i64::try_from(number(time, 1)).unwrap() * SECOND + i64::try_from(number(time, 2)).unwrap();
        let metadata = all(entry, 3).into_iter().map(|pair| (text(pair, 1), text(pair, 2))).collect();
        Entry { labels: labels.clone(), nanoseconds, line: text(entry, 2), metadata }
    };
    all(stream, 2).into_iter().map(entry).collect()
}

fn entries_of_json(body: &[u8]) -> Vec<Entry> {
    #[derive(Deserialize)]
    struct Push {
        streams: Vec<Stream>,
    }
    #[derive(Deserialize)]
    struct Stream {
        stream: BTreeMap<String, String>,
        values: Vec<Value>,
    }
    #[derive(Deserialize)]
    struct Value(String, String, #[serde(default)] BTreeMap<String, String>);
    let push: Push = serde_json::from_slice(body).unwrap();
    let entries = push.streams.into_iter().flat_map(|Stream { stream, values }| {
        let labels: Vec<_> = stream.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let labels = format!("{{{}}}", labels.join(", "));
        values.into_iter().map(move |Value(time, line, metadata)| {
            let labels = labels.clone();
            Entry { labels, nanoseconds: time.parse().unwrap(), line, metadata }
        })
    });
    entries.collect()
}
