//! The key, and the marks that it makes.
//!
//! A *mark* stands where a value stood: `redacted:hmac-sha256:` and 128 bits of the value's HMAC. Equal values have
//! equal marks under one key, and without the key nobody can try values until one fits.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;

/// Its name in the state directory.
pub const FILE: &str = "redact.key";

/// What a mark begins with.
const PREFIX: &str = "redacted:hmac-sha256:";
/// Hexadecimal digits behind it.
const DIGITS: usize = 32;

/// As many as the hash has: with fewer the key would be easier to guess than a mark.
const LEAST_BYTES: usize = 32;
/// A file with more is something else.
const MOST_BYTES: u64 = 64 << 10;

/// Everybody, in the permissions of a file.
const OTHERS: u32 = 0o007;

/// What values are hashed with. Debug does not print it, and its memory is wiped.
pub struct Key {
    hmac: Hmac<Sha256>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too few bytes, or far too many.
    #[error("{} holds {held}; legal are 32 random bytes and more, such as of `head -c 32 /dev/urandom`", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// How many, in words.
        held: String,
    },
    /// The state directory holds none, and none can be made.
    #[error("cannot make {}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Key {
    /// The bytes of a file, all of them.
    ///
    /// # Errors
    /// It cannot be read, or is no key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
        let bytes = SecretSlice::from(bytes);
        read.map_err(unreadable)?;
        let length = bytes.expose_secret().len();
        if length < LEAST_BYTES || length as u64 > MOST_BYTES {
            let held =
                if length < LEAST_BYTES { format!("{length} bytes") } else { "more than 64 KiB".to_owned() };
            return Err(KeyError::Size { path: path.to_owned(), held });
        }
        Ok(Self::of_bytes(bytes.expose_secret()))
    }

    /// The key of a state directory, which is made the first time and kept for ever. Whoever calls this holds the
    /// directory.
    ///
    /// # Errors
    /// It cannot be read, is no key, or cannot be made.
    pub fn of_state_dir(state_dir: &Path) -> Result<Self, KeyError> {
        let path = state_dir.join(FILE);
        match Self::load(&path) {
            Err(KeyError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                make(state_dir, &path)
                    .map_err(|source| KeyError::Unwritable { path: path.clone(), source })?;
                Self::load(&path)
            }
            other => other,
        }
    }

    /// What is wrong with the permissions of a key's file.
    #[must_use]
    pub fn exposure(path: &Path) -> Option<String> {
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        let what =
            "can be read by everybody on this machine, and whoever has the key can guess what was masked";
        (mode & OTHERS != 0).then(|| format!("{} {what}; chmod o= it", path.display()))
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let hmac = Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length");
        Self { hmac }
    }

    /// The mark of a value.
    pub(super) fn mark(&self, value: &[u8]) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let tag = self.hmac.clone().chain_update(value).finalize().into_bytes();
        let mut mark = String::with_capacity(PREFIX.len() + DIGITS);
        mark.push_str(PREFIX);
        let digits = tag.iter().take(DIGITS / 2).flat_map(|byte| [byte >> 4, byte & 15]);
        mark.extend(digits.map(|digit| char::from(HEX[usize::from(digit)])));
        mark
    }
}

/// Whether it is a mark already. Such a value stays as it is, so that what was redacted before, here or on another
/// master, can be compared still; a client that writes a mark into a Secret of its own hides nothing by it.
pub(super) fn is_mark(value: &[u8]) -> bool {
    value
        .strip_prefix(PREFIX.as_bytes())
        .is_some_and(|tag| tag.len() == DIGITS && tag.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// Bytes of a mark with quotes.
pub(super) const QUOTED_MARK_BYTES: usize = PREFIX.len() + DIGITS + 2;

/// A crash leaves no half of a key behind: it gets its name when it is on disk.
fn make(state_dir: &Path, path: &Path) -> io::Result<()> {
    let fresh = path.with_extension("key.new");
    // What a crash has left is worth nothing, and a link must not lead elsewhere.
    let _ = std::fs::remove_file(&fresh);
    let mut bytes = [0; LEAST_BYTES];
    getrandom::fill(&mut bytes)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(SecretSlice::from(bytes.to_vec()).expose_secret())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    File::open(state_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn marks_are_hmac_sha256() {
        // RFC 4231, test case 2: another key, whatever its length.
        let mark = Key::of_bytes(b"Jefe").mark(b"what do ya want for nothing?");
        assert_eq!(mark, "redacted:hmac-sha256:5bdcc146bf60754e6a042426089575c7");
        assert!(is_mark(mark.as_bytes()) && mark.len() + 2 == QUOTED_MARK_BYTES);
    }

    #[test]
    fn a_state_directory_makes_its_key_once_and_for_itself() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        // What a crash has left.
        std::fs::write(directory.path().join("redact.key.new"), "half").unwrap();
        let mark = |key: Result<Key, KeyError>| key.unwrap().mark(b"x");
        let first = mark(Key::of_state_dir(directory.path()));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!((mode & 0o777, std::fs::read(&path).unwrap().len()), (0o600, LEAST_BYTES));
        assert_eq!(mark(Key::of_state_dir(directory.path())), first);
        assert_eq!(mark(Key::load(&path)), first);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_ne!(mark(Key::of_state_dir(tempfile::tempdir().unwrap().path())), first);
        assert_eq!(format!("{:?}", Key::load(&path).unwrap()), "Key(..)");
        // It is not made anew in silence: what was masked before could not be compared any more.
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(Key::of_state_dir(directory.path()), Err(KeyError::Size { .. })));
        let nowhere = Key::of_state_dir(&directory.path().join("nowhere"));
        assert!(matches!(nowhere, Err(KeyError::Unwritable { .. })));
    }

    #[test]
    fn a_key_file_is_checked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let error = |path: &Path| Key::load(path).unwrap_err().to_string();
        assert!(error(&path).starts_with(&format!("cannot read {}: No such file", path.display())));
        std::fs::write(&path, [1; LEAST_BYTES - 1]).unwrap();
        assert!(error(&path).starts_with(&format!("{} holds 31 bytes; legal are", path.display())));
        assert!(error(Path::new("/dev/zero")).starts_with("/dev/zero holds more than 64 KiB; legal are"));
        std::fs::write(&path, [1; LEAST_BYTES]).unwrap();
        assert!(Key::load(&path).is_ok());
        for (mode, is_exposed) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Key::exposure(&path).is_some(), is_exposed, "{mode:o}");
        }
    }
}
