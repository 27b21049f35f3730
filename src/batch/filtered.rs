//! Events that an output does not take, by what says so.

/// How many events were left out, by what says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filtered {
    by_match: u64,
    /// By the number of the policy's rule plus one; the first is for those that no rule matches.
    by_policy: Vec<u64>,
    bytes: u64,
}

/// What says that an event is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilteredBy {
    /// The output's `match`.
    Match,
    /// The policy: this rule of it, counted from 0, or `None` as no rule matches.
    Policy(Option<usize>),
}

impl Filtered {
    pub(super) fn note(&mut self, by: FilteredBy, bytes: u64) {
        self.bytes += bytes;
        let FilteredBy::Policy(rule) = by else {
            self.by_match += 1;
            return;
        };
        let index = rule.map_or(0, |rule| rule + 1);
        if self.by_policy.len() <= index {
            self.by_policy.resize(index + 1, 0);
        }
        self.by_policy[index] += 1;
    }

    /// All of them.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.by_match + self.by_policy.iter().sum::<u64>()
    }

    /// Bytes of their lines in the log.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All that has left out any, and how many.
    pub fn by(&self) -> impl Iterator<Item = (FilteredBy, u64)> {
        let by_policy = self.by_policy.iter().enumerate();
        let by_policy = by_policy.map(|(index, events)| (FilteredBy::Policy(index.checked_sub(1)), *events));
        let all = std::iter::once((FilteredBy::Match, self.by_match)).chain(by_policy);
        all.filter(|(_, events)| *events > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_count_from_0_and_no_rule_is_none() {
        let mut filtered = Filtered::default();
        let policy = FilteredBy::Policy;
        for by in [policy(Some(2)), policy(None), FilteredBy::Match, policy(Some(0)), policy(Some(2))] {
            filtered.note(by, 10);
        }
        let expected =
            [(FilteredBy::Match, 1), (policy(None), 1), (policy(Some(0)), 1), (policy(Some(2)), 2)];
        assert_eq!(filtered.by().collect::<Vec<_>>(), expected);
        assert_eq!((filtered.events(), filtered.bytes()), (5, 50));
    }
}
