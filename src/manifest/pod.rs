//! The container of kube-apiserver, and what of the Pod is about it.

use std::collections::BTreeMap;
use std::path::Path;

use super::expand::expanded;
use super::fields::Fields;
use super::path::{Kind, Mount, Volume, cleaned};
use super::{Log, Manifest, Told, Variable, words};

/// Reads the Pod; what is wrong has been told.
pub(super) fn read(pod: &Fields<'_>) -> Option<Manifest> {
    let metadata = pod.section("metadata");
    let named =
        |field: &str| metadata.as_ref().and_then(|metadata| metadata.text_silently(field)).map(str::to_owned);
    let Some(spec) = pod.section("spec") else {
        pod.reader.mistake(pod.line, "the Pod has no `spec`");
        return None;
    };
    let containers = spec.list("containers");
    let Some(container) = container_of(&containers) else {
        if containers.is_empty() {
            pod.reader.mistake(spec.line, "spec.containers: there is none");
        } else {
            let there: Vec<&str> =
                containers.iter().map(|container| container.text_silently("name").unwrap_or("?")).collect();
            let what = format!(
                "spec.containers: none is called kube-apiserver, and none has audit flags; there are {}",
                there.join(", ")
            );
            pod.reader.mistake(spec.line, &what);
        }
        return None;
    };
    let variables = variables(container);
    let words: Vec<Told> = words_of(container).into_iter().map(|word| expanded(word, &variables)).collect();
    let flags = words::audit_flags(&words).unwrap_or_else(|(flag, line)| {
        container.mistake(line, &format!("--{flag} has no value"));
        BTreeMap::new()
    });
    let mut manifest = Manifest {
        file: pod.reader.file().to_owned(),
        namespace: named("namespace").unwrap_or_else(|| "default".to_owned()),
        pod: named("name").unwrap_or_else(|| "kube-apiserver".to_owned()),
        container: container.text_silently("name").unwrap_or("kube-apiserver").to_owned(),
        env_from: container.place_of("envFrom"),
        flags,
        mounts: mounts(container, &variables),
        volumes: volumes(&spec),
        working_dir: container.text("workingDir").map(|told| told.text),
        variables,
        log: Log::Stdout,
    };
    manifest.log = log(&manifest, container)?;
    Some(manifest)
}

/// Where the events go.
fn log(manifest: &Manifest, container: &Fields<'_>) -> Option<Log> {
    let flag = manifest.flag("audit-log-path").filter(|told| !told.text.is_empty());
    let Some(told) = flag else {
        let what = if manifest.has_webhook() {
            "kube-apiserver writes no audit log, only its webhook has the events: give it --audit-log-path=/var/log/kubernetes/audit/audit.log \
             and a hostPath volume for the directory (the log is what is shipped, and what waits while the endpoint is away)"
        } else {
            "kube-apiserver writes no audit log: give it --audit-policy-file and --audit-log-path, and a hostPath volume for the \
             directory of the log"
        };
        container.mistake(container.line, what);
        return None;
    };
    if let Some(variable) = &told.unseen {
        let what = format!(
            "--audit-log-path depends on the variable {variable}, whose value is not in the manifest (valueFrom); write it out"
        );
        container.mistake(told.line, &what);
        return None;
    }
    if told.text == "-" {
        return Some(Log::Stdout);
    }
    match manifest.host_path(&told.text) {
        Ok(path) => Some(Log::File(path)),
        Err(what) => {
            container.mistake(told.line, &format!("--audit-log-path: {what}"));
            None
        }
    }
}

/// The container called kube-apiserver, or the first that has audit flags.
fn container_of<'a, 'b>(containers: &'a [Fields<'b>]) -> Option<&'a Fields<'b>> {
    let is_named = |container: &&Fields<'_>| container.text_silently("name") == Some("kube-apiserver");
    let has_flags = |container: &&Fields<'_>| {
        words_of(container).iter().any(|word| word.text.replace('_', "-").contains("--audit-"))
    };
    containers.iter().find(is_named).or_else(|| containers.iter().find(has_flags))
}

fn words_of(container: &Fields<'_>) -> Vec<Told> {
    [container.texts("command"), container.texts("args")].concat()
}

/// The variables in their order: each may refer to those before it.
fn variables(container: &Fields<'_>) -> Vec<Variable> {
    let mut variables: Vec<Variable> = Vec::new();
    for entry in container.list("env") {
        let Some(name) = entry.text("name") else { continue };
        let value = if entry.place_of("valueFrom").is_some() {
            None
        } else {
            let empty = Told { text: String::new(), line: name.line, unseen: None };
            let told = expanded(entry.text("value").unwrap_or(empty), &variables);
            told.unseen.is_none().then_some(told.text)
        };
        variables.push(Variable { name: name.text, line: name.line, value });
    }
    variables
}

fn mounts(container: &Fields<'_>, variables: &[Variable]) -> Vec<Mount> {
    let mount = |mount: Fields<'_>| {
        let (path, volume) = (mount.text("mountPath")?, mount.text("name")?);
        let by_variables = mount.text("subPathExpr").map(|told| expanded(told, variables));
        Some(Mount {
            path: cleaned(Path::new(&path.text)),
            sub_path: mount
                .text("subPath")
                .or(by_variables)
                .map(|told| told.text)
                .filter(|text| !text.is_empty()),
            volume: volume.text,
            line: path.line,
        })
    };
    container.list("volumeMounts").into_iter().filter_map(mount).collect()
}

fn volumes(spec: &Fields<'_>) -> Vec<Volume> {
    const KINDS: [&str; 8] = [
        "emptyDir",
        "configMap",
        "secret",
        "projected",
        "persistentVolumeClaim",
        "downwardAPI",
        "nfs",
        "csi",
    ];
    let volume = |volume: Fields<'_>| {
        let name = volume.text("name")?;
        let host = volume.section("hostPath").and_then(|host| host.text("path"));
        let other = || KINDS.into_iter().find(|kind| volume.place_of(kind).is_some()).unwrap_or("emptyDir");
        let kind = host.map_or_else(|| Kind::Other(other().to_owned()), |host| Kind::Host(host.text.into()));
        Some(Volume { name: name.text, line: name.line, kind })
    };
    spec.list("volumes").into_iter().filter_map(volume).collect()
}
