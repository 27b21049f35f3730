//! Full files: named by the time at which they were full, compressed, and deleted when there are too many.
//!
//! The names are lumberjack's: `STEM-2026-07-18T04-24-44.123EXT`, with `.gz` behind it once it is compressed. Only files
//! with such names are touched. The work is done in a thread of its own, one file after the other, so that no batch waits
//! for it; what a crash interrupts is begun again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use rustix::fs::OFlags;

use crate::config;
use crate::durable::sync_directory_of;
use crate::source::series::Names;

const CHUNK: usize = 256 << 10;
/// What a compressed file ends in, and one that is being made.
const GZ: &str = ".gz";
const UNFINISHED: &str = ".gz.new";

/// The backups of one file.
#[derive(Debug)]
pub(super) struct Backups {
    keeper: Keeper,
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
}

/// What the thread knows.
#[derive(Debug, Clone)]
struct Keeper {
    names: Names,
    /// 0 keeps all.
    most: usize,
    compress: bool,
    stop: Arc<AtomicBool>,
}

/// One full file, by its name without `.gz`.
struct Backup {
    path: PathBuf,
    /// Whether it is there uncompressed.
    is_plain: bool,
}

impl Backups {
    pub(super) fn new(config: &config::File) -> Self {
        let keeper = Keeper {
            names: Names::new(&config.path),
            most: config.max_backups,
            compress: config.compress,
            stop: Arc::default(),
        };
        Self { keeper, thread: None }
    }

    /// What the live file is called once it is full: later than all that are there, whatever the clock says.
    pub(super) fn next_path(&self) -> io::Result<PathBuf> {
        let backups = self.keeper.list()?;
        let newest = backups.keys().rev().find_map(|stamp| Names::lumberjack_time(stamp));
        let after_newest = newest.and_then(|newest| newest.checked_add(Duration::from_millis(1)).ok());
        let time = Timestamp::now().max(after_newest.unwrap_or(Timestamp::UNIX_EPOCH));
        Ok(self.keeper.names.directory().join(self.keeper.names.lumberjack_name(time)))
    }

    /// Has the thread look after them. To be told so while it is at work is as good as twice.
    pub(super) fn tend(&mut self) {
        if self.keeper.most == 0 && !self.keeper.compress {
            return;
        }
        if self.thread.is_none() {
            let (wake, woken) = sync_channel(1);
            let keeper = self.keeper.clone();
            let work = move || woken.into_iter().for_each(|()| keeper.tend());
            match std::thread::Builder::new().name("backups".to_owned()).spawn(work) {
                Ok(thread) => self.thread = Some((wake, thread)),
                Err(error) => tracing::warn!(%error, "no thread for the backups; they stay as they are"),
            }
        }
        if let Some((wake, _)) = &self.thread {
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Backups {
    /// Waits for one step at most.
    fn drop(&mut self) {
        self.keeper.stop.store(true, Ordering::Relaxed);
        if let Some((wake, thread)) = self.thread.take() {
            drop(wake);
            let _ = thread.join();
        }
    }
}

impl Keeper {
    fn tend(&self) {
        if let Err(error) = self.try_to_tend() {
            let file = self.names.live_path();
            tracing::warn!(file = %file.display(), %error, "the backups are not all looked after; the next rotation tries again");
        }
    }

    fn try_to_tend(&self) -> io::Result<()> {
        let backups = self.list()?;
        let excess = if self.most > 0 { backups.len().saturating_sub(self.most) } else { 0 };
        for (place, backup) in backups.values().enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            if place < excess {
                backup.delete()?;
            } else if self.compress && backup.is_plain {
                self.compress(&backup.path)?;
            }
        }
        Ok(())
    }

    /// By their stamps, so the oldest first.
    fn list(&self) -> io::Result<BTreeMap<String, Backup>> {
        let mut backups: BTreeMap<String, Backup> = BTreeMap::new();
        for found in std::fs::read_dir(self.names.directory())? {
            let found = found?;
            let Ok(name) = found.file_name().into_string() else { continue };
            if !found.file_type()?.is_file() {
                continue;
            }
            let (base, is_plain) = match name.strip_suffix(GZ) {
                Some(base) => (base, false),
                None => (name.as_str(), true),
            };
            let Some(stamp) = self.names.lumberjack_stamp(base) else { continue };
            let path = self.names.directory().join(base);
            let backup = backups.entry(stamp.to_owned()).or_insert(Backup { path, is_plain });
            backup.is_plain |= is_plain;
        }
        Ok(backups)
    }

    /// The plain file goes when the compressed one is on the disk.
    fn compress(&self, plain: &Path) -> io::Result<()> {
        let unfinished = with_suffix(plain, UNFINISHED);
        delete(&unfinished)?;
        let result = self.compress_into(plain, &unfinished);
        if !matches!(result, Ok(true)) {
            delete(&unfinished)?;
            return result.map(|_| ());
        }
        std::fs::rename(&unfinished, with_suffix(plain, GZ))?;
        sync_directory_of(plain)?;
        delete(plain)
    }

    /// False if there was no time for it.
    fn compress_into(&self, plain: &Path, compressed: &Path) -> io::Result<bool> {
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let mut from = OpenOptions::new().read(true).custom_flags(flags).open(plain)?;
        let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(compressed)?;
        let mode = from.metadata()?.permissions().mode() & 0o7777;
        to.set_permissions(Permissions::from_mode(mode))?;
        let mut encoder = GzEncoder::new(to, Compression::default());
        let mut chunk = vec![0; CHUNK];
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            match from.read(&mut chunk)? {
                0 => break,
                length => encoder.write_all(&chunk[..length])?,
            }
        }
        let to: File = encoder.finish()?;
        to.sync_all()?;
        Ok(true)
    }
}

impl Backup {
    /// In all of its forms.
    fn delete(&self) -> io::Result<()> {
        delete(&self.path)?;
        [GZ, UNFINISHED].iter().try_for_each(|suffix| delete(&with_suffix(&self.path, suffix)))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What is not there is deleted.
fn delete(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
