//! Who asked for what, estimated from a few events of each batch.
//!
//! A batch is divided into at most [`LOOKS`] parts, and one event of each part, chosen at random, stands for all of it. So the
//! totals are exact, a value's share is right on average, and what it costs does not grow with the events of a batch.

use std::mem;
use std::sync::{Mutex, PoisonError};

use super::Health;
use crate::batch::Batch;
use crate::json;
use crate::tally::{Amount, Bound, Measure, Tally};

/// Events of a batch that are looked at, at most.
const LOOKS: usize = 8;
/// Users are chosen by clients; a few hundred bytes each.
const BOUND: Bound = Bound { values: 64, value_bytes: 8 << 10 };

/// What was seen.
#[derive(Debug, Clone)]
pub struct Glimpse {
    /// Events by the name of the user.
    pub users: Tally,
    /// Events by verb.
    pub verbs: Tally,
    /// Events that were looked at.
    pub looks: u64,
}

impl Default for Glimpse {
    fn default() -> Self {
        let tally = Tally::new(Measure::Events, BOUND);
        Self { users: tally.clone(), verbs: tally, looks: 0 }
    }
}

impl Glimpse {
    /// Adds what was seen elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.users.merge(other.users);
        self.verbs.merge(other.verbs);
        self.looks += other.looks;
    }

    /// Looks at a few events of a sealed batch.
    fn look(&mut self, batch: &Batch, mut any_below: impl FnMut(usize) -> usize) {
        let (events, looks) = (batch.events(), batch.events().min(LOOKS));
        let mut text = String::new();
        for part in 0..looks {
            let (start, end) = (part * events / looks, (part + 1) * events / looks);
            let amount = Amount { events: (end - start) as u64, bytes: 0 };
            let (item, _) = batch.item(start + any_below(end - start));
            let [verb, user] = verb_and_user(item);
            for (tally, value) in [(&mut self.verbs, verb), (&mut self.users, user)] {
                text.clear();
                json::unescape_into(value, &mut text);
                tally.add_amount(text.as_bytes(), amount);
            }
            self.looks += 1;
        }
    }
}

/// The texts of the verb and of the user's name, as they stand in an item. kube-apiserver writes them before the bodies, which
/// are not looked at then.
fn verb_and_user(item: &[u8]) -> [&[u8]; 2] {
    let (mut verb, mut user): (Option<&[u8]>, Option<&[u8]>) = (None, None);
    for member in json::members(item, 0) {
        match &item[member.key] {
            br#""verb""# => verb = Some(&item[member.value]),
            br#""user""# => {
                let name = json::members(item, member.value.start)
                    .find(|member| &item[member.key.clone()] == br#""username""#);
                user = Some(name.map_or(b"", |name| &item[name.value]));
            }
            _ => {}
        }
        if verb.is_some() && user.is_some() {
            break;
        }
    }
    [verb.unwrap_or_default(), user.unwrap_or_default()]
}

impl Health {
    /// A batch was read, and waits to be settled.
    pub fn took(&self, batch: &Batch) {
        if batch.is_empty() {
            return;
        }
        self.began_to_wait();
        if !batch.is_gap_record() {
            lock(&self.glimpse).look(batch, |count| fastrand::usize(..count));
        }
    }

    /// What was seen since the last call.
    #[must_use]
    pub fn take_glimpse(&self) -> Glimpse {
        mem::take(&mut *lock(&self.glimpse))
    }
}

fn lock(glimpse: &Mutex<Glimpse>) -> std::sync::MutexGuard<'_, Glimpse> {
    glimpse.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Limits, Offer, Origin};
    use crate::buffers::Buffers;

    fn batch(lines: &[String]) -> Batch {
        let limits = Limits {
            max_lines: 10_000,
            max_bytes: usize::MAX,
            max_first_line_bytes: usize::MAX,
            max_event_size: None,
        };
        let origin = || Origin { file: "audit.log".into(), offset: 0 };
        let mut batch = Batch::new(Buffers::default());
        for line in lines {
            assert_eq!(batch.offer(line.as_bytes(), origin, &limits), Offer::Taken);
        }
        batch.seal();
        batch
    }

    fn line(rest: &str) -> String {
        format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata",{rest}}}"#)
    }

    fn rows(tally: &Tally) -> Vec<(String, u64)> {
        let row =
            |row: &crate::tally::Row<'_>| (String::from_utf8(row.value.to_vec()).unwrap(), row.amount.events);
        tally.top(9).rows.iter().map(row).collect()
    }

    #[test]
    fn totals_are_exact_and_shares_are_right_on_average() {
        let lines: Vec<String> = (0..1000)
            .map(|number| {
                let user = if number % 4 == 0 { "b\\u003cc" } else { "a" };
                line(&format!(
                    r#""verb":"get","user":{{"username":"{user}","groups":["g"]}},"requestObject":{{}}"#
                ))
            })
            .collect();
        let (batch, mut glimpse) = (batch(&lines), Glimpse::default());
        for _ in 0..500 {
            glimpse.look(&batch, |count| fastrand::usize(..count));
        }
        assert_eq!((glimpse.looks, glimpse.verbs.total().events), (4000, 500_000));
        assert_eq!(rows(&glimpse.verbs), [("get".to_owned(), 500_000)]);
        let users = rows(&glimpse.users);
        assert_eq!((users[0].0.as_str(), users[1].0.as_str()), ("a", "b<c"));
        // Of 4000 looks a quarter, give or take: ten standard deviations.
        assert!((90_000..160_000).contains(&users[1].1), "{users:?}");
    }

    #[test]
    fn every_event_of_a_small_batch_counts_and_what_is_missing_is_empty() {
        let lines = [
            line(r#""user":{"groups":[],"username":"u"},"verb":"list""#),
            line(r#""verb":"get""#),
            line(r#""user":null,"verb":7"#),
        ];
        let mut glimpse = Glimpse::default();
        glimpse.look(&batch(&lines), |_| 0);
        assert_eq!(rows(&glimpse.users), [(String::new(), 2), ("u".to_owned(), 1)]);
        assert_eq!(rows(&glimpse.verbs), [(String::new(), 1), ("get".to_owned(), 1), ("list".to_owned(), 1)]);
        glimpse.look(&Batch::new(Buffers::default()), |_| 0);
        assert_eq!(glimpse.looks, 3);
    }
}
