//! `splunkHec`: what Splunk is told of every event.

use std::collections::BTreeMap;

use super::section::Section;
use super::value::not_among;

/// What Splunk Connect for Kubernetes and Splunk's OpenTelemetry chart call these events.
const SOURCETYPE: &str = "kube:apiserver:audit";

pub(super) const ACKS: [(&str, Ack); 3] = [("auto", Ack::Auto), ("on", Ack::On), ("off", Ack::Off)];

/// Metadata of the events, which are the same for all of an output, and what counts as taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplunkHec {
    /// The node that the events come from. `None`: what the token or the collector says.
    pub host: Option<String>,
    /// `None`: the path of the log.
    pub source: Option<String>,
    /// What Splunk reads the events as.
    pub sourcetype: String,
    /// One that the token allows. `None`: the token's own.
    pub index: Option<String>,
    /// Indexed fields, each with one value or several.
    pub fields: BTreeMap<String, Vec<String>>,
    /// Whether an event counts as settled only once the indexers have it.
    pub ack: Ack,
}

/// Indexer acknowledgement, a setting of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// If the token has it.
    Auto,
    /// A token without it is a mistake.
    On,
    /// What the collector takes is settled.
    Off,
}
