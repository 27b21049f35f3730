//! What can be found out of a file without making or changing it.

use std::path::Path;

use crate::shown::size;
use crate::sink::{Finding, Place, Wrong};
use crate::source::series::directory_of;
use crate::writer::Writer;

/// Whether batches of so many bytes could be written to the file at `path`.
pub(super) fn look(path: &Path, writer: &Writer, batch_bytes: u64) -> Vec<Finding> {
    let wrong = |what: String, what_to_do: &str| {
        Finding::Wrong(Wrong { what, place: Place::Told(what_to_do.to_owned()) })
    };
    if let Err(error) = writer.probe() {
        return vec![wrong(error.to_string(), "put that right, or name another file in `file.path`")];
    }
    let exists = path.exists();
    let may = if exists { "the file can be written to" } else { "the file can be made" };
    let mut findings = vec![Finding::Shown(may.to_owned())];
    if writer.is_held() {
        findings.push(Finding::NotShown(
            "that nobody else writes to the file: a process does now. All is well if that is the daemon of this \
             configuration; any other needs a file of its own"
                .to_owned(),
        ));
    }
    findings.push(match rustix::fs::statvfs(directory_of(path)) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let room = format!("{} are free on its file system", size(free));
            if free < batch_bytes {
                let what = format!("{room}, and a batch may have {}", size(batch_bytes));
                wrong(what, "make room, or name a file on another file system in `file.path`")
            } else {
                Finding::Shown(room)
            }
        }
        Err(error) => Finding::NotShown(format!("how much room there is: {error}")),
    });
    findings
}
