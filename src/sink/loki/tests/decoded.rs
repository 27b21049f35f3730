//! Loki's messages as `prost` and serde read them; the numbers are copied from `pkg/push/push.proto` and not from the
//! encoder.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Push {
    #[prost(message, repeated, tag = "1")]
    pub(super) streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Stream {
    #[prost(string, tag = "1")]
    pub(super) labels: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entry {
    #[prost(message, optional, tag = "1")]
    time: Option<Time>,
    #[prost(string, tag = "2")]
    pub(super) line: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) metadata: Vec<Pair>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Pair {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

/// The same of lines that are no UTF-8.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RawPush {
    #[prost(message, repeated, tag = "1")]
    pub(super) streams: Vec<RawStream>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RawStream {
    #[prost(message, repeated, tag = "2")]
    pub(super) entries: Vec<RawEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RawEntry {
    #[prost(bytes = "vec", tag = "2")]
    pub(super) line: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Json {
    pub(super) streams: Vec<JsonStream>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JsonStream {
    pub(super) stream: BTreeMap<String, String>,
    pub(super) values: Vec<Value>,
}

#[derive(Deserialize)]
pub(super) struct Value(
    pub(super) String,
    pub(super) String,
    #[serde(default)] pub(super) HashMap<String, String>,
);

impl Entry {
    /// Since 1970.
    pub(super) fn nanoseconds(&self) -> i128 {
        let time = self.time.unwrap();
        i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
    }
}
