//! Entries for people: a line each, and nothing in it that a terminal would take for a command.

use std::collections::BTreeMap;

use crate::rejected::Entry;
use crate::shown::{count, printable, shortened};

/// What is shown of an endpoint's answer, which may be long.
const EXCERPT_CHARS: usize = 100;
/// What is shown of an `auditID`; clients may choose them, and a UUID has 36.
const AUDIT_ID_CHARS: usize = 36;

/// The names of the columns. What tells entries apart is within 80 columns; texts of any length are at the end.
pub(super) fn heading() -> String {
    columns(["OUTPUT", "TIME", "REASON", "STATUS", "BYTES", "WHERE", "AUDIT-ID", "WHY"])
}

/// An entry as a row.
pub(super) fn row(output: &str, entry: &Entry<'_>) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let origin = entry.file.as_ref().zip(entry.offset);
    let origin = or_dash(origin.map(|(file, offset)| format!("{}:{offset}", printable(file))));
    let audit_id = or_dash(entry.audit_id().map(|id| shortened(&id, AUDIT_ID_CHARS)));
    let answer = entry.answer.as_ref().filter(|answer| !answer.is_empty());
    let answer = answer.map(|answer| format!(": {}", shortened(answer, EXCERPT_CHARS)));
    let why = format!("{}{}", printable(&entry.detail), answer.unwrap_or_default());
    columns([
        &printable(output),
        &to_seconds(&entry.time),
        &printable(&entry.reason),
        &or_dash(entry.status.map(|status| status.to_string())),
        &entry.bytes.to_string(),
        &origin,
        &audit_id,
        &why,
    ])
}

/// A line that is none of ours, or what a crash has left of one.
pub(super) fn no_entry(output: &str, number: u64, bytes: usize) -> String {
    format!("{:<8} line {number} is no entry ({bytes} bytes)", printable(output))
}

/// How many there are of each kind.
pub(super) fn total(output: &str, reasons: &BTreeMap<String, u64>, foreign: u64) -> String {
    let mut kinds: Vec<String> =
        reasons.iter().map(|(reason, count)| format!("{count} {}", printable(reason))).collect();
    if foreign > 0 {
        kinds.push(count(foreign, "line that is no entry", "lines that are no entries"));
    }
    format!("{}: {}", printable(output), kinds.join(", "))
}

/// A time of ours without its fraction.
fn to_seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) if time.ends_with('Z') => printable(&format!("{seconds}Z")),
        _ => printable(time),
    }
}

fn columns([output, time, reason, status, bytes, origin, audit_id, why]: [&str; 8]) -> String {
    let row = format!(
        "{output:<8} {time:<20} {reason:<9} {status:>6} {bytes:>8} {origin:<22} {audit_id:<AUDIT_ID_CHARS$} {why}"
    );
    row.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line_of_columns() {
        let line = r#"{"time":"2026-11-22T02:22:50.25Z","reason":"rejected","detail":"refused","status":400,"answer":"\u001b[2J\nno","file":"audit.log","offset":123,"bytes":456,"sha256":"","event":{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a\u001b1"}}"#;
        let row = row("siem", &Entry::parse(line.as_bytes()).unwrap());
        let fixed =
            r"siem     2026-11-22T02:22:50Z rejected     400      456 audit.log:123          a\u{1b}1";
        assert_eq!(row.split_once("  refused").unwrap().0.trim_end(), fixed);
        assert!(row.ends_with(r" refused: \u{1b}[2J\nno"), "{row}");
        let until_origin = heading().find("AUDIT-ID").unwrap();
        assert!(until_origin <= 80, "{until_origin}");
    }

    #[test]
    fn totals_name_each_kind() {
        let reasons = BTreeMap::from([("malformed".to_owned(), 2), ("rejected".to_owned(), 1)]);
        assert_eq!(total("siem", &reasons, 1), "siem: 2 malformed, 1 rejected, 1 line that is no entry");
        assert_eq!(total("siem", &BTreeMap::new(), 2), "siem: 2 lines that are no entries");
    }
}
