//! The bearer token that clients must show.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use hyper::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest, Sha256};
use tracing::warn;

/// A token is short; the rest of a wrong file stays unread.
const MAX_BYTES: u64 = 64 * 1024;

/// A file that holds the token. It is read for every request: a few bytes, and a token that was rotated counts at once.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    /// Digest of the token last read; it stays while the file cannot be read.
    known: Mutex<[u8; 32]>,
}

impl TokenFile {
    /// Fails if there is no token in the file.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), known: Mutex::new(read(path)?) })
    }

    /// Whether the request shows the token.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let expected = self.current();
        let shown = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        shown.is_some_and(|token| same(&digest(token), &expected))
    }

    fn current(&self) -> [u8; 32] {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match read(&self.path) {
            Ok(token) => *known = token,
            Err(error) => {
                warn!(path = %self.path.display(), %error, "cannot read the token, the last one stays valid");
            }
        }
        *known
    }
}

fn read(path: &Path) -> io::Result<[u8; 32]> {
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(MAX_BYTES).read_to_end(&mut content)?;
    let token = content.trim_ascii();
    if token.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
    }
    Ok(digest(token))
}

/// The credentials of `Bearer`, whose name is written in any case (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Takes the same time wherever the first difference is, so that time tells nothing of the token.
fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(file: &TokenFile, authorization: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        file.admits(&headers)
    }

    #[test]
    fn a_changed_file_counts_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "first\n").unwrap();
        let file = TokenFile::load(&path).unwrap();
        assert!(admits(&file, "Bearer first"));
        assert!(admits(&file, "bearer  first"));
        for wrong in ["Bearer firs", "Bearer firstt", "Bearer", "Bearer ", "Basic first", "first"] {
            assert!(!admits(&file, wrong), "{wrong}");
        }
        assert!(!file.admits(&HeaderMap::new()));

        std::fs::write(&path, "second").unwrap();
        assert!(admits(&file, "Bearer second"));
        assert!(!admits(&file, "Bearer first"));

        std::fs::write(&path, "").unwrap();
        assert!(admits(&file, "Bearer second"), "the last token stays while the file is empty");
        assert!(TokenFile::load(&path).is_err());
    }
}
