//! What else the manifest says of the audit log, and why nothing became of it.

use super::page::{Page, flag_at};
use crate::flags;
use crate::manifest::{Log, LogConfig, Manifest};
use crate::shown::printable;

/// Flags that the comments on the log have shown already.
const SHOWN: [&str; 6] = [
    "audit-log-path",
    "audit-log-format",
    "audit-log-maxage",
    "audit-log-maxbackup",
    "audit-log-maxsize",
    "audit-log-compress",
];

pub(super) fn write(page: &mut Page, manifest: &Manifest) {
    if manifest.flag("audit-policy-file").is_none_or(|told| told.text.is_empty()) {
        page.finding(format!(
            "{}: without --audit-policy-file kube-apiserver records nothing, whatever --audit-log-path says",
            manifest.file
        ));
    }
    let mut lines: Vec<String> = manifest
        .flags()
        .filter_map(|(name, told)| {
            let why = reason(manifest, name)?;
            Some(format!("{}: {why}", flag_at(told.line, name, &told.text)))
        })
        .collect();
    for config in manifest.log_configs().iter().filter(|config| !manifest.is_ours(config)) {
        lines.push(of_another(page, manifest, config));
    }
    let unseen = manifest
        .variables
        .iter()
        .filter(|variable| variable.value.is_none() && is_of_interest(&variable.name));
    for variable in unseen {
        let line = format!(
            "line {}: {} has no value in the manifest (valueFrom): look it up where it comes from",
            variable.line,
            printable(&variable.name)
        );
        page.finding(format!("{}: {line}", manifest.file));
        lines.push(line);
    }
    if let Some(line) = manifest.env_from {
        lines.push(format!(
            "line {line}: envFrom: the variables of a whole ConfigMap or Secret cannot be seen from here"
        ));
    }
    if lines.is_empty() {
        return;
    }
    page.blank();
    page.comment(0, "What else the manifest says, and why nothing became of it:");
    for line in lines {
        page.item(0, &line);
    }
}

/// Why nothing became of a flag; `None` if something did, or it was spoken of.
fn reason(manifest: &Manifest, name: &str) -> Option<&'static str> {
    let is_shown =
        SHOWN.contains(&name) && (matches!(manifest.log, Log::File(_)) || name == "audit-log-path");
    if is_shown
        || name.starts_with("audit-webhook-")
            && flags::known(name).is_some()
            && manifest.has_webhook()
            && name != "audit-webhook-version"
    {
        return None;
    }
    Some(match name {
        "audit-policy-file" => {
            "kube-apiserver has applied it; policyFile would only be needed to ship less than is recorded"
        }
        "audit-webhook-version" | "audit-log-version" => "every event says its version",
        _ if flags::known(name).is_none() => {
            "kube-apiserver has no such flag in any version that is known here"
        }
        _ if name.starts_with("audit-webhook-") => "has no effect without --audit-webhook-config-file",
        _ if manifest.log == Log::Stdout && SHOWN.contains(&name) => "has no effect on a standard output",
        _ => "kube-apiserver has applied it when it writes the log",
    })
}

/// A configuration of logtail's that collects something else.
fn of_another(page: &mut Page, manifest: &Manifest, config: &LogConfig) -> String {
    let name = printable(&config.name);
    let Some(item) = config.item("") else {
        let lines: Vec<String> = config
            .items()
            .map(|(_, item)| format!("{} (line {})", printable(&item.variable), item.line))
            .collect();
        return format!(
            "{} configure logtail's {name:?}, which is nowhere said to collect anything (a name is divided at its last underscore)",
            lines.join(", ")
        );
    };
    let place = format!("line {}: {}", item.line, printable(&item.variable));
    match config.text("") {
        Some("stdout" | "stdout-only" | "stderr-only") => {
            let what = format!(
                "{place} collects a standard stream of the container, and the audit log is a file: not ours"
            );
            page.finding(format!(
                "{}: {place} collects a standard stream of the container, where the audit log is not; if it was meant for the audit \
                 log, logtail never shipped that",
                manifest.file
            ));
            what
        }
        Some(path) => format!("{place} collects {}, which is not the audit log: not ours", printable(path)),
        None => format!("{place} collects what cannot be seen from here (valueFrom)"),
    }
}

fn is_of_interest(variable: &str) -> bool {
    ["aliyun_logs_", "loong_logs_", "ALICLOUD_LOG_"].iter().any(|prefix| variable.starts_with(prefix))
}
