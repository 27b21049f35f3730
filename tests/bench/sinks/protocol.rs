//! What an endpoint makes of a request, and answers if it likes it.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::GzDecoder;
use serde::Deserialize;

use super::arrivals::Arrivals;
use crate::endpoint::Answerer;

/// More than a request may have.
const MOST_BODY_BYTES: usize = 32 << 20;

/// How bodies come, and what is answered.
#[derive(Clone, Copy)]
pub(super) struct Protocol {
    pub(super) coding: Coding,
    pub(super) answers: Answers,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Clone, Copy)]
pub(super) enum Answers {
    /// An empty object.
    Json,
    /// 200, an empty message of this type.
    Empty(&'static str),
    /// 204
    Nothing,
    /// One item for each document.
    Bulk,
    /// A code and, if the token has acknowledgements, what to ask about.
    Splunk { acks: bool },
    /// The ID of the request.
    Sls,
}

/// What is asked of a collector.
#[derive(Deserialize)]
struct Question {
    acks: Vec<u64>,
}

impl Protocol {
    /// Notes what arrives, and answers.
    pub(super) fn answerer(self, arrivals: Arc<Arrivals>) -> Arc<Answerer> {
        let requests = AtomicU64::new(0);
        Arc::new(move |target, body| {
            let request = requests.fetch_add(1, Ordering::Relaxed);
            if matches!(self.answers, Answers::Splunk { .. }) && target.contains("/ack?") {
                return acknowledged(body);
            }
            match self.coding.decode(body) {
                Ok(decoded) => {
                    arrivals.note(&decoded);
                    self.answers.to(request, &decoded)
                }
                Err(_) => status("422 Unprocessable Content", "", ""),
            }
        })
    }
}

impl Coding {
    fn decode(self, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut decoded = Vec::new();
        match self {
            Self::None => decoded.extend_from_slice(body),
            Self::Gzip => {
                GzDecoder::new(body).read_to_end(&mut decoded)?;
            }
            Self::Snappy => decoded = snap::raw::Decoder::new().decompress_vec(body)?,
            // A block does not say how much is in it.
            Self::Lz4 => {
                decoded = lz4_flex::block::decompress(body, MOST_BODY_BYTES).map_err(io::Error::other)?;
            }
            Self::Zstd => decoded = zstd::bulk::decompress(body, MOST_BODY_BYTES)?,
        }
        Ok(decoded)
    }
}

impl Answers {
    fn to(self, request: u64, decoded: &[u8]) -> Vec<u8> {
        match self {
            Self::Json => status("200 OK", "content-type: application/json\r\n", "{}"),
            Self::Empty(content_type) => status("200 OK", &format!("content-type: {content_type}\r\n"), ""),
            Self::Nothing => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            Self::Bulk => {
                // An action and a document each.
                let documents = memchr::memchr_iter(b'\n', decoded).count() / 2;
                let items = [r#"{"create":{"status":201}}"#].repeat(documents).join(",");
                let body = format!(r#"{{"errors":false,"items":[{items}]}}"#);
                status("200 OK", "content-type: application/json\r\n", &body)
            }
            Self::Splunk { acks } => {
                let ack = if acks { format!(r#","ackId":{request}"#) } else { String::new() };
                let body = format!(r#"{{"text":"Success","code":0{ack}}}"#);
                status("200 OK", "content-type: application/json\r\n", &body)
            }
            Self::Sls => status("200 OK", &format!("x-log-requestid: {request:024X}\r\n"), ""),
        }
    }
}

/// Everything that is asked about is safe.
fn acknowledged(body: &[u8]) -> Vec<u8> {
    let Ok(Question { acks }) = serde_json::from_slice(body) else {
        return status("400 Bad Request", "", "");
    };
    let mut said = String::new();
    for (index, ack) in acks.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(said, r#"{comma}"{ack}":true"#);
    }
    status("200 OK", "content-type: application/json\r\n", &format!(r#"{{"acks":{{{said}}}}}"#))
}

fn status(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}
