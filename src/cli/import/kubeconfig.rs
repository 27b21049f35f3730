//! The files that the webhook's kubeconfig names: they were named for the container, and have to be found on the host.

use std::path::{Path, PathBuf};

use crate::manifest::{self, HostPath, Manifest};
use crate::shown::printable;
use crate::yaml::{self, Node, Value};

/// What of a kubeconfig is the name of a file.
const FILES: [&str; 4] = ["certificate-authority", "client-certificate", "client-key", "tokenFile"];

/// What is wrong with the files that the kubeconfig names, as far as it can be read here.
pub(super) fn findings(manifest: &Manifest, kubeconfig: &HostPath) -> Vec<String> {
    let Some(text) = manifest::read_file(Path::new(&kubeconfig.path)).ok() else { return Vec::new() };
    let Ok(document) = yaml::parse(&text) else { return Vec::new() };
    let mut named = Vec::new();
    collect(&document, &mut named);
    named.iter().filter_map(|(field, path)| finding(manifest, kubeconfig, field, path)).collect()
}

fn finding(manifest: &Manifest, kubeconfig: &HostPath, field: &str, path: &str) -> Option<String> {
    let directory = |of: &str| Path::new(of).parent().unwrap_or(Path::new("/")).to_owned();
    // A name without a slash in it is looked for in PATH.
    if path.is_empty() || field == "command" && !path.contains('/') {
        return None;
    }
    let on_host: PathBuf = directory(&kubeconfig.path).join(path);
    let inside = directory(&kubeconfig.inside).join(path).display().to_string();
    let place = format!("{}: {field}: {}", printable(&kubeconfig.path), printable(path));
    let mapped = manifest.host_path(&inside).ok().map(|file| PathBuf::from(file.path));
    match mapped {
        Some(mapped) if mapped != on_host => Some(format!(
            "{place} is a path of the container; on the host it is {}: name that in a copy of the kubeconfig",
            printable(&mapped.display().to_string())
        )),
        _ if on_host.exists() => None,
        Some(_) => Some(format!("{place} does not exist on this host")),
        None => Some(format!(
            "{place} does not exist on this host, and in the container it is on no volume of the host: bring it here, and name it \
             in a copy of the kubeconfig"
        )),
    }
}

fn collect<'a>(node: &'a Node, named: &mut Vec<(&'a str, &'a str)>) {
    match &node.value {
        Value::List(nodes) => nodes.iter().for_each(|node| collect(node, named)),
        Value::Map(entries) => {
            for entry in entries {
                match &entry.node.value {
                    Value::Text(path) if FILES.contains(&entry.key.as_str()) => {
                        named.push((&entry.key, path));
                    }
                    Value::Map(exec) if entry.key == "exec" => {
                        named.extend(exec.iter().filter(|entry| entry.key == "command").filter_map(
                            |entry| {
                                let Value::Text(command) = &entry.node.value else { return None };
                                Some(("command", command.as_str()))
                            },
                        ));
                    }
                    _ => collect(&entry.node, named),
                }
            }
        }
        _ => {}
    }
}
