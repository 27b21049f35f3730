//! A file with its backups, and standard output, which leads to a file here.

use std::path::PathBuf;

use super::lines;
use crate::sinks::suite::{Away, Destination, Repeated};
use crate::support::daemon::Daemon;
use crate::support::shipper::Shipper;
use crate::support::workdir::lines_of;

const WITHOUT_THROTTLE: (&str, bool) = ("audit-webhook-batch-throttle-enable", false);
const WAITS: &str = "initialBackoff: 5ms, maxBackoff: 50ms";

pub(in crate::sinks) struct File(tempfile::TempDir);

impl File {
    fn path(&self) -> PathBuf {
        self.0.path().join("out/audit.ndjson")
    }
}

impl Destination for File {
    fn new() -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        file.open();
        file
    }

    fn shipper(&self) -> Shipper {
        let fields = format!("path: \"{}\", maxSize: 1MiB, maxBackups: 0, {WAITS}", self.path().display());
        let (flag, value) = WITHOUT_THROTTLE;
        Shipper::to("http://unused.test").section("file", &fields).flag(flag, value)
    }

    fn stored(&self) -> Vec<String> {
        lines(&self.path())
    }

    fn repeated(&self) -> Repeated {
        Repeated::Stored
    }
}

impl Away for File {
    fn close(&self) {
        std::fs::remove_dir(self.path().parent().unwrap()).unwrap();
    }

    fn open(&self) {
        std::fs::create_dir(self.path().parent().unwrap()).unwrap();
    }
}

pub(in crate::sinks) struct Stdout(tempfile::NamedTempFile);

impl Destination for Stdout {
    fn new() -> Self {
        Self(tempfile::NamedTempFile::new().unwrap())
    }

    fn shipper(&self) -> Shipper {
        let (flag, value) = WITHOUT_THROTTLE;
        Shipper::to("http://unused.test").section("stdout", WAITS).flag(flag, value)
    }

    fn start(&self, shipper: &Shipper) -> Daemon {
        let file = std::fs::OpenOptions::new().append(true).open(self.0.path()).unwrap();
        let mut command = Daemon::command();
        command.args(shipper.args()).stdout(file);
        Daemon::spawn(command)
    }

    fn stored(&self) -> Vec<String> {
        lines_of(self.0.path())
    }

    fn repeated(&self) -> Repeated {
        Repeated::Stored
    }
}
