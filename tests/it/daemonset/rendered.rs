//! What kustomize makes of the manifests, as an administrator uses it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use super::manifest::{DaemonSet, Object, ServiceAccount};
use crate::support::cli::finish;
use crate::support::leave_out;

/// Everything that `kubectl apply` would send.
pub(crate) struct Rendered {
    objects: Vec<Object>,
}

/// What `kubectl kustomize` makes of a directory; `None`, and a word, without kubectl.
pub(crate) fn kustomize(directory: &Path) -> Option<String> {
    let mut command = Command::new("kubectl");
    command.arg("kustomize").arg(directory);
    if Command::new("kubectl").arg("kustomize").arg("--help").output().is_err() {
        leave_out("the manifests: kubectl (package kubernetes-client) renders them");
        return None;
    }
    Some(finish(command).succeeded())
}

impl Rendered {
    /// What an administrator's kustomization makes of the base: with this configuration, and these files in the Secret. It is
    /// put into `directory`.
    pub(crate) fn with(directory: &Path, config: &str, secret: &[(&str, &str)]) -> Option<Self> {
        // kustomize takes no absolute paths.
        let directory = directory.canonicalize().unwrap();
        let up = directory.components().filter(|part| matches!(part, Component::Normal(_)));
        let base: PathBuf = up.map(|_| "..").collect();
        let base = base.join(Path::new(env!("CARGO_MANIFEST_DIR")).strip_prefix("/").unwrap());
        let base = base.join("config/kubernetes/base");
        fs::write(directory.join("audit-shipper.yaml"), config).unwrap();
        for (name, content) in secret {
            fs::write(directory.join(name), content).unwrap();
        }
        let files: Vec<String> = secret.iter().map(|(name, _)| format!("      - {name}\n")).collect();
        // Debian 12's kubectl knows a base by this name only, later ones warn that it is an old one.
        let text = format!(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: kube-system\n\
             bases:\n  - {base}\n\
             configMapGenerator:\n  - name: audit-shipper\n    behavior: replace\n    files:\n      - audit-shipper.yaml\n\
             secretGenerator:\n  - name: audit-shipper\n    files:\n{files}",
            files = files.concat(),
            base = base.display(),
        );
        fs::write(directory.join("kustomization.yaml"), text).unwrap();
        let text = kustomize(&directory)?;
        let objects = serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        Some(Self { objects })
    }

    pub(crate) fn daemon_set(&self) -> &DaemonSet {
        let found = self.objects.iter().find_map(|object| match object {
            Object::DaemonSet(daemon_set) => Some(daemon_set),
            _ => None,
        });
        found.unwrap()
    }

    pub(crate) fn service_account(&self) -> &ServiceAccount {
        let found = self.objects.iter().find_map(|object| match object {
            Object::ServiceAccount(account) => Some(account),
            _ => None,
        });
        found.unwrap()
    }

    /// The files of the ConfigMap with this name.
    pub(crate) fn config_map(&self, name: &str) -> &BTreeMap<String, String> {
        let found = self.objects.iter().find_map(|object| match object {
            Object::ConfigMap(map) if map.metadata.name == name => Some(&map.data),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no ConfigMap {name}"))
    }

    /// The files of the Secret with this name, each as base64.
    pub(crate) fn secret(&self, name: &str) -> &BTreeMap<String, String> {
        let found = self.objects.iter().find_map(|object| match object {
            Object::Secret(secret) if secret.metadata.name == name => Some(&secret.data),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no Secret {name}"))
    }

    /// The namespaces of all objects.
    pub(crate) fn namespaces(&self) -> Vec<Option<&str>> {
        let metadata = self.objects.iter().map(|object| match object {
            Object::ServiceAccount(account) => &account.metadata,
            Object::ConfigMap(map) => &map.metadata,
            Object::Secret(secret) => &secret.metadata,
            Object::DaemonSet(daemon_set) => &daemon_set.metadata,
        });
        metadata.map(|metadata| metadata.namespace.as_deref()).collect()
    }
}
