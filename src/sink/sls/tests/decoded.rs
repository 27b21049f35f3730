//! Alibaba's own definition of a group, in prost's words: read by other code than that which writes it.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct LogGroup {
    #[prost(message, repeated, tag = "1")]
    pub(super) logs: Vec<Log>,
    #[prost(string, optional, tag = "2")]
    pub(super) category: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) topic: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) source: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub(super) machine_uuid: Option<String>,
    #[prost(message, repeated, tag = "6")]
    pub(super) tags: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Log {
    #[prost(uint32, required, tag = "1")]
    pub(super) time: u32,
    #[prost(message, repeated, tag = "2")]
    pub(super) contents: Vec<Pair>,
    #[prost(fixed32, optional, tag = "4")]
    pub(super) time_ns: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Pair {
    #[prost(string, required, tag = "1")]
    pub(super) key: String,
    #[prost(string, required, tag = "2")]
    pub(super) value: String,
}

impl Log {
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.contents.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str())
    }

    /// The contents as JSON has them, where a content is a string for each thing but an object or a list.
    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        self.contents.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect()
    }
}
