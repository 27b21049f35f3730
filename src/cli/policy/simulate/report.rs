//! All that a simulation has found. It is the JSON object that `--output json` prints, and what tables are made of.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::describe::describe;
use super::{Change, Changed, Fate, Fates, OfRule};
use crate::logs::Found;
use crate::policy::Rule;
use crate::tally::{Amount, Tally};

/// Users, verbs and resources that are shown of a rule.
const SHOWN: usize = 3;
/// A log that covers less says little of a day.
const SHORTEST_SPAN: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) files: usize,
    pub(super) first: Option<String>,
    pub(super) last: Option<String>,
    pub(super) not_events: Amount,
    #[serde(flatten)]
    pub(super) policy: OfPolicy,
    /// An estimate, if the log covers an hour at least.
    pub(super) per_day: Option<PerDay>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) against: Option<Comparison>,
    #[serde(skip)]
    pub(super) span: Option<Duration>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfPolicy {
    pub(super) policy: String,
    pub(super) rules: Vec<RuleReport>,
    /// What no rule matches, which is dropped.
    pub(super) no_rule: Totals,
    pub(super) never_matched: Vec<usize>,
    pub(super) total: Totals,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuleReport {
    pub(super) rule: usize,
    pub(super) line: u64,
    pub(super) level: &'static str,
    pub(super) description: String,
    #[serde(flatten)]
    pub(super) totals: Totals,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Totals {
    pub(super) events: u64,
    pub(super) dropped: u64,
    pub(super) lowered: u64,
    pub(super) kept: u64,
    pub(super) bytes_before: u64,
    pub(super) bytes_after: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) users: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) verbs: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) resources: Vec<Value>,
}

#[derive(Debug, Serialize)]
pub(super) struct Value {
    pub(super) value: String,
    #[serde(flatten)]
    pub(super) amount: Amount,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PerDay {
    pub(super) bytes_before: u64,
    pub(super) bytes_after: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    #[serde(flatten)]
    pub(super) policy: OfPolicy,
    /// The largest difference first.
    pub(super) changes: Vec<ChangeReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangeReport {
    pub(super) from: Side,
    pub(super) to: Side,
    pub(super) events: u64,
    pub(super) bytes_from: u64,
    pub(super) bytes_to: u64,
}

/// What one policy says.
#[derive(Debug, Serialize)]
pub(super) struct Side {
    pub(super) rule: Option<usize>,
    /// `dropped`, or the level at which it is kept.
    pub(super) fate: &'static str,
}

impl Report {
    pub(super) fn new(policy: OfPolicy, found: &Found, files: usize) -> Self {
        let span = found.times.map(|(first, last)| last.duration_since(first).unsigned_abs());
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let long = span.filter(|span| *span >= SHORTEST_SPAN);
        Self {
            files,
            first: time(found.times.map(|(first, _)| first)),
            last: time(found.times.map(|(_, last)| last)),
            not_events: found.strange,
            per_day: long.map(|span| PerDay {
                bytes_before: per_day(policy.total.bytes_before, span),
                bytes_after: per_day(policy.total.bytes_after, span),
            }),
            policy,
            against: None,
            span,
        }
    }

    pub(super) fn compare(&mut self, other: OfPolicy, changes: &BTreeMap<Change, Changed>) {
        let change = |(change, changed): (&Change, &Changed)| ChangeReport {
            from: Side::of(change.from),
            to: Side::of(change.to),
            events: changed.events,
            bytes_from: changed.bytes_from,
            bytes_to: changed.bytes_to,
        };
        let mut changes: Vec<ChangeReport> = changes.iter().map(change).collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.bytes_from.abs_diff(change.bytes_to)));
        self.against = Some(Comparison { policy: other, changes });
    }
}

fn per_day(bytes: u64, span: Duration) -> u64 {
    let bytes = u128::from(bytes) * DAY.as_millis() / span.as_millis().max(1);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl OfPolicy {
    pub(super) fn new(policy: String, rules: &[Rule], of: &[OfRule]) -> Self {
        let report = |(number, (rule, of)): (usize, (&Rule, &OfRule))| RuleReport {
            rule: number,
            line: rule.line,
            level: rule.decision.level.as_str(),
            description: describe(rule),
            totals: Totals::of(of),
        };
        let mut total = Fates::default();
        for of_rule in of {
            total.merge(of_rule.fates);
        }
        let rules: Vec<RuleReport> = rules.iter().zip(of).enumerate().map(report).collect();
        Self {
            policy,
            no_rule: of.get(rules.len()).map(Totals::of).unwrap_or_default(),
            never_matched: rules
                .iter()
                .filter(|rule| rule.totals.events == 0)
                .map(|rule| rule.rule)
                .collect(),
            rules,
            total: Totals::of_fates(&total),
        }
    }
}

impl Totals {
    fn of(of: &OfRule) -> Self {
        let [users, verbs, resources] = match &of.tops {
            Some(tops) => tops.each_ref().map(largest),
            None => [const { Vec::new() }; 3],
        };
        Self { users, verbs, resources, ..Self::of_fates(&of.fates) }
    }

    fn of_fates(fates: &Fates) -> Self {
        Self {
            events: fates.before.events,
            dropped: fates.dropped,
            lowered: fates.lowered,
            kept: fates.after.events.saturating_sub(fates.lowered),
            bytes_before: fates.before.bytes,
            bytes_after: fates.after.bytes,
            ..Self::default()
        }
    }

    /// Events that are left.
    pub(super) fn events_after(&self) -> u64 {
        self.kept + self.lowered
    }
}

fn largest(tally: &Tally) -> Vec<Value> {
    let value = |row: &crate::tally::Row<'_>| Value {
        value: String::from_utf8_lossy(row.value).into_owned(),
        amount: row.amount,
    };
    tally.top(SHOWN).rows.iter().map(value).collect()
}

impl Side {
    fn of((rule, fate): (Option<usize>, Fate)) -> Self {
        let fate = match fate {
            Fate::Dropped => "dropped",
            Fate::Kept(level) => level.as_str(),
        };
        Self { rule, fate }
    }
}
