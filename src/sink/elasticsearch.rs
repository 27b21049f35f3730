//! Elasticsearch 8 and 9, OpenSearch 2 and 3: `_bulk` with `create` into a data stream.
//!
//! A *document* is what the index keeps of an event. In all of its modes the event's own bytes go into it; what is
//! beside them (`document`) is made of places in them (`fields`). Where a key of the event would be refused as the name
//! of a field, it is changed by its place (`keys`).
//!
//! A document's `_id` is a hash of the event's line as it is sent, so what is sent twice is stored once; never the audit
//! ID, which a client chooses: reusing one would make its events vanish as duplicates. It counts within one backing index,
//! so after a rollover the same event is taken once more.
//!
//! The answer tells for each document what became of it (`answer`). What the index has to be like for all of this is in
//! its [`template`].

mod answer;
mod document;
mod fields;
mod keys;
mod probe;
pub mod template;

use std::borrow::Cow;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use super::{Answer, EventRef, Events, HttpSink, Limits, Probe, Request, Verdict};
use crate::config::{self, DocumentMode, Identity};
use crate::fingerprint::Streamed;
use document::Writer;

pub(crate) use answer::said;

/// `status` has to be among them: an item of which nothing is left is left out, and all behind it move up.
const ASKED_FOR: &str = "errors,items.*.status,items.*.error,items.*.failure_store";
/// Hexadecimal digits of a document's `_id`: 128 bits.
const ID_DIGITS: usize = 32;
/// What a document is more than its event, in most cases.
const AROUND_BYTES: usize = 1 << 10;

/// Encodes requests to `_bulk`.
#[derive(Debug)]
pub struct Elasticsearch {
    data_stream: String,
    target: String,
    /// What `setup` calls the index template; `None` if the template is not ours.
    template: Option<String>,
    dedupe: bool,
    writer: Writer,
}

impl Elasticsearch {
    /// What `config` says, of events of `log`, which come from `identity`.
    #[must_use]
    pub fn new(config: &config::Elasticsearch, identity: &Identity, log: &Path) -> Self {
        Self {
            data_stream: config.data_stream.clone(),
            template: (config.mode != DocumentMode::EcsRaw).then(|| template::name(config)),
            target: format!("/{}/_bulk?filter_path={ASKED_FOR}", config.data_stream),
            dedupe: config.dedupe,
            writer: Writer::new(config, identity, log),
        }
    }

    fn write_action(&self, event: &EventRef<'_>, body: &mut Vec<u8>) {
        if !self.dedupe {
            return body.extend_from_slice(b"{\"create\":{}}\n");
        }
        let mut line = Streamed::default();
        event.line().iter().for_each(|piece| line.update(piece));
        let digest = line.finish_hex();
        body.extend_from_slice(b"{\"create\":{\"_id\":\"");
        body.extend_from_slice(digest.get(..ID_DIGITS).unwrap_or(&digest).as_bytes());
        body.extend_from_slice(b"\"}}\n");
    }
}

impl HttpSink for Elasticsearch {
    fn request(&self, events: &Events, now: SystemTime) -> Request {
        // The vendor's own content type, with its version, is unknown to OpenSearch.
        let content_type = (CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let bytes = events.iter().map(|event| event.item.len() + AROUND_BYTES).sum();
        let mut body = Vec::with_capacity(bytes);
        let mut edited = Vec::new();
        for event in events.iter() {
            self.write_action(&event, &mut body);
            self.writer.write(&event, now, &mut edited, &mut body);
            body.push(b'\n');
        }
        Request {
            target: Cow::Owned(self.target.clone()),
            headers: vec![content_type],
            body: std::iter::once(Bytes::from(body)).collect(),
        }
    }

    fn verdict(&self, events: usize, answer: &Answer) -> Verdict {
        answer::verdict(events, answer)
    }

    fn diverted(&self, answer: &Answer) -> u64 {
        answer::diverted(answer)
    }

    fn probes(&self) -> Vec<Probe<'_>> {
        probe::of(self)
    }

    /// Amazon's small instances take 10 MiB; elsewhere 100 MB are usual.
    fn limits(&self) -> Limits {
        Limits { body_bytes: 10 << 20, answer_bytes: 32 << 20 }
    }
}

#[cfg(test)]
pub(crate) mod tests;
