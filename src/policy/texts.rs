//! What rules ask for of one text, such as the verb, and which rules take a text.
//!
//! Four texts of each request are looked up. All that is compared stands close together, and few texts are as long as the
//! one that is looked for: what memory takes to answer is most of what a look costs.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The texts of one mask of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Texts {
    /// Rules that take any.
    any: u64,
    /// For each length up to the longest: how many texts are shorter, and how many bytes these have; and once more for
    /// what is longer still.
    shorter: Vec<Shorter>,
    /// The texts, by length and then by their bytes, one behind the other.
    bytes: Vec<u8>,
    /// The rules that take each text.
    masks: Vec<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Shorter {
    texts: usize,
    bytes: usize,
}

impl Texts {
    /// Of rules that ask for these texts; for none is for any.
    pub(super) fn of<'a>(rules: impl Iterator<Item = Vec<&'a str>>) -> Self {
        let mut texts = Self::default();
        let mut asked = BTreeMap::<(usize, &str), u64>::new();
        for (bit, wanted) in rules.enumerate() {
            if wanted.is_empty() {
                texts.any |= 1 << bit;
            }
            for text in wanted {
                *asked.entry((text.len(), text)).or_default() |= 1 << bit;
            }
        }
        for ((length, text), mask) in asked {
            texts.begin_length(length);
            texts.bytes.extend_from_slice(text.as_bytes());
            texts.masks.push(mask);
        }
        texts.begin_length(texts.shorter.len());
        texts
    }

    /// What comes from now on is not shorter than this.
    fn begin_length(&mut self, length: usize) {
        let shorter = Shorter { texts: self.masks.len(), bytes: self.bytes.len() };
        self.shorter.resize(self.shorter.len().max(length + 1), shorter);
    }

    /// The rules that take any text.
    pub(super) fn any(&self) -> u64 {
        self.any
    }

    /// The rules that take `text`.
    pub(super) fn rules(&self, text: &[u8]) -> u64 {
        let length = text.len();
        let Some([from, to, ..]) = self.shorter.get(length..) else { return self.any };
        let (mut low, mut high) = (from.texts, to.texts);
        while low < high {
            let middle = low.midpoint(high);
            match self.bytes[from.bytes + (middle - from.texts) * length..][..length].cmp(text) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return self.any | self.masks[middle],
            }
        }
        self.any
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::properties::cases;

    proptest! {
        #![proptest_config(cases(500))]

        /// A text is taken by the rules that ask for it, and by those that ask for none.
        #[test]
        fn whoever_asks_for_a_text_takes_it(
            rules in prop::collection::vec(prop::collection::vec("[ab]{0,4}", 0..6), 0..=64),
            looked_for in prop::collection::vec("[ab]{0,6}", 1..20),
        ) {
            let texts = Texts::of(rules.iter().map(|rule| rule.iter().map(String::as_str).collect()));
            for text in &looked_for {
                let takes = |rule: &Vec<String>| rule.is_empty() || rule.contains(text);
                let expected = rules.iter().enumerate().filter(|(_, rule)| takes(rule));
                let expected = expected.fold(0_u64, |mask, (bit, _)| mask | 1 << bit);
                prop_assert_eq!(texts.rules(text.as_bytes()), expected, "{}", text);
            }
        }
    }
}
