//! What a file on disk is worth after a crash: its whole lines, its name, and whether its path still leads to it.

use std::fs::{File, symlink_metadata};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::source::series::directory_of;

const CHUNK: usize = 256 << 10;

/// Has the disk confirm the names in the directory of `path`: one that is new is durable only then.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

/// Whether `path` leads to this very file. An inode is no other file's as long as it is open.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let there = match symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    let here = file.metadata()?;
    Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
}

/// Cuts off what is behind the first `length` bytes. A file that is shorter, since others truncate it too, stays as it is.
pub(crate) fn cut_to(file: &File, length: u64) -> io::Result<()> {
    if file.metadata()?.len() > length { file.set_len(length) } else { Ok(()) }
}

/// Where the whole lines among the first `length` bytes end: behind the last newline.
pub(crate) fn end_of_lines(mut file: &File, length: u64) -> io::Result<u64> {
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        file.take(end - start).read_to_end(&mut chunk)?;
        if let Some(newline) = memchr::memrchr(b'\n', &chunk) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn whole_lines_end_behind_the_last_newline() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let long = vec![b'x'; 2 * CHUNK + 7];
        for (content, end) in [
            (&b""[..], 0),
            (b"x", 0),
            (b"\n", 1),
            (b"a\nb", 2),
            (b"a\nb\n", 4),
            (&[b"a\n", &long[..]].concat(), 2),
            (&[&long[..], b"\n", &long[..CHUNK - 1]].concat(), long.len() as u64 + 1),
        ] {
            std::fs::write(&path, content).unwrap();
            let file = File::open(&path).unwrap();
            assert_eq!(end_of_lines(&file, content.len() as u64).unwrap(), end);
        }
    }

    #[test]
    fn to_cut_a_file_never_makes_it_longer() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        for (length, expect) in [(5, 3), (3, 3), (2, 2), (0, 0)] {
            cut_to(&file, length).unwrap();
            assert_eq!(file.metadata().unwrap().len(), expect);
        }
    }

    #[test]
    fn a_file_that_was_moved_is_not_at_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("x"), directory.path().join("y"));
        let file = File::create(&path).unwrap();
        assert!(is_at(&file, &path).unwrap());
        std::fs::rename(&path, &other).unwrap();
        assert!(!is_at(&file, &path).unwrap());
        assert!(is_at(&file, &other).unwrap());
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(!is_at(&file, &path).unwrap(), "a link to it is another file");
    }
}
