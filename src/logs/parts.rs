//! Reading by several threads: a plain file is cut into parts, each line of which belongs to the part in which it begins.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use jiff::Timestamp;

use super::progress::TICK;
use super::{Found, Kind, LogFile, Logs, Progress, Sum, Taking};
use crate::source::format::Records;

/// Bytes of a part: enough that to begin one costs nothing, and few enough that all threads end at about the same time.
const PART_BYTES: u64 = 8 << 20;

/// Some of the lines of a file: those that begin from `start` on, and before `end`.
struct Part<'a> {
    file: &'a LogFile,
    start: u64,
    end: u64,
}

/// Adds up the events of all `logs`, from `since` on, and shows how far that is.
pub fn read<S: Sum>(
    logs: &Logs,
    since: Option<Timestamp>,
    new: impl Fn() -> S + Sync,
    progress: &mut Progress<impl io::Write>,
) -> (S, Found) {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    read_in_parts(logs, since, new, progress, PART_BYTES, threads)
}

fn read_in_parts<S: Sum>(
    logs: &Logs,
    since: Option<Timestamp>,
    new: impl Fn() -> S + Sync,
    progress: &mut Progress<impl io::Write>,
    part_bytes: u64,
    threads: usize,
) -> (S, Found) {
    let parts = parts_of(logs, part_bytes);
    let (next, read_bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let work = || {
        let mut taking = Taking::new(new(), since);
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = part.read(&mut taking, &read_bytes) {
                taking.found.failures.push(format!("{}: {error}", part.file.name));
            }
        }
        taking
    };
    thread::scope(|scope| {
        // Nobody sends: that nobody is left who could says that all threads have ended.
        let (running, ended) = channel::<()>();
        let workers: Vec<_> = (0..threads.clamp(1, parts.len().max(1)))
            .map(|_| {
                let (work, running) = (&work, running.clone());
                scope.spawn(move || {
                    let taking = work();
                    drop(running);
                    taking
                })
            })
            .collect();
        drop(running);
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            progress.show(read_bytes.load(Ordering::Relaxed), logs.bytes());
        }
        progress.end();
        let (mut sum, mut found) = (new(), Found::default());
        for worker in workers {
            let taking = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            sum.merge(taking.sum);
            found.merge(taking.found);
        }
        (sum, found)
    })
}

/// All parts, those first that take longest.
fn parts_of(logs: &Logs, part_bytes: u64) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for file in &logs.files {
        match file.kind {
            // A line in parts has no beginning that could be found from its middle.
            Kind::Plain { bytes } if !file.format.has_parts() => {
                let starts = (0..bytes.div_ceil(part_bytes)).map(|index| index * part_bytes);
                parts.extend(starts.map(|start| Part { file, start, end: (start + part_bytes).min(bytes) }));
            }
            Kind::Plain { .. } | Kind::Gz { .. } | Kind::Stream => {
                parts.push(Part { file, start: 0, end: u64::MAX });
            }
        }
    }
    // A file that is read in one go has to be begun early. The others stay in their order, as the disk likes it.
    parts.sort_by_key(|part| (part.end != u64::MAX, std::cmp::Reverse(part.whole_bytes())));
    parts
}

impl Part<'_> {
    /// Bytes of the content of a file that is read in one go.
    fn whole_bytes(&self) -> u64 {
        if self.end == u64::MAX { self.file.bytes().unwrap_or(u64::MAX) } else { 0 }
    }

    fn read<S: Sum>(&self, taking: &mut Taking<S>, read_bytes: &AtomicU64) -> io::Result<()> {
        let mut is_rest = self.begins_within_line()?;
        let format = self.file.format;
        let mut reader = self.file.reader(self.start)?.in_format(format);
        let mut records = Records::of(format);
        loop {
            while let Some((offset, line)) = reader.line() {
                if offset >= self.end {
                    return Ok(());
                }
                if !std::mem::take(&mut is_rest) {
                    taking.span(line, &mut records, &self.file.name, offset);
                }
                reader.consume();
            }
            let count = reader.read_more()?;
            if count == 0 {
                break;
            }
            read_bytes.fetch_add(count as u64, Ordering::Relaxed);
        }
        if let Some((offset, line)) = reader.remainder()
            && offset < self.end
            && !is_rest
        {
            taking.span(line, &mut records, &self.file.name, offset);
        }
        Ok(())
    }

    /// Whether what comes first is the rest of a line of the part before. A newline or a NUL ends one.
    fn begins_within_line(&self) -> io::Result<bool> {
        let Some(before) = self.start.checked_sub(1) else { return Ok(false) };
        let mut bytes = [0; 2];
        self.file.held.read_full_at(&mut bytes, before)?;
        Ok(!matches!(bytes, [b'\n' | 0, _] | [_, 0]))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::event::{Event, Parts};

    /// The lines themselves.
    #[derive(Default)]
    struct Lines(Vec<Vec<u8>>);

    impl Sum for Lines {
        fn add(&mut self, line: &[u8], _: &Event<'_>, _: &Parts) {
            self.0.push(line.to_vec());
        }

        fn merge(&mut self, other: Self) {
            self.0.extend(other.0);
        }
    }

    fn lines(logs: &Logs, part_bytes: u64, threads: usize) -> (Vec<Vec<u8>>, Found) {
        let mut progress = Progress::new(None::<Vec<u8>>);
        let (mut lines, found) =
            read_in_parts(logs, None, Lines::default, &mut progress, part_bytes, threads);
        lines.0.sort_unstable();
        (lines.0, found)
    }

    fn event(number: usize, padding: usize) -> Vec<u8> {
        let padding = "x".repeat(padding);
        format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"{number}-{padding}"}}"#)
            .into_bytes()
    }

    proptest! {
        #![proptest_config(crate::properties::cases(100))]

        /// However a file is cut into parts, each of its lines is taken once.
        #[test]
        fn each_line_belongs_to_one_part(
            lines_and_ends in prop::collection::vec(
                (prop_oneof![3 => (0..60_usize).prop_map(Some), 1 => Just(None)], prop::sample::select(vec!["\n", "\n", "\0", "\n\0\0\0", "\0\n", "\r\n", "\n\n", ""])),
                0..20,
            ),
            part_bytes in 1..400_u64,
        ) {
            let mut content = Vec::new();
            for (number, (padding, end)) in lines_and_ends.iter().enumerate() {
                content.extend(padding.map_or_else(|| b"no event".to_vec(), |padding| event(number, padding)));
                content.extend_from_slice(end.as_bytes());
            }
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&content).unwrap();
            let logs = Logs::open(&[file.path().to_owned()]).unwrap();
            let (whole, found) = lines(&logs, u64::MAX, 1);
            let (in_parts, other) = lines(&logs, part_bytes, 3);
            prop_assert_eq!(in_parts, whole);
            prop_assert_eq!((found.events, found.strange), (other.events, other.strange));
            prop_assert_eq!(found.first_strange.is_some(), found.strange.events > 0);
        }
    }
}
