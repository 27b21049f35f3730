//! Compares what arrived with what was written, and says so.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use crate::receive::line_hash;
use crate::shown::grouped;

use super::progress::Counts;
use super::replay::{Replay, audit_id};

/// What the receiver's file holds, line by line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Lines in the file.
    pub(super) received: u64,
    /// Lines that are in the file more than once, less one each.
    pub(super) duplicates: u64,
    /// Written, but not in the file.
    pub(super) missing: u64,
    /// In the file, but never written.
    pub(super) unexpected: u64,
    /// Audit IDs of the first that are missing.
    pub(super) first_missing: Vec<String>,
}

impl Comparison {
    /// Looks up the first `events` lines of the replay in the file; `named` of those missing are named.
    pub(super) fn of(received: &Path, replay: &Replay, events: u64, named: usize) -> io::Result<Self> {
        let mut comparison = Self::default();
        let mut lines = HashSet::new();
        let mut file = BufReader::new(File::open(received)?);
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line)? > 0 {
            comparison.received += 1;
            comparison.duplicates += u64::from(!lines.insert(line_hash(&line)));
            line.clear();
        }
        for n in 0..events {
            replay.line(n, &mut line);
            if lines.remove(&line_hash(&line)) {
                continue;
            }
            comparison.missing += 1;
            if comparison.first_missing.len() < named {
                comparison.first_missing.extend(audit_id(&line).map(str::to_owned));
            }
        }
        comparison.unexpected = lines.len() as u64;
        Ok(comparison)
    }
}

/// The result of a demo.
pub(super) struct Summary {
    /// As the last scrape had them.
    pub(super) counts: Counts,
    /// Bytes written to the log.
    pub(super) bytes: u64,
    /// From the first line written until the last was received.
    pub(super) elapsed: Duration,
    /// Of the daemon, where the system tells.
    pub(super) peak_memory: Option<u64>,
    /// The end of the daemon's log before it was stopped.
    pub(super) daemon_log: String,
    pub(super) comparison: Comparison,
}

impl Summary {
    /// One line a number.
    pub(super) fn table(&self) -> String {
        let Self { counts, comparison, .. } = self;
        let mut rows = vec![
            ("written", format!("{} events, {:.1} MB", grouped(counts.written), megabytes(self.bytes))),
            ("shipped", format!("{} events", grouped(counts.shipped))),
            ("received", format!("{} events", grouped(comparison.received))),
            ("missing", grouped(comparison.missing)),
            ("duplicates", grouped(comparison.duplicates)),
            ("rotations", grouped(counts.rotations)),
            ("throughput", self.throughput()),
            (
                "peak memory",
                self.peak_memory
                    .map_or("unknown".to_owned(), |peak| format!("{:.1} MB (daemon)", megabytes(peak))),
            ),
        ];
        if comparison.unexpected > 0 {
            rows.insert(
                4,
                ("altered", format!("{} received, but never written so", grouped(comparison.unexpected))),
            );
        }
        let mut table = "\n".to_owned();
        for (name, value) in rows {
            writeln!(table, "{name:<12} {value}").expect("a String takes everything");
        }
        table
    }

    /// What is wrong, if anything is.
    pub(super) fn verdict(&self) -> Result<(), String> {
        let Comparison { missing, unexpected, first_missing, .. } = &self.comparison;
        if *missing > 0 {
            let ids = first_missing.join(", ");
            return Err(format!("{missing} events are missing; the audit IDs of the first: {ids}"));
        }
        if *unexpected > 0 {
            return Err(format!("{unexpected} lines were received that were never written"));
        }
        let Counts { written, shipped, .. } = self.counts;
        if shipped < written {
            return Err(format!(
                "everything arrived, but the daemon counts only {shipped} events of {written}"
            ));
        }
        Ok(())
    }

    fn throughput(&self) -> String {
        let seconds = self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people; 2^52 events are never written")]
        let events = self.counts.written as f64;
        format!("{:.0} events/s, {:.1} MB/s", events / seconds, megabytes(self.bytes) / seconds)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(lines: impl IntoIterator<Item = u64>, tail: &str) -> Comparison {
        let replay = Replay::bundled();
        let (mut text, mut line) = (Vec::new(), Vec::new());
        for n in lines {
            replay.line(n, &mut line);
            text.extend_from_slice(&line);
        }
        text.extend_from_slice(tail.as_bytes());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Comparison::of(file.path(), &replay, 3000, 2).unwrap()
    }

    fn summary(comparison: Comparison) -> Summary {
        Summary {
            counts: Counts { written: 3000, shipped: 3000, received: 3000, rotations: 4 },
            bytes: 5_500_000,
            elapsed: Duration::from_secs(2),
            peak_memory: Some(23_456_789),
            daemon_log: String::new(),
            comparison,
        }
    }

    #[test]
    fn every_line_there_in_any_order_is_success() {
        let comparison = received((0..3000).rev(), "");
        assert_eq!(comparison, Comparison { received: 3000, ..Comparison::default() });
        let summary = summary(comparison);
        summary.verdict().unwrap();
        assert_eq!(
            summary.table(),
            "\nwritten      3,000 events, 5.5 MB\n\
             shipped      3,000 events\n\
             received     3,000 events\n\
             missing      0\n\
             duplicates   0\n\
             rotations    4\n\
             throughput   1500 events/s, 2.8 MB/s\n\
             peak memory  23.5 MB (daemon)\n"
        );
    }

    #[test]
    fn missing_twice_and_altered_lines_are_told_apart() {
        let comparison = received((3..3000).chain([7, 7]), "{\"never\":\"written\"}\n");
        assert_eq!(
            (comparison.received, comparison.missing, comparison.duplicates, comparison.unexpected),
            (3000, 3, 2, 1)
        );
        assert_eq!(comparison.first_missing.len(), 2);
        let different = summary(comparison);
        assert!(different.table().contains("\naltered      1 received, but never written so\n"));
        assert!(
            different
                .verdict()
                .unwrap_err()
                .starts_with("3 events are missing; the audit IDs of the first: ")
        );

        let altered = received(0..3000, "{}\n");
        assert!(summary(altered).verdict().is_err());
    }
}
