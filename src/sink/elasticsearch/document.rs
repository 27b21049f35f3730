//! One event as a document.
//!
//! | mode | document |
//! |---|---|
//! | `ecs` | the event below `kubernetes.audit`, as Elastic's integration for Kubernetes keeps it, and the fields that its ingest pipeline adds |
//! | `ecs-raw` | the event below `kubernetes.audit`; that pipeline is there and does the rest |
//! | `raw` | the event itself |
//!
//! `@timestamp` is when the request came, for an index has to have one. What an event does not say is left out.
//!
//! Where events come from stands in the fields that ECS has for it; in mode `raw`, whose other fields are kube-apiserver's, below
//! one that kube-apiserver will never have. It is the same in all documents but for the file.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;

use super::fields::{Fields, text};
use super::keys::{self, Names, Which};
use crate::batch::Origin;
use crate::config::{self, DocumentMode, Identity};
use crate::json::{self, Edits};
use crate::policy::omit_managed_fields;
use crate::sink::{EventRef, json_text};

const DATASET: &str = "kubernetes.audit_logs";
const DECISION: &str = "authorization.k8s.io/decision";

/// Writes documents of one form.
#[derive(Debug)]
pub(super) struct Writer {
    mode: DocumentMode,
    keep_metadata: bool,
    replace_dots: bool,
    /// What is the same in each document: of mode `ecs`, up to the members of `event` that are not; of `raw`, what comes
    /// behind the source.
    constant: String,
    /// Of the log's files, with its last slash.
    directory: String,
    /// The log's path.
    log: String,
}

impl Writer {
    pub(super) fn new(config: &config::Elasticsearch, identity: &Identity, log: &Path) -> Self {
        let directory = log.parent().map(|directory| directory.join("").to_string_lossy().into_owned());
        Self {
            mode: config.mode,
            keep_metadata: config.keep_metadata,
            replace_dots: config.replace_dots,
            directory: directory.unwrap_or_default(),
            log: log.to_string_lossy().into_owned(),
            constant: match config.mode {
                DocumentMode::Ecs => origin_in_ecs(identity) + &constant(config),
                DocumentMode::EcsRaw => origin_in_ecs(identity),
                DocumentMode::Raw => origin(identity),
            },
        }
    }

    /// Adds the document of an event to `out`. `edited` is room for a copy of it.
    pub(super) fn write(
        &self,
        event: &EventRef<'_>,
        now: SystemTime,
        edited: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        let item = event.item.trim_ascii_start();
        let fields = Fields::find(item);
        let mut edits = self.edits(item, &fields);
        let safe = if edits.is_empty() {
            item
        } else {
            edits.apply(item, edited);
            edited
        };
        out.extend_from_slice(br#"{"@timestamp":""#);
        out.extend_from_slice(&timestamp(item, &fields, now));
        out.extend_from_slice(b"\",");
        match self.mode {
            DocumentMode::Ecs => {
                self.write_ecs(event, item, &fields, out);
                write_event(event, safe, out);
            }
            DocumentMode::EcsRaw => {
                out.extend_from_slice(self.constant.as_bytes());
                // Older versions of the pipeline look for the decision below the name without dots, newer ones below the
                // other: neither misses it in the outcome.
                if let Some(outcome) = outcome(item, &fields) {
                    write_all(out, &[b"\"event\":{\"outcome\":\"", outcome, b"\"},"]);
                }
                self.write_log(event, out);
                write_event(event, safe, out);
            }
            DocumentMode::Raw => {
                let file = event.origin.map(|origin| self.path_of(&origin.file));
                out.extend_from_slice(br#""auditShipper":{"source":"#);
                json_text::string(out, file.as_deref().unwrap_or(&self.log));
                out.extend_from_slice(self.constant.as_bytes());
                if let Some(head) = event.head() {
                    out.extend_from_slice(&head.as_bytes()[1..]);
                }
                out.extend_from_slice(safe.get(1..).unwrap_or_default());
            }
        }
    }

    /// What has to be changed in an event.
    fn edits(&self, item: &[u8], fields: &Fields) -> Edits {
        let mut edits = Edits::default();
        let bodies = || [&fields.request_object, &fields.response_object].into_iter().flatten();
        if self.mode == DocumentMode::Ecs && !self.keep_metadata {
            for body in bodies() {
                edits.remove_members(item, body.start, |key| json::is_text(key, "metadata"));
                omit_managed_fields(item, body.start, &mut edits);
            }
        }
        let which = if self.replace_dots { Which::Dotted } else { Which::Nameless };
        if self.replace_dots || self.mode != DocumentMode::Raw {
            // A patch is what the client has sent, byte for byte; all other bodies were written by kube-apiserver.
            let is_patch = fields.verb.as_ref().is_some_and(|verb| &item[verb.clone()] == br#""patch""#);
            if let Some(body) = &fields.request_object {
                let names = if is_patch { Names::AnyTimes } else { Names::Once };
                keys::make_safe(item, body, which, names, &mut edits);
            }
            if let Some(body) = &fields.response_object {
                keys::make_safe(item, body, which, Names::Once, &mut edits);
            }
            let annotations = fields.annotations.as_ref();
            let members = annotations.into_iter().flat_map(|place| json::members(item, place.start));
            members.for_each(|member| keys::make_key_safe(item, member.key, Which::Dotted, &mut edits));
        }
        if self.replace_dots {
            for extra in [&fields.user_extra, &fields.impersonated_extra].into_iter().flatten() {
                keys::make_safe(item, extra, which, Names::Once, &mut edits);
            }
        }
        edits
    }

    /// The fields of mode `ecs` before the event.
    fn write_ecs(&self, event: &EventRef<'_>, item: &[u8], fields: &Fields, out: &mut Vec<u8>) {
        out.extend_from_slice(self.constant.as_bytes());
        if let Some(verb) = text(item, fields.verb.as_ref()) {
            write_all(out, &[b",\"action\":", verb]);
        }
        if let Some(outcome) = outcome(item, fields) {
            write_all(out, &[b",\"outcome\":\"", outcome, b"\""]);
        }
        out.extend_from_slice(b"},");
        let name = text(item, fields.username.as_ref());
        match (name, text(item, fields.uid.as_ref())) {
            (Some(name), Some(id)) => {
                write_all(out, &[b"\"user\":{\"name\":", name, b",\"id\":", id, b"},"]);
            }
            (Some(name), None) => write_all(out, &[b"\"user\":{\"name\":", name, b"},"]),
            (None, Some(id)) => write_all(out, &[b"\"user\":{\"id\":", id, b"},"]),
            (None, None) => {}
        }
        if let Some(user_agent) = text(item, fields.user_agent.as_ref()) {
            write_all(out, &[b"\"user_agent\":{\"original\":", user_agent, b"},"]);
        }
        if let Some(ips) = fields.source_ips.as_ref().and_then(|place| addresses(item, place)) {
            write_all(out, &[b"\"source\":{\"ip\":", &ips, b"},\"client\":{\"ip\":", &ips, b"},"]);
        }
        self.write_log(event, out);
    }

    /// Where the line stood, in the fields of ECS.
    fn write_log(&self, event: &EventRef<'_>, out: &mut Vec<u8>) {
        if let Some(Origin { file, offset }) = event.origin {
            out.extend_from_slice(b"\"log\":{\"file\":{\"path\":");
            json_text::string(out, &self.path_of(file));
            write_all(out, &[b"},\"offset\":", offset.to_string().as_bytes(), b"},"]);
        }
    }

    fn path_of(&self, file: &str) -> String {
        [&self.directory, file].concat()
    }
}

/// What no event changes in mode `ecs`, up to the members of `event`.
fn constant(config: &config::Elasticsearch) -> String {
    let data_stream = data_stream(&config.data_stream);
    let dataset = data_stream.map_or(DATASET, |[_, dataset, _]| dataset);
    let data_stream = data_stream.map(|[kind, dataset, namespace]| {
        format!(r#""data_stream":{{"type":"{kind}","dataset":"{dataset}","namespace":"{namespace}"}},"#)
    });
    let ecs = r#""ecs":{"version":"8.0.0"},"#;
    let event = format!(r#""event":{{"kind":"event","dataset":"{dataset}""#);
    data_stream.unwrap_or_default() + ecs + &event
}

/// Where events come from, in the fields of ECS, with a comma behind each.
fn origin_in_ecs(identity: &Identity) -> String {
    let cluster = identity.cluster.as_deref().map(|cluster| {
        format!(r#""orchestrator":{{"type":"kubernetes","cluster":{{"name":{}}}}},"#, quoted(cluster))
    });
    let node = identity.node.as_deref().map(quoted);
    let host = node.map(|node| format!(r#""host":{{"name":{node},"hostname":{node}}},"#));
    cluster.unwrap_or_default() + &host.unwrap_or_default()
}

/// The same in the field that is our own, behind its first member.
fn origin(identity: &Identity) -> String {
    let Identity { cluster, node } = identity;
    let member = |name, value: &Option<String>| {
        value.as_deref().map_or_else(String::new, |value| format!(",\"{name}\":{}", quoted(value)))
    };
    member("cluster", cluster) + &member("node", node) + "},"
}

fn quoted(text: &str) -> String {
    let mut quoted = Vec::new();
    json_text::string(&mut quoted, text);
    String::from_utf8(quoted).unwrap_or_default()
}

/// The event below its name, and the end of the document.
fn write_event(event: &EventRef<'_>, safe: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(br#""kubernetes":{"audit":"#);
    match event.head() {
        Some(head) => write_all(out, &[head.as_bytes(), safe.get(1..).unwrap_or_default()]),
        None => out.extend_from_slice(safe),
    }
    out.extend_from_slice(b"}}");
}

fn write_all(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// Type, dataset and namespace of a data stream that is called as Elastic has it.
fn data_stream(name: &str) -> Option<[&str; 3]> {
    let (kind, rest) = name.split_once('-')?;
    let (dataset, namespace) = rest.split_once('-')?;
    let parts = [kind, dataset, namespace];
    (!namespace.contains('-') && parts.iter().all(|part| !part.is_empty())).then_some(parts)
}

/// What was decided about the request, in the words of ECS.
fn outcome(item: &[u8], fields: &Fields) -> Option<&'static [u8]> {
    match &item[json::member(item, fields.annotations.as_ref()?.start, DECISION)?] {
        br#""allow""# => Some(b"success"),
        br#""forbid""# => Some(b"failure"),
        _ => None,
    }
}

/// Those of the addresses that are some, since an index takes no others; as they stand in the event, if all are.
fn addresses<'a>(item: &'a [u8], place: &Range<usize>) -> Option<Cow<'a, [u8]>> {
    let is_address = |place: &Range<usize>| {
        let text = json::unescaped(&item[place.clone()]);
        text.is_some_and(|text| text.parse::<IpAddr>().is_ok())
    };
    let (good, bad): (Vec<_>, Vec<_>) = json::items(item, place.start).partition(is_address);
    if good.is_empty() {
        return None;
    }
    if bad.is_empty() {
        return Some(Cow::Borrowed(&item[place.clone()]));
    }
    let good: Vec<&[u8]> = good.into_iter().map(|place| &item[place]).collect();
    Some(Cow::Owned([b"[", &good.join(&b","[..])[..], b"]"].concat()))
}

/// When the request came; else when its stage was reached; else now, since a document without a time is refused.
fn timestamp<'a>(item: &'a [u8], fields: &Fields, now: SystemTime) -> Cow<'a, [u8]> {
    let mut times = [&fields.received, &fields.stage_time].into_iter().flatten();
    times.find_map(|place| legal_time(&item[place.clone()])).unwrap_or_else(|| {
        let now = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
        Cow::Owned(now.to_string().into_bytes())
    })
}

/// A time as an index takes it: as it stands in the event if it can be, else rewritten.
fn legal_time(quoted: &[u8]) -> Option<Cow<'_, [u8]>> {
    let time: Timestamp = json::unescaped(quoted)?.parse().ok()?;
    match json::inside(quoted).filter(|text| is_plain_time(text)) {
        Some(plain) => Some(Cow::Borrowed(plain)),
        None => Some(Cow::Owned(time.to_string().into_bytes())).filter(|text| is_plain_time(text)),
    }
}

/// Whether it is written `2025-01-02T03:04:05.678901Z`, with up to nine digits of a second's fraction or none.
fn is_plain_time(text: &[u8]) -> bool {
    const WHOLE: &[u8] = b"0000-00-00T00:00:00";
    let Some((whole, rest)) = text.split_at_checked(WHOLE.len()) else { return false };
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    let is_fraction = |rest: &[u8]| match rest.strip_prefix(b".") {
        Some(digits) => (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
        None => rest.is_empty(),
    };
    whole.iter().zip(WHOLE).all(fits) && rest.strip_suffix(b"Z").is_some_and(is_fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stay_as_they_are_or_become_plain() {
        let legal = |text: &str| {
            let quoted = format!("\"{text}\"");
            legal_time(quoted.as_bytes()).map(|time| String::from_utf8(time.into_owned()).unwrap())
        };
        for plain in ["2025-01-02T03:04:05Z", "2025-01-02T03:04:05.6Z", "2025-01-02T03:04:05.678901234Z"] {
            assert_eq!(legal(plain).as_deref(), Some(plain));
        }
        assert_eq!(legal("2025-01-02T05:04:05.5+02:00").as_deref(), Some("2025-01-02T03:04:05.5Z"));
        assert_eq!(legal("2025-01-02 03:04:05z").as_deref(), Some("2025-01-02T03:04:05Z"));
        for none in
            ["", "yesterday", "2025-01-02T03:04:05", "2025-13-02T03:04:05Z", "-000005-01-02T03:04:05Z"]
        {
            assert_eq!(legal(none), None, "{none}");
        }
        assert_eq!(legal_time(b"null"), None);
    }

    #[test]
    fn what_is_no_address_is_none_of_a_source() {
        let of = |list: &str| addresses(list.as_bytes(), &(0..list.len())).map(Cow::into_owned);
        let all = r#"["10.0.0.1", "2001:db8::1"]"#;
        assert_eq!(of(all).as_deref(), Some(all.as_bytes()));
        assert_eq!(
            of(r#"["x","::1",7,"fe80::1%eth0","1.2.3.4"]"#).as_deref(),
            Some(&br#"["::1","1.2.3.4"]"#[..])
        );
        for none in ["[]", "null", r#""10.0.0.1""#, r#"["x"]"#] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn a_data_stream_says_what_it_is() {
        let default = "logs-kubernetes.audit_logs-default";
        assert_eq!(data_stream(default), Some(["logs", "kubernetes.audit_logs", "default"]));
        for none in ["audit", "logs-audit", "logs--x", "a-b-c-d", "-a-b"] {
            assert_eq!(data_stream(none), None, "{none}");
        }
    }
}
