//! `otlp`: an endpoint of OpenTelemetry's log protocol.

use super::encoding::{self, ENCODINGS, Encoding};
use super::print::{quoted, show_texts, word};
use super::quantity;
use super::section::Section;
use super::server::{self, Logins, Server};
use super::value::not_among;

/// Bytes of a request's body: what all collectors take, with room to spare.
const MAX_REQUEST_BYTES: u64 = 4 << 20;
/// Where the protocol has logs.
const PATH: &str = "/v1/logs";

pub(super) const BODIES: [(&str, BodyForm); 2] = [("string", BodyForm::String), ("kvlist", BodyForm::Kvlist)];

/// What is sent to an OTLP endpoint, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// Where requests go.
    pub server: Server,
    /// The form of requests and answers.
    pub encoding: Encoding,
    /// The form of a record's body.
    pub body: BodyForm,
    /// Attributes of the resource; they win over the defaults, and an empty value takes a default away.
    pub resource: Vec<(String, String)>,
    /// What comes behind the URL.
    pub path: String,
    /// Whether events are dropped, and counted, wherever the specification forbids to send them again.
    pub strict_spec: bool,
    /// Bytes of a request's body before it is compressed.
    pub max_request_bytes: u64,
}

/// What a record's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// The event's line as it stands.
    String,
    /// The same as a map.
    Kvlist,
}

impl Otlp {
    /// As it is if nothing else is said.
    pub(crate) fn new(server: Server) -> Self {
        Self {
            server,
            encoding: Encoding::Protobuf,
            body: BodyForm::String,
            resource: Vec::new(),
            path: PATH.to_owned(),
            strict_spec: false,
            max_request_bytes: MAX_REQUEST_BYTES,
        }
    }

    /// What comes behind the URL; nothing if it is there already.
    #[must_use]
    pub fn target(&self) -> &str {
        let is_there = self.server.url.path().trim_end_matches('/').ends_with(&self.path);
        if is_there { "" } else { &self.path }
    }
}

/// Reads the section.
pub(super) fn read(mut section: Section<'_>) -> Option<Otlp> {
    let report = section.sources.report;
    let server = server::read(&mut section, "url", Logins::Http);
    let encoding = encoding::read(&mut section);
    let body =
        section.value("body", None).choice(BodyForm::String, &BODIES, |word| not_among(word, &BODIES)).value;
    let resource = section.texts("resource");
    let resource = resource.into_iter().filter_map(|(name, value)| Some((name, value.value?))).collect();
    let path = section.value("path", None).line_or_empty();
    if path.value.as_deref().is_some_and(|path| !path.is_empty() && !path.starts_with(['/', '?'])) {
        report.mistake(&path.origin, "must begin with / or ?, or be empty if the URL is whole");
    }
    let max_request_bytes = section.value("maxRequestSize", None).size_above_zero(MAX_REQUEST_BYTES);
    let strict_spec = section.value("strictSpec", None).boolean(false).value;
    section.finish();
    let path = path.value.unwrap_or_else(|| PATH.to_owned());
    Some(Otlp { encoding, body, resource, path, strict_spec, max_request_bytes, ..Otlp::new(server?) })
}

/// The fields that only this destination has, as YAML.
pub(super) fn show(otlp: &Otlp) -> String {
    let Otlp { encoding, body, resource, path, strict_spec, max_request_bytes, .. } = otlp;
    format!(
        "      encoding: {encoding}
      body: {body}
      resource: {resource}
      path: {path}
      strictSpec: {strict_spec}
      maxRequestSize: {max_request_size}
",
        encoding = word(&ENCODINGS, *encoding),
        body = word(&BODIES, *body),
        resource = show_texts(resource),
        path = quoted(path),
        max_request_size = quantity::show_size(*max_request_bytes),
    )
}
