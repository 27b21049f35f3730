//! What an answer of `_bulk` means: 200 even if documents failed, with one item for each of them, in order.
//!
//! | item | means | verdict |
//! |---|---|---|
//! | 2xx | stored | accepted |
//! | 409 `version_conflict_engine_exception` | stored before, under the same `_id` | accepted |
//! | 408, 425, 429, 5xx, any other 409 | no room, or trouble in the cluster | retry |
//! | `cluster_block_exception`, `index_closed_exception`, `validation_exception` of any status | read only, as when the disk is full; closed; as many shards as the cluster may have | hold |
//! | 400, 413, 422 | the index cannot take it | refused |
//! | any other, as 401, 403, 404 | credentials or configuration | hold |
//!
//! It is read item by item, and only what was refused takes memory. An answer of which not all items can be read tells
//! nothing of any: with a document's `_id`, to send all of them again does no harm.

use std::fmt;

use memchr::memmem;
use serde::Deserialize;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::sink::{Answer, EventVerdict, Verdict, excerpt, verdict_by_status};

/// Errors that say nothing of any document, whatever their status.
const OF_THE_CLUSTER: [&str; 3] =
    ["cluster_block_exception", "index_closed_exception", "validation_exception"];

/// What `answer` to a request with so many `events` means.
pub(super) fn verdict(events: usize, answer: &Answer) -> Verdict {
    let retry = Verdict::Retry { after: answer.retry_after };
    if !(200..=299).contains(&answer.status) {
        return verdict_by_status(answer);
    }
    let Ok(Bulk { errors, items }) = serde_json::from_slice(&answer.body) else { return retry };
    let Some(items) = items else {
        return if errors == Some(false) { Verdict::Accepted } else { retry };
    };
    let is = |wanted: &EventVerdict| items.iter().all(|item| item.verdict == *wanted);
    if items.len() != events {
        retry
    } else if is(&EventVerdict::Accepted) {
        Verdict::Accepted
    } else if is(&EventVerdict::Retry) {
        retry
    } else if is(&EventVerdict::Hold) {
        Verdict::Hold { reread_credentials: items.iter().any(|item| item.credentials) }
    } else {
        Verdict::Each(items.into_iter().map(|item| item.verdict).collect())
    }
}

/// How many of the documents of an answer are in the failure store of the data stream, which takes what the index would
/// refuse.
pub(super) fn diverted(answer: &Answer) -> u64 {
    // It is rare, and answers are read once more for it.
    if memmem::find(&answer.body, b"failure_store").is_none() {
        return 0;
    }
    let bulk = serde_json::from_slice(&answer.body).ok();
    let items = bulk.and_then(|Bulk { items, .. }| items).unwrap_or_default();
    items.iter().filter(|item| item.is_diverted).count() as u64
}

/// The error of an answer to a request that failed as a whole, for people; nothing if it says nothing.
pub(crate) fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Failed<'a> {
        #[serde(borrow)]
        error: &'a RawValue,
    }
    match serde_json::from_slice(body) {
        Ok(Failed { error }) => reason(serde_json::from_str(error.get()).ok().as_ref(), Some(error)),
        Err(_) => excerpt(body),
    }
}

#[derive(Deserialize)]
struct Bulk {
    errors: Option<bool>,
    items: Option<Vec<Item>>,
}

/// What became of one document.
struct Item {
    verdict: EventVerdict,
    /// Whether others might have let it in.
    credentials: bool,
    is_diverted: bool,
}

/// What stands below the name of the action.
#[derive(Deserialize)]
struct Outcome<'a> {
    status: u16,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    failure_store: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(rename = "type")]
    kind: Option<String>,
    reason: Option<String>,
    caused_by: Option<Box<Cause>>,
}

impl Cause {
    fn says(&self) -> String {
        let said: Vec<&str> = [&self.kind, &self.reason].into_iter().flatten().map(String::as_str).collect();
        said.join(": ")
    }
}

impl Item {
    fn of(outcome: &Outcome<'_>) -> Self {
        let Outcome { status, error, failure_store } = *outcome;
        let stored = (200..=299).contains(&status);
        let error = error.filter(|_| !stored);
        let cause: Option<Cause> = error.and_then(|error| serde_json::from_str(error.get()).ok());
        let kind = cause.as_ref().and_then(|cause| cause.kind.as_deref());
        let verdict = match status {
            _ if stored => EventVerdict::Accepted,
            _ if kind.is_some_and(|kind| OF_THE_CLUSTER.contains(&kind)) => EventVerdict::Hold,
            409 if kind.is_none_or(|kind| kind == "version_conflict_engine_exception") => {
                EventVerdict::Accepted
            }
            408 | 409 | 425 | 429 | 500..=599 => EventVerdict::Retry,
            400 | 413 | 422 => EventVerdict::Refused { reason: reason(cause.as_ref(), error) },
            _ => EventVerdict::Hold,
        };
        let credentials = matches!(status, 401 | 403) && verdict == EventVerdict::Hold;
        let credentials = credentials && !kind.is_some_and(|kind| OF_THE_CLUSTER.contains(&kind));
        let is_diverted = stored && failure_store.is_some_and(|used| used.get() == r#""used""#);
        Self { verdict, credentials, is_diverted }
    }
}

/// For people, in one line: all causes that are told, or the beginning of what else is.
fn reason(cause: Option<&Cause>, error: Option<&RawValue>) -> String {
    let causes = std::iter::successors(cause, |cause| cause.caused_by.as_deref());
    let said: Vec<String> = causes.map(Cause::says).collect();
    let said = said.join("; caused by ");
    let unread = error.map_or("no reason was given", RawValue::get);
    excerpt(if said.is_empty() { unread } else { &said }.as_bytes())
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Single;

        impl<'de> Visitor<'de> for Single {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the name of the action alone")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
                let Some((IgnoredAny, outcome)) = map.next_entry()? else {
                    return Err(A::Error::custom("no action"));
                };
                match map.next_entry::<IgnoredAny, IgnoredAny>()? {
                    Some(_) => Err(A::Error::custom("two actions")),
                    None => Ok(Item::of(&outcome)),
                }
            }
        }

        deserializer.deserialize_map(Single)
    }
}

#[cfg(test)]
mod tests;
