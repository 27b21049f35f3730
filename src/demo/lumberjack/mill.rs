//! Deletes and compresses backups, in this order and in the background.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Options, Series, create_truncated};

pub(super) struct Mill {
    pub(super) series: Series,
    pub(super) options: Options,
}

/// A backup found in the directory.
struct Backup {
    path: PathBuf,
    /// The time in its name, whose text sorts as time does.
    time: String,
    compressed: bool,
}

impl Mill {
    /// One round. As in the original, errors are ignored: what was left is found again next time.
    pub(super) fn run(&self) {
        let Ok(mut backups) = self.backups() else { return };
        if self.options.max_backups > 0 {
            // A backup and its half-written .gz count once.
            let mut kept = HashSet::new();
            let (keep, remove): (Vec<_>, Vec<_>) = backups.into_iter().partition(|backup| {
                kept.insert(backup.time.clone());
                kept.len() <= self.options.max_backups
            });
            for backup in remove {
                let _ = fs::remove_file(backup.path);
            }
            backups = keep;
        }
        if self.options.compress {
            for backup in backups.iter().filter(|backup| !backup.compressed) {
                let _ = compress(&backup.path, &self.series.compressed(&backup.path));
            }
        }
    }

    /// Newest first.
    fn backups(&self) -> io::Result<Vec<Backup>> {
        let mut backups = Vec::new();
        for entry in fs::read_dir(&self.series.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((time, compressed)) = name.to_str().and_then(|name| self.time_in(name)) else {
                continue;
            };
            backups.push(Backup { path: entry.path(), time: time.to_owned(), compressed });
        }
        backups.sort_by(|left, right| right.time.cmp(&left.time));
        Ok(backups)
    }

    /// The time in the name of a backup, and whether it is compressed; `None` for any other name.
    fn time_in<'n>(&self, name: &'n str) -> Option<(&'n str, bool)> {
        let rest = name.strip_prefix(self.series.stem.as_str())?.strip_prefix('-')?;
        let (rest, compressed) = rest.strip_suffix(".gz").map_or((rest, false), |rest| (rest, true));
        let time = rest.strip_suffix(self.series.extension.as_str())?;
        let shape = b"dddd-dd-ddTdd-dd-dd.ddd";
        let fits =
            |(byte, shape): (u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == *shape };
        (time.len() == shape.len() && time.bytes().zip(shape).all(fits)).then_some((time, compressed))
    }
}

/// Writes the compressed copy under its final name, then deletes the original; on an error the original stays.
fn compress(plain: &Path, compressed: &Path) -> io::Result<()> {
    let mut source = File::open(plain)?;
    let metadata = source.metadata()?;
    let mode = metadata.permissions().mode() & 0o7777;
    // The original makes the file, closes it and gives it to the owner of the log before it opens it to write.
    drop(create_truncated(compressed, mode)?);
    chown(compressed, Some(metadata.uid()), Some(metadata.gid()))?;
    let target = create_truncated(compressed, mode)?;
    let copied = || {
        let mut encoder = GzEncoder::new(target, Compression::default());
        io::copy(&mut source, &mut encoder)?;
        drop(encoder.finish()?);
        fs::remove_file(plain)
    };
    copied().inspect_err(|_| {
        let _ = fs::remove_file(compressed);
    })
}
