//! On a real file system.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use tempfile::TempDir;

use super::*;
use crate::batch::{Batch, Limits, Offer, Origin};
use crate::buffers::Buffers;
use crate::demo::replay::Replay;
use crate::source::series::Names;

mod files;
mod half;
mod schedules;
mod streams;

static REPLAY: LazyLock<Replay> = LazyLock::new(Replay::bundled);

/// A directory with a destination in it.
struct Place {
    directory: TempDir,
    config: config::File,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config::File {
            path: directory.path().join("events.log"),
            max_size: 100 << 20,
            max_backups: 0,
            compress: false,
            mode: 0o600,
        };
        Self { directory, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn writer(&self) -> Writer {
        Writer::file(&self.config, &self.path("audit.log"))
    }

    fn content(&self) -> Vec<u8> {
        fs::read(&self.config.path).unwrap()
    }

    /// Backups by name, the oldest first.
    fn backups(&self) -> Vec<String> {
        let backups = Names::new(&self.config.path);
        let mut names: Vec<String> = self.names();
        names.retain(|name| backups.lumberjack_stamp(name.trim_end_matches(".gz")).is_some());
        names
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Uncompressed, if it is compressed.
    fn read(&self, name: &str) -> Vec<u8> {
        let file = File::open(self.path(name)).unwrap();
        let mut content = Vec::new();
        if is_compressed(name) {
            GzDecoder::new(file).read_to_end(&mut content).unwrap();
        } else {
            { file }.read_to_end(&mut content).unwrap();
        }
        content
    }
}

/// Real lines, and the events that they are.
fn batch(numbers: std::ops::Range<u64>) -> (Vec<u8>, Events) {
    let limits = Limits {
        max_lines: usize::MAX,
        max_bytes: usize::MAX,
        max_first_line_bytes: usize::MAX,
        max_event_size: None,
    };
    let (mut batch, mut lines, mut line) = (Batch::new(Buffers::default()), Vec::new(), Vec::new());
    for number in numbers {
        REPLAY.line(number, &mut line);
        lines.extend_from_slice(&line);
        let origin = || Origin { file: "audit.log".into(), offset: 0 };
        assert_eq!(batch.offer(line.trim_ascii_end(), origin, &limits), Offer::Taken);
    }
    batch.seal();
    (lines, Events::all(Arc::new(batch)))
}

/// The deadline only bounds how long a failing test takes.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_compressed(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "gz")
}

fn what_is_wrong(error: &WriteError) -> &str {
    match error {
        WriteError::Misconfigured { what, .. } => what,
        WriteError::Io { .. } => panic!("{error}"),
    }
}
