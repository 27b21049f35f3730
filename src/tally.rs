//! Which values come how often, and with how many bytes: in bounded memory, whoever chooses the values.
//!
//! A client can send a user agent or a path of its own with each request, so the values of a log may be as many as its
//! events. A [`Tally`] keeps so many of them apart as its [`Bound`] says. Up to there all counts are exact. When it is full,
//! the smaller half is *forgotten*, and what was forgotten is only in the total. This is the space-saving sketch, done half
//! by half:
//!
//! - Of each value that is kept, what it may have had before it was kept is known: its count is too low by no more.
//! - [`Tally::forgotten`] bounds what any value has that is not kept. So whoever is above that is there, whatever came in
//!   between: nobody can hide behind a crowd.
//! - What is shown and what is not shown of it add up to the total, exactly.

use std::collections::HashMap;
use std::ops::AddAssign;

/// Bytes of a value that count; kube-apiserver cuts user agents below that.
const LONGEST: usize = 1100;

/// Events and the bytes of their lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Amount {
    /// How many events.
    pub events: u64,
    /// The bytes of their lines with their newlines: what they take in a log.
    pub bytes: u64,
}

impl Amount {
    /// One event.
    #[must_use]
    pub fn of_event(bytes: u64) -> Self {
        Self { events: 1, bytes }
    }

    /// What is left without `other`, which is a part of it.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_sub(other.events),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

/// What makes a value large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Measure {
    /// Bytes in the log
    Bytes,
    /// Events
    Events,
}

impl Measure {
    /// The one number of an amount.
    #[must_use]
    pub fn of(self, amount: Amount) -> u64 {
        match self {
            Self::Bytes => amount.bytes,
            Self::Events => amount.events,
        }
    }
}

/// How much a tally may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Values that are kept apart.
    pub values: usize,
    /// Their bytes together.
    pub value_bytes: usize,
}

/// Amounts by value.
#[derive(Debug, Clone)]
pub struct Tally {
    measure: Measure,
    bound: Bound,
    counts: HashMap<Box<[u8]>, Count>,
    value_bytes: usize,
    total: Amount,
    forgotten: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    amount: Amount,
    /// What the value may have had before it was kept, by the measure.
    missed: u64,
    /// Events at the last [`Tally::mark`].
    marked: u64,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    /// The value.
    pub value: &'a [u8],
    /// What is known of it; at least this.
    pub amount: Amount,
    /// Events since the last [`Tally::mark`].
    pub since_mark: u64,
    /// How much more it may be, by the measure.
    pub missed: u64,
}

/// The largest values, and all others together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top<'a> {
    /// The largest first.
    pub rows: Vec<Row<'a>>,
    /// How many other values are kept.
    pub others: usize,
    /// All that is not in a row.
    pub rest: Amount,
}

impl Tally {
    /// Without values. What is large by `measure` is kept if not all can be.
    #[must_use]
    pub fn new(measure: Measure, bound: Bound) -> Self {
        Self {
            measure,
            bound,
            counts: HashMap::new(),
            value_bytes: 0,
            total: Amount::default(),
            forgotten: 0,
        }
    }

    /// Counts an event with this value.
    pub fn add(&mut self, value: &[u8], bytes: u64) {
        self.add_amount(value, Amount::of_event(bytes));
    }

    /// Counts events with this value.
    pub fn add_amount(&mut self, value: &[u8], amount: Amount) {
        self.total += amount;
        let value = &value[..value.len().min(LONGEST)];
        if let Some(count) = self.counts.get_mut(value) {
            count.amount += amount;
            return;
        }
        self.make_room_for(value.len());
        self.value_bytes += value.len();
        self.counts.insert(value.into(), Count { amount, missed: self.forgotten, marked: 0 });
    }

    /// Adds all that `other` has counted.
    pub fn merge(&mut self, other: Self) {
        self.total += other.total;
        for (value, count) in &mut self.counts {
            count.missed += if other.counts.contains_key(value) { 0 } else { other.forgotten };
        }
        for (value, mut count) in other.counts {
            if let Some(known) = self.counts.get_mut(&value) {
                known.amount += count.amount;
                known.missed += count.missed;
            } else {
                count.missed += self.forgotten;
                self.value_bytes += value.len();
                self.counts.insert(value, count);
            }
        }
        self.forgotten += other.forgotten;
        self.make_room_for(0);
    }

    /// Everything that was counted.
    #[must_use]
    pub fn total(&self) -> Amount {
        self.total
    }

    /// How many values are kept apart.
    #[must_use]
    pub fn values(&self) -> usize {
        self.counts.len()
    }

    /// What a value that is not kept may have at most, by the measure; 0 as long as all are kept.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The largest values, at most `limit`.
    #[must_use]
    pub fn top(&self, limit: usize) -> Top<'_> {
        let mut counts: Vec<(&[u8], &Count)> =
            self.counts.iter().map(|(value, count)| (&**value, count)).collect();
        let largest_first = |(one, a): &(&[u8], &Count), (other, b): &(&[u8], &Count)| {
            let of = |count: &Count| (self.measure.of(count.amount), count.amount.bytes, count.amount.events);
            of(b).cmp(&of(a)).then_with(|| one.cmp(other))
        };
        if limit < counts.len() {
            counts.select_nth_unstable_by(limit, largest_first);
            counts.truncate(limit);
        }
        counts.sort_unstable_by(largest_first);
        let mut rest = self.total;
        let row = |(value, count): (_, &Count)| {
            rest = rest.without(count.amount);
            let since_mark = count.amount.events - count.marked;
            Row { value, amount: count.amount, since_mark, missed: count.missed }
        };
        let rows: Vec<Row<'_>> = counts.into_iter().map(row).collect();
        Top { others: self.counts.len() - rows.len(), rows, rest }
    }

    /// From now on [`Row::since_mark`] counts anew.
    pub fn mark(&mut self) {
        for count in self.counts.values_mut() {
            count.marked = count.amount.events;
        }
    }

    fn make_room_for(&mut self, value_bytes: usize) {
        let Bound { values, value_bytes: most_bytes } = self.bound;
        if self.counts.len() < values.max(1) && self.value_bytes + value_bytes <= most_bytes {
            return;
        }
        let most = |count: &Count| self.measure.of(count.amount) + count.missed;
        let mut counts: Vec<(Box<[u8]>, Count)> = std::mem::take(&mut self.counts).into_iter().collect();
        counts.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(most(count)));
        self.value_bytes = 0;
        for (value, count) in counts {
            let has_room = self.counts.len() < values / 2 && self.value_bytes + value.len() <= most_bytes / 2;
            if has_room {
                self.value_bytes += value.len();
                self.counts.insert(value, count);
            } else {
                self.forgotten = self.forgotten.max(most(&count));
            }
        }
    }
}

#[cfg(test)]
mod tests;
