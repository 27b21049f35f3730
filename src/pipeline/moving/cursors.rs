//! The cursors of two logs, when one is left for the other.
//!
//! First all of them are put aside under the name of the log that is left. Then each is begun anew. One that is no longer what
//! was put aside has been begun, so whoever was interrupted may do all of it again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::{Cursor, Store};
use crate::config::Config;
use crate::fingerprint;

/// Where an output stands in a log that it does not read now.
fn aside(state_dir: &Path, output: &str, log: &Path) -> PathBuf {
    let hash = fingerprint::short(log.as_os_str().as_encoded_bytes());
    state_dir.join(format!("{output}.former-{hash:016x}.json"))
}

/// Puts the cursors of the log that is read aside. They stay in place until there are others: an output without any might
/// begin at the newest file.
pub(super) fn put_aside(read: &Config) {
    for output in &read.outputs {
        let cursor = Store::path(&read.state_dir, &output.name);
        let kept = aside(&read.state_dir, &output.name, &read.source.path);
        let _ = fs::remove_file(&kept);
        let put = match fs::hard_link(&cursor, &kept) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => fs::copy(&cursor, &kept).map(drop),
            _ => Ok(()),
        };
        if let Err(error) = put {
            let output = &output.name;
            tracing::error!(output, %error, "the cursor of the old log cannot be put aside; a possible gap will be reported");
        }
    }
}

/// Begins the log `new` with all cursors that are still of the log `left`: where it was left when it was read before, or at
/// its oldest file.
pub(super) fn turn_all(config: &Config, left: &Path, new: &Path) {
    for output in &config.outputs {
        if let Err(error) = turn(&config.state_dir, &output.name, left, new) {
            let output = &output.name;
            tracing::error!(output, %error, "the cursor cannot be begun anew; a possible gap will be reported");
        }
    }
}

fn turn(state_dir: &Path, output: &str, left: &Path, new: &Path) -> io::Result<()> {
    let cursor = Store::path(state_dir, output);
    let is_of_left = fs::read(&cursor).ok() == fs::read(aside(state_dir, output, left)).ok();
    if !is_of_left {
        return Ok(());
    }
    let known = aside(state_dir, output, new);
    if known.exists() {
        return fs::rename(known, cursor);
    }
    let (mut store, _) = Store::open(state_dir, output);
    store.commit(&Cursor::default())?;
    store.sync()
}
