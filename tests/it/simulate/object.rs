//! What `--output json` prints.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object {
    pub(super) files: usize,
    #[serde(flatten)]
    pub(super) policy: OfPolicy,
    pub(super) per_day: Option<PerDay>,
    pub(super) against: Option<Against>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfPolicy {
    pub(super) rules: Vec<Rule>,
    pub(super) no_rule: Totals,
    pub(super) never_matched: Vec<usize>,
    pub(super) total: Totals,
}

#[derive(Deserialize)]
pub(super) struct Rule {
    #[serde(rename = "rule")]
    pub(super) number: usize,
    pub(super) line: u64,
    pub(super) level: String,
    #[serde(flatten)]
    pub(super) totals: Totals,
}

#[derive(Deserialize, Debug, Default, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Totals {
    pub(super) events: u64,
    pub(super) dropped: u64,
    pub(super) lowered: u64,
    pub(super) kept: u64,
    pub(super) bytes_before: u64,
    pub(super) bytes_after: u64,
    #[serde(default)]
    pub(super) users: Vec<Value>,
    #[serde(default)]
    pub(super) verbs: Vec<Value>,
    #[serde(default)]
    pub(super) resources: Vec<Value>,
}

#[derive(Deserialize, Debug, Clone, PartialEq)]
pub(super) struct Value {
    #[serde(rename = "value")]
    pub(super) name: String,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PerDay {
    pub(super) bytes_before: u64,
    pub(super) bytes_after: u64,
}

#[derive(Deserialize)]
pub(super) struct Against {
    #[serde(flatten)]
    pub(super) policy: OfPolicy,
    pub(super) changes: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    pub(super) from: Side,
    pub(super) to: Side,
    pub(super) events: u64,
    pub(super) bytes_from: u64,
    pub(super) bytes_to: u64,
}

#[derive(Deserialize, Debug, PartialEq)]
pub(super) struct Side {
    pub(super) rule: Option<usize>,
    pub(super) fate: String,
}
