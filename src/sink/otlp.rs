//! OpenTelemetry's log protocol over HTTP (OTLP), as Protocol Buffers or JSON: one `LogRecord` for each event.
//!
//! The body of a record is the event's line, byte for byte, or the same as a map (`kvlist`). What one searches by is there
//! a second time as attributes (`record`). An endpoint may take a request and refuse some of its records without saying
//! which (*partial success*), and must not be sent them again: they are counted, and all that may be among them are kept.

mod answer;
mod binary;
mod node;
mod record;
mod text;

use std::borrow::Cow;
use std::iter::once;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use super::probe::by_status;
use super::{
    Answer, EventVerdict, Events, HttpSink, Limits, Probe, Request, Verdict, protobuf, verdict_by_status,
};
use crate::body::Body;
use crate::config::{self, BodyForm, Encoding, Identity};

use answer::Partial;
use record::Record;

/// Bytes of an answer, by the specification.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// What says who has made the records.
const SCOPE: (&str, &str) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));

/// Encodes an `ExportLogsServiceRequest`.
#[derive(Debug, Clone)]
pub struct Otlp {
    encoding: Encoding,
    body: BodyForm,
    strict_spec: bool,
    max_request_bytes: u64,
    target: Cow<'static, str>,
    /// The encoded `Resource`, which is the same for all events.
    resource: Vec<u8>,
    /// The encoded `InstrumentationScope`, likewise.
    scope: Vec<u8>,
}

impl Otlp {
    /// What `config` asks for, of events from `identity`.
    #[must_use]
    pub fn new(config: &config::Otlp, identity: &Identity) -> Self {
        let resource = resource(&config.resource, identity);
        let (name, version) = SCOPE;
        let (resource, scope) = match config.encoding {
            Encoding::Protobuf => (binary::resource(&resource), binary::scope(name, version)),
            Encoding::Json => (text::resource(&resource), text::scope(name, version)),
        };
        Self {
            encoding: config.encoding,
            body: config.body,
            strict_spec: config.strict_spec,
            max_request_bytes: config.max_request_bytes,
            target: Cow::Owned(config.target().to_owned()),
            resource,
            scope,
        }
    }

    /// Of a request of which so many records are refused. If it is all of them, it is known which, and an endpoint that
    /// refuses everything must not empty the log.
    fn partly(&self, events: usize, rejected: u64, reason: String) -> Verdict {
        let keep = !self.strict_spec;
        if keep && rejected >= events as u64 {
            return Verdict::Each(vec![EventVerdict::Refused { reason }; events]);
        }
        Verdict::AcceptedBut { refused: rejected.min(events as u64), keep, reason }
    }

    fn records(&self, events: &Events, observed_unix_nano: u64) -> Vec<u8> {
        /// What a record is more than its line, in most cases.
        const AROUND_BYTES: usize = 1 << 10;
        let bytes = events.iter().map(|event| event.item.len() + AROUND_BYTES).sum();
        let (mut records, mut line) = (Vec::with_capacity(bytes), Vec::new());
        for event in events.iter() {
            line.clear();
            event.line().into_iter().for_each(|piece| line.extend_from_slice(piece));
            let file = event.origin.map(|origin| &*origin.file);
            self.add_record(&mut records, &Record::of(&line, file), observed_unix_nano);
        }
        records
    }

    /// The request with these records.
    fn carrying(&self, records: Vec<u8>) -> Request {
        let (before, behind) = self.frame(records.len());
        let body: Body = [Bytes::from(before), Bytes::from(records)]
            .into_iter()
            .chain(once(Bytes::from_static(behind)))
            .collect();
        let content_type = match self.encoding {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        };
        Request {
            target: self.target.clone(),
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))],
            body,
        }
    }

    fn add_record(&self, out: &mut Vec<u8>, record: &Record<'_>, observed_unix_nano: u64) {
        match self.encoding {
            Encoding::Protobuf => {
                protobuf::message(out, 2, |out| binary::record(out, record, observed_unix_nano, self.body));
            }
            Encoding::Json => {
                if !out.is_empty() {
                    out.push(b',');
                }
                text::record(out, record, observed_unix_nano, self.body);
            }
        }
    }

    /// What stands before the records and behind them.
    fn frame(&self, records_bytes: usize) -> (Vec<u8>, &'static [u8]) {
        let Self { resource, scope, .. } = self;
        match self.encoding {
            Encoding::Protobuf => {
                let scope = [protobuf::head(1, scope.len()), scope.clone()].concat();
                let scope_logs = [protobuf::head(2, scope.len() + records_bytes), scope].concat();
                let resource = [protobuf::head(1, resource.len()), resource.clone()].concat();
                let resource_logs = protobuf::head(1, resource.len() + scope_logs.len() + records_bytes);
                ([resource_logs, resource, scope_logs].concat(), b"")
            }
            Encoding::Json => {
                let before: [&[u8]; 5] = [
                    b"{\"resourceLogs\":[{\"resource\":",
                    resource,
                    b",\"scopeLogs\":[{\"scope\":",
                    scope,
                    b",\"logRecords\":[",
                ];
                (before.concat(), b"]}]}]}")
            }
        }
    }
}

impl HttpSink for Otlp {
    fn request(&self, events: &Events, now: SystemTime) -> Request {
        let observed = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        self.carrying(self.records(events, u64::try_from(observed).unwrap_or_default()))
    }

    /// The resource and no records: an endpoint should take what is empty, says the specification, and there is no other
    /// request.
    fn probes(&self) -> Vec<Probe<'_>> {
        let read = |answer: &_| by_status(answer, "a request without records is taken");
        vec![Probe::new(Method::POST, self.carrying(Vec::new()), read)]
    }

    fn verdict(&self, events: usize, answer: &Answer) -> Verdict {
        match answer.status {
            200..=299 if answer.is_web_page() => Verdict::Hold { reread_credentials: false },
            200..=299 => match answer::partial_success(answer, self.encoding) {
                Some(Partial { rejected, reason }) => self.partly(events, rejected, reason),
                None => Verdict::Accepted,
            },
            429 | 502 | 503 | 504 => Verdict::Retry { after: answer.retry_after },
            // Smaller requests are not the same request again.
            413 => Verdict::Refused { too_large: true },
            // By the letter a client must drop these. Audit events are worth more than the letter.
            400..=599 if self.strict_spec => {
                let (refused, reason) = (events as u64, answer::error_message(answer, self.encoding));
                Verdict::AcceptedBut { refused, keep: false, reason }
            }
            500 => Verdict::Hold { reread_credentials: false },
            _ => verdict_by_status(answer),
        }
    }

    fn limits(&self) -> Limits {
        Limits { body_bytes: self.max_request_bytes, answer_bytes: MAX_ANSWER_BYTES }
    }
}

/// The attributes of kube-apiserver on this node; what is `given` wins.
fn resource(given: &[(String, String)], identity: &Identity) -> Vec<(String, String)> {
    let node = identity.node.as_deref();
    let defaults = [
        ("service.name", Some("kube-apiserver")),
        ("k8s.namespace.name", Some("kube-system")),
        ("k8s.container.name", Some("kube-apiserver")),
        ("k8s.cluster.name", identity.cluster.as_deref()),
        ("k8s.node.name", node),
        ("host.name", node),
    ];
    let is_given = |name: &str| given.iter().any(|(key, _)| key == name);
    let mut resource: Vec<_> = defaults
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .filter(|(name, _)| !is_given(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    // Without a value it is not wanted.
    resource.extend(given.iter().filter(|(_, value)| !value.is_empty()).cloned());
    resource
}

#[cfg(test)]
pub(in crate::sink) mod tests;
