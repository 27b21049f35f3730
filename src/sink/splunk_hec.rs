//! Splunk's HTTP Event Collector: envelopes one after the other, each with an event as kube-apiserver logged it.
//!
//! ```json
//! {"time":1735689601.234567,"host":"master-0","source":"/var/log/kubernetes/audit.log","sourcetype":"kube:apiserver:audit","event":{"kind":"Event",...}}
//! ```
//!
//! - *Reply*: the JSON of an answer; its *code* says more than the HTTP status.
//! - *Acknowledgement*: of an indexer. 200 says only that the collector has the events in memory; a token with indexer
//!   acknowledgement gives an `ackId` with it, and says later whether what it stands for is on disk.
//! - *Channel*: which sender an `ackId` was given to. A collector counts from 0 in each, again after a restart, and each
//!   collector behind a load balancer for itself: in one channel for all, the `ackId` of a request that was lost would
//!   soon be that of another. So each lane has a channel of its own, made up anew in each process.

mod probe;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, SET_COOKIE};
use serde::{Deserialize, Serialize};

use super::{
    Answer, EventRef, EventVerdict, Events, HttpSink, Limits, Probe, Request, Verdict, verdict_by_status,
};
use crate::config::{self, Ack, Identity};

/// What Splunk Cloud takes in one request: 1 MB before it is compressed, whichever MB is meant.
const MOST_BODY_BYTES: u64 = 1_000_000;

const EVENTS_PATH: &str = "/services/collector/event";
const ACKS_PATH: &str = "/services/collector/ack";
const JSON: (HeaderName, HeaderValue) = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

/// Codes of a 400 that say nothing about any event: the index is not one of the token's, the channel is missing or wrong,
/// the token knows no acknowledgements, its kind of authorization is turned off.
const WRONG_CONFIGURATION: [u64; 5] = [7, 10, 11, 14, 16];

/// Encodes envelopes, and asks what the indexers have acknowledged.
#[derive(Debug)]
pub struct SplunkHec {
    /// All of an envelope between the time and the event.
    metadata: String,
    ack: Ack,
    /// The channel of lane 0.
    channel: u128,
    /// What events name.
    index: Option<String>,
}

/// What is the same in all envelopes.
#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    sourcetype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<&'a str, &'a str>,
}

/// What the collector says, as far as it does.
#[derive(Debug, Default, Deserialize)]
struct Reply {
    code: Option<u64>,
    /// The first event that is wrong, from 0. Those before it may have been taken.
    #[serde(rename = "invalid-event-number")]
    invalid_event: Option<i64>,
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
}

#[derive(Serialize)]
struct Question {
    acks: [u64; 1],
}

#[derive(Deserialize)]
struct Acknowledged {
    acks: HashMap<u64, bool>,
}

impl SplunkHec {
    /// Writes envelopes of events from `identity` as configured, and makes up a channel.
    #[must_use]
    pub fn new(config: &config::SplunkHec, identity: &Identity) -> Self {
        Self {
            metadata: metadata(config, identity),
            ack: config.ack,
            channel: fastrand::u128(..),
            index: config.index.clone(),
        }
    }

    fn channel(&self, lane: u64) -> String {
        guid(self.channel ^ u128::from(lane))
    }

    /// What became of the request with this ticket?
    fn question(&self, lane: u64, ticket: u64, cookies: Option<HeaderValue>) -> Option<Request> {
        let body = serde_json::to_vec(&Question { acks: [ticket] }).ok()?;
        let cookies = cookies.map(|cookies| (COOKIE, cookies));
        Some(Request {
            target: Cow::Owned(format!("{ACKS_PATH}?channel={}", self.channel(lane))),
            headers: [JSON].into_iter().chain(self.lane(lane)).chain(cookies).collect(),
            body: [Bytes::from(body)].into_iter().collect(),
        })
    }

    /// What an envelope has in front of the event.
    fn write_head(&self, event: &EventRef<'_>, out: &mut Vec<u8>) {
        out.push(b'{');
        // Of what happened before 1970 Splunk knows nothing.
        if let Some(time) = event.stage_time().filter(|time| *time >= Timestamp::UNIX_EPOCH) {
            write_time(time, out);
        }
        out.extend_from_slice(self.metadata.as_bytes());
    }

    /// What an answer means that says the request was taken.
    fn taken(&self, answer: &Answer) -> Verdict {
        if answer.body.trim_ascii_start().starts_with(b"<") {
            // A page: of Splunk's web interface, or of a proxy. No collector has seen the events.
            return Verdict::Hold { reread_credentials: false };
        }
        match (self.ack, Reply::of(answer).ack_id) {
            (Ack::Off, _) | (Ack::Auto, None) => Verdict::Accepted,
            (Ack::Auto | Ack::On, Some(ticket)) => Verdict::Poll { ticket },
            (Ack::On, None) => Verdict::Hold { reread_credentials: false },
        }
    }
}

impl HttpSink for SplunkHec {
    fn request(&self, events: &Events, _: SystemTime) -> Request {
        /// Of the time, and of the bracket.
        const MOST_TIME_BYTES: usize = 32;
        let mut heads = Vec::with_capacity(events.len() * (self.metadata.len() + MOST_TIME_BYTES));
        let mut lengths = Vec::with_capacity(events.len());
        for event in events.iter() {
            let before = heads.len();
            self.write_head(&event, &mut heads);
            lengths.push(heads.len() - before);
        }
        let mut heads = Bytes::from(heads);
        let body = lengths.into_iter().zip(events.lines()).flat_map(|(length, [first, rest])| {
            [heads.split_to(length), first, rest, Bytes::from_static(b"}\n")]
        });
        Request { target: Cow::Borrowed(EVENTS_PATH), headers: vec![JSON], body: body.collect() }
    }

    fn verdict(&self, events: usize, answer: &Answer) -> Verdict {
        match answer.status {
            200..=299 => self.taken(answer),
            400 => {
                let reply = Reply::of(answer);
                if reply.code.is_some_and(|code| WRONG_CONFIGURATION.contains(&code)) {
                    return Verdict::Hold { reread_credentials: false };
                }
                all_but_one(events, reply.invalid_event, answer)
                    .map_or(Verdict::Refused { too_large: false }, Verdict::Each)
            }
            _ => verdict_by_status(answer),
        }
    }

    fn limits(&self) -> Limits {
        Limits { body_bytes: MOST_BODY_BYTES, ..Limits::default() }
    }

    fn lane(&self, lane: u64) -> Option<(HeaderName, HeaderValue)> {
        let channel = HeaderValue::from_str(&self.channel(lane)).ok()?;
        (self.ack != Ack::Off).then_some((CHANNEL, channel))
    }

    /// A load balancer that has told in a cookie which collector has taken the request is told it again: nobody else knows
    /// what became of it.
    fn poll(&self, lane: u64, ticket: u64, taken: &Answer) -> Option<Request> {
        self.question(lane, ticket, cookies(taken))
    }

    fn is_settled(&self, ticket: u64, answer: &Answer) -> Option<bool> {
        if !(200..=299).contains(&answer.status) {
            return None;
        }
        let Acknowledged { acks } = serde_json::from_slice(&answer.body).ok()?;
        Some(acks.get(&ticket) == Some(&true))
    }

    fn probes(&self) -> Vec<Probe<'_>> {
        probe::of(self)
    }
}

impl Reply {
    fn of(answer: &Answer) -> Self {
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }
}

/// The one that is wrong is refused. Whether those before it were taken is not said, so all others are sent again. `None`
/// if nothing is said that helps.
fn all_but_one(events: usize, wrong: Option<i64>, answer: &Answer) -> Option<Vec<EventVerdict>> {
    let wrong = usize::try_from(wrong?).ok().filter(|wrong| events > 1 && *wrong < events)?;
    let verdict = |place| {
        if place == wrong { EventVerdict::Refused { reason: answer.excerpt() } } else { EventVerdict::Again }
    };
    Some((0..events).map(verdict).collect())
}

/// `"host":...,"event":`, with a comma between the members.
fn metadata(config: &config::SplunkHec, identity: &Identity) -> String {
    let cluster = identity.cluster.as_deref().map(|cluster| ("cluster", cluster));
    let given = config.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let metadata = Metadata {
        host: config.host.as_deref(),
        source: config.source.as_deref(),
        sourcetype: &config.sourcetype,
        index: config.index.as_deref(),
        // What is given comes later and wins.
        fields: cluster.into_iter().chain(given).collect(),
    };
    let object = serde_json::to_string(&metadata).expect("texts can always be written as JSON");
    let members = object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    format!("{members},\"event\":")
}

/// Seconds in plain decimal: a number with an exponent is refused with code 15.
fn write_time(time: Timestamp, out: &mut Vec<u8>) {
    const MICROS: i64 = 1_000_000;
    let micros = time.as_microsecond();
    // Writing to a Vec cannot fail.
    let _ = write!(out, "\"time\":{}.{:06},", micros / MICROS, micros % MICROS);
}

/// The cookies that an answer sets, as they are sent back.
fn cookies(answer: &Answer) -> Option<HeaderValue> {
    let set = answer.headers.get_all(SET_COOKIE).iter().map(HeaderValue::as_bytes);
    let pairs = set.filter_map(|cookie| cookie.split(|byte| *byte == b';').next().map(<[u8]>::trim_ascii));
    let pairs: Vec<&[u8]> = pairs.filter(|pair| pair.contains(&b'=')).collect();
    let mut cookies = HeaderValue::from_bytes(&pairs.join(&b"; "[..])).ok().filter(|_| !pairs.is_empty())?;
    cookies.set_sensitive(true);
    Some(cookies)
}

/// 128 random bits as a UUID of version 4 (RFC 9562, 5.4).
fn guid(random: u128) -> String {
    let bits = random & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
pub(crate) mod tests;
