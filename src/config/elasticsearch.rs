//! `elasticsearch`: into which data stream events go, and as what documents.

use super::section::Section;
use super::server::{self, Logins, Server};
use super::value::not_among;

pub(super) const DOCUMENT_MODES: [(&str, DocumentMode); 3] =
    [("ecs", DocumentMode::Ecs), ("ecs-raw", DocumentMode::EcsRaw), ("raw", DocumentMode::Raw)];

const DATA_STREAM: &str = "logs-kubernetes.audit_logs-default";

/// What Elasticsearch or OpenSearch is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Elasticsearch {
    /// Where requests go; below it are `_bulk` and the rest.
    pub server: Server,
    /// Name of the data stream: lower-case, and safe in a URL.
    pub data_stream: String,
    /// The form of a document.
    pub mode: DocumentMode,
    /// Whether a document's `_id` is the hash of its event, so that what is sent twice is stored once.
    pub dedupe: bool,
    /// Whether `metadata` of the bodies stays; only in mode `ecs` does it go.
    pub keep_metadata: bool,
    /// Whether the dots in all keys of bodies, annotations and extra fields of users become `_`, for an index that maps
    /// fields as they come. Without it, where a document cannot be stored otherwise.
    pub replace_dots: bool,
}

/// The form of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentMode {
    /// As Elastic's integration for Kubernetes stores it, with the fields of its ingest pipeline.
    Ecs,
    /// As that pipeline gets it.
    EcsRaw,
    /// The event, and a time.
    Raw,
}

/// Reads the section.
pub(super) fn read(mut section: Section<'_>) -> Option<Elasticsearch> {
    let report = section.sources.report;
    let server = server::read(&mut section, "url", Logins::HttpOr("apiKeyFile", "ApiKey"));
    let data_stream = section.value("dataStream", None).line();
    if let Some(name) = data_stream.value.as_deref().filter(|name| !is_data_stream(name)) {
        let legal = "up to 200 of a-z, 0-9, -, _ and ., beginning with a letter or digit";
        report.mistake(&data_stream.origin, format_args!("{name:?} is no data stream; legal are {legal}"));
    }
    let mode = section
        .value("mode", None)
        .choice(DocumentMode::Ecs, &DOCUMENT_MODES, |word| not_among(word, &DOCUMENT_MODES))
        .value;
    let dedupe = section.value("dedupe", None).boolean(true).value;
    let keep_metadata = section.value("keepMetadata", None).boolean(mode != DocumentMode::Ecs);
    if mode != DocumentMode::Ecs && !keep_metadata.value && !keep_metadata.is_default() {
        let what = "is for mode ecs; in the others metadata stays, remove it";
        report.mistake(&keep_metadata.origin, what);
    }
    let replace_dots = section.value("replaceDots", None).boolean(false).value;
    section.finish();
    Some(Elasticsearch {
        server: server?,
        data_stream: data_stream.value.unwrap_or_else(|| DATA_STREAM.to_owned()),
        mode,
        dedupe,
        keep_metadata: keep_metadata.value,
        replace_dots,
    })
}

/// Shorter than is legal, since the name of its template is somewhat longer.
fn is_data_stream(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    name.len() <= 200 && name.bytes().all(inner) && !name.starts_with(['-', '_', '.'])
}
