//! The directory that everything of one demo is in.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::DemoError;

/// A directory of our own; a temporary one goes with the value.
pub(super) struct Workdir {
    path: PathBuf,
    temporary: bool,
}

impl Workdir {
    /// Makes a temporary directory, or the one to keep, which may exist if it is empty.
    pub(super) fn prepare(keep: Option<&Path>) -> Result<Self, DemoError> {
        let path = keep.map_or_else(temporary, Path::to_owned);
        Self::create(&path, keep.is_none()).map_err(|source| DemoError::Workdir { path, source })
    }

    fn create(path: &Path, temporary: bool) -> io::Result<Self> {
        // Where everyone may write, a directory that exists already is someone else's.
        let mut builder = DirBuilder::new();
        builder.recursive(!temporary).mode(0o700).create(path)?;
        if fs::read_dir(path)?.next().is_some() {
            return Err(io::Error::other("it is not empty"));
        }
        let workdir = Self { path: path.to_owned(), temporary };
        builder.recursive(false).create(path.join("log"))?;
        builder.create(workdir.state())?;
        Ok(workdir)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The log that is replayed.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log/audit.log")
    }

    /// The daemon's state.
    pub(super) fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// What the receiver writes.
    pub(super) fn received(&self) -> PathBuf {
        self.path.join("received.log")
    }

    /// Tells the daemon where the receiver is.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.path.join("webhook.kubeconfig")
    }
}

fn temporary() -> PathBuf {
    std::env::temp_dir().join(format!("audit-shipper-demo-{}-{:08x}", std::process::id(), fastrand::u32(..)))
}

impl Drop for Workdir {
    fn drop(&mut self) {
        if self.temporary {
            // A child that was just killed may still have a file to make; twice is enough, and /tmp is cleaned anyway.
            let _ = fs::remove_dir_all(&self.path).or_else(|_| fs::remove_dir_all(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_directory_goes_and_a_kept_one_stays() {
        let workdir = Workdir::prepare(None).unwrap();
        let path = workdir.path().to_owned();
        assert!(workdir.state().is_dir() && path.join("log").is_dir());
        drop(workdir);
        assert!(!path.exists());

        let parent = tempfile::tempdir().unwrap();
        let keep = parent.path().join("made/here");
        drop(Workdir::prepare(Some(&keep)).unwrap());
        assert!(keep.join("state").is_dir());
        let error = Workdir::prepare(Some(&keep)).err().unwrap();
        assert_eq!(
            format!("{:#}", anyhow::Error::from(error)),
            format!("cannot work in {}: it is not empty", keep.display())
        );
    }
}
