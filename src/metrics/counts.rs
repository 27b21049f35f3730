//! The books of one output as plain numbers.

use std::collections::BTreeMap;

use prometheus::core::Collector as _;
use serde::{Deserialize, Serialize};

use super::{RouteMetrics, lock};
use crate::batch::Reason;

/// What became of the events of one output since the daemon has run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Lines that were read.
    pub read: u64,
    /// Acknowledged.
    pub delivered: u64,
    /// The bodies they were in, before compression.
    pub delivered_bytes: u64,
    /// Left out by match or policy.
    pub filtered: u64,
    /// Set aside, by reason.
    pub set_aside: BTreeMap<String, u64>,
    /// Refused by an endpoint that does not say which.
    pub refused_by_endpoint: u64,
    /// Cut to fit.
    pub truncated: u64,
    /// In memory.
    pub buffered: u64,
    /// Places where events are missing.
    pub certain_gaps: u64,
    /// Places where events may be missing.
    pub possible_gaps: u64,
    /// What is known to be missing.
    pub lost_bytes: u64,
    /// Events that were on record and no longer are, and one for each gap.
    pub lost: u64,
}

impl RouteMetrics {
    /// What became of events so far: all of it at one instant.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let families = &self.inner.families;
        let of = |name: &str| [self.output.clone(), name.to_owned()];
        let _books = lock(&self.inner.books);
        let set_aside = |reason: Reason| {
            let name = reason.as_str();
            (name.to_owned(), families.set_aside.with_label_values(&of(name)).get())
        };
        Counts {
            read: self.read.get(),
            delivered: self.delivered.get(),
            delivered_bytes: self.delivered_bytes.get(),
            filtered: self.filtered_events(),
            set_aside: Reason::COUNTED.map(set_aside).into(),
            refused_by_endpoint: families.refused.with_label_values(&[&self.output]).get(),
            truncated: self.truncated.get(),
            buffered: u64::try_from(self.buffered.get()).unwrap_or_default(),
            certain_gaps: families.gaps.with_label_values(&of("certain")).get(),
            possible_gaps: families.gaps.with_label_values(&of("possible")).get(),
            lost_bytes: families.lost_bytes.with_label_values(&[&self.output]).get(),
            lost: families.errors.with_label_values(&of("lost")).get(),
        }
    }

    /// Of all rules; which there are, nobody else remembers.
    fn filtered_events(&self) -> u64 {
        let families = self.inner.families.filtered.collect();
        let samples = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        let is_ours = |sample: &&prometheus::proto::Metric| {
            sample.get_label().iter().any(|label| label.name() == "output" && label.value() == self.output)
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter of whole numbers, far below 2^52"
        )]
        let count = |sample: &prometheus::proto::Metric| sample.get_counter().get_value() as u64;
        samples.filter(is_ours).map(count).sum()
    }
}
