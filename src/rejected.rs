//! The file of lines that were set aside: what the endpoint will never take, and what is no audit event.
//!
//! NDJSON, mode 0600, bounded. These lines are nowhere else once the log has gone, so an entry is on the disk before
//! the cursor passes its line. One entry:
//!
//! ```json
//! {"time":"2026-11-22T02:22:50.25Z","reason":"rejected","detail":"...","status":400,"answer":"...","file":"audit.log",
//!  "offset":123,"bytes":456,"sha256":"...","event":{...}}
//! ```
//!
//! The line is in `event` if it is JSON, else in `text`, else in `base64`. `bytes` and `sha256` are of the whole line;
//! one that was too long to be held is there by its beginning, in `beginning`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::batch::Aside;
use crate::config::{self, OnFull};

/// What is kept of a line that is longer than the whole file may be.
const BEGINNING_BYTES: usize = 4 << 10;

/// What was written.
#[derive(Debug, PartialEq, Eq)]
pub struct Appended {
    /// Oldest entries that had to go to make room, and new ones that had to be shortened; lost for good.
    pub dropped: u64,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `onFull: wait`, and it is full.
    #[error("{path} is full ({max_size} bytes); move it away or raise rejected.maxSize", path = path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// Its limit.
        max_size: u64,
    },
    /// The file system does not take it.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The file of one output.
#[derive(Debug)]
pub struct RejectedFile {
    path: PathBuf,
    limits: config::Rejected,
    /// Batches that are under way at the same time set lines aside at the same time.
    writing: Mutex<()>,
}

#[derive(Serialize)]
struct Entry<'a> {
    time: String,
    reason: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    bytes: u64,
    sha256: &'a str,
    #[serde(flatten)]
    line: Line<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Line<'a> {
    Event(&'a RawValue),
    Text(&'a str),
    Base64(String),
    Beginning(String),
}

impl<'a> Line<'a> {
    fn of(aside: &'a Aside) -> Self {
        if (aside.line.len() as u64) < aside.line_bytes {
            return Self::Beginning(String::from_utf8_lossy(&aside.line).into_owned());
        }
        match std::str::from_utf8(&aside.line) {
            Ok(text) => serde_json::from_str(text).map_or(Self::Text(text), Self::Event),
            Err(_) => Self::Base64(STANDARD.encode(&aside.line)),
        }
    }
}

impl RejectedFile {
    /// The file of `output`; it is made when there is something to write.
    #[must_use]
    pub fn new(state_dir: &Path, output: &str, limits: config::Rejected) -> Self {
        Self { path: state_dir.join(format!("{output}.rejected.ndjson")), limits, writing: Mutex::new(()) }
    }

    /// Writes `asides` and has the disk confirm them.
    ///
    /// # Errors
    /// There is no room, or the file system does not take them. The same call may be made again.
    pub fn append(&self, asides: &[Aside]) -> Result<Appended, Error> {
        let io = |source| Error::Io { path: self.path.clone(), source };
        let (entries, mut dropped) = self.entries(asides).map_err(io)?;
        // What a panic leaves is what a crash leaves, and the next append mends that.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = open(&self.path).map_err(io)?;
        let size = end_cleanly(&mut file).map_err(io)?;
        // An empty file takes them however many they are: nothing that anybody moves away would make more room.
        if size > 0 && size + entries.len() as u64 > self.limits.max_size {
            match self.limits.on_full {
                OnFull::Wait => {
                    return Err(Error::Full { path: self.path.clone(), max_size: self.limits.max_size });
                }
                OnFull::DropOldest => {
                    let oldest;
                    (file, oldest) = self.drop_oldest(entries.len() as u64).map_err(io)?;
                    dropped += oldest;
                }
            }
        }
        file.write_all(&entries).and_then(|()| file.sync_data()).map_err(io)?;
        Ok(Appended { dropped })
    }

    /// `asides` as entries, and how many of them only by their beginning: they are longer than the file may be.
    fn entries(&self, asides: &[Aside]) -> io::Result<(Vec<u8>, u64)> {
        let (mut entries, mut shortened) = (Vec::new(), 0);
        for aside in asides {
            let mut entry = line_of(aside)?;
            if entry.len() as u64 > self.limits.max_size && aside.line.len() > BEGINNING_BYTES {
                shortened += 1;
                entry = line_of(&Aside { line: aside.line[..BEGINNING_BYTES].to_vec(), ..aside.clone() })?;
            }
            entries.append(&mut entry);
        }
        Ok((entries, shortened))
    }

    /// Rewrites the file without its oldest entries, so that `needed` more bytes leave it at half its limit at most.
    fn drop_oldest(&self, needed: u64) -> io::Result<(File, u64)> {
        let mut excess = std::fs::metadata(&self.path)?
            .len()
            .saturating_sub((self.limits.max_size / 2).saturating_sub(needed));
        let fresh_path = self.path.with_extension("ndjson.new");
        let mut reader = BufReader::new(File::open(&self.path)?);
        let (mut line, mut dropped) = (Vec::new(), 0);
        while excess > 0 {
            line.clear();
            let count = reader.read_until(b'\n', &mut line)?;
            if count == 0 {
                break;
            }
            dropped += 1;
            excess = excess.saturating_sub(count as u64);
        }
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh_path)?;
        let mut writer = BufWriter::new(file);
        io::copy(&mut reader, &mut writer)?;
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&fresh_path, &self.path)?;
        Ok((file, dropped))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Moves to the end, ending an entry that a crash has torn. Returns the size.
fn end_cleanly(file: &mut File) -> io::Result<u64> {
    use std::io::Read as _;
    let size = file.seek(SeekFrom::End(0))?;
    if size == 0 {
        return Ok(0);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(size);
    }
    file.write_all(b"\n")?;
    Ok(size + 1)
}

fn line_of(aside: &Aside) -> io::Result<Vec<u8>> {
    let entry = Entry {
        time: Timestamp::now().to_string(),
        reason: aside.reason.as_str(),
        detail: &aside.detail,
        status: aside.answer.as_ref().map(|(status, _)| *status),
        answer: aside.answer.as_ref().map(|(_, excerpt)| excerpt.as_str()),
        file: aside.origin.as_ref().map(|origin| origin.file.as_str()),
        offset: aside.origin.as_ref().map(|origin| origin.offset),
        bytes: aside.line_bytes,
        sha256: &aside.sha256,
        line: Line::of(aside),
    };
    let mut line = serde_json::to_vec(&entry)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Origin, Reason};

    fn aside(line: &[u8]) -> Aside {
        Aside {
            reason: Reason::Rejected,
            detail: "refused".into(),
            answer: Some((400, "no".into())),
            origin: Some(Origin { file: "audit.log".into(), offset: 7 }),
            line: line.to_vec(),
            line_bytes: line.len() as u64,
            sha256: crate::fingerprint::hex(line),
        }
    }

    fn file(dir: &Path, max_size: u64, on_full: OnFull) -> RejectedFile {
        RejectedFile::new(dir, "siem", config::Rejected { max_size, on_full })
    }

    #[test]
    fn keeps_each_line_with_its_reason_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let rejected = file(dir.path(), 1 << 20, OnFull::Wait);
        let long = Aside { line_bytes: 99, ..aside(b"begin") };
        rejected.append(&[aside(br#"{"a":1.50}"#), aside(b"klog \"x\""), aside(b"\xff"), long]).unwrap();
        let path = dir.path().join("siem.rejected.ndjson");
        let text = std::fs::read_to_string(&path).unwrap();
        let ends =
            [r#""event":{"a":1.50}}"#, r#""text":"klog \"x\""}"#, r#""base64":"/w=="}"#, r#""bytes":99,"#];
        for (line, end) in text.lines().zip(ends) {
            assert!(line.contains(end), "{end} in {line}");
            assert!(line.contains(r#""reason":"rejected","detail":"refused","status":400,"answer":"no","file":"audit.log","offset":7,"#), "{line}");
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_full_file_waits_or_drops_its_oldest_entries_and_says_how_many() {
        let dir = tempfile::tempdir().unwrap();
        let entry = line_of(&aside(b"0000")).unwrap().len() as u64;
        let waiting = file(dir.path(), 10 * entry + entry / 2, OnFull::Wait);
        let lines: Vec<String> = (0..12).map(|n| format!("{n:04}")).collect();
        for line in &lines[..10] {
            assert_eq!(waiting.append(&[aside(line.as_bytes())]).unwrap(), Appended { dropped: 0 });
        }
        assert!(matches!(waiting.append(&[aside(b"0010")]), Err(Error::Full { .. })));
        let dropping = file(dir.path(), 10 * entry + entry / 2, OnFull::DropOldest);
        assert_eq!(dropping.append(&[aside(b"0010")]).unwrap(), Appended { dropped: 6 });
        assert_eq!(dropping.append(&[aside(b"0011")]).unwrap(), Appended { dropped: 0 });
        let text = std::fs::read_to_string(dir.path().join("siem.rejected.ndjson")).unwrap();
        assert_eq!(text.lines().count(), 6);
        assert!(
            text.lines().next().unwrap().contains("0006") && text.lines().last().unwrap().contains("0011")
        );
    }

    #[test]
    fn an_empty_file_takes_what_is_more_than_it_may_hold() {
        for on_full in [OnFull::Wait, OnFull::DropOldest] {
            let dir = tempfile::tempdir().unwrap();
            let rejected = file(dir.path(), 1_000, on_full);
            let asides: Vec<_> = (0..20).map(|_| aside(b"0000")).collect();
            assert_eq!(rejected.append(&asides).unwrap(), Appended { dropped: 0 });
        }
    }

    #[test]
    fn lines_set_aside_at_the_same_time_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let rejected = file(dir.path(), 1 << 20, OnFull::Wait);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| rejected.append(&[aside(b"a"), aside(b"b")]).unwrap());
            }
        });
        let text = std::fs::read_to_string(dir.path().join("siem.rejected.ndjson")).unwrap();
        assert_eq!(text.lines().filter(|line| line.ends_with('}')).count(), 16);
    }

    #[test]
    fn a_line_longer_than_the_file_may_be_is_there_by_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let rejected = file(dir.path(), 20_000, OnFull::Wait);
        assert_eq!(rejected.append(&[aside(&vec![b'x'; 30_000])]).unwrap(), Appended { dropped: 1 });
        let text = std::fs::read_to_string(dir.path().join("siem.rejected.ndjson")).unwrap();
        assert!(
            text.contains(r#""bytes":30000"#) && text.contains(r#""beginning":"xxx"#) && text.len() < 5_000
        );
    }

    #[test]
    fn an_entry_torn_by_a_crash_does_not_spoil_the_next() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("siem.rejected.ndjson"), "{\"torn").unwrap();
        file(dir.path(), 1 << 20, OnFull::Wait).append(&[aside(b"x")]).unwrap();
        let text = std::fs::read_to_string(dir.path().join("siem.rejected.ndjson")).unwrap();
        assert_eq!(text.lines().count(), 2);
    }
}
