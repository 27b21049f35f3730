//! `splunkHec`: Splunk's HTTP Event Collector, and what it is told of every event.

use std::collections::BTreeMap;
use std::path::Path;

use super::identity::Identity;
use super::section::Section;
use super::server::{self, Logins, Server};
use super::value::not_among;

/// What Splunk Connect for Kubernetes and Splunk's OpenTelemetry chart call these events.
const SOURCETYPE: &str = "kube:apiserver:audit";

/// Paths of the collector, which people copy with its address. Longer ones come first.
const PATHS: [&str; 3] =
    ["/services/collector/event/1.0", "/services/collector/event", "/services/collector"];

pub(super) const ACKS: [(&str, Ack); 3] = [("auto", Ack::Auto), ("on", Ack::On), ("off", Ack::Off)];

/// A collector, the metadata of the events, which are the same for all of an output, and what counts as taken.
#[derive(Debug, Clone, PartialEq)]
pub struct SplunkHec {
    /// Where requests go, without the collector's own path.
    pub server: Server,
    /// Splunk's `host` of the events, the node of the output's identity if nothing else is said.
    pub host: Option<String>,
    /// The log that they come from.
    pub source: Option<String>,
    /// What Splunk reads them as.
    pub sourcetype: String,
    /// One that the token allows. `None`: the token's own.
    pub index: Option<String>,
    /// Indexed fields beside the cluster, which they win over.
    pub fields: BTreeMap<String, String>,
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

/// Reads the section, of an output that tells `identity`.
pub(super) fn read(mut section: Section<'_>, identity: &Identity) -> Option<SplunkHec> {
    let report = section.sources.report;
    let server = server::read(&mut section, "url", Logins::Only("tokenFile", "Splunk"));
    let host = section.value("host", None).line().value.or_else(|| identity.node.clone());
    let source = section.value("source", None).line().value;
    let sourcetype = section.value("sourcetype", None).line().value;
    let index = section.value("index", None).line().value;
    let mut fields = BTreeMap::new();
    for (name, value) in section.texts("fields") {
        if name.is_empty() {
            report.mistake(&value.origin, "the name of an indexed field must not be empty");
        }
        fields.insert(name, value.value.unwrap_or_default());
    }
    let ack = section.value("ack", None).choice(Ack::Auto, &ACKS, |word| not_among(word, &ACKS)).value;
    section.finish();
    Some(SplunkHec {
        server: without_path(server?),
        host,
        source,
        sourcetype: sourcetype.unwrap_or_else(|| SOURCETYPE.to_owned()),
        index,
        fields,
        ack,
    })
}

impl SplunkHec {
    /// Fills in what is not configured: events come from `log`.
    pub(super) fn complete(&mut self, log: &Path) {
        self.source.get_or_insert_with(|| log.to_string_lossy().into_owned());
    }
}

fn without_path(mut server: Server) -> Server {
    let path = server.url.path().trim_end_matches('/');
    let prefix = PATHS.iter().find_map(|known| path.strip_suffix(known)).map(str::to_owned);
    if let Some(prefix) = prefix {
        server.url.set_path(&prefix);
    }
    server
}
