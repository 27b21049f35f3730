//! Is there a place for what must outlive the process, and room; and are there handles for what is held?

use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat, statfs, statvfs};
use rustix::process::{Resource, geteuid, getrlimit};

use super::Findings;
use crate::config::Config;
use crate::shown::size;
use crate::source::series::directory_of;

/// Where `StateDirectory=` of a unit makes directories.
const OF_SYSTEMD: &str = "/var/lib";
/// File systems by the number that statfs gives, and what they do to what is kept.
const UNFIT: [(u64, &str, &str); 8] = [
    (0x0102_1994, "tmpfs", "is gone with a restart of the machine"),
    (0x8584_58f6, "ramfs", "is gone with a restart of the machine"),
    (0x794c_7630, "overlayfs", "is gone with the container, if this is the container's own layer"),
    (
        0x6969,
        "NFS",
        "may not be there when the network is not, and its locks are only as good as the server's",
    ),
    (
        0xff53_4d42,
        "CIFS",
        "may not be there when the network is not, and its locks are only as good as the server's",
    ),
    (
        0xfe53_4d42,
        "SMB",
        "may not be there when the network is not, and its locks are only as good as the server's",
    ),
    (0x0102_1997, "9p", "is on another machine"),
    (0x6573_5546, "FUSE", "is as safe as the program behind it"),
];

pub(super) fn look(config: &Config, findings: &mut Findings) {
    state_directory(config, findings);
    room_for_deleted_files(config, findings);
    handles(config, findings);
}

fn state_directory(config: &Config, findings: &mut Findings) {
    let path = &config.state_dir;
    let Some(existing) = path.ancestors().find(|path| path.exists()) else {
        findings.not_shown(format!("whether {} can be made", path.display()));
        return;
    };
    let name = path.display();
    if !existing.is_dir() {
        findings.wrong(
            format!("the state directory {name} cannot be there: {} is no directory", existing.display()),
            "name another in stateDir",
        );
        return;
    }
    if let Err(error) = accessat(CWD, existing, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
        // A user of its own may make nothing there, and need not.
        if existing != path && path.starts_with(OF_SYSTEMD) {
            findings.not_shown(format!(
                "whether the state directory {name} can be written to: it is yet to be made, as systemd does \
                 (StateDirectory=); uid {} may not",
                geteuid().as_raw()
            ));
            return;
        }
        let what = if existing == path {
            format!("the state directory {name} cannot be written to: {error}")
        } else {
            format!(
                "the state directory {name} cannot be made: {} cannot be written to: {error}",
                existing.display()
            )
        };
        findings.wrong(what, "make the directory with mode 0700 for the user that runs this (StateDirectory= does), or name another in stateDir");
        return;
    }
    let may = if existing == path { "can be written to" } else { "can be made" };
    let (unfit, free_bytes) = (unfit_file_system(existing), free_bytes(existing));
    match unfit {
        Some((kind, why)) => findings.warning(
            format!("the state directory {name} {may}, on {kind}: what is kept there {why}; then outputs begin again at source.startAt, \
                     and what was set aside is lost"),
            "name a directory on a local disk in stateDir",
        ),
        None => findings.shown(format!("the state directory {name} {may}")),
    }
    let wanted_bytes =
        config.outputs.iter().map(|output| output.rejected.max_size).fold(0, u64::saturating_add);
    if let Some(free_bytes) = free_bytes.filter(|free_bytes| *free_bytes < wanted_bytes) {
        findings.warning(
            format!(
                "{} are free for the state directory, and the files of rejected events may have {}",
                size(free_bytes),
                size(wanted_bytes)
            ),
            "make room, or lower outputs[].rejected.maxSize",
        );
    }
}

fn unfit_file_system(path: &Path) -> Option<(&'static str, &'static str)> {
    let kind = u64::try_from(statfs(path).ok()?.f_type).ok()?;
    UNFIT.iter().find(|(number, ..)| *number == kind).map(|(_, name, why)| (*name, *why))
}

fn free_bytes(path: &Path) -> Option<u64> {
    statvfs(path).ok().map(|found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// On the log's file system: below `pinMinFree` nothing is held.
fn room_for_deleted_files(config: &Config, findings: &mut Findings) {
    let directory = directory_of(&config.source.path);
    let Ok(found) = statvfs(&directory) else { return };
    let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
    let wanted_bytes = config.source.pins.min_free.bytes_of(found.f_blocks.saturating_mul(found.f_frsize));
    if free_bytes < wanted_bytes {
        findings.warning(
            format!(
                "{} are free on the log's file system, less than source.pinMinFree ({}): what retention deletes is lost at once \
                 if it is not shipped",
                size(free_bytes),
                size(wanted_bytes)
            ),
            "make room, or lower source.pinMinFree",
        );
    } else {
        findings.shown(format!("{} are free on the log's file system", size(free_bytes)));
    }
}

fn handles(config: &Config, findings: &mut Findings) {
    let Some(allowed) = getrlimit(Resource::Nofile).current else { return };
    let max_files = config.source.pins.max_files;
    if allowed / 2 < max_files as u64 {
        findings.warning(
            format!("{allowed} files may be open at a time (RLIMIT_NOFILE), of which half are for the log, and source.pinMaxFiles is {max_files}"),
            format!("raise LimitNOFILE= of the unit to {} at least, or lower source.pinMaxFiles", max_files.saturating_mul(2)),
        );
    }
}
