//! What of an event becomes which field of a `LogRecord`, whatever it is encoded as.

use std::borrow::Cow;

use jiff::Timestamp;

use super::node::Node;
use crate::event::{Field, Parts};
use crate::{fingerprint, json};

/// `event_name`: what kind of event all of them are.
pub(super) const EVENT_NAME: &str = "k8s.audit.event";

/// One event as OTLP has it. Its body is the line.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) line: &'a [u8],
    /// `stageTimestamp`, when what it tells of happened; 0 if it has none, which means unknown.
    pub(super) time_unix_nano: u64,
    pub(super) severity: Severity,
    /// No name is there twice, which OTLP demands.
    pub(super) attributes: Vec<(Cow<'static, str>, Node<'a>)>,
    pub(super) trace: Option<SpanContext>,
}

/// OpenTelemetry has no rule for it; this is the one that access logs are shown by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Info,
    /// The client was told that something is wrong with its request.
    Warn,
    /// kube-apiserver failed.
    Error,
}

/// The request's place in a distributed trace, if an annotation tells (W3C Trace Context, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanContext {
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
    pub(super) flags: u8,
}

/// Attributes that are fields of an event. The names are those that the operators of OpenShift and Loki use, and for the
/// rest names of the same kind.
const FIELDS: [(&str, Field); 6] = [
    ("k8s.audit.id", Field::AuditId),
    ("k8s.audit.verb", Field::Verb),
    ("k8s.event.level", Field::Level),
    ("k8s.event.stage", Field::Stage),
    ("k8s.event.request.uri", Field::RequestUri),
    ("k8s.event.user_agent", Field::UserAgent),
];

/// Attributes that are members of a field.
const MEMBERS: [(&str, Field, &str); 8] = [
    ("k8s.event.response.code", Field::ResponseStatus, "code"),
    ("k8s.user.username", Field::User, "username"),
    ("k8s.user.groups", Field::User, "groups"),
    ("k8s.namespace.name", Field::ObjectRef, "namespace"),
    ("k8s.event.object_ref.resource", Field::ObjectRef, "resource"),
    ("k8s.event.object_ref.name", Field::ObjectRef, "name"),
    ("k8s.event.object_ref.api.group", Field::ObjectRef, "apiGroup"),
    ("k8s.event.object_ref.api.version", Field::ObjectRef, "apiVersion"),
];

const ANNOTATIONS: &str = "k8s.event.annotations.";

impl<'a> Record<'a> {
    /// Of the event `line`, which came from the file of this name.
    pub(super) fn of(line: &'a [u8], file: Option<&'a str>) -> Self {
        let parts = Parts::find(line).unwrap_or_default();
        let field = |field| parts.value(line, field);
        let stage_time = field(Field::StageTimestamp).and_then(json::unescaped);
        Self {
            line,
            time_unix_nano: stage_time.and_then(|time| nanoseconds(&time)).unwrap_or_default(),
            severity: Severity::of(field(Field::Stage), field(Field::ResponseStatus)),
            attributes: attributes(line, &parts, file),
            trace: field(Field::Annotations).and_then(SpanContext::of),
        }
    }
}

fn attributes<'a>(
    line: &'a [u8],
    parts: &Parts,
    file: Option<&'a str>,
) -> Vec<(Cow<'static, str>, Node<'a>)> {
    let mut attributes = Vec::with_capacity(24);
    // Whoever takes this for the record's identity drops others with the same one: so no client may choose it.
    let uid = format!("{:032x}", fingerprint::long(line));
    attributes.push((Cow::Borrowed("log.record.uid"), Node::Text(Cow::Owned(uid))));
    if let Some(file) = file {
        attributes.push((Cow::Borrowed("log.file.name"), Node::Text(Cow::Borrowed(file))));
    }
    for (name, field) in FIELDS {
        if let Some(value) = parts.value(line, field) {
            attributes.push((Cow::Borrowed(name), Node::of(value)));
        }
    }
    for (name, field, key) in MEMBERS {
        let value = parts.value(line, field).and_then(|json| json.get(json::member(json, 0, key)?));
        if let Some(value) = value {
            attributes.push((Cow::Borrowed(name), Node::of(value)));
        }
    }
    if let Some(Node::Map(annotations)) = parts.value(line, Field::Annotations).map(Node::of) {
        let named = |(key, value)| (Cow::Owned(format!("{ANNOTATIONS}{key}")), value);
        attributes.extend(annotations.members().map(named));
    }
    attributes
}

impl Severity {
    fn of(stage: Option<&[u8]>, status: Option<&[u8]>) -> Self {
        let code = status.and_then(|status| {
            let code = status.get(json::member(status, 0, "code")?)?;
            str::from_utf8(code).ok()?.parse::<u32>().ok()
        });
        match code {
            _ if stage.is_some_and(|stage| json::is_text(stage, "Panic")) => Self::Error,
            Some(500..) => Self::Error,
            Some(400..500) => Self::Warn,
            _ => Self::Info,
        }
    }

    /// `severity_number`.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Info => 9,
            Self::Warn => 13,
            Self::Error => 17,
        }
    }

    /// `severity_text`.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

impl SpanContext {
    fn of(annotations: &[u8]) -> Option<Self> {
        let value = annotations.get(json::member(annotations, 0, "traceparent")?)?;
        let text = json::unescaped(value)?;
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
        let has_form = is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2) && is_hex(version, 2);
        // Only the first version is known to end here.
        if !has_form || version == "ff" || version == "00" && parts.next().is_some() {
            return None;
        }
        let trace_id = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let span_id = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
        Some(Self { trace_id, span_id, flags: u8::from_str_radix(flags, 16).ok()? })
    }
}

/// A time of RFC 3339 since 1970; nothing before that.
fn nanoseconds(text: &str) -> Option<u64> {
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests;
