//! A collector with one token, one index, and indexers that acknowledge when they are told to. It reads envelopes by
//! itself, and checks everything that the protocol asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::endpoint::{Answer, Endpoint, plain};
use crate::support::http1::Recorded;
use crate::support::shipper::POISON;
use crate::support::wait_until;

const ACK: &str = "/services/collector/ack?channel=";

/// What the collector wants, and how it is doing.
pub(super) struct Rules {
    /// None if it was checked before.
    pub(super) token: Option<String>,
    pub(super) index: String,
    /// Whether the token has acknowledgements, and the indexers give them.
    pub(super) acknowledges: Option<bool>,
    /// Whether it says so of its health.
    pub(super) are_queues_full: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            token: Some("s3cret".to_owned()),
            index: "k8s_audit".to_owned(),
            acknowledges: None,
            are_queues_full: false,
        }
    }
}

pub(super) struct Collector {
    endpoint: Endpoint,
    shared: Arc<Mutex<State>>,
}

pub(super) struct State {
    rules: Rules,
    /// Lines in the collector's memory, by `ackId` of their channel.
    waiting: BTreeMap<(String, u64), Vec<String>>,
    next_ack: BTreeMap<String, u64>,
    received: Vec<String>,
    indexed: Vec<String>,
    statuses: Vec<u16>,
    questions: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    time: &'a RawValue,
    host: String,
    source: String,
    sourcetype: String,
    index: String,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    #[serde(borrow)]
    event: &'a RawValue,
}

impl Envelope<'_> {
    pub(super) fn line(&self) -> String {
        format!("{}\n", self.event.get())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage_timestamp: String,
}

#[derive(Deserialize)]
struct Question {
    acks: BTreeSet<u64>,
}

impl Collector {
    pub(super) fn start(rules: Rules) -> Self {
        let shared = Arc::new(Mutex::new(State::new(rules)));
        let of_script = Arc::clone(&shared);
        let endpoint = Endpoint::start(move |request, _| {
            let mut state = of_script.lock().unwrap();
            let (status, reply) = state.answer(request);
            state.statuses.push(status);
            Answer::with_body(status, reply)
        });
        Self { endpoint, shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap()
    }

    /// As people copy it from Splunk's documentation.
    pub(super) fn url(&self) -> String {
        format!("http://{}/services/collector/event", self.endpoint.address())
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.state().rules);
    }

    /// What is not indexed is gone, as with a crash.
    pub(super) fn forget(&self) {
        self.state().waiting.clear();
    }

    pub(super) fn requests(&self) -> Vec<Recorded> {
        self.endpoint.requests()
    }

    /// Lines that were taken, on disk or not.
    pub(super) fn received(&self) -> Vec<String> {
        self.state().received.clone()
    }

    /// Lines that are on disk.
    pub(super) fn indexed(&self) -> Vec<String> {
        self.state().indexed().to_vec()
    }

    pub(super) fn wait_for(&self, what: &str, condition: impl Fn(&[u16]) -> bool) {
        wait_until(what, || condition(&self.state().statuses).then_some(()));
    }

    pub(super) fn wait_for_questions(&self, count: usize) {
        wait_until("questions about what was taken", || (self.state().questions >= count).then_some(()));
    }
}

impl State {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            waiting: BTreeMap::new(),
            next_ack: BTreeMap::new(),
            received: Vec::new(),
            indexed: Vec::new(),
            statuses: Vec::new(),
            questions: 0,
        }
    }

    pub(super) fn indexed(&self) -> &[String] {
        &self.indexed
    }

    pub(super) fn answer(&mut self, request: &Recorded) -> (u16, String) {
        let said = |status, text: &str, code: u64| (status, format!(r#"{{"text":"{text}","code":{code}}}"#));
        assert_eq!(request.header("content-type"), Some("application/json"));
        match (request.header("authorization"), &self.rules.token) {
            (None, _) => return said(401, "Token is required", 2),
            (Some(shown), Some(token)) if shown != format!("Splunk {token}") => {
                return said(403, "Invalid token", 4);
            }
            (Some(_), _) => {}
        }
        if let Some((_, channel)) = request.target.split_once(ACK) {
            return match self.rules.acknowledges {
                Some(_) => (200, self.acknowledge(channel, request)),
                None => said(400, "ACK is disabled", 14),
            };
        }
        if request.target == "/services/collector/health" {
            assert_eq!(request.method, "GET");
            return if self.rules.are_queues_full {
                said(503, "HEC is unhealthy, queues are full", 18)
            } else {
                said(200, "HEC is healthy", 17)
            };
        }
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/services/collector/event"));
        if self.rules.acknowledges.is_some() && channel(request).is_none() {
            return said(400, "Data channel is missing", 10);
        }
        if request.body.is_empty() {
            return said(400, "No data", 5);
        }
        self.take(request)
    }

    fn take(&mut self, request: &Recorded) -> (u16, String) {
        let body = plain(request);
        let envelopes: Vec<Envelope<'_>> =
            serde_json::Deserializer::from_str(&body).into_iter().map(Result::unwrap).collect();
        assert!(envelopes.len() == 1 || body.len() <= 1_000_000, "{} bytes", body.len());
        let mut lines = Vec::new();
        for (number, envelope) in envelopes.iter().enumerate() {
            if envelope.index != self.rules.index {
                // One too many, as Splunk has it.
                let number = number + 1;
                return (
                    400,
                    format!(r#"{{"text":"Incorrect index","code":7,"invalid-event-number":{number}}}"#),
                );
            }
            if envelope.event.get().contains(POISON) {
                return (
                    400,
                    format!(r#"{{"text":"Invalid data format","code":6,"invalid-event-number":{number}}}"#),
                );
            }
            check(envelope);
            lines.push(envelope.line());
        }
        self.received.extend(lines.iter().cloned());
        if self.rules.acknowledges.is_none() {
            self.indexed.append(&mut lines);
            return (200, r#"{"text":"Success","code":0}"#.to_owned());
        }
        let channel = channel(request).unwrap();
        let next = self.next_ack.entry(channel.to_owned()).or_default();
        let ack = *next;
        *next += 1;
        self.waiting.insert((channel.to_owned(), ack), lines);
        (200, format!(r#"{{"text":"Success","code":0,"ackId":{ack}}}"#))
    }

    /// What is true is said once, and false of what is not known.
    fn acknowledge(&mut self, of_channel: &str, request: &Recorded) -> String {
        assert_eq!(channel(request), Some(of_channel));
        self.questions += 1;
        let question: Question = serde_json::from_str(&plain(request)).unwrap();
        let mut said = Vec::new();
        for ack in question.acks {
            let key = (of_channel.to_owned(), ack);
            let lines = (self.rules.acknowledges == Some(true)).then(|| self.waiting.remove(&key)).flatten();
            said.push(format!("\"{ack}\":{}", lines.is_some()));
            self.indexed.extend(lines.unwrap_or_default());
        }
        format!(r#"{{"acks":{{{}}}}}"#, said.join(","))
    }
}

/// What a request says beside its first event.
pub(super) fn told(request: &Recorded) -> Vec<(String, String)> {
    let body = plain(request);
    let mut envelopes = serde_json::Deserializer::from_str(&body).into_iter::<Envelope<'_>>();
    let Envelope { host, source, index, fields, .. } = envelopes.next().unwrap().unwrap();
    let own =
        [("host", host), ("source", source), ("index", index)].map(|(name, text)| (name.to_owned(), text));
    own.into_iter().chain(fields.into_iter().map(|(name, text)| (format!("fields.{name}"), text))).collect()
}

/// Whether a request asks about what others have brought.
pub(super) fn is_question(request: &Recorded) -> bool {
    request.target.starts_with(ACK)
}

/// The channel of a request, which looks like a GUID.
pub(super) fn channel(request: &Recorded) -> Option<&str> {
    let channel = request.header("x-splunk-request-channel")?;
    let lengths: Vec<usize> = channel.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12], "{channel}");
    Some(channel)
}

fn check(envelope: &Envelope<'_>) {
    let Envelope { time, host, source, sourcetype, event, .. } = envelope;
    assert_eq!((host.is_empty(), sourcetype.as_str()), (false, "kube:apiserver:audit"));
    assert!(source.ends_with("/log/audit.log"), "{source}");
    let event: Event = serde_json::from_str(event.get()).unwrap();
    let (seconds, micros) = time.get().split_once('.').unwrap();
    let micros = seconds.parse::<i64>().unwrap() * 1_000_000 + micros.parse::<i64>().unwrap();
    assert_eq!(
        (Timestamp::from_microsecond(micros).unwrap(), time.get().len()),
        (event.stage_timestamp.parse().unwrap(), 17)
    );
}
