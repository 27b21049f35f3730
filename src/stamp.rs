//! How a file looks from outside: whether it may have changed since it was read.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file by its name: a volume of Kubernetes renews files by leading a link elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    path: PathBuf,
    /// Device, inode, size, modification and change in nanoseconds; `None` if it is not there.
    found: Option<[i128; 5]>,
}

impl Stamp {
    pub(crate) fn of(path: PathBuf) -> Self {
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let found = fs::metadata(&path).ok().map(|found| {
            [
                found.dev().into(),
                found.ino().into(),
                found.len().into(),
                nanos(found.mtime(), found.mtime_nsec()),
                nanos(found.ctime(), found.ctime_nsec()),
            ]
        });
        Self { path, found }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same file, as it looks now.
    pub(crate) fn now(&self) -> Self {
        Self::of(self.path.clone())
    }
}
