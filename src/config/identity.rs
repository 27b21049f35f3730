//! `identity`: where an output says that its events come from. kube-apiserver's events name neither their cluster nor their
//! node, so each sink tells it in the way of its protocol.
//!
//! What is not configured is taken from the environment, which the downward API or an administrator fills for all outputs;
//! the file wins, since it speaks of this output. An empty text is an answer too: it is not told.

use super::host_name::host_name;
use super::section::Section;
use super::value::Given;

/// As much as a name in DNS has, and more than any protocol refuses.
const MAX_BYTES: usize = 253;

/// Variables with the cluster's name; the first that is set counts.
const CLUSTER: [&str; 2] = ["AUDIT_SHIPPER_CLUSTER", "CLUSTER_NAME"];
/// The same with the node's. `NODE_NAME` is what manifests usually call what `spec.nodeName` is mapped to.
const NODE: [&str; 2] = ["AUDIT_SHIPPER_NODE", "NODE_NAME"];

/// All variables that are looked at here. They stand for no flag.
pub(crate) const IDENTITY_VARIABLES: [&str; 4] = [CLUSTER[0], CLUSTER[1], NODE[0], NODE[1]];

/// Where events come from, as far as an endpoint is told. Neither is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: Option<String>,
    /// The node's; the host's own name if nothing else is said.
    pub node: Option<String>,
}

/// Reads the section.
pub(super) fn read(section: &mut Section<'_>) -> Identity {
    Identity {
        cluster: name(section, "cluster", CLUSTER, || None),
        node: name(section, "node", NODE, host_name),
    }
}

fn name(
    section: &mut Section<'_>,
    field: &'static str,
    variables: [&str; 2],
    otherwise: fn() -> Option<String>,
) -> Option<String> {
    let sources = section.sources;
    let variables = variables.into_iter().map(|variable| sources.flag(variable));
    let given = [section.value(field, None)].into_iter().chain(variables).find(Given::is_given);
    let Some(given) = given else { return otherwise() };
    let name = given.line_or_empty();
    let bytes = name.value.as_ref().map_or(0, String::len);
    if bytes > MAX_BYTES {
        sources.report.mistake(&name.origin, format_args!("has {bytes} bytes; legal are up to {MAX_BYTES}"));
    }
    name.value.filter(|name| !name.is_empty())
}
