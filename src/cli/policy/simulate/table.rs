//! The report for people: a line and a bar for each rule, then what each is about and whom it meets.

use std::fmt::Write as _;

use super::report::{Comparison, OfPolicy, Report, Side, Totals, Value};
use crate::shown::{Screen, count, duration, fitted, grouped, percent, printable, size};

/// Columns of the overview before its bars, and of these.
const BEFORE_BAR: usize = 65;
const LONGEST_BAR: usize = 40;
/// What a list begins with that goes over several lines.
const INDENT: usize = 13;
/// Columns of one value in a list.
const VALUE: usize = 40;

pub(super) fn table(report: &Report, heading: &str, screen: &Screen) -> String {
    let policy = &report.policy;
    let rules = count(policy.rules.len() as u64, "rule", "rules");
    let mut text = format!("{}: {rules}\n{heading}\n", printable(&policy.policy));
    overview(policy, screen, &mut text);
    details(policy, screen, &mut text);
    never_matched(policy, screen, &mut text);
    total(report, &mut text);
    if let Some(against) = &report.against {
        comparison(policy, against, screen, &mut text);
    }
    text
}

/// A line for each rule. A bar is what there was, its full part what is left.
fn overview(policy: &OfPolicy, screen: &Screen, text: &mut String) {
    let line = |cells: [&str; 7], bar: &str, text: &mut String| {
        let [rule, at, level, events, share, before, after] = cells;
        let line =
            format!("{rule:>5} {at:>5} {level:<15}{events:>10} {share:>6}{before:>10}{after:>9}  {bar}");
        let _ = writeln!(text, "{}", line.trim_end());
    };
    line(["RULE", "LINE", "LEVEL", "EVENTS", "%BYTES", "BEFORE", "AFTER"], "", text);
    let whole = policy.total.bytes_before;
    let columns = screen.columns.saturating_sub(BEFORE_BAR).min(LONGEST_BAR);
    let row = |[rule, at, level]: [&str; 3], totals: &Totals, text: &mut String| {
        let (before, after) = (totals.bytes_before, totals.bytes_after);
        let cells = [grouped(totals.events), percent(before, whole), size(before), size(after)];
        let [events, share, shown_before, shown_after] = cells.each_ref().map(String::as_str);
        let bar = screen.bar_of_two(after, before, whole, columns);
        line([rule, at, level, events, share, shown_before, shown_after], &bar, text);
    };
    for rule in &policy.rules {
        row([&rule.rule.to_string(), &rule.line.to_string(), rule.level], &rule.totals, text);
    }
    if policy.no_rule.events > 0 {
        row(["none", "-", "None"], &policy.no_rule, text);
    }
    row(["total", "", ""], &policy.total, text);
}

/// Of each rule that has matched, what it is about and whom it meets.
fn details(policy: &OfPolicy, screen: &Screen, text: &mut String) {
    for rule in policy.rules.iter().filter(|rule| rule.totals.events > 0) {
        let name = format!("rule {}, line {}: {}; {}", rule.rule, rule.line, rule.level, rule.description);
        detail(&name, &rule.totals, screen, text);
    }
    if policy.no_rule.events > 0 {
        detail("no rule matched", &policy.no_rule, screen, text);
    }
}

fn detail(name: &str, totals: &Totals, screen: &Screen, text: &mut String) {
    let Totals { dropped, lowered, kept, .. } = *totals;
    let fates = [(dropped, "dropped"), (lowered, "lowered"), (kept, "kept as they are")];
    let fates = fates.into_iter().filter(|(events, _)| *events > 0);
    let fates: Vec<String> = fates.map(|(events, fate)| format!("{} {fate}", grouped(events))).collect();
    let _ = writeln!(text, "\n{}\n  {:<11}{}", fitted(name, screen.columns), "events", fates.join(", "));
    for (name, values) in
        [("users", &totals.users), ("verbs", &totals.verbs), ("resources", &totals.resources)]
    {
        let share = |value: &Value| {
            let name = if value.value.is_empty() { "(none)".to_owned() } else { fitted(&value.value, VALUE) };
            format!("{name} {}", percent(value.amount.bytes, totals.bytes_before))
        };
        list(&format!("  {name}"), &values.iter().map(share).collect::<Vec<_>>(), screen, text);
    }
}

/// Values with commas between them, in as many lines as it takes.
fn list(name: &str, values: &[String], screen: &Screen, text: &mut String) {
    let mut line = format!("{name:<INDENT$}");
    for (index, value) in values.iter().enumerate() {
        let comma = if index + 1 < values.len() { "," } else { "" };
        let columns = line.chars().count() + value.chars().count() + comma.len();
        if columns > screen.columns && line.trim_end().chars().count() > INDENT {
            let _ = writeln!(text, "{}", line.trim_end());
            line = " ".repeat(INDENT);
        }
        line.push_str(value);
        line.push_str(comma);
        line.push(' ');
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

fn never_matched(policy: &OfPolicy, screen: &Screen, text: &mut String) {
    let never = policy.rules.iter().filter(|rule| rule.totals.events == 0);
    let never: Vec<String> = never.map(|rule| format!("rule {} (line {})", rule.rule, rule.line)).collect();
    if !never.is_empty() {
        text.push('\n');
        list("unmatched", &never, screen, text);
    }
}

fn total(report: &Report, text: &mut String) {
    let total = &report.policy.total;
    let (before, after) = (total.bytes_before, total.bytes_after);
    let saved = before.saturating_sub(after);
    let _ = writeln!(
        text,
        "\n{:<INDENT$}{} of {} ({}), {} of {}",
        "left",
        grouped(total.events_after()),
        of_events(total),
        percent(total.events_after(), total.events),
        size(after),
        size(before)
    );
    let _ = writeln!(text, "{:<INDENT$}{} ({})", "saved", size(saved), percent(saved, before));
    let span = report.span.map(duration);
    let estimate = match (&report.per_day, span) {
        (Some(day), Some(span)) => format!(
            "about {} before and {} after (estimated from {span} of log)",
            size(day.bytes_before),
            size(day.bytes_after)
        ),
        (None, Some(span)) => format!("no estimate from only {span} of log"),
        (_, None) => return,
    };
    let _ = writeln!(text, "{:<INDENT$}{estimate}", "a day");
}

/// Which events fare otherwise under the other policy.
fn comparison(policy: &OfPolicy, against: &Comparison, screen: &Screen, text: &mut String) {
    let other = &against.policy;
    let rules = count(other.rules.len() as u64, "rule", "rules");
    let _ = writeln!(text, "\nagainst {}: {rules}\n", printable(&other.policy));
    if against.changes.is_empty() {
        let _ = writeln!(text, "every event fares the same");
    } else {
        let column = (screen.columns - 41) / 2;
        let line = |cells: [&str; 5], text: &mut String| {
            let [from, to, events, before, after] = cells;
            let _ = writeln!(text, "{from:<column$} -> {to:<column$}{events:>13}{before:>12}{after:>12}");
        };
        line(["UNDER THE FIRST", "UNDER THE OTHER", "EVENTS", "FIRST", "OTHER"], text);
        for change in &against.changes {
            let numbers = [grouped(change.events), size(change.bytes_from), size(change.bytes_to)];
            let [events, first, second] = numbers.each_ref().map(String::as_str);
            line([&side(&change.from), &side(&change.to), events, first, second], text);
        }
    }
    let events = against.changes.iter().map(|change| change.events).sum();
    let _ = writeln!(text, "\n{:<INDENT$}{} of {}", "differently", grouped(events), of_events(&policy.total));
    let left = |totals: &Totals| {
        let events = count(totals.events_after(), "event", "events");
        format!("{}, {events}", size(totals.bytes_after))
    };
    let (first, second) = (policy.total.bytes_after, other.total.bytes_after);
    let more = if second >= first { "more" } else { "less" };
    let difference = size(first.abs_diff(second));
    let _ = writeln!(text, "{:<INDENT$}first: {}", "left", left(&policy.total));
    let _ = writeln!(text, "{:<INDENT$}other: {} ({difference} {more})", "", left(&other.total));
}

fn of_events(total: &Totals) -> String {
    count(total.events, "event", "events")
}

fn side(side: &Side) -> String {
    match side.rule {
        Some(rule) => format!("{rule} {}", side.fate),
        None => format!("none {}", side.fate),
    }
}
