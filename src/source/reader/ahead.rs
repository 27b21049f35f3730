//! A compressed file, decompressed ahead of its reader; or anything else that is read from its beginning on.
//!
//! A thread of its own does that, so that lines are checked while the next ones are decompressed. It is ahead by a few
//! pieces at most, and ends with the file or with its reader. What it passes on are bytes of a file, no events yet
//! (invariant I4).

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::read::MultiGzDecoder;

use crate::source::held::{FromStart, Held};

/// Bytes of compressed content that are read at a time.
const COMPRESSED_BYTES: usize = 64 << 10;
/// Bytes of a piece of content. With several of them in turn, they stay in the CPU's caches.
const PIECE_BYTES: usize = 128 << 10;
/// Pieces that wait for the reader.
const WAITING: usize = 4;

/// The content of a compressed file, from its beginning on.
#[derive(Debug)]
pub(super) struct Ahead {
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// Where pieces go that were read, to be filled again.
    free: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
    read: usize,
    ended: bool,
}

impl Ahead {
    /// Begins to decompress `file`.
    ///
    /// # Errors
    /// There can be no further thread.
    pub(super) fn new(file: Arc<Held>) -> io::Result<Self> {
        let compressed = BufReader::with_capacity(COMPRESSED_BYTES, FromStart::new(file));
        Self::of(MultiGzDecoder::new(compressed))
    }

    /// Begins to read `content`. What comes in small pieces is passed on as it comes.
    ///
    /// # Errors
    /// There can be no further thread.
    pub(super) fn of(content: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, pieces) = sync_channel(WAITING);
        // One more is being filled, and one is being read.
        let (free, emptied) = sync_channel(WAITING + 2);
        thread::Builder::new().name("gunzip".to_owned()).spawn(move || read(content, &sender, &emptied))?;
        Ok(Self { pieces, free, piece: Vec::new(), read: 0, ended: false })
    }

    /// Waits for the next piece; at the end there is none.
    fn next_piece(&mut self) -> io::Result<()> {
        let next =
            self.pieces.recv().unwrap_or_else(|_| Err(io::Error::other("reading it has failed before")))?;
        self.ended = next.is_empty();
        let emptied = std::mem::replace(&mut self.piece, next);
        self.read = 0;
        // If it has no use for it, it has ended.
        let _ = self.free.try_send(emptied);
        Ok(())
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.piece.len() && !self.ended {
            self.next_piece()?;
        }
        let rest = &self.piece[self.read..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        Ok(count)
    }
}

/// Sends `content` piece by piece, an empty one at its end; or, in its place, the error.
fn read(mut content: impl Read, pieces: &SyncSender<io::Result<Vec<u8>>>, emptied: &Receiver<Vec<u8>>) {
    loop {
        let mut piece = emptied.try_recv().unwrap_or_default();
        piece.resize(PIECE_BYTES, 0);
        let filled = match content.read(&mut piece) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other.map(|count| {
                piece.truncate(count);
                piece
            }),
        };
        let is_last = filled.as_ref().map_or(true, Vec::is_empty);
        if pieces.send(filled).is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tests::gz;
    use super::*;

    const CONTENT_BYTES: usize = 20 * PIECE_BYTES;

    fn content() -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(1);
        std::iter::repeat_with(|| random.u8(b'a'..=b'z')).take(CONTENT_BYTES).collect()
    }

    fn held(path: &Path, content: &[u8], cut: usize) -> Arc<Held> {
        let compressed = gz(content);
        std::fs::write(path, &compressed[..compressed.len() - cut]).unwrap();
        Arc::new(Held::open(path).unwrap())
    }

    #[test]
    fn what_is_before_the_damage_comes_first_and_damage_is_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let content = content();
        let mut ahead = Ahead::new(held(&dir.path().join("cut.gz"), &content, 1000)).unwrap();
        let mut found = Vec::new();
        let error = ahead.read_to_end(&mut found).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(found.len() > CONTENT_BYTES - 10_000 && content.starts_with(&found), "{}", found.len());
        assert!(ahead.read(&mut [0; 10]).is_err());
        let mut whole = Ahead::new(held(&dir.path().join("whole.gz"), &content, 0)).unwrap();
        found.clear();
        whole.read_to_end(&mut found).unwrap();
        assert!(found == content);
        assert_eq!(whole.read(&mut [0; 10]).unwrap(), 0);
    }

    #[test]
    fn nothing_is_held_once_the_reader_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let file = held(&dir.path().join("file.gz"), &content(), 0);
        let mut ahead = Ahead::new(Arc::clone(&file)).unwrap();
        ahead.read_exact(&mut [0; 10]).unwrap();
        assert_eq!(Arc::strong_count(&file), 2);
        drop(ahead);
        // The test is over when the thread is, or never.
        while Arc::strong_count(&file) > 1 {
            thread::yield_now();
        }
    }
}
