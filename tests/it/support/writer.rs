//! kube-apiserver's place: real events, each of them unique, written through lumberjack.

use std::path::PathBuf;

use audit_shipper::demo::lumberjack::{Lumberjack, Options};
use audit_shipper::demo::replay::Replay;
use jiff::Timestamp;

/// Writes the log of a test and remembers what it wrote.
pub(crate) struct Writer {
    replay: Replay,
    lumberjack: Lumberjack,
    written: u64,
}

impl Writer {
    /// Rotates at `max_bytes` and compresses backups; none is deleted.
    pub(crate) fn new(log: impl Into<PathBuf>, max_bytes: u64) -> Self {
        Self::with(log, Options { max_bytes, max_backups: 0, compress: true, avoid_name_clash: true })
    }

    /// Rotates as `options` say.
    pub(crate) fn with(log: impl Into<PathBuf>, options: Options) -> Self {
        Self::of(Lumberjack::new(log, options))
    }

    /// Names its backups by another clock.
    pub(crate) fn with_clock(
        log: impl Into<PathBuf>,
        options: Options,
        clock: impl FnMut() -> Timestamp + Send + 'static,
    ) -> Self {
        Self::of(Lumberjack::with_clock(log, options, clock))
    }

    fn of(lumberjack: Lumberjack) -> Self {
        Self { replay: Replay::bundled(), lumberjack, written: 0 }
    }

    /// Writes `count` more lines. Those that lumberjack would refuse for their length are left out.
    pub(crate) fn write(&mut self, count: u64) {
        let mut line = Vec::new();
        for _ in 0..count {
            self.replay.line(self.written, &mut line);
            self.lumberjack.write_line(&line).unwrap();
            self.written += 1;
        }
    }

    /// How many lines were written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Every line written so far, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines_from(0)
    }

    /// The same without the first ones.
    pub(crate) fn lines_from(&self, first: u64) -> Vec<String> {
        let mut line = Vec::new();
        (first..self.written)
            .map(|n| {
                self.replay.line(n, &mut line);
                String::from_utf8(line.clone()).unwrap()
            })
            .collect()
    }

    pub(crate) fn rotate(&mut self) {
        self.lumberjack.rotate().unwrap();
    }

    pub(crate) fn rotations(&self) -> u64 {
        self.lumberjack.rotations()
    }

    /// Waits until all backups are compressed.
    pub(crate) fn finish(self) {
        self.lumberjack.finish();
    }
}

/// Panics with the first difference if the lines that arrived are not those that were written, each once, in any order.
pub(crate) fn assert_each_once(mut written: Vec<String>, mut arrived: Vec<String>) {
    let counts = (written.len(), arrived.len());
    written.sort_unstable();
    arrived.sort_unstable();
    let different = written.iter().zip(&arrived).find(|(written, arrived)| written != arrived);
    let excerpt = different.map(|(written, arrived)| {
        let short = |line: &str| line.chars().take(160).collect::<String>();
        (short(written), short(arrived))
    });
    assert!(written == arrived, "written {}, arrived {}; first difference {excerpt:?}", counts.0, counts.1);
}
