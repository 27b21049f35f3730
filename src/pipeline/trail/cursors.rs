//! The cursor of an output, when it leaves one log for another.
//!
//! First it is put aside under the name of the log that is left; then it is begun anew. One that is no longer what was put
//! aside has been begun, so whoever was interrupted may do all of it again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::{Cursor, Store};
use crate::fingerprint;

/// Where an output stands in a log that it does not read now.
fn aside(state_dir: &Path, output: &str, log: &Path) -> PathBuf {
    let hash = fingerprint::short(log.as_os_str().as_encoded_bytes());
    state_dir.join(format!("{output}.former-{hash:016x}.json"))
}

/// Puts the cursor, which is of the log `left`, aside. It stays in place until there is another: an output without any might
/// begin at the newest file.
pub(super) fn put_aside(state_dir: &Path, output: &str, left: &Path) {
    let cursor = Store::path(state_dir, output);
    let kept = aside(state_dir, output, left);
    let _ = fs::remove_file(&kept);
    let put = match fs::hard_link(&cursor, &kept) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => fs::copy(&cursor, &kept).map(drop),
        _ => Ok(()),
    };
    if let Err(error) = put {
        tracing::error!(output, %error, "the cursor of the old log cannot be put aside; a possible gap will be reported");
    }
}

/// Begins the log `new` with a cursor that is still of the log `left`: where it was left when it was read before, or at its
/// oldest file. Says whether it is one of the new log now.
pub(super) fn turn(state_dir: &Path, output: &str, left: &Path, new: &Path) -> bool {
    let turned = try_to_turn(state_dir, output, left, new);
    if let Err(error) = &turned {
        tracing::error!(output, %error, "the cursor cannot be begun anew; a restart before it can be written would send events again");
    }
    turned.is_ok()
}

fn try_to_turn(state_dir: &Path, output: &str, left: &Path, new: &Path) -> io::Result<()> {
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
