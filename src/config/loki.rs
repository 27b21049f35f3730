//! `loki`: Grafana Loki's push API.

use super::encoding::{self, ENCODINGS, Encoding};
use super::identity::Identity;
use super::print::{quoted, show_texts, word};
use super::quantity;
use super::report::{Located, Report};
use super::section::Section;
use super::server::{self, Logins, Server};
use super::value::{Given, Raw, not_among};
use crate::sink::loki::{REPLAY, TARGET};
use crate::yaml::Value;

/// Bytes of a request's body before it is compressed: less than a tenant may send at once (`ingestion_burst_size_mb`, 6),
/// since Loki would never take more, and what the gateway of its Helm chart takes.
const MAX_REQUEST_BYTES: u64 = 4_000_000;
/// Loki's own limits (`max_label_names_per_series`, `max_label_name_length`, `max_label_value_length`).
const MAX_LABELS: usize = 15;
const MAX_NAME_BYTES: usize = 1024;
const MAX_VALUE_BYTES: usize = 2048;
const MAX_TENANT_BYTES: usize = 150;
/// Labels that there are without being asked for; `cluster` if it is known.
const OWN_LABELS: [&str; 4] = ["job", "node", REPLAY, "cluster"];

pub(super) const TOO_OLD: [(&str, TooOld); 2] = [("restamp", TooOld::Restamp), ("reject", TooOld::Reject)];

/// What is sent to Loki, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Loki {
    /// Where requests go.
    pub server: Server,
    /// The form of requests.
    pub encoding: Encoding,
    /// `X-Scope-OrgID`.
    pub tenant: Option<String>,
    /// Labels of the stream; they win over the defaults, and an empty value takes a default away.
    pub labels: Vec<(String, String)>,
    /// Whether what people search by is sent beside the line.
    pub structured_metadata: bool,
    /// What becomes of events that are older than Loki takes.
    pub too_old: TooOld,
    /// Bytes of a request's body before it is compressed.
    pub max_request_bytes: u64,
}

/// What becomes of events that are older than Loki takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooOld {
    /// They get the oldest time that it takes.
    Restamp,
    /// They keep their time, and Loki refuses them if it has this limit.
    Reject,
}

impl Loki {
    /// As it is if nothing else is said.
    pub(crate) fn new(server: Server) -> Self {
        Self {
            server,
            encoding: Encoding::Protobuf,
            tenant: None,
            labels: Vec::new(),
            structured_metadata: true,
            too_old: TooOld::Restamp,
            max_request_bytes: MAX_REQUEST_BYTES,
        }
    }
}

/// Reads the section, of an output that tells `identity`.
pub(super) fn read(mut section: Section<'_>, identity: &Identity) -> Option<Loki> {
    let report = section.sources.report;
    let server = server::read(&mut section, "url", Logins::Http);
    let encoding = encoding::read(&mut section);
    let tenant = section.value("tenant", None).line();
    if let Some(what) = tenant.value.as_deref().and_then(wrong_tenant) {
        report.mistake(&tenant.origin, what);
    }
    let too_old = section
        .value("tooOld", None)
        .choice(TooOld::Restamp, &TOO_OLD, |word| not_among(word, &TOO_OLD))
        .value;
    let max_request_bytes = section.value("maxRequestSize", None).size_above_zero(MAX_REQUEST_BYTES);
    let structured_metadata = section.value("structuredMetadata", None).boolean(true).value;
    let labels = labels(&mut section, identity);
    check_compression(&mut section, encoding);
    section.finish();
    let (tenant, defaults) = (tenant.value, Loki::new(without_path(server?)));
    Some(Loki { encoding, tenant, labels, structured_metadata, too_old, max_request_bytes, ..defaults })
}

/// Other clients' configurations have the whole URL.
fn without_path(mut server: Server) -> Server {
    let path = server.url.path().trim_end_matches('/');
    if let Some(base) = path.strip_suffix(TARGET).map(str::to_owned) {
        server.url.set_path(&base);
    }
    server
}

/// What the codings of every destination mean here.
fn check_compression(section: &mut Section<'_>, encoding: Encoding) {
    let Given { report, origin, raw } = section.value("compression", None);
    let what = match raw {
        Raw::Yaml(Value::Text(coding)) if coding == "zstd" => "is not read by Loki; choose gzip or none",
        Raw::Yaml(Value::Text(coding)) if coding == "gzip" && encoding == Encoding::Protobuf => {
            "is for `encoding: json`; protobuf goes as a block of snappy. Remove it"
        }
        _ => return,
    };
    report.mistake(&origin, what);
}

fn labels(section: &mut Section<'_>, identity: &Identity) -> Vec<(String, String)> {
    let report = section.sources.report;
    let place = section.place_of("labels");
    let labels = section.texts("labels");
    let is_known = |own: &&&str| **own != "cluster" || identity.cluster.is_some();
    let is_given = |own: &str| labels.iter().any(|(name, _)| name == own);
    let own = OWN_LABELS.iter().filter(is_known).filter(|own| !is_given(own)).count();
    if let Some(place) = place.filter(|_| labels.len() + own > MAX_LABELS) {
        let surplus = labels.len() + own - MAX_LABELS;
        let what = format!(
            "has {} labels; Loki takes {MAX_LABELS}, of which {own} are ours: remove {surplus}",
            labels.len()
        );
        report.mistake(&place, what);
    }
    labels.into_iter().filter_map(|(name, value)| label(report, name, value)).collect()
}

fn label(report: &Report, name: String, value: Located<Option<String>>) -> Option<(String, String)> {
    let what = if name == REPLAY {
        Some("is the label of streams of old entries; choose another name".to_owned())
    } else if !is_label_name(&name) {
        Some(format!(
            "is no label name; legal are up to {MAX_NAME_BYTES} of a-z, A-Z, 0-9 and _, not beginning with a digit or __"
        ))
    } else {
        let bytes = value.value.as_ref().map_or(0, String::len);
        (bytes > MAX_VALUE_BYTES).then(|| format!("has {bytes} bytes; Loki takes {MAX_VALUE_BYTES}"))
    };
    if let Some(what) = what {
        report.mistake(&value.origin, what);
    }
    Some((name, value.value?))
}

fn is_label_name(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins_well =
        name.bytes().next().is_some_and(|first| !first.is_ascii_digit()) && !name.starts_with("__");
    begins_well && name.bytes().all(is_legal) && name.len() <= MAX_NAME_BYTES
}

/// By the rules of `dskit/tenant`; it is a directory's name there.
fn wrong_tenant(tenant: &str) -> Option<String> {
    const SIGNS: &[u8] = b"!-_.*'()";
    if tenant.len() > MAX_TENANT_BYTES {
        return Some(format!("has {} bytes; legal are {MAX_TENANT_BYTES}", tenant.len()));
    }
    let is_legal = tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || SIGNS.contains(&byte));
    (!is_legal || matches!(tenant, "." | ".."))
        .then(|| "is no tenant; legal are letters, digits and !-_.*'(), but not . or ..".to_owned())
}

/// The fields that only this destination has, as YAML.
pub(super) fn show(loki: &Loki) -> String {
    let Loki { encoding, tenant, labels, structured_metadata, too_old, max_request_bytes, .. } = loki;
    format!(
        "      encoding: {encoding}
      tenant: {tenant}
      labels: {labels}
      structuredMetadata: {structured_metadata}
      tooOld: {too_old}
      maxRequestSize: {max_request_size}
",
        encoding = word(&ENCODINGS, *encoding),
        tenant = tenant.as_deref().map_or_else(|| "~".to_owned(), quoted),
        labels = show_texts(labels),
        too_old = word(&TOO_OLD, *too_old),
        max_request_size = quantity::show_size(*max_request_bytes),
    )
}
