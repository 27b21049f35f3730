//! What the system says of a daemon, and how it is stopped for a while.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::daemon::Daemon;
use super::wait_until;

impl Daemon {
    /// Whether it has the file open that `path` leads to now.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let Ok(wanted) = std::fs::metadata(path).map(id) else { return false };
        self.descriptors().iter().any(|fd| std::fs::metadata(fd).map(id).is_ok_and(|found| found == wanted))
    }

    /// Waits until it has the file open that `path` leads to.
    pub(crate) fn wait_until_holds(&self, path: &Path) {
        wait_until(&format!("the daemon to open {}", path.display()), || self.holds(path).then_some(()));
    }

    /// Files below `directory` that it holds open although they have no name any more.
    pub(crate) fn nameless_files_of(&self, directory: &Path) -> Vec<PathBuf> {
        let links = self.descriptors().into_iter().filter_map(|fd| std::fs::read_link(fd).ok());
        links
            .filter(|link| link.starts_with(directory) && link.to_string_lossy().ends_with(" (deleted)"))
            .collect()
    }

    /// Stops it until [`Self::resume`]: what happens meanwhile happens between two of its looks.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        wait_until("the daemon to be stopped", || (self.state() == Some('T')).then_some(()));
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    }

    fn descriptors(&self) -> Vec<PathBuf> {
        let Ok(directory) = std::fs::read_dir(format!("/proc/{}/fd", self.pid())) else { return Vec::new() };
        directory.filter_map(|entry| Some(entry.ok()?.path())).collect()
    }
}
