//! A *strand*: one live name, and all places where its backups lie.
//!
//! The live name may be a symbolic link, and lead through others: `/var/log/containers/...` to `/var/log/pods/...`, and
//! with docker on to `/var/lib/docker/...`. A rotator may work at each of these names.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::directory_of;
use super::names::Names;
use super::pattern::Pattern;

/// More links behind one another are no log.
const MOST_LINKS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Strand {
    /// The live name in the directory of the series.
    pub(super) name: String,
    /// Where backups lie, and the file itself under its other names.
    pub(super) places: Vec<Names>,
    made: Option<SystemTime>,
}

impl Strand {
    /// The only one of a series: backups lie beside the link too.
    pub(super) fn single(names: &Names) -> Self {
        let mut places = vec![names.clone()];
        places.extend(hops(&names.live_path()));
        Self { name: names.live.clone(), places, made: None }
    }

    /// Those whose names are there now, the newest at the end. A directory that does not exist holds none.
    pub(super) fn all(directory: &Path, pattern: &Pattern) -> io::Result<Vec<Self>> {
        let names = match std::fs::read_dir(directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut strands = Vec::new();
        for name in names {
            let Ok(name) = name?.file_name().into_string() else { continue };
            if pattern.is_live(&name) {
                strands.extend(Self::of(directory, name));
            }
        }
        strands.sort_by(|one, other| (one.made, &one.name).cmp(&(other.made, &other.name)));
        Ok(strands)
    }

    fn of(directory: &Path, name: String) -> Option<Self> {
        let path = directory.join(&name);
        let metadata = std::fs::symlink_metadata(&path).ok().filter(|metadata| !metadata.is_dir())?;
        let places = if metadata.is_symlink() { hops(&path) } else { vec![Names::new(&path)] };
        Some(Self { name, places, made: made(&metadata) })
    }
}

/// When a name was made. A link is never written to; of a file not every file system knows it.
fn made(metadata: &std::fs::Metadata) -> Option<SystemTime> {
    let modified = || metadata.modified().ok();
    if metadata.is_symlink() { modified() } else { metadata.created().ok().or_else(modified) }
}

/// The names that the link at `path` leads to, one after the other; the last one need not exist.
fn hops(path: &Path) -> Vec<Names> {
    if !path.is_symlink() {
        return Vec::new();
    }
    let real = |path: &Path| {
        let directory = directory_of(path);
        Some(std::fs::canonicalize(&directory).unwrap_or(directory).join(path.file_name()?))
    };
    let mut found: Vec<PathBuf> = real(path).into_iter().collect();
    let mut at = path.to_owned();
    while found.len() <= MOST_LINKS {
        let Ok(target) = std::fs::read_link(&at) else { break };
        let Some(next) = real(&directory_of(&at).join(target)) else { break };
        if found.contains(&next) {
            break;
        }
        at.clone_from(&next);
        found.push(next);
    }
    found.iter().skip(1).map(|path| Names::new(path)).collect()
}
