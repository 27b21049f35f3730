//! The tables of `top` as one JSON object.

use jiff::Timestamp;
use serde::Serialize;

use super::{Counted, View};
use crate::logs::Found;
use crate::tally::Amount;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    files: usize,
    events: u64,
    bytes: u64,
    first: Option<String>,
    last: Option<String>,
    not_events: Amount,
    tables: Vec<Table<'a>>,
}

#[derive(Serialize)]
struct Table<'a> {
    by: Vec<&'a str>,
    rows: Vec<Row>,
    others: Others,
    /// Whether all values were kept apart.
    exact: bool,
}

#[derive(Serialize)]
struct Row {
    values: Vec<Option<String>>,
    events: u64,
    bytes: u64,
    /// How much more it may have of what rows are sorted by.
    missed: u64,
}

#[derive(Serialize)]
struct Others {
    values: usize,
    events: u64,
    bytes: u64,
}

/// The object, without a newline.
pub(super) fn object(
    view: &View,
    counted: &Counted,
    found: &Found,
    files: usize,
) -> serde_json::Result<String> {
    let tables = counted.tallies.iter().map(|(keys, tally)| {
        let top = tally.top(view.limit);
        let rows = top.rows.iter().map(|row| Row {
            values: keys.split(row.value),
            events: row.amount.events,
            bytes: row.amount.bytes,
            missed: row.missed,
        });
        let others = Others { values: top.others, events: top.rest.events, bytes: top.rest.bytes };
        Table { by: keys.names(), rows: rows.collect(), others, exact: tally.forgotten() == 0 }
    });
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    serde_json::to_string(&Object {
        files,
        events: found.events.events,
        bytes: found.events.bytes,
        first: time(found.times.map(|(first, _)| first)),
        last: time(found.times.map(|(_, last)| last)),
        not_events: found.strange,
        tables: tables.collect(),
    })
}
