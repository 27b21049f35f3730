//! kube-apiserver's `--audit-log-*` flags besides the path.
//!
//! They tell kube-apiserver how to write the log. We need none of them, since the files themselves show how they were
//! rotated, but they are accepted so that an administrator moves the whole group over, and checked so that a typing error
//! is not discovered in the static pod manifest instead.

use super::section::Sources;

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

/// Rotation: kube-apiserver refuses negative ones.
const COUNTS: [&str; 3] = ["audit-log-maxage", "audit-log-maxbackup", "audit-log-maxsize"];

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
    for flag in COUNTS {
        let count = sources.flag(flag).int(0);
        if count.value < 0 {
            let what = format!("--{flag} {} can't be a negative number", count.value);
            sources.report.mistake(&count.origin, what);
        }
    }
    sources.flag("audit-log-batch-max-wait").duration(std::time::Duration::ZERO);
    sources.flag("audit-log-batch-throttle-qps").float(0.0);
    sources.flag("audit-log-mode").choice((), &MODES, |mode| {
        format!("invalid audit log mode {mode}, allowed modes are \"batch,blocking,blocking-strict\"")
    });
    sources.flag("audit-log-version").choice((), &VERSIONS, |_| {
        "invalid group version, allowed versions are [\"audit.k8s.io/v1\"]".to_owned()
    });
    sources.flag("audit-log-format").choice((), &[("json", ())], |format| match format {
        "legacy" => "lines of the legacy format cannot be turned back into events; legal is json".to_owned(),
        _ => format!("invalid audit log format {format}, allowed formats are \"legacy,json\""),
    });
}
