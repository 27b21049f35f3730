//! How a file looks from outside: whether it may have changed since it was read.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

    /// Whether something was written to it since. Whoever changes its owner or its mode writes nothing, nor does who makes it
    /// empty.
    pub(crate) fn is_written_since(&self, before: &Self) -> bool {
        let content = |stamp: &Self| {
            stamp.found.map(|[device, inode, size, modified, _]| [device, inode, size, modified])
        };
        self.is_written() && content(self) != content(before)
    }

    /// Whether there is something in it.
    pub(crate) fn is_written(&self) -> bool {
        self.found.is_some_and(|[_, _, size, ..]| size > 0)
    }

    /// Whether nobody has written to it for so long. Nobody writes to what is not there.
    pub(crate) fn is_left_for(&self, time: Duration) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left_at = now.saturating_sub(time).as_nanos();
        self.found
            .is_none_or(|[.., written, _]| u128::try_from(written).is_ok_and(|written| written < left_at))
    }

    /// Whether something was written to it after the file of `other` came to be as it is and where it is. Of that one the
    /// time of modification tells nothing: a copy that was kept has an old one.
    pub(crate) fn is_written_after(&self, other: &Self) -> bool {
        let times = self.found.zip(other.found);
        times.is_some_and(|([_, _, size, written, _], [.., changed])| size > 0 && written > changed)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same file, as it looks now.
    pub(crate) fn now(&self) -> Self {
        Self::of(self.path.clone())
    }
}

/// Between two looks at a file that is read again when it has changed.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A file that looks the same is read again all the same after this long.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// A file that is looked at again and again, and read when it has changed.
#[derive(Debug)]
pub(crate) struct Looks {
    /// As it looked when it was read, and at the last look.
    read: Stamp,
    seen: Stamp,
    read_at: Instant,
}

impl Looks {
    /// The file at `path`, which was just read.
    pub(crate) fn at(path: PathBuf) -> Self {
        // What was written between the reading and now is seen at the first look, since nothing looks like this.
        let (read, seen) = (Stamp::of(PathBuf::new()), Stamp::of(path));
        Self { read, seen, read_at: Instant::now() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.seen.path()
    }

    /// How it looked at last, to look once more.
    pub(crate) fn last(&self) -> Stamp {
        self.seen.clone()
    }

    /// Whether it is to be read, as it looks now. A file that looks other than at the last look may be half written: it is
    /// left until it stays as it is.
    pub(crate) fn is_due(&mut self, now: Stamp) -> bool {
        let is_still = now == self.seen;
        let is_new = now != self.read || self.read_at.elapsed() >= READ_AGAIN_AFTER;
        self.seen = now;
        is_still && is_new
    }

    /// It was read when it looked like this.
    pub(crate) fn was_read(&mut self, stamp: Stamp) {
        (self.read, self.read_at) = (stamp, Instant::now());
    }
}
