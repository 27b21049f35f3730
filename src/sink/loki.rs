//! Grafana Loki's push API: one entry for each event, in the stream of its node, as Protocol Buffers in a block of snappy
//! or as JSON.
//!
//! An entry is the event's line, byte for byte. What one searches by is with it as structured metadata (`metadata`). Loki
//! takes entries by their time, so that is where most of the work is (`time`).
//!
//! If Loki refuses some entries of a request it still keeps the others, and does not say which. They may be sent again: the
//! same entry at the same time is stored once.

mod labels;
mod learned;
mod metadata;
mod probe;
mod time;
mod verdict;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::{
    Answer, EventRef, EventVerdict, Events, HttpSink, Limits, Probe, Request, Verdict, json_text, protobuf,
};
use crate::body::Body;
use crate::config::{self, Encoding, Identity, TooOld};
use crate::event::{Field, Parts};
use crate::json;

use labels::Labels;
pub(crate) use labels::REPLAY;
use learned::{Complaint, Learned};
use time::{Place, There};

/// What comes behind the URL.
pub(crate) const TARGET: &str = "/loki/api/v1/push";

/// Encodes a `PushRequest`.
#[derive(Debug)]
pub struct Loki {
    encoding: Encoding,
    tenant: Option<HeaderValue>,
    labels: Labels,
    /// The log's path, if it is sent beside each line. Not the file's of an event, whose name is another one after a rotation:
    /// an entry that is sent again after a restart has to be the same.
    source: Option<String>,
    structured_metadata: bool,
    too_old: TooOld,
    max_request_bytes: u64,
    learned: Learned,
}

/// One event, as it goes into a stream.
#[derive(Debug)]
struct Entry<'a> {
    place: Place,
    line: [&'a [u8]; 2],
    metadata: Vec<(&'static str, Cow<'a, str>)>,
}

/// By the hour that they are from; what is new comes last.
type Streams<'a> = BTreeMap<(bool, Option<i64>), Vec<Entry<'a>>>;

impl Loki {
    /// What `config` asks for, of events of `log`, which come from `identity`.
    #[must_use]
    pub fn new(config: &config::Loki, identity: &Identity, log: &Path) -> Self {
        let Identity { cluster, node } = identity;
        let defaults = [
            ("job", Some("kube-apiserver-audit")),
            ("cluster", cluster.as_deref()),
            ("node", node.as_deref()),
        ];
        let is_given = |name: &str| config.labels.iter().any(|(given, _)| given == name);
        let mut labels = config.labels.clone();
        let missing = defaults.into_iter().filter(|(name, _)| !is_given(name));
        labels.extend(missing.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
        // Loki has no empty labels.
        labels.retain(|(_, value)| !value.is_empty());
        Self {
            encoding: config.encoding,
            // Loading has checked its characters.
            tenant: config.tenant.as_deref().and_then(|tenant| HeaderValue::from_str(tenant).ok()),
            labels: Labels::new(labels),
            source: Some(log.to_string_lossy().into_owned()).filter(|log| !log.is_empty()),
            structured_metadata: config.structured_metadata,
            too_old: config.too_old,
            max_request_bytes: config.max_request_bytes,
            learned: Learned::default(),
        }
    }

    fn entry<'a>(&'a self, event: &EventRef<'a>, there: There) -> Entry<'a> {
        let offset = event.origin.map_or(0, |origin| origin.offset);
        self.entry_of(event.item, event.line(), offset, there)
    }

    fn entry_of<'a>(&'a self, item: &'a [u8], line: [&'a [u8]; 2], offset: u64, there: There) -> Entry<'a> {
        let parts = Parts::find(item).unwrap_or_default();
        let time = parts.value(item, Field::StageTimestamp).and_then(json::unescaped);
        let time = time.and_then(|time| time.parse::<Timestamp>().ok());
        let time = time.and_then(|time| i64::try_from(time.as_nanosecond()).ok());
        let place = time::place(time, offset, there, self.too_old == TooOld::Restamp);
        if !self.structured_metadata {
            return Entry { place, line, metadata: Vec::new() };
        }
        let mut metadata = metadata::of(item, &parts);
        metadata.extend(self.source.as_deref().map(|source| ("filename", Cow::Borrowed(source))));
        if place.moved {
            metadata.push(("restamped", Cow::Borrowed("true")));
        }
        Entry { place, line, metadata }
    }

    /// All of a batch in their streams, the older first.
    fn streams<'a>(&self, entries: impl Iterator<Item = Entry<'a>>) -> Vec<(Labels, Vec<Entry<'a>>)> {
        let mut streams = Streams::new();
        for entry in entries {
            let hour = entry.place.replay;
            streams.entry((hour.is_none(), hour)).or_default().push(entry);
        }
        let with_labels = |((_, hour), mut entries): ((bool, Option<i64>), Vec<Entry<'a>>)| {
            // Of what happened at once, the log's order.
            entries.sort_by_key(|entry| entry.place.nanoseconds);
            (hour.map_or_else(|| self.labels.clone(), |hour| self.labels.of_replay(hour)), entries)
        };
        streams.into_iter().map(with_labels).collect()
    }

    /// The request with these streams.
    fn carrying(&self, streams: &[(Labels, Vec<Entry<'_>>)]) -> Request {
        let body = self.body(streams);
        let content_type = match self.encoding {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        };
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))];
        let tenant = self.tenant.clone();
        headers.extend(tenant.map(|tenant| (HeaderName::from_static("x-scope-orgid"), tenant)));
        Request { target: Cow::Borrowed(TARGET), headers, body }
    }

    fn body(&self, streams: &[(Labels, Vec<Entry<'_>>)]) -> Body {
        match self.encoding {
            Encoding::Protobuf => {
                let plain = push_request(streams);
                let block = snap::raw::Encoder::new().compress_vec(&plain);
                let plain_bytes = plain.len() as u64;
                // More than 4 GiB are no block; they are split before anybody is asked to read them.
                Body::packed(Bytes::from(block.unwrap_or(plain).into_boxed_slice()), plain_bytes)
            }
            Encoding::Json => [Bytes::from(push_json(streams))].into_iter().collect(),
        }
    }
}

impl HttpSink for Loki {
    fn request(&self, events: &Events, now: SystemTime) -> Request {
        let there = self.learned.there(now);
        let entries = events.iter().map(|event| self.entry(&event, there)).collect::<Vec<_>>();
        self.carrying(&self.streams(entries.into_iter()))
    }

    fn probes(&self) -> Vec<Probe<'_>> {
        probe::of(self)
    }

    fn verdict(&self, events: usize, answer: &Answer) -> Verdict {
        match verdict::of(answer) {
            Verdict::Accepted => {
                self.learned.note_accepted(answer);
                Verdict::Accepted
            }
            refused @ Verdict::Refused { .. } => match self.learned.note_refused(answer) {
                Complaint::Heeded => Verdict::Again,
                Complaint::TooOld if events == 1 && self.too_old == TooOld::Reject => {
                    Verdict::Each(vec![EventVerdict::Unfit { reason: answer.excerpt() }])
                }
                Complaint::TooOld | Complaint::Other => refused,
            },
            verdict => verdict,
        }
    }

    fn limits(&self) -> Limits {
        Limits { body_bytes: self.max_request_bytes, ..Limits::default() }
    }
}

/// `PushRequest`, by the numbers of `pkg/push/push.proto`.
fn push_request(streams: &[(Labels, Vec<Entry<'_>>)]) -> Vec<u8> {
    const AROUND_BYTES: usize = 512;
    let bytes = |entries: &[Entry<'_>]| {
        entries.iter().map(|entry| entry.line[0].len() + entry.line[1].len() + AROUND_BYTES).sum::<usize>()
    };
    let mut out = Vec::with_capacity(streams.iter().map(|(_, entries)| bytes(entries)).sum());
    for (labels, entries) in streams {
        let mut stream = Vec::with_capacity(bytes(entries));
        protobuf::bytes(&mut stream, 1, &[labels.text().as_bytes()]);
        for entry in entries {
            protobuf::message(&mut stream, 2, |out| add_entry(out, entry));
        }
        out.extend(protobuf::head(1, stream.len()));
        out.append(&mut stream);
    }
    out
}

fn add_entry(out: &mut Vec<u8>, entry: &Entry<'_>) {
    const SECOND: i64 = 1_000_000_000;
    let (seconds, nanos) =
        (entry.place.nanoseconds.div_euclid(SECOND), entry.place.nanoseconds.rem_euclid(SECOND));
    protobuf::message(out, 1, |out| {
        if seconds != 0 {
            protobuf::varint(out, 1, seconds.cast_unsigned());
        }
        if nanos != 0 {
            protobuf::varint(out, 2, nanos.cast_unsigned());
        }
    });
    protobuf::bytes(out, 2, &entry.line);
    for (name, value) in &entry.metadata {
        protobuf::message(out, 3, |out| {
            protobuf::bytes(out, 1, &[name.as_bytes()]);
            protobuf::bytes(out, 2, &[value.as_bytes()]);
        });
    }
}

fn push_json(streams: &[(Labels, Vec<Entry<'_>>)]) -> Vec<u8> {
    let mut out = b"{\"streams\":[".to_vec();
    for (index, (labels, entries)) in streams.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"stream\":" } else { b",{\"stream\":" });
        labels.add_json(&mut out);
        out.extend_from_slice(b",\"values\":[");
        for (index, entry) in entries.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"[\"" } else { b",[\"" });
            out.extend_from_slice(entry.place.nanoseconds.to_string().as_bytes());
            out.extend_from_slice(b"\",");
            json_text::string(&mut out, &json_text::lossy(&entry.line.concat()));
            if !entry.metadata.is_empty() {
                out.push(b',');
                let pairs = entry.metadata.iter().map(|(name, value)| (*name, &**value));
                labels::object(&mut out, pairs);
            }
            out.push(b']');
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests;
