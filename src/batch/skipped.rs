//! Lines of a container that are neither audit events nor what is left of one.

use memchr::memmem;

/// How many were passed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Lines of the container.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What kube-apiserver's lines begin with; klog's structured lines, which are JSON too, do not.
const OPENING: &[u8] = b"{\"kind\":";
/// What stands in each line of the legacy form. A whole one is an event; behind something else it is not.
const LEGACY: &[u8] = b" AUDIT: id=\"";
/// Fewer bytes of it say nothing: texts of many lines have brackets on lines of their own.
const SHORTEST: usize = 2;

/// Whether `text`, which is no event, may be what is left of one. A line of klog that repeats an event is taken for one
/// too: it costs an entry in the file of rejected events, and the other mistake would cost an event.
#[must_use]
pub fn may_be_torn_event(text: &[u8]) -> bool {
    let holds = |part: &[u8]| memmem::find(text, part).is_some();
    text.starts_with(OPENING)
        || (text.len() >= SHORTEST && OPENING.starts_with(text))
        || holds(b"\"auditID\":\"")
        || holds(b"\"stageTimestamp\":\"")
        || holds(LEGACY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_left_of_an_event_is_not_skipped() {
        let torn: [&[u8]; 6] = [
            b"{\"",
            b"{\"kind\":",
            b"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"le",
            b"vel\":\"Metadata\",\"auditID\":\"4",
            b"0Z\",\"stageTimestamp\":\"2026-11-22T02:22:50.248816Z\"}",
            b"I1122 02:16:11.4620302026-11-22T02:16:03.680582541Z AUDIT: id=\"a4994286\" stage=\"ResponseComplete\"",
        ];
        assert!(torn.iter().all(|text| may_be_torn_event(text)));
        let others: [&[u8]; 6] = [
            b"",
            b"{",
            b"}",
            b"I1122 02:16:11.462030   12676 flags.go:59] FLAG: --audit-log-path=\"-\"",
            b"{\"ts\":1.5,\"caller\":\"x.go:1\",\"msg\":\"kind\",\"v\":0}",
            b"[-]poststarthook/rbac/bootstrap-roles failed: not finished",
        ];
        assert!(others.iter().all(|text| !may_be_torn_event(text)));
    }
}
