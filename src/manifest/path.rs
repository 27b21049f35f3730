//! From a path in the container to the file of the host.

use std::path::{Component, Path, PathBuf};

/// A mount of the container.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) path: PathBuf,
    pub(super) sub_path: Option<String>,
    pub(super) volume: String,
    pub(super) line: u64,
}

/// A volume of the Pod.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) line: u64,
    pub(super) kind: Kind,
}

/// What a volume is.
#[derive(Debug)]
pub(super) enum Kind {
    /// A directory or a file of the host.
    Host(PathBuf),
    /// Anything else, by the name of its field.
    Other(String),
}

/// A file of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPath {
    /// As the host has it.
    pub(crate) path: String,
    /// As the container has it.
    pub(crate) inside: String,
    /// The mount that it is below, with its line.
    pub(crate) mount: (String, u64),
    /// The volume, with its line.
    pub(crate) volume: (String, u64),
}

/// See [`super::Manifest::host_path`].
pub(super) fn host_path(
    path: &str,
    mounts: &[Mount],
    volumes: &[Volume],
    working_dir: Option<&str>,
) -> Result<HostPath, String> {
    let inside = match working_dir {
        _ if path.starts_with('/') => cleaned(Path::new(path)),
        Some(directory) => cleaned(&Path::new(directory).join(path)),
        None => {
            return Err(format!(
                "{path:?} is relative to a directory that only the image knows; write it out"
            ));
        }
    };
    let directory = inside.parent().unwrap_or(&inside).display().to_string();
    let covering = mounts.iter().filter(|mount| inside.starts_with(&mount.path));
    let Some(mount) = covering.max_by_key(|mount| mount.path.components().count()) else {
        return Err(format!(
            "{} is on no volume: it is written into the container's own file system, where nobody finds it; mount a hostPath \
             volume at {directory}",
            inside.display()
        ));
    };
    let Some(volume) = volumes.iter().find(|volume| volume.name == mount.volume) else {
        return Err(format!(
            "{} is below the mount of line {}, whose volume {:?} is not in spec.volumes",
            inside.display(),
            mount.line,
            mount.volume
        ));
    };
    let host = match &volume.kind {
        Kind::Host(host) => host,
        Kind::Other(kind) => {
            return Err(format!(
                "{} is on the volume {:?} (line {}), of the kind {kind}, which nobody else can read; mount a hostPath volume at \
                 {directory}",
                inside.display(),
                volume.name,
                volume.line
            ));
        }
    };
    let mut path = host.clone();
    path.extend(mount.sub_path.as_ref());
    let below = inside.strip_prefix(&mount.path).unwrap_or(Path::new(""));
    if below != Path::new("") {
        path.push(below);
    }
    Ok(HostPath {
        path: cleaned(&path).display().to_string(),
        inside: inside.display().to_string(),
        mount: (mount.path.display().to_string(), mount.line),
        volume: (volume.name.clone(), volume.line),
    })
}

/// The path without `.`, `..` and double slashes, by its text alone.
pub(super) fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}
