//! What an endpoint answers, in Protocol Buffers or JSON as it says, and if it says nothing as it was asked.

use prost::Message as _;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Encoding;
use crate::sink::{Answer, excerpt};

/// What the endpoint says of a request that it has taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Partial {
    /// Records that it will not have; with 0 of them the reason is a warning.
    pub(super) rejected: u64,
    pub(super) reason: String,
}

/// `ExportLogsServiceResponse`
#[derive(prost::Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `ExportLogsPartialSuccess`
#[derive(prost::Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
    // A message that is no UTF-8 must not hide the number.
    #[prost(bytes = "vec", tag = "2")]
    error_message: Vec<u8>,
}

/// `google.rpc.Status`
#[derive(prost::Message)]
struct Status {
    #[prost(bytes = "vec", tag = "2")]
    message: Vec<u8>,
}

/// Names as in the `.proto` file are not the specification's, but every reader of JSON in Protocol Buffers' form takes
/// them, and `null` for a default.
#[derive(Deserialize)]
struct JsonResponse {
    #[serde(rename = "partialSuccess", alias = "partial_success")]
    partial_success: Option<JsonPartialSuccess>,
}

#[derive(Deserialize)]
struct JsonPartialSuccess {
    #[serde(rename = "rejectedLogRecords", alias = "rejected_log_records")]
    rejected: Option<JsonInt>,
    #[serde(rename = "errorMessage", alias = "error_message")]
    message: Option<String>,
}

/// 64-bit integers are text in JSON, and numbers for those who do not know it. Of anything else it is only known that
/// some were rejected.
#[derive(Deserialize)]
#[serde(untagged)]
enum JsonInt {
    Number(i64),
    Text(String),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct JsonStatus {
    message: String,
}

impl JsonInt {
    fn value(&self) -> i64 {
        match self {
            Self::Number(value) => *value,
            Self::Text(text) => text.parse().unwrap_or(1),
            Self::Other(_) => 1,
        }
    }
}

/// What a good answer takes back; `None` if nothing, or if it is no answer of this protocol.
pub(super) fn partial_success(answer: &Answer, asked_in: Encoding) -> Option<Partial> {
    let (rejected, message) = match encoding(answer, asked_in) {
        Encoding::Protobuf => {
            let partial = Response::decode(&*answer.body).ok()?.partial_success?;
            (partial.rejected_log_records, excerpt(&partial.error_message))
        }
        Encoding::Json => {
            let partial = serde_json::from_slice::<JsonResponse>(&answer.body).ok()?.partial_success?;
            let message = partial.message.unwrap_or_default();
            (partial.rejected.map_or(0, |rejected| rejected.value()), excerpt(message.as_bytes()))
        }
    };
    let rejected = u64::try_from(rejected).unwrap_or_default();
    let reason =
        if message.is_empty() { "the endpoint does not say why".to_owned() } else { message.clone() };
    (rejected > 0 || !message.is_empty()).then_some(Partial { rejected, reason })
}

/// Why a request was not taken, in the endpoint's words.
pub(super) fn error_message(answer: &Answer, asked_in: Encoding) -> String {
    let message = match encoding(answer, asked_in) {
        Encoding::Protobuf => Status::decode(&*answer.body).ok().map(|status| status.message),
        Encoding::Json => {
            serde_json::from_slice(&answer.body).ok().map(|status: JsonStatus| status.message.into_bytes())
        }
    };
    let message = message.filter(|message| !message.is_empty()).map(|message| excerpt(&message));
    format!("status {}: {}", answer.status, message.unwrap_or_else(|| answer.excerpt()))
}

fn encoding(answer: &Answer, asked_in: Encoding) -> Encoding {
    let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match content_type {
        Some(content_type) if content_type.contains("json") => Encoding::Json,
        Some(content_type) if content_type.contains("protobuf") => Encoding::Protobuf,
        _ => asked_in,
    }
}
