//! The tables of `top`, as wide as the screen.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Counted, View};
use crate::shown::{Screen, count, fitted, grouped, percent, size};
use crate::tally::{Measure, Tally, Top};

/// Columns of what is shown of a value, apart from the value.
const EVENTS: usize = 10;
const RATE: usize = 8;
const BYTES: usize = 9;
const SHARE: usize = 7;
const BAR: usize = 9;

/// All tables, with at most `limit` rows each; a value's events in the last `interval` are a column of their own.
pub(super) fn tables(
    view: &View,
    counted: &Counted,
    screen: &Screen,
    limit: usize,
    interval: Option<Duration>,
) -> String {
    let mut text = String::new();
    for (keys, tally) in &counted.tallies {
        let table = Table { tally, sort: view.sort, screen, interval };
        let name = |value: &[u8]| keys.shown(value);
        table.write(&keys.names().join(", ").to_uppercase(), &tally.top(limit), name, &mut text);
    }
    text
}

struct Table<'a> {
    tally: &'a Tally,
    sort: Measure,
    screen: &'a Screen,
    interval: Option<Duration>,
}

/// What stands beside a value.
#[derive(Default)]
struct Cells {
    events: String,
    rate: String,
    bytes: String,
    share: String,
    bar: String,
}

impl Cells {
    fn of([events, rate, bytes, share, bar]: [String; 5]) -> Self {
        Self { events, rate, bytes, share, bar }
    }
}

impl Table<'_> {
    fn write(&self, title: &str, top: &Top<'_>, name: impl Fn(&[u8]) -> String, text: &mut String) {
        let share = match self.sort {
            Measure::Bytes => "%BYTES",
            Measure::Events => "%EVENTS",
        };
        let names = ["EVENTS", "EV/S", "BYTES", share, ""].map(str::to_owned);
        text.push('\n');
        self.line(title, &Cells::of(names), text);
        let whole = self.sort.of(self.tally.total());
        for row in &top.rows {
            let part = self.sort.of(row.amount);
            let cells = Cells {
                events: grouped(row.amount.events),
                rate: self.interval.map(|interval| rate(row.since_mark, interval)).unwrap_or_default(),
                bytes: size(row.amount.bytes),
                share: percent(part, whole),
                bar: self.screen.bar(part, whole, BAR),
            };
            self.line(&name(row.value), &cells, text);
        }
        if top.rest.events > 0 {
            let or_more = if self.tally.forgotten() > 0 { " or more" } else { "" };
            let others = count(top.others as u64, "other", "others").replacen(' ', &format!("{or_more} "), 1);
            let others = format!("({others})");
            let cells = Cells {
                events: grouped(top.rest.events),
                bytes: size(top.rest.bytes),
                share: percent(self.sort.of(top.rest), whole),
                ..Cells::default()
            };
            self.line(&others, &cells, text);
        }
        if let Some(most) = top.rows.iter().map(|row| row.missed).max().filter(|most| *most > 0) {
            let too_low = match self.sort {
                Measure::Bytes => size(most),
                Measure::Events => count(most, "event", "events"),
            };
            let _ = writeln!(
                text,
                "(too many values to keep all apart: a row may be too low by up to {too_low})"
            );
        }
    }

    fn line(&self, name: &str, cells: &Cells, text: &mut String) {
        let rate = if self.interval.is_some() { format!("{:>RATE$}", cells.rate) } else { String::new() };
        let others = EVENTS + rate.len() + BYTES + 1 + SHARE + 2 + BAR;
        let width = self.screen.columns.saturating_sub(others);
        let Cells { events, bytes, share, bar, .. } = cells;
        let name = fitted(name, width);
        let line = format!("{name:<width$}{events:>EVENTS$}{rate}{bytes:>BYTES$} {share:>SHARE$}  {bar}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// Events a second, with a digit behind the point while there are few.
pub(super) fn rate(events: u64, interval: Duration) -> String {
    let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
    match events.saturating_mul(10_000) / millis {
        tenths @ ..1000 => format!("{}.{}", tenths / 10, tenths % 10),
        tenths => grouped(tenths / 10),
    }
}
