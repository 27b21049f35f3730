//! kube-apiserver's static pod manifest: what it says of the audit log, in the words of the host.
//!
//! It is read as kubelet reads it, without a look at anything else: one Pod, in YAML or JSON, the first one of several
//! documents; its container `kube-apiserver`, or the one that has audit flags; `$(VAR)` in command and arguments replaced by
//! the container's variables; flags as pflag reads them. Paths in it are paths in the container: [`Manifest::host_path`] leads
//! to the file that the host has. Everything knows its line, and all mistakes are told at once.

mod aliyun;
mod expand;
mod fields;
mod path;
mod pod;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::path::Path;

pub(crate) use aliyun::LogConfig;
pub(crate) use path::HostPath;

use crate::yaml::{self, Node};
use fields::{Fields, Reader};
use path::{Mount, Volume};

/// A text of the manifest, `$(VAR)` replaced, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) line: u64,
    /// A variable that it depends on and whose value the manifest does not hold.
    pub(crate) unseen: Option<String>,
}

/// A variable of the container.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) line: u64,
    /// `None`: it comes from elsewhere (`valueFrom`), and only kubelet knows it.
    pub(crate) value: Option<String>,
}

/// What a manifest says of the audit log.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Its name, for messages.
    pub(crate) file: String,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) container: String,
    pub(crate) variables: Vec<Variable>,
    /// Where the variables of a whole ConfigMap or Secret are taken over.
    pub(crate) env_from: Option<u64>,
    flags: BTreeMap<String, Told>,
    mounts: Vec<Mount>,
    volumes: Vec<Volume>,
    working_dir: Option<String>,
    pub(crate) log: Log,
}

/// Where kube-apiserver writes its events.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// To a file of the host.
    File(HostPath),
    /// To its standard output, which the container runtime puts into files of its own.
    Stdout,
}

impl Manifest {
    /// Reads the text of a manifest; `file` names it in messages.
    ///
    /// # Errors
    /// All that is wrong: `FILE:LINE: FIELD: what`.
    pub(crate) fn read(text: &str, file: &str) -> Result<Self, Vec<String>> {
        let reader = Reader::new(file);
        let documents = documents(text, file)?;
        let pod = pod_of(&documents, &reader)?;
        let found = pod::read(&pod);
        match found {
            Some(manifest) if reader.is_content() => Ok(manifest),
            _ => Err(reader.into_mistakes()),
        }
    }

    /// A flag of the audit group by its name without dashes, as kube-apiserver sees it.
    pub(crate) fn flag(&self, name: &str) -> Option<&Told> {
        self.flags.get(name)
    }

    /// All flags of the audit group.
    pub(crate) fn flags(&self) -> impl Iterator<Item = (&str, &Told)> {
        self.flags.iter().map(|(name, told)| (name.as_str(), told))
    }

    /// The variable of this name; the last one counts.
    pub(crate) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().rfind(|variable| variable.name == name)
    }

    /// Whether events go to a webhook. Without a kubeconfig the rest of its flags asks for nothing.
    pub(crate) fn has_webhook(&self) -> bool {
        self.flag("audit-webhook-config-file").is_some_and(|told| !told.text.is_empty())
    }

    /// The file of the host that is at `path` in the container.
    ///
    /// # Errors
    /// It is on no volume of the host: what to mount.
    pub(crate) fn host_path(&self, path: &str) -> Result<HostPath, String> {
        path::host_path(path, &self.mounts, &self.volumes, self.working_dir.as_deref())
    }

    /// Where kubelet has the container runtime write the standard output. kubelet adds the node's name to the name of a
    /// static pod.
    pub(crate) fn stdout_files(&self) -> String {
        format!("/var/log/containers/{}-*_{}_{}-*.log", self.pod, self.namespace, self.container)
    }

    /// `FILE:LINE: --FLAG`, for a message about a flag.
    pub(crate) fn place_of(&self, flag: &str, told: &Told) -> String {
        format!("{}:{}: --{flag}", self.file, told.line)
    }
}

/// The documents of a file, with the lines that they have there.
fn documents(text: &str, file: &str) -> Result<Vec<Node>, Vec<String>> {
    yaml::parse_all(text)
        .map_err(|unreadable| vec![format!("{file}:{}: {}", unreadable.line, unreadable.reason)])
}

/// The first Pod among the documents.
fn pod_of<'a>(documents: &'a [Node], reader: &'a Reader<'a>) -> Result<Fields<'a>, Vec<String>> {
    let mut others = Vec::new();
    for node in documents {
        let Some(document) = Fields::of(reader, node) else { continue };
        match document.text_silently("kind") {
            Some("Pod") => return Ok(document),
            Some(kind) => others.push(format!("{kind:?} (line {})", document.line)),
            None => others.push(format!("something without a `kind` (line {})", document.line)),
        }
    }
    let found = if others.is_empty() { "nothing".to_owned() } else { others.join(", ") };
    Err(vec![format!(
        "{}: no Pod is in it, but {found}; it must be kube-apiserver's static pod manifest, as a rule \
         /etc/kubernetes/manifests/kube-apiserver.yaml on a control-plane node",
        reader.file()
    )])
}

/// The text of the file at `path`; longer ones than a manifest can be are not read.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read_file(path: &Path) -> std::io::Result<String> {
    std::fs::File::open(path).and_then(read_from)
}

/// The same of anything that can be read.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read_from(from: impl std::io::Read) -> std::io::Result<String> {
    use std::io::Read as _;
    /// etcd, and so any object of Kubernetes, stops there.
    const LONGEST: u64 = 3 << 20;
    let mut text = String::new();
    from.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(std::io::Error::other("it is longer than 3 MiB, which no manifest is"));
    }
    Ok(text)
}
