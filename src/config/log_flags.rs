//! kube-apiserver's `--audit-log-*` flags besides the path, and `source.format`.
//!
//! The flags tell kube-apiserver how to write the log. Of them we need the format, and those of the `rotation` for a
//! forecast; the others are accepted so that an administrator moves the whole group over, and checked so that a typing
//! error is not discovered in the static pod manifest instead.

use super::section::{Section, Sources};
use super::value::not_among;
use crate::source::format::Format;

/// `source.format`.
pub(super) const FORMATS: [(&str, Format); 5] = [
    ("json", Format::Json),
    ("cri", Format::Cri),
    ("docker", Format::Docker),
    ("legacy", Format::Legacy),
    ("auto", Format::Auto),
];

/// What kube-apiserver can be told to write.
const FLAG_FORMATS: [(&str, Format); 2] = [("json", Format::Json), ("legacy", Format::Legacy)];

/// Flags of which only the type matters.
const INTS: [&str; 5] = [
    "audit-log-batch-buffer-size",
    "audit-log-batch-max-size",
    "audit-log-batch-throttle-burst",
    "audit-log-truncate-max-batch-size",
    "audit-log-truncate-max-event-size",
];
const BOOLEANS: [&str; 3] =
    ["audit-log-compress", "audit-log-batch-throttle-enable", "audit-log-truncate-enabled"];

/// Clusters before 1.24 could write these; their events are shipped in lists of their own version.
const VERSIONS: [(&str, ()); 3] =
    [("audit.k8s.io/v1", ()), ("audit.k8s.io/v1beta1", ()), ("audit.k8s.io/v1alpha1", ())];

const MODES: [(&str, ()); 3] = [("batch", ()), ("blocking", ()), ("blocking-strict", ())];

/// Checks the group with kube-apiserver's rules and words.
pub(super) fn check(sources: Sources<'_>) {
    for flag in INTS {
        sources.flag(flag).int(0);
    }
    for flag in BOOLEANS {
        sources.flag(flag).boolean(false);
    }
    sources.flag("audit-log-batch-max-wait").duration(std::time::Duration::ZERO);
    sources.flag("audit-log-batch-throttle-qps").float(0.0);
    sources.flag("audit-log-mode").choice((), &MODES, |mode| {
        format!("invalid audit log mode {mode}, allowed modes are \"batch,blocking,blocking-strict\"")
    });
    sources.flag("audit-log-version").choice((), &VERSIONS, |_| {
        "invalid group version, allowed versions are [\"audit.k8s.io/v1\"]".to_owned()
    });
}

/// What the files of the log are made of. `--audit-log-format` says what kube-apiserver writes, and what becomes of that on
/// its way into the files is for `source.format` to say: so that wins, and only where the two cannot both be true it is
/// told.
pub(super) fn format(source: &mut Section<'_>) -> Format {
    let report = source.sources.report;
    let flag = source.sources.flag("audit-log-format").choice(Format::Json, &FLAG_FORMATS, |format| {
        format!("invalid audit log format {format}, allowed formats are \"legacy,json\"")
    });
    // That kube-apiserver writes to its standard output only the manifest says.
    let below = source.sources.below.get("audit-log-format");
    let below = below.filter(|setting| flag.is_default() || setting.text == "cri");
    let field =
        source.value_or("format", below).choice(flag.value, &FORMATS, |format| not_among(format, &FORMATS));
    let contradicts = matches!(field.value, Format::Json | Format::Legacy) && field.value != flag.value;
    if contradicts && !flag.is_default() {
        let named = FORMATS.iter().find(|(_, format)| *format == field.value).map_or("", |(name, _)| name);
        report.warn(&flag.origin, format_args!("has no effect, since source.format is {named}"));
    }
    field.value
}
