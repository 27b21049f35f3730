//! May this user read the log?
//!
//! It is tried, not computed from modes: capabilities, access lists and security modules have their say too. What modes and
//! owners are is told where it fails.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Findings;
use crate::config::Source;
use crate::source::held::Held;
use crate::source::series::Series;

/// `CAP_DAC_READ_SEARCH` in the masks of `/proc/self/status`.
const READ_SEARCH: u64 = 1 << 2;
/// Longer labels are none.
const LONGEST_LABEL: usize = 256;

/// Whether this is the machine that has the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Or will have it.
    Here,
    /// It has it, and keeps it from us.
    Unreadable,
    Elsewhere,
}

pub(super) fn look(source: &Source, findings: &mut Findings) -> Seen {
    let series = Series::new(&source.path);
    if let Some(absent) = absent_directory(series.directory()) {
        findings.not_shown(format!(
            "anything of the node: {} does not exist here; run it on the node that has the log, as the user that `run` has there",
            absent.display()
        ));
        return Seen::Elsewhere;
    }
    for directory in series.directories() {
        if let Err((place, error)) = list(&directory) {
            return cannot_read(&place, &error, "x and r on each directory of the log", findings);
        }
    }
    // With a `*` the name of the live file shows with a listing.
    let _ = series.list();
    let live = series.live_path();
    match fs::metadata(&live) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            findings.not_shown(format!(
                "whether the log can be read: {} does not exist yet; kube-apiserver makes it with mode 0600 when it starts",
                live.display()
            ));
            Seen::Here
        }
        Err(error) => cannot_read(&live, &error, "x on each directory of the log", findings),
        Ok(metadata) if !metadata.is_file() => {
            findings.wrong(
                format!("{} is no regular file", live.display()),
                "name the file that kube-apiserver writes in source.path",
            );
            Seen::Unreadable
        }
        Ok(metadata) => match Held::open(&live) {
            Ok(_) => {
                findings.shown(format!(
                    "{} ({}) can be read as {}{}",
                    live.display(),
                    mode_and_owner(&metadata),
                    who(),
                    label(&live)
                ));
                Seen::Here
            }
            Err(error) => cannot_read(&live, &error, "r on the log", findings),
        },
    }
}

/// The first directory on the way that is not there.
fn absent_directory(directory: &Path) -> Option<PathBuf> {
    let is_absent = |path: &&Path| fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    let mut ways: Vec<&Path> = directory.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    ways.reverse();
    ways.into_iter().find(is_absent).map(Path::to_owned)
}

/// Whether a directory can be reached and listed; if not, where it ends.
fn list(directory: &Path) -> Result<(), (PathBuf, io::Error)> {
    let mut ways: Vec<&Path> = directory.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    ways.reverse();
    for way in ways {
        match fs::metadata(way) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                // What is above it cannot be passed through.
                return Err((way.parent().unwrap_or(way).to_owned(), error));
            }
            _ => {}
        }
    }
    match fs::read_dir(directory) {
        // Where a link leads there may be nothing yet.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err((directory.to_owned(), error)),
    }
}

fn cannot_read(path: &Path, error: &io::Error, needs: &str, findings: &mut Findings) -> Seen {
    let what = fs::metadata(path)
        .map_or_else(|_| String::new(), |metadata| format!(" ({})", mode_and_owner(&metadata)));
    let path_and_error = format!("{}{what}: {error}, as {}{}", path.display(), who(), label(path));
    let to_do = if error.kind() == ErrorKind::PermissionDenied {
        format!(
            "run it as the user of the unit, which has CAP_DAC_READ_SEARCH, or give this user {needs} (a group of its own, mode 0640); \
             where SELinux is enforcing, its rules have to allow it too"
        )
    } else {
        "look at what the path leads to, and at source.path".to_owned()
    };
    findings.wrong(path_and_error, to_do);
    Seen::Unreadable
}

fn mode_and_owner(metadata: &Metadata) -> String {
    format!("mode {:04o}, owner {}:{}", metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
}

/// The user that we are, as the kernel sees it.
fn who() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    match has_read_search(&status) {
        Some(true) => format!("uid {uid} with CAP_DAC_READ_SEARCH"),
        Some(false) => format!("uid {uid} without CAP_DAC_READ_SEARCH"),
        None => format!("uid {uid}"),
    }
}

/// What `/proc/self/status` says of the one capability that the unit gives.
pub(super) fn has_read_search(status: &str) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    Some(u64::from_str_radix(mask.trim(), 16).ok()? & READ_SEARCH != 0)
}

/// The label of SELinux, where that has a say.
fn label(path: &Path) -> String {
    let is_enforcing =
        fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|enforce| enforce.trim() == "1");
    if !is_enforcing {
        return String::new();
    }
    let mut label = [0; LONGEST_LABEL];
    let bytes = rustix::fs::getxattr(path, "security.selinux", &mut label).unwrap_or(0);
    let label = String::from_utf8_lossy(&label[..bytes.min(LONGEST_LABEL)]);
    let own = fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
    let trimmed = |text: &str| text.trim_end_matches(['\0', '\n']).to_owned();
    format!(
        "; SELinux is enforcing, with {} for the file and {} for this process",
        trimmed(&label),
        trimmed(&own)
    )
}
