//! The table of `status`, as wide as the screen.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use crate::live::status::{Output, Progress, State, Status};
use crate::shown::{Screen, count, duration, fitted, grouped, printable, size};

/// Columns of a state's name.
const STATE: usize = 13;
/// Of a rate, of a size, of a time.
const RATE: usize = 9;
const SIZE: usize = 9;
const TIME: usize = 7;
/// Of all that stands beside a name and a sparkline.
const OTHERS: usize = STATE + RATE + SIZE + 2 * TIME + 8;
/// Columns of a sparkline at most.
const LONGEST_SPARK: usize = 60;
const SHORTEST_SPARK: usize = 8;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const LETTERS: [char; 8] = ['_', '.', ',', '-', '+', '*', '#', '@'];

/// All of it.
pub(super) fn table(status: &Status, screen: &Screen, has_colours: bool) -> String {
    let mut text = head(status, screen);
    if status.outputs.is_empty() {
        return text + "No output runs at the moment.\n";
    }
    let longest =
        status.outputs.iter().map(|output| printable(&output.name).chars().count()).max().unwrap_or_default();
    let room = screen.columns.saturating_sub(OTHERS).min(screen.columns / 4);
    let name = longest.clamp("OUTPUT".len(), room.max("OUTPUT".len()));
    let spark = screen.columns.saturating_sub(name + OTHERS).min(LONGEST_SPARK);
    let columns = Columns { name, spark: if spark < SHORTEST_SPARK { 0 } else { spark } };
    columns.row(["OUTPUT", "STATE", "EVENTS/S", "BEHIND", "AGE", "GRACE", "LAST HOUR"], &mut text);
    for output in &status.outputs {
        columns.output(output, screen, has_colours, &mut text);
        for note in notes(output, status.now) {
            let _ = writeln!(text, "  {}", fitted(&note, screen.columns.saturating_sub(2)));
        }
    }
    text
}

fn head(status: &Status, screen: &Screen) -> String {
    let up = between(status.started_at, status.now);
    let node = status.node.as_deref().map(|node| format!(" on {node}")).unwrap_or_default();
    let logs =
        if status.logs.is_empty() { String::new() } else { format!(", reads {}", status.logs.join(", ")) };
    let head = format!("audit-shipper {}{node}, up {up}{logs}", status.version);
    let mut text = format!("{}\n", fitted(&head, screen.columns));
    if !status.configuration.is_right {
        let ago = between(status.configuration.right_at, status.now);
        let _ = writeln!(
            text,
            "The configuration is wrong; the one of {ago} ago stays in use. The daemon's log says why."
        );
    }
    text + "\n"
}

struct Columns {
    name: usize,
    /// 0 if there is no room for it.
    spark: usize,
}

impl Columns {
    fn row(&self, [name, state, rate, behind, age, grace, spark]: [&str; 7], text: &mut String) {
        let row = format!(
            "{name:<width$}  {state:<STATE$} {rate:>RATE$} {behind:>SIZE$} {age:>TIME$} {grace:>TIME$}  {}",
            if self.spark > 0 { spark } else { "" },
            width = self.name,
        );
        *text += row.trim_end();
        text.push('\n');
    }

    fn output(&self, output: &Output, screen: &Screen, has_colours: bool, text: &mut String) {
        let current = &output.current;
        let seconds =
            |seconds: f64| Duration::try_from_secs_f64(seconds).map_or_else(|_| "-".to_owned(), duration);
        let rate = format!("{:.1}", current.events_per_second);
        let age = if current.lag_bytes > 0 { seconds(current.lag_seconds) } else { "-".to_owned() };
        let grace = output.retention_grace_seconds.map_or_else(|| "-".to_owned(), seconds);
        let (word, colour) = state(output.state);
        let behind = size(current.lag_bytes);
        let spark = sparkline(&output.history.events_per_second, self.spark, screen);
        let mut row = String::new();
        self.row([&fitted(&output.name, self.name), word, &rate, &behind, &age, &grace, &spark], &mut row);
        if has_colours {
            // The name is not coloured, though it may hold the word. What answers is not known to be a daemon of ours, so the
            // name may be anything.
            let at = row.char_indices().nth(self.name + 2).map_or(row.len(), |(at, _)| at);
            let (before, after) = row.split_at(at);
            let after = after.replacen(word, &format!("\x1b[{colour}m{word}\x1b[0m"), 1);
            row = format!("{before}{after}");
        }
        *text += &row;
    }
}

/// The word of a state, and the number of its colour.
fn state(state: State) -> (&'static str, u8) {
    match state {
        State::Level => ("level", 32),
        State::Shipping => ("shipping", 36),
        State::Waiting => ("waiting", 33),
        State::Misconfigured => ("misconfigured", 31),
        State::Blocked => ("blocked", 31),
        State::Unreadable => ("unreadable", 31),
        State::Hanging => ("hanging", 31),
        State::Stopping => ("stopping", 90),
    }
}

/// What is worth more words.
fn notes(output: &Output, now: Timestamp) -> Vec<String> {
    let mut notes = Vec::new();
    match (&output.reason, &output.not_ready) {
        (Some(reason), _) => notes.push(format!("{reason} (for {})", between(output.since, now))),
        // The state began for another reason.
        (None, Some(reason)) => notes.push(reason.clone()),
        (None, None) => {}
    }
    let behind = output.position.files.iter().filter(|file| file.progress == Progress::Unread).count();
    let nameless = output.position.files.iter().filter(|file| file.is_nameless).count();
    if behind > 0 && nameless > 0 {
        let files = count(behind as u64, "file", "files");
        notes.push(format!("{files} not begun, {} of them deleted and held open", grouped(nameless as u64)));
    }
    let counts = &output.counts;
    let aside = counts.set_aside.values().sum::<u64>() + counts.refused_by_endpoint;
    if aside > 0 {
        notes.push(format!("{} set aside", count(aside, "event", "events")));
    }
    let gaps = counts.certain_gaps + counts.possible_gaps;
    if gaps > 0 {
        let lost = size(counts.lost_bytes);
        notes.push(format!(
            "{}, {} of them certain, {lost} lost",
            count(gaps, "gap", "gaps"),
            grouped(counts.certain_gaps)
        ));
    }
    notes
}

/// The values of an hour in so many columns, from 0 to the largest; blank where nobody looked.
fn sparkline(values: &[Option<f64>], columns: usize, screen: &Screen) -> String {
    /// Points of an hour.
    const HOUR: usize = 360;
    let levels = if screen.has_blocks { BLOCKS } else { LETTERS };
    let before = HOUR.saturating_sub(values.len());
    let at = |point: usize| point.checked_sub(before).and_then(|index| values.get(index).copied().flatten());
    let mean = |column: usize| {
        let points = (column * HOUR / columns)..((column + 1) * HOUR / columns);
        let known: Vec<f64> = points.filter_map(at).collect();
        #[expect(clippy::cast_precision_loss, reason = "there are at most 360")]
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        (!known.is_empty()).then_some(mean)
    };
    let means: Vec<Option<f64>> = (0..columns).map(mean).collect();
    let largest = means.iter().flatten().copied().fold(0.0, f64::max);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of 1 times 7, and a float that does not fit becomes the nearest that does"
    )]
    let level = |mean: f64| if largest > 0.0 { (mean / largest * 7.0).round() as usize } else { 0 };
    let shown = |mean: &Option<f64>| mean.map_or(' ', |mean| levels[level(mean).min(7)]);
    means.iter().map(shown).collect()
}

fn between(earlier: Timestamp, later: Timestamp) -> String {
    duration(Duration::try_from(later.duration_since(earlier)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(columns: usize, has_blocks: bool) -> Screen {
        Screen { columns, lines: None, has_blocks }
    }

    fn output(name: &str, state: &str, more: &str) -> String {
        format!(
            r#"{{"name":"{name}","destination":"webhook","endpoint":"https://h/","state":"{state}","since":"2026-11-23T09:58:00Z",
            "reason":null,"notReady":null,"current":{{"eventsPerSecond":12.34,"bytesPerSecond":0,"lagBytes":2048,"lagSeconds":3.9}},
            "history":{{"stepSeconds":10,"until":"2026-11-23T10:00:00Z","eventsPerSecond":[0,null,14],"bytesPerSecond":[],"lagBytes":[],"lagSeconds":[]}},
            "retentionGraceSeconds":null,"position":{{"files":[],"leftOut":0,"problem":null}},"errors":[],
            "counts":{{"read":0,"delivered":0,"deliveredBytes":0,"filtered":0,"setAside":{{}},"refusedByEndpoint":0,"truncated":0,
            "buffered":0,"certainGaps":0,"possibleGaps":0,"lostBytes":0,"lost":0}},
            "top":{{"events":0,"lookedAt":0,"seconds":0,"users":[],"verbs":[]}}{more}}}"#
        )
    }

    fn status(outputs: &[String]) -> Status {
        let json = format!(
            r#"{{"schemaVersion":1,"version":"0.1.0","node":"m0","now":"2026-11-23T10:00:00Z","startedAt":"2026-11-23T08:30:00Z",
            "configuration":{{"isRight":true,"rightAt":"2026-11-23T08:30:00Z"}},"logs":["/audit.log"],"outputs":[{}]}}"#,
            outputs.join(",")
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn an_output_is_a_line_and_what_hinders_it_another() {
        let mut status = status(&[output("siem", "waiting", ""), output("loki", "level", "")]);
        status.outputs[0].reason = Some("status 503\u{1b}[2J".into());
        status.outputs[1].not_ready = Some("loki: nothing was taken for 5m".into());
        status.outputs[1].retention_grace_seconds = Some(7260.0);
        status.outputs[1].counts.set_aside.insert("malformed".into(), 2);
        let expected = r"audit-shipper 0.1.0 on m0, up 1h30m, reads /audit.log

OUTPUT  STATE          EVENTS/S    BEHIND     AGE   GRACE  LAST HOUR
siem    waiting            12.3    2.0 kB      3s       -                      @
  status 503\u{1b}[2J (for 2m)
loki    level              12.3    2.0 kB      3s    2h1m                      @
  loki: nothing was taken for 5m
  2 events set aside
";
        let shown = table(&status, &screen(80, false), false);
        assert_eq!(shown, expected, "\n{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80));
        let coloured = table(&status, &screen(80, false), true);
        assert!(coloured.contains("\x1b[33mwaiting\x1b[0m  ") && coloured.contains("\x1b[32mlevel\x1b[0m  "));
        let odd =
            table(&self::status(&[output("日本語のノード level", "level", "")]), &screen(80, true), true);
        assert!(odd.contains("日本語のノード level  \x1b[32mlevel\x1b[0m "), "{odd}");
        assert_eq!(
            table(&self::status(&[]), &screen(80, true), true).lines().last(),
            Some("No output runs at the moment.")
        );
    }

    #[test]
    fn an_hour_fits_into_any_room() {
        let values: Vec<Option<f64>> = (0..360).map(|point| Some(f64::from(point))).collect();
        assert_eq!(sparkline(&values, 8, &screen(80, true)), "▁▂▃▄▅▆▇█");
        let mut late = vec![None; 90];
        late.extend(vec![Some(0.0); 90]);
        assert_eq!(sparkline(&late, 8, &screen(80, true)), "      ▁▁");
        assert_eq!(sparkline(&[], 3, &screen(80, true)), "   ");
        assert_eq!(sparkline(&values, 0, &screen(80, true)), "");
        for columns in [60, 61, 100, 300] {
            let status = status(&[output(&"a".repeat(63), "misconfigured", "")]);
            let shown = table(&status, &screen(columns, true), false);
            assert!(shown.lines().all(|line| line.chars().count() <= columns), "{columns}\n{shown}");
        }
    }
}
