//! An output for kube-apiserver's own webhook backend, with the values that it has.

use std::path::Path;

use super::kubeconfig;
use super::page::{Page, flag_at};
use super::source::{mapped, plain_or_quoted};
use crate::config;
use crate::manifest::{Manifest, Told};

/// What a flag's value becomes.
#[derive(Clone, Copy)]
enum Kind {
    Word,
    Int,
    Bool,
}

/// A flag, the field that it is, and its kind.
type Field = (&'static str, &'static str, Kind);

const BACKOFF: Field = ("audit-webhook-initial-backoff", "initialBackoff", Kind::Word);
const BATCH: [Field; 4] = [
    ("audit-webhook-mode", "mode", Kind::Word),
    ("audit-webhook-batch-buffer-size", "bufferSize", Kind::Int),
    ("audit-webhook-batch-max-size", "maxSize", Kind::Int),
    ("audit-webhook-batch-max-wait", "maxWait", Kind::Word),
];
const THROTTLE: [Field; 3] = [
    ("audit-webhook-batch-throttle-enable", "enable", Kind::Bool),
    ("audit-webhook-batch-throttle-qps", "qps", Kind::Word),
    ("audit-webhook-batch-throttle-burst", "burst", Kind::Int),
];
const TRUNCATE: [Field; 3] = [
    ("audit-webhook-truncate-enabled", "enabled", Kind::Bool),
    ("audit-webhook-truncate-max-event-size", "maxEventSize", Kind::Int),
    ("audit-webhook-truncate-max-batch-size", "maxBatchSize", Kind::Int),
];

const KUBECONFIG: &str = "the path of a kubeconfig that names the endpoint";

pub(super) fn write(page: &mut Page, manifest: &Manifest) {
    page.comment(
        2,
        "kube-apiserver's own webhook backend, with its values. As soon as this ships, take the --audit-webhook-* flags out of the \
         manifest, or events arrive twice.",
    );
    page.finding(format!(
        "{}: take the --audit-webhook-* flags out of the manifest once audit-shipper ships, or events arrive twice",
        manifest.file
    ));
    page.line(2, "- name: webhook");
    page.line(4, "webhook:");
    kubeconfig(page, manifest);
    fields(page, manifest, 6, "", &[BACKOFF]);
    fields(page, manifest, 4, "batch", &BATCH);
    let has_batch = has(manifest, &BATCH);
    if has(manifest, &THROTTLE) {
        if !has_batch {
            page.line(4, "batch:");
        }
        fields(page, manifest, 6, "throttle", &THROTTLE);
    }
    fields(page, manifest, 4, "truncate", &TRUNCATE);
    page.comment(
        4,
        "Other than kube-apiserver, a configuration file masks Secrets and tokens (redact), and has places where events are missing \
         told in the stream (gapRecords). To send exactly what kube-apiserver sends: redact: { enabled: false } and \
         gapRecords: false.",
    );
}

/// An output for somebody who has told of no destination yet.
pub(super) fn write_placeholder(page: &mut Page) {
    page.comment(
        2,
        "The manifest names no destination. This is an audit webhook; docs/destinations.md of audit-shipper has the others: ndjson, \
         elasticsearch, otlp, loki, splunkHec, sls, file, stdout.",
    );
    page.line(2, "- name: siem");
    page.line(4, "webhook:");
    page.placeholder(6, "kubeconfig", "outputs[0].webhook", KUBECONFIG);
}

fn kubeconfig(page: &mut Page, manifest: &Manifest) {
    let Some(told) = manifest.flag("audit-webhook-config-file") else { return };
    page.comment(6, &flag_at(told.line, "audit-webhook-config-file", &told.text));
    match manifest.host_path(&told.text) {
        Ok(file) if told.unseen.is_none() => {
            page.comment(6, &mapped(&file));
            page.line(6, &format!("kubeconfig: {}", config::show_path(Path::new(&file.path))));
            for finding in kubeconfig::findings(manifest, &file) {
                page.comment(6, &finding);
                page.finding(finding);
            }
        }
        other => {
            let why = match (&told.unseen, other) {
                (Some(variable), _) => format!(
                    "its value is that of the variable {variable}, which comes from elsewhere (valueFrom)"
                ),
                (None, Err(why)) => why,
                (None, Ok(_)) => String::new(),
            };
            page.comment(6, &format!("The host has no such file: {why}."));
            page.placeholder(6, "kubeconfig", "outputs[0].webhook", KUBECONFIG);
        }
    }
}

fn has(manifest: &Manifest, group: &[Field]) -> bool {
    group.iter().any(|(flag, ..)| manifest.flag(flag).is_some())
}

/// The fields of a group that have flags, below its section if it has one.
fn fields(page: &mut Page, manifest: &Manifest, indent: usize, section: &str, group: &[Field]) {
    if !has(manifest, group) {
        return;
    }
    let below = if section.is_empty() { indent } else { indent + 2 };
    if !section.is_empty() {
        page.line(indent, &format!("{section}:"));
    }
    for (flag, field, kind) in group {
        let Some(told) = manifest.flag(flag) else { continue };
        page.line(
            below,
            &format!("{field}: {} # {}", value(told, *kind), flag_at(told.line, flag, &told.text)),
        );
        if let Some(variable) = &told.unseen {
            page.finding(format!(
                "{}: depends on the variable {variable}, whose value is not in the manifest (valueFrom); write it out",
                manifest.place_of(flag, told)
            ));
        }
    }
}

/// The value as the file has it. What is not legal is left as it is, for `check` to tell.
fn value(told: &Told, kind: Kind) -> String {
    let converted = match kind {
        Kind::Word => None,
        Kind::Int => config::int(&told.text).ok().map(|number| number.to_string()),
        Kind::Bool => config::boolean(&told.text).ok().map(|boolean| boolean.to_string()),
    };
    converted.unwrap_or_else(|| plain_or_quoted(&told.text))
}
