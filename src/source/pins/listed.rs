//! What a look at the directory shows.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use crate::source::held::{FileId, Held};
use crate::source::series::Entry;

/// One file of the series, as it was when it was listed.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "five facts, nearly all combinations of which exist")]
pub struct Listed {
    /// What it is called, or was called when it still had a name.
    pub entry: Entry,
    /// Its number in the order of the log, which no other file ever gets.
    pub sequence: u64,
    /// Which file it was.
    pub id: FileId,
    /// Its size in bytes, compressed if it is compressed.
    pub size: u64,
    /// When it was last written.
    pub modified: Option<SystemTime>,
    /// Whether it is the one that kube-apiserver writes.
    pub live: bool,
    /// Whether its name still leads to it.
    pub named: bool,
    /// Whether what it was compressed to has a name.
    pub compressed: bool,
    /// Whether this output has not settled it.
    pub waiting: bool,
    /// Whether `sequence` was given to this very file, and not to its name.
    pub exact: bool,
    pub(super) held: Option<Arc<Held>>,
}

impl Listed {
    /// Whether it is open, so that nobody can take it from us.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Its open file.
    ///
    /// # Errors
    /// It cannot be opened; `NotFound` if its name leads elsewhere by now.
    pub fn open(&self) -> io::Result<Arc<Held>> {
        if let Some(held) = &self.held {
            return Ok(Arc::clone(held));
        }
        let opened = Held::open(&self.entry.path)?;
        if opened.id() == self.id { Ok(Arc::new(opened)) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}
