//! Logs of any size, made of events that a kube-apiserver wrote.
//!
//! The lines of `tests/data/events` are cycled through, each with an audit ID of its own that holds its running number.
//! Two in three bytes of a real log under the policy RequestResponse are in events above 20 KB, so a log with a larger
//! mean has more of these, spread evenly.

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::Context as _;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use memchr::memmem;
use tempfile::TempDir;

static RECORDED: [&[u8]; 3] = [
    include_bytes!("../data/events/gke.log.gz"),
    include_bytes!("../data/events/requestresponse.log.gz"),
    include_bytes!("../../src/demo/events.log.gz"),
];
const AUDIT_ID: &[u8] = b"\"auditID\":\"";
const AUDIT_ID_KEY: &[u8] = b"auditID";
const AUDIT_ID_BYTES: usize = 36;
/// From here on an event is large.
const LARGE_BYTES: usize = 20_000;
/// Nothing up to this size is truncated by default.
const MAX_EVENT_BYTES: usize = 100 << 10;
const MILLION: u64 = 1_000_000;

/// The events that a log is made of.
pub(crate) struct Corpus {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    /// Of a million events, how many are large ones.
    large_per_million: u64,
}

impl Corpus {
    /// As recorded, without the large ones.
    pub(crate) fn small() -> anyhow::Result<Self> {
        Self::read(LARGE_BYTES..=MAX_EVENT_BYTES)
    }

    /// With so many large events, none above 100 KiB, that an event has `mean_bytes`.
    pub(crate) fn of_mean(mean_bytes: usize) -> anyhow::Result<Self> {
        let mut corpus = Self::small()?;
        let mean = |lines: &[Vec<u8>]| (lines.iter().map(Vec::len).sum::<usize>() / lines.len()) as u64;
        let (small, large) = (mean(&corpus.small), mean(&corpus.large));
        corpus.large_per_million = (mean_bytes as u64).saturating_sub(small) * MILLION / (large - small);
        Ok(corpus)
    }

    /// 5% of the events have 20 to 150 KB.
    pub(crate) fn with_large_ones() -> anyhow::Result<Self> {
        Ok(Self { large_per_million: 50_000, ..Self::read(LARGE_BYTES..=150_000)? })
    }

    fn read(large: RangeInclusive<usize>) -> anyhow::Result<Self> {
        let mut corpus = Self { small: Vec::new(), large: Vec::new(), large_per_million: 0 };
        for (index, recorded) in RECORDED.into_iter().enumerate() {
            let mut text = Vec::new();
            GzDecoder::new(recorded).read_to_end(&mut text)?;
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                id_in(line).context("a recorded event without an audit ID")?;
                match line.len() {
                    // The third file holds the small ones of the others again.
                    ..LARGE_BYTES if index < 2 => corpus.small.push(line.to_owned()),
                    length if large.contains(&length) => corpus.large.push(line.to_owned()),
                    _ => {}
                }
            }
        }
        corpus.large.sort_unstable();
        corpus.large.dedup();
        Ok(corpus)
    }

    /// Puts the `n`-th line, with its newline, into `buffer`.
    pub(crate) fn line(&self, n: u64, buffer: &mut Vec<u8>) {
        let large_before = |n: u64| n * self.large_per_million / MILLION;
        let large = large_before(n);
        let (lines, index) =
            if large_before(n + 1) > large { (&self.large, large) } else { (&self.small, n - large) };
        let index = index % lines.len() as u64;
        buffer.clear();
        buffer.extend_from_slice(&lines[usize::try_from(index).unwrap_or_default()]);
        if let Some(start) = id_in(buffer) {
            buffer[start..start + AUDIT_ID_BYTES].copy_from_slice(audit_id(n).as_bytes());
        }
    }
}

/// Where the first audit ID of a line begins, which is the event's own.
fn id_in(line: &[u8]) -> Option<usize> {
    let start = memmem::find(line, AUDIT_ID)? + AUDIT_ID.len();
    (line.get(start + AUDIT_ID_BYTES) == Some(&b'"')).then_some(start)
}

/// As hard to compress as another one, up to its last group: the running number.
fn audit_id(n: u64) -> String {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let group = |shift: u32, digits: u32| mixed >> shift & ((1 << (4 * digits)) - 1);
    format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{n:012x}", group(32, 8), group(16, 4), group(48, 3), group(0, 3))
}

/// The running numbers of the events in a body, of whatever protocol. An event whose audit ID is repeated beside it is there
/// twice.
pub(crate) fn numbers_in(body: &[u8]) -> impl Iterator<Item = u64> {
    /// From the end of the key to the ID: a string's end, a colon and a string's beginning, each escaped or not, or what
    /// Protocol Buffers have between two strings, or between one and another in a message.
    const GAPS: [usize; 4] = [3, 5, 2, 4];
    memmem::find_iter(body, AUDIT_ID_KEY).filter_map(|found| {
        let key_end = found + AUDIT_ID_KEY.len();
        GAPS.into_iter().find_map(|gap| number_at(body.get(key_end + gap..)?))
    })
}

/// The running number in the ID at the beginning of `text`, if it is one of ours.
fn number_at(text: &[u8]) -> Option<u64> {
    let id = str::from_utf8(text.get(..AUDIT_ID_BYTES)?).ok()?;
    let n = u64::from_str_radix(id.get(24..)?, 16).ok()?;
    (audit_id(n) == id).then_some(n)
}

/// A log in a directory of its own: a live file and, it may be, backups.
pub(crate) struct Log {
    directory: TempDir,
    pub(crate) bytes: u64,
    pub(crate) events: u64,
}

impl Log {
    /// A live file without events.
    pub(crate) fn empty() -> anyhow::Result<Self> {
        let log = Self { directory: tempfile::tempdir()?, bytes: 0, events: 0 };
        File::create(log.live())?;
        Ok(log)
    }

    /// At least so many bytes, spread over so many files: the last one is live, the others are backups.
    pub(crate) fn new(corpus: &Corpus, bytes: u64, files: u64) -> anyhow::Result<Self> {
        let mut log = Self::empty()?;
        for index in 0..files {
            let path = if index + 1 == files { log.live() } else { log.backup(index) };
            let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
            log.fill(corpus, bytes * (index + 1) / files, &mut file)?;
            file.flush()?;
        }
        Ok(log)
    }

    /// The same in backups alone, compressed as Go does it by default; the live file is empty.
    pub(crate) fn compressed(corpus: &Corpus, bytes: u64, files: u64) -> anyhow::Result<Self> {
        let mut log = Self::empty()?;
        for index in 0..files {
            let file = File::create(log.backup(index).with_extension("log.gz"))?;
            let mut encoder = GzEncoder::new(BufWriter::new(file), Compression::new(6));
            log.fill(corpus, bytes * (index + 1) / files, &mut encoder)?;
            encoder.finish()?.flush()?;
        }
        Ok(log)
    }

    /// Writes lines, and counts them, until the log has so many bytes.
    pub(crate) fn fill(
        &mut self,
        corpus: &Corpus,
        until: u64,
        to: &mut impl std::io::Write,
    ) -> std::io::Result<()> {
        let mut line = Vec::new();
        while self.bytes < until {
            corpus.line(self.events, &mut line);
            to.write_all(&line)?;
            self.bytes += line.len() as u64;
            self.events += 1;
        }
        Ok(())
    }

    pub(crate) fn live(&self) -> PathBuf {
        self.directory.path().join("audit.log")
    }

    fn backup(&self, index: u64) -> PathBuf {
        let (hour, minute, second) = (index / 3600, index / 60 % 60, index % 60);
        self.directory.path().join(format!("audit-2026-01-02T{hour:02}-{minute:02}-{second:02}.000.log"))
    }

    /// Oldest first.
    pub(crate) fn backups(&self) -> std::io::Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(self.directory.path())?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        paths.retain(|path| *path != self.live());
        paths.sort_unstable();
        Ok(paths)
    }
}
