//! A `_bulk` endpoint that takes nothing but what the protocol says, and fails by script, item by item.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use jiff::Timestamp;
use serde::Deserialize;

use crate::support::endpoint::{Answer, Endpoint};
use crate::support::http1::Recorded;

pub(super) const TARGET: &str = "/logs-kubernetes.audit_logs-default/_bulk\
     ?filter_path=errors,items.*.status,items.*.error,items.*.failure_store";

/// What becomes of a request.
pub(super) enum Fate {
    /// Its items are taken or refused one by one.
    Items,
    /// It is answered so, and nothing is stored.
    Refused(Answer),
    /// Its items are taken, and yet it is answered so.
    Lost(Answer),
}

/// A status and the type of the error; 201 stores.
pub(super) type Status = (u16, &'static str);

pub(super) const STORED: Status = (201, "");

/// An endpoint, and what it has stored.
pub(super) struct Fake {
    pub(super) endpoint: Endpoint,
    index: Arc<Mutex<Index>>,
}

#[derive(Default)]
pub(super) struct Index {
    /// By their `_id`.
    documents: BTreeMap<String, String>,
    /// How often each was sent.
    tries: HashMap<String, usize>,
    /// What the protocol forbids.
    faults: Vec<String>,
    conflicts: usize,
    bodies: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    create: Create,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    #[serde(rename = "_id")]
    id: String,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "@timestamp")]
    timestamp: String,
}

impl Fake {
    /// Stores everything.
    pub(super) fn storing() -> Self {
        Self::start(|_, _| Fate::Items, |_, _| STORED)
    }

    /// `fate` is asked of each request with its body and number, `status` of each document with the number of its tries
    /// before.
    pub(super) fn start(
        fate: impl Fn(&[u8], usize) -> Fate + Send + Sync + 'static,
        status: impl Fn(&str, usize) -> Status + Send + Sync + 'static,
    ) -> Self {
        let index = Arc::new(Mutex::new(Index::default()));
        let shared = Arc::clone(&index);
        let endpoint = Endpoint::start(move |request, number| {
            if let Some(answer) = asked(request) {
                return answer;
            }
            shared.lock().unwrap().bulk(request, |body| fate(body, number), &status)
        });
        Self { endpoint, index }
    }

    /// Asserts that all that came was legal, and returns what is stored.
    pub(super) fn documents(&self) -> Vec<String> {
        self.index.lock().unwrap().documents()
    }

    /// How often a document came that was stored already.
    pub(super) fn conflicts(&self) -> usize {
        self.index.lock().unwrap().conflicts
    }

    /// How often each document was sent.
    pub(super) fn tries(&self) -> Vec<usize> {
        self.index.lock().unwrap().tries.values().copied().collect()
    }

    /// All bodies, not compressed.
    pub(super) fn bodies(&self) -> Vec<Vec<u8>> {
        self.index.lock().unwrap().bodies.clone()
    }
}

impl Index {
    /// Answers a request.
    pub(super) fn bulk(
        &mut self,
        request: &Recorded,
        fate: impl FnOnce(&[u8]) -> Fate,
        status: &impl Fn(&str, usize) -> Status,
    ) -> Answer {
        let (body, pairs) = match read(request) {
            Ok(read) => read,
            Err(fault) => {
                self.faults.push(fault);
                return Answer::with_body(
                    400,
                    r#"{"error":{"type":"illegal_argument_exception"},"status":400}"#,
                );
            }
        };
        let fate = fate(&body);
        self.bodies.push(body);
        if let Fate::Refused(answer) = fate {
            return answer;
        }
        let items: Vec<String> =
            pairs.into_iter().map(|(id, document)| self.take(id, document, status)).collect();
        match fate {
            Fate::Lost(answer) => answer,
            _ => answer(&items),
        }
    }

    /// Asserts that all that came was legal, and returns what is stored.
    pub(super) fn documents(&self) -> Vec<String> {
        assert_eq!(self.faults, Vec::<String>::new());
        self.documents.values().cloned().collect()
    }

    fn take(&mut self, id: String, document: String, status: &impl Fn(&str, usize) -> Status) -> String {
        let tries = self.tries.entry(id.clone()).or_default();
        *tries += 1;
        if self.documents.contains_key(&id) {
            self.conflicts += 1;
            return item((409, "version_conflict_engine_exception"));
        }
        let status = status(&document, *tries - 1);
        if status == STORED {
            self.documents.insert(id, document);
        }
        item(status)
    }
}

/// The answer to a request that stores nothing.
fn asked(request: &Recorded) -> Option<Answer> {
    let target = request.target.strip_prefix("/audit")?;
    let (status, body) = match (request.method.as_str(), target) {
        ("GET", "/") => (200, r#"{"name":"n","version":{"number":"9.1.0"}}"#),
        ("POST", TARGET) if request.body.trim_ascii().is_empty() => {
            (400, r#"{"error":{"type":"action_request_validation_exception"},"status":400}"#)
        }
        ("POST", "/_security/user/_has_privileges") => {
            assert_eq!(request.body, br#"{"index":[{"names":["logs-kubernetes.audit_logs-default"],"privileges":["create_doc","auto_configure"]}]}"#);
            (
                200,
                r#"{"index":{"logs-kubernetes.audit_logs-default":{"create_doc":true,"auto_configure":true}}}"#,
            )
        }
        (
            "GET",
            "/_data_stream/logs-kubernetes.audit_logs-default"
            | "/_index_template/audit-shipper-logs-kubernetes.audit_logs-default",
        ) => (200, "{}"),
        _ => return None,
    };
    Some(Answer::with_body(status, body))
}

pub(super) fn item((status, kind): Status) -> String {
    match kind {
        "" => format!(r#"{{"create":{{"status":{status}}}}}"#),
        _ => format!(
            r#"{{"create":{{"status":{status},"error":{{"type":"{kind}","reason":"by script","index":"x"}}}}}}"#
        ),
    }
}

pub(super) fn answer(items: &[String]) -> Answer {
    let errors = items.iter().any(|item| item.contains("error"));
    Answer::with_body(200, format!(r#"{{"errors":{errors},"items":[{}]}}"#, items.join(",")))
}

/// An `_id` and a document.
pub(super) type Pair = (String, String);

/// The body of a request, and what is in it; or what is wrong with it.
pub(super) fn read(request: &Recorded) -> Result<(Vec<u8>, Vec<Pair>), String> {
    let is = |what: &str, holds: bool| if holds { Ok(()) } else { Err(format!("{what}: {request:?}")) };
    is("the method", request.method == "POST")?;
    is("the target", request.target.strip_prefix("/audit") == Some(TARGET))?;
    is("the content type", request.header("content-type") == Some("application/x-ndjson"))?;
    let mut body = Vec::new();
    match request.header("content-encoding") {
        None => body.clone_from(&request.body),
        Some("gzip") => {
            GzDecoder::new(&request.body[..]).read_to_end(&mut body).map_err(|error| error.to_string())?;
        }
        Some(other) => return Err(format!("no server knows {other}")),
    }
    let text = String::from_utf8(body.clone()).map_err(|error| error.to_string())?;
    let Some(text) = text.strip_suffix('\n') else { return Err("the last line does not end".to_owned()) };
    let lines: Vec<&str> = text.split('\n').collect();
    is("an action without its document", lines.len().is_multiple_of(2))?;
    let pair = |pair: &[&str]| {
        let action: Action =
            serde_json::from_str(pair[0]).map_err(|error| format!("{error}: {}", pair[0]))?;
        let document: Document =
            serde_json::from_str(pair[1]).map_err(|error| format!("{error}: {}", pair[1]))?;
        let time: Result<Timestamp, _> = document.timestamp.parse();
        time.map_err(|error| error.to_string())?;
        Ok((action.create.id, pair[1].to_owned()))
    };
    let pairs: Result<_, String> = lines.chunks(2).map(pair).collect();
    Ok((body, pairs?))
}
