//! How numbers and texts are shown to people: what all commands that print tables share.
//!
//! Texts come from clients of the API server and from endpoints, so nothing of them reaches a terminal that it would take
//! for a command ([`printable`]). Numbers are short: three or four digits tell more than ten.

use std::io::IsTerminal;
use std::time::Duration;

/// Columns where nobody says how many there are.
const COLUMNS: usize = 80;
/// Columns that a table needs in any case.
const FEWEST_COLUMNS: usize = 60;
/// Units of a size, each a thousand times the one before.
const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
/// What a cell of a bar is filled with by eighths.
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// What tables are drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Columns.
    pub columns: usize,
    /// Lines, if it is a terminal that has as many.
    pub lines: Option<usize>,
    /// Whether it shows more than ASCII.
    pub has_blocks: bool,
}

impl Screen {
    /// The standard output: as wide as `COLUMNS` says, or the terminal is.
    #[must_use]
    pub fn of_stdout() -> Self {
        let stdout = std::io::stdout();
        let terminal = if stdout.is_terminal() { rustix::termios::tcgetwinsize(&stdout).ok() } else { None };
        let known = |size: u16| Some(usize::from(size)).filter(|size| *size > 0);
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let columns = variable("COLUMNS").and_then(|columns| columns.parse().ok());
        let columns = columns.or_else(|| known(terminal?.ws_col)).unwrap_or(COLUMNS);
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default();
        Self {
            columns: columns.max(FEWEST_COLUMNS),
            lines: terminal.and_then(|size| known(size.ws_row)),
            has_blocks: ["utf-8", "utf8"].iter().any(|name| locale.to_lowercase().contains(name)),
        }
    }

    /// A bar of at most `columns` columns for `part` of `whole`.
    #[must_use]
    pub fn bar(&self, part: u64, whole: u64, columns: usize) -> String {
        let eighths = cells_of(part, whole, 8 * columns);
        let (full, rest) = (eighths / 8, eighths % 8);
        if !self.has_blocks {
            return "#".repeat(full + usize::from(rest >= 4));
        }
        let mut bar = "█".repeat(full);
        if rest > 0 {
            bar.push(EIGHTHS[rest]);
        }
        bar
    }

    /// A bar of at most `columns` columns for `before` of `whole`, of which `after` is left.
    #[must_use]
    pub fn bar_of_two(&self, after: u64, before: u64, whole: u64, columns: usize) -> String {
        let (left, gone) = if self.has_blocks { ("█", "░") } else { ("#", ".") };
        let after = cells_of(after, whole, columns);
        left.repeat(after) + &gone.repeat(cells_of(before, whole, columns).saturating_sub(after))
    }
}

/// How many of `cells` are for `part` of `whole`.
fn cells_of(part: u64, whole: u64, cells: usize) -> usize {
    usize::try_from(share_of(part, whole, cells as u64)).map_or(cells, |found| found.min(cells))
}

/// `part / whole` in units of one `scale`-th, rounded.
fn share_of(part: u64, whole: u64, scale: u64) -> u64 {
    let (part, whole) = (u128::from(part), u128::from(whole.max(1)));
    u64::try_from((part * u128::from(scale) + whole / 2) / whole).unwrap_or(u64::MAX)
}

/// 1234567 as 1,234,567.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 entry`, `2,000 entries`.
#[must_use]
pub fn count(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// A number of bytes: `999 B`, `1.0 kB`, `12.3 MB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let tenths = |unit: usize| share_of(bytes, 10_u64.pow(3 * u32::try_from(unit).unwrap_or(0)), 10);
    let unit = (0..UNITS.len()).find(|unit| tenths(*unit) < 10_000).unwrap_or(0);
    match (unit, tenths(unit)) {
        (0, _) => format!("{bytes} B"),
        (unit, tenths) => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

/// A share in percent: `12.3%`, `<0.1%`.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    match share_of(part, whole, 1000) {
        0 if part > 0 => "<0.1%".to_owned(),
        tenths => format!("{}.{}%", tenths / 10, tenths % 10),
    }
}

/// How long something took: `12s`, `3m5s`, `1h2m`, `3d4h`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{smaller}"),
    };
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds / 60 % 60, "m"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

/// `text` with everything escaped that is not simply shown: an endpoint, or a client of the API server, has chosen it.
#[must_use]
pub fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\'' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    text.chars().map(escape).collect()
}

/// The first `chars` characters of `text`, [`printable`]; what is longer ends in dots.
#[must_use]
pub fn shortened(text: &str, chars: usize) -> String {
    let short: String = text.chars().take(chars).collect();
    let rest = if short.len() < text.len() { "..." } else { "" };
    format!("{}{rest}", printable(&short))
}

/// `text`, [`printable`], in at most `columns` columns.
#[must_use]
pub fn fitted(text: &str, columns: usize) -> String {
    // An escape is longer than what it stands for, so no more characters than these can be of use.
    let short: String = text.chars().take(columns + 1).collect();
    let shown = printable(&short);
    if shown.chars().count() <= columns {
        return shown;
    }
    let cut: String = shown.chars().take(columns.saturating_sub(3)).collect();
    cut + "..."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(
            (count(1, "line", "lines"), count(2, "line", "lines")),
            ("1 line".into(), "2 lines".into())
        );
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let hostile = "\u{1b}]0;x\u{7}\r\n\u{9b}2J\u{202e} \"é\" \\";
        assert_eq!(printable(hostile), r#"\u{1b}]0;x\u{7}\r\n\u{9b}2J\u{202e} "é" \\"#);
        assert_eq!(fitted(hostile, 10), r"\u{1b}]...");
    }

    #[test]
    fn what_fits_is_whole_and_what_does_not_says_so() {
        for (text, columns, fit) in
            [("abcdef", 6, "abcdef"), ("abcdefg", 6, "abc..."), ("é\u{7}é", 8, "é\\u{7}é"), ("", 0, "")]
        {
            assert_eq!(fitted(text, columns), fit);
        }
        assert_eq!((shortened("abc", 3), shortened("abcd", 3)), ("abc".into(), "abc...".into()));
    }

    #[test]
    fn sizes_have_one_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1949, "1.9 kB"),
            (1950, "2.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (12_345_678, "12.3 MB"),
            (999_999_999_999, "1.0 TB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn shares_and_times_are_short() {
        for (part, whole, text) in
            [(0, 0, "0.0%"), (1, 3, "33.3%"), (2, 3, "66.7%"), (1, 100_000, "<0.1%"), (7, 7, "100.0%")]
        {
            assert_eq!(percent(part, whole), text);
        }
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0%");
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m59s"),
            (3600, "1h"),
            (3661, "1h1m"),
            (90_000, "1d1h"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn bars_are_as_long_as_the_share() {
        let blocks = Screen { columns: 80, lines: None, has_blocks: true };
        let plain = Screen { has_blocks: false, ..blocks };
        assert_eq!((blocks.bar(1, 2, 5), plain.bar(1, 2, 5)), ("██▌".into(), "###".into()));
        assert_eq!((blocks.bar(9, 2, 5), blocks.bar(0, 0, 5)), ("█████".into(), String::new()));
        assert_eq!(
            (blocks.bar_of_two(1, 3, 4, 4), plain.bar_of_two(0, 4, 4, 4)),
            ("█░░".into(), "....".into())
        );
    }
}
