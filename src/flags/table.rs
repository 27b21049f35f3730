//! Every flag of `run` and `check`: its name, what its value is called, and what it is for.

/// One flag.
#[derive(Debug)]
pub(super) struct Flag {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) value_name: &'static str,
    pub(super) help: &'static str,
}

/// Whether a flag does something here.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Kind {
    /// It does.
    Used,
    /// It is accepted for kube-apiserver's sake, and shown only by the long help.
    Unused,
}

/// The value name of a boolean, whose value can be left out.
const BOOLEAN: &str = "true|false";

impl Flag {
    pub(super) fn is_boolean(&self) -> bool {
        self.value_name == BOOLEAN
    }
}

const fn used(name: &'static str, value_name: &'static str, help: &'static str) -> Flag {
    Flag { name, kind: Kind::Used, value_name, help }
}

const fn unused(name: &'static str, value_name: &'static str, help: &'static str) -> Flag {
    Flag { name, kind: Kind::Unused, value_name, help }
}

#[rustfmt::skip]
pub(super) const FLAGS: &[Flag] = &[
    used("config", "FILE", "Configuration file (YAML); flags win over it"),
    used("audit-log-path", "PATH", "The log to tail: the file that kube-apiserver writes"),
    used("audit-webhook-config-file", "FILE", "Kubeconfig of the endpoint"),
    used("audit-webhook-initial-backoff", "DURATION", "Wait before the first retry [default: 10s]"),
    used("audit-webhook-batch-initial-backoff", "DURATION", "Deprecated, use --audit-webhook-initial-backoff instead"),
    used("audit-webhook-mode", "MODE", "batch, blocking (one event a request) or blocking-strict (and none is set aside) [default: batch]"),
    used("audit-webhook-version", "VERSION", "Group and version on the wire [default: audit.k8s.io/v1]"),
    used("audit-webhook-batch-buffer-size", "INT", "Events held in memory, read ahead plus in flight; when full, reading waits [default: 10000]"),
    used("audit-webhook-batch-max-size", "INT", "Events in a batch [default: 400]"),
    used("audit-webhook-batch-max-wait", "DURATION", "How long the first event of a batch waits for others [default: 30s]"),
    used("audit-webhook-batch-throttle-enable", BOOLEAN, "Whether batches are throttled [default: true]"),
    used("audit-webhook-batch-throttle-qps", "FLOAT32", "Batches a second on average [default: 10]"),
    used("audit-webhook-batch-throttle-burst", "INT", "Batches at once when the rate was not used up [default: 15]"),
    used("audit-webhook-truncate-enabled", BOOLEAN, "Whether large events are cut to size [default: false]"),
    used("audit-webhook-truncate-max-event-size", "INT", "Bytes of an event before it is cut [default: 102400]"),
    used("audit-webhook-truncate-max-batch-size", "INT", "Bytes of a request's body; a single larger event goes alone [default: 10485760]"),
    used("audit-policy-file", "FILE", "Audit policy: which events are shipped, and how much of them; read again when it changes"),
    used("redact", BOOLEAN, "Whether Secrets, tokens and credentials are masked before events leave [default: false, with a file true]"),
    used("gap-records", BOOLEAN, "Whether a place where events are missing is an event in the stream [default: false, with a file true]"),
    used("state-dir", "DIR", "Cursors and rejected events [default: $STATE_DIRECTORY, else /var/lib/audit-shipper]"),
    used("bind-address", "IP:PORT", "Serves /metrics, /healthz, /livez and /readyz; port 0 takes any [default: 127.0.0.1:9465]"),
    used("shutdown-grace", "DURATION", "How long requests in flight may take after SIGTERM [default: 30s]"),
    used("log-format", "FORMAT", "Our own log: text or json; RUST_LOG says how much [default: text]"),

    // kube-apiserver's, about its log; most are of no effect here.
    used("audit-log-format", "FORMAT", "json or legacy, if source.format does not say what the files are made of"),
    used("audit-log-maxage", "INT", "Days for which backups are kept, for the forecast of when they are deleted; 0 is for ever"),
    used("audit-log-maxbackup", "INT", "Backups that are kept, for the same forecast; 0 keeps all"),
    used("audit-log-maxsize", "INT", "MiB of a file when it is rotated, for the same forecast"),
    unused("audit-log-version", "VERSION", "Accepted: every line says its version"),
    unused("audit-log-compress", BOOLEAN, "Accepted: compressed backups are recognized"),
    unused("audit-log-mode", "MODE", "Accepted: of no effect here"),
    unused("audit-log-batch-buffer-size", "INT", "Accepted: of no effect here"),
    unused("audit-log-batch-max-size", "INT", "Accepted: of no effect here"),
    unused("audit-log-batch-max-wait", "DURATION", "Accepted: of no effect here"),
    unused("audit-log-batch-throttle-enable", BOOLEAN, "Accepted: of no effect here"),
    unused("audit-log-batch-throttle-qps", "FLOAT32", "Accepted: of no effect here"),
    unused("audit-log-batch-throttle-burst", "INT", "Accepted: of no effect here"),
    unused("audit-log-truncate-enabled", BOOLEAN, "Accepted: of no effect here"),
    unused("audit-log-truncate-max-batch-size", "INT", "Accepted: of no effect here"),
    unused("audit-log-truncate-max-event-size", "INT", "Accepted: of no effect here"),
];
