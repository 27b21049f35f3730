//! One daemon per state directory: the lock is on the directory itself, the holder's number in a file beside.

use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The right to use a state directory. Given back when dropped, or by the kernel when the process ends.
#[derive(Debug)]
pub struct Lock {
    _directory: File,
    pid_path: PathBuf,
}

/// Why the state directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "the state directory {directory} is held by {}; two daemons must not share one: stop the other, or give this one its own --state-dir",
        holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Held {
        /// Which.
        directory: PathBuf,
        /// The holder, if it left its number.
        holder: Option<u32>,
    },
    /// It cannot be made or opened.
    #[error("the state directory {directory} cannot be used")]
    Unusable {
        /// Which.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the directory, making it (mode 0700) if need be.
    ///
    /// # Errors
    /// It cannot be made or locked, or another process holds it.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let unusable = |source| LockError::Unusable { directory: directory.to_owned(), source };
        if !directory.is_dir() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unusable)?;
        }
        let handle = File::open(directory).map_err(unusable)?;
        let pid_path = directory.join("daemon.pid");
        match handle.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let holder =
                    std::fs::read_to_string(&pid_path).ok().and_then(|text| text.trim().parse().ok());
                return Err(LockError::Held { directory: directory.to_owned(), holder });
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(unusable(source)),
        }
        // A full disk is no reason not to ship: the lock holds without the number.
        if let Err(error) = std::fs::write(&pid_path, format!("{}\n", std::process::id())) {
            tracing::warn!(path = %pid_path.display(), %error, "the holder of the state directory cannot be noted");
        }
        Ok(Self { _directory: handle, pid_path })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A number that stays behind is harmless: only the holder of the lock is ever named by it.
        let _ = std::fs::remove_file(&self.pid_path);
    }
}
