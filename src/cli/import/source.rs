//! `source`: the log, and how long it can wait.

use std::path::Path;

use super::page::{Page, flag_at};
use crate::config;
use crate::manifest::{HostPath, Log, Manifest};
use crate::shown::printable;

/// What kube-apiserver does without a flag: since 1.36, and before.
const DEFAULTS: [(&str, &str); 3] = [
    ("audit-log-maxage", "366 days since Kubernetes 1.36, no limit before"),
    ("audit-log-maxbackup", "100 files since Kubernetes 1.36, no limit before"),
    ("audit-log-maxsize", "100 MiB"),
];

pub(super) fn write(page: &mut Page, manifest: &Manifest) {
    page.line(0, "source:");
    if let Some(told) = manifest.flag("audit-log-path") {
        page.comment(2, &flag_at(told.line, "audit-log-path", &told.text));
    }
    match &manifest.log {
        Log::File(file) => {
            page.comment(2, &mapped(file));
            page.line(2, &format!("path: {}", config::show_path(Path::new(&file.path))));
            format(page, manifest);
            page.blank();
            grace(page, manifest);
        }
        Log::Stdout => stdout(page, manifest),
    }
}

/// Where a path of the container leads to.
pub(super) fn mapped(file: &HostPath) -> String {
    let HostPath { path, inside, mount: (mount, mount_line), volume: (volume, volume_line) } = file;
    format!(
        "line {mount_line}: mount {} of the volume {} (line {volume_line}): {} in the container is {} of the host",
        printable(mount),
        printable(volume),
        printable(inside),
        printable(path)
    )
}

fn format(page: &mut Page, manifest: &Manifest) {
    let Some(told) = manifest.flag("audit-log-format").filter(|told| told.text != "json") else { return };
    page.comment(2, &flag_at(told.line, "audit-log-format", &told.text));
    page.comment(
        2,
        "Such lines hold less than JSON does: no bodies, no objects. Take the flag away, and this line too.",
    );
    page.line(2, &format!("format: {}", plain_or_quoted(&told.text)));
    page.finding(format!(
        "{}: {} holds less of an event than json, kube-apiserver's default",
        manifest.place_of("audit-log-format", told),
        printable(&told.text)
    ));
}

/// A word as it is, anything else in quotes.
pub(super) fn plain_or_quoted(text: &str) -> String {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
    if is_plain { text.to_owned() } else { config::quoted(text) }
}

fn stdout(page: &mut Page, manifest: &Manifest) {
    page.comment(
        2,
        "Events go to the standard output, among kube-apiserver's other lines, and the container runtime puts them into files \
         of its own; other lines are passed over and counted. The * stands for the node's name, which kubelet adds, and for the \
         container's ID. The links there lead through /var/log/pods: in a container of its own audit-shipper needs both directories, \
         and where Docker is the runtime (format: docker) /var/lib/docker/containers too.",
    );
    page.line(2, &format!("path: {}", config::quoted(&manifest.stdout_files())));
    page.line(2, "format: cri");
    page.blank();
    page.comment(
        2,
        "Only kubelet rotates these files (containerLogMaxSize 10Mi, containerLogMaxFiles 5 by default): about 50 MB can wait \
         while the endpoint is away, klog's lines included. --audit-log-maxage, --audit-log-maxbackup, --audit-log-maxsize and \
         --audit-log-compress have no effect on a standard output. A file (--audit-log-path=/var/log/kubernetes/audit/audit.log on a \
         hostPath volume) can wait for as long as you like.",
    );
    page.finding(format!(
        "{}: kube-apiserver writes its events to the standard output, of which kubelet keeps about 50 MB by default; a file \
         can wait longer while the endpoint is away",
        manifest.file
    ));
}

/// How much of the log can wait for the endpoint.
fn grace(page: &mut Page, manifest: &Manifest) {
    page.comment(
        2,
        "How kube-apiserver rotates the log, which the files show by themselves. It says how long an endpoint may be away before \
         the oldest events are gone:",
    );
    for (flag, default) in DEFAULTS {
        match manifest.flag(flag) {
            Some(told) => page.item(2, &flag_at(told.line, flag, &told.text)),
            None => page.item(2, &format!("--{flag} is not given: {default}")),
        }
    }
    if let Some(told) = manifest.flag("audit-log-compress") {
        page.item(2, &flag_at(told.line, "audit-log-compress", &told.text));
    }
    page.comment(2, &waits(manifest));
}

fn waits(manifest: &Manifest) -> String {
    let number = |flag: &str| config::int(&manifest.flag(flag)?.text).ok().filter(|number| *number >= 0);
    let age = match number("audit-log-maxage") {
        Some(days) if days > 0 => format!(", and none that is older than {days} days"),
        _ => String::new(),
    };
    let size = number("audit-log-maxsize").filter(|size| *size > 0).unwrap_or(100);
    match number("audit-log-maxbackup") {
        Some(files) if files > 0 => format!(
            "{files} backups of {size} MiB: about {} MiB of events can wait{age}. What is deleted before it was shipped is held on \
             for a while (pinLimit, 2GiB unless it is said).",
            files.saturating_mul(size)
        ),
        _ => format!("As many backups of {size} MiB as the disk holds can wait{age}."),
    }
}
