//! Events that the policy dropped, by its rule.

/// How many events were dropped, by the rule that says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filtered {
    /// By the number of the rule plus one; the first is for those that no rule matches.
    events: Vec<u64>,
    bytes: u64,
}

impl Filtered {
    pub(super) fn note(&mut self, rule: Option<usize>, bytes: u64) {
        let index = rule.map_or(0, |rule| rule + 1);
        if self.events.len() <= index {
            self.events.resize(index + 1, 0);
        }
        self.events[index] += 1;
        self.bytes += bytes;
    }

    /// All of them.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.iter().sum()
    }

    /// Bytes of their lines in the log.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Each rule that has dropped any, counted from 0, `None` where no rule matched; and how many.
    pub fn by_rule(&self) -> impl Iterator<Item = (Option<usize>, u64)> {
        let counts = self.events.iter().enumerate().filter(|(_, events)| **events > 0);
        counts.map(|(index, events)| (index.checked_sub(1), *events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_count_from_0_and_no_rule_is_none() {
        let mut filtered = Filtered::default();
        for rule in [Some(2), None, Some(0), Some(2)] {
            filtered.note(rule, 10);
        }
        assert_eq!(filtered.by_rule().collect::<Vec<_>>(), [(None, 1), (Some(0), 1), (Some(2), 2)]);
        assert_eq!((filtered.events(), filtered.bytes()), (4, 40));
    }
}
