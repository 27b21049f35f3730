//! A borrowed view of one audit event: the few fields that decide how its line travels.
//!
//! Reading it is also the check of the whole line: a torn, glued or foreign line fails here and is set aside.
//! Nothing is copied unless a field holds an escape. The schema is kubernetes-audit.md, section 9.
//!
//! Nearly every line is checked by `scan`, the quick way. What that does not take goes the careful way, through
//! serde_json, whose verdict counts and whose errors are reported.
//!
//! [`glued`] finds the events in a line that is none itself.

pub mod glued;
mod parts;
mod scan;

use std::borrow::Cow;

use serde::Deserialize;

pub use parts::{Field, Parts};

/// Version of the audit API that a line is written in. Lists never mix versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApiVersion {
    /// `audit.k8s.io/v1`: every supported cluster.
    V1,
    /// `audit.k8s.io/v1beta1`: clusters before 1.24.
    V1beta1,
    /// `audit.k8s.io/v1alpha1`: clusters before 1.24.
    V1alpha1,
}

impl ApiVersion {
    /// As it stands in `apiVersion`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "audit.k8s.io/v1",
            Self::V1beta1 => "audit.k8s.io/v1beta1",
            Self::V1alpha1 => "audit.k8s.io/v1alpha1",
        }
    }

    /// What every line that kube-apiserver writes begins with, and no item of a list does.
    #[must_use]
    pub fn line_prefix(self) -> &'static str {
        match self {
            Self::V1 => r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","#,
            Self::V1beta1 => r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1beta1","#,
            Self::V1alpha1 => r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1alpha1","#,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::V1, Self::V1beta1, Self::V1alpha1].into_iter().find(|version| version.as_str() == text)
    }
}

/// How much kube-apiserver recorded; an unknown level counts as the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing, or a level that we do not know.
    None,
    /// No bodies.
    Metadata,
    /// The request's body.
    Request,
    /// Both bodies.
    RequestResponse,
}

impl Level {
    /// As it stands in `level`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestResponse => "RequestResponse",
            Self::Request => "Request",
            Self::Metadata => "Metadata",
            Self::None => "None",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "RequestResponse" => Self::RequestResponse,
            "Request" => Self::Request,
            "Metadata" => Self::Metadata,
            _ => Self::None,
        }
    }
}

/// What the pipeline reads of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The version of its line.
    pub version: ApiVersion,
    /// How much was recorded.
    pub level: Level,
    /// RFC 3339 with microseconds as a rule; not checked.
    pub stage_timestamp: Option<Cow<'a, str>>,
    /// Where its fields are, if that was found on the way; else [`Event::parts`] finds out.
    pub parts: Option<Parts>,
}

/// Why a line is no audit event. Says what is wrong, never what the line holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The line is no UTF-8.
    #[error("not UTF-8 at byte {0} of the line")]
    NotUtf8(usize),
    /// The line is no JSON object with the types of an audit event.
    #[error("not the JSON of an audit event, column {column} of the line: {category}")]
    NotJson {
        /// Where reading stopped, from 1.
        column: usize,
        /// `syntax`, `ends too early` or `wrong type`.
        category: &'static str,
    },
    /// The object is something else.
    #[error("a JSON object, but not an Event of audit.k8s.io/v1, v1beta1 or v1alpha1")]
    NotAnEvent,
    /// A field is there twice, so a policy cannot tell which of them counts.
    #[error("an audit event with a field that is there twice")]
    Ambiguous,
}

/// A string that borrows from the line unless it holds an escape. (`Option<Cow<str>>` itself never borrows.)
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    api_version: Option<Text<'a>>,
    #[serde(borrow)]
    level: Option<Text<'a>>,
    #[serde(borrow)]
    stage_timestamp: Option<Text<'a>>,
}

impl<'a> Event<'a> {
    /// Reads and checks one line, without its newline.
    ///
    /// # Errors
    /// The line is not one whole audit event.
    pub fn parse(line: &'a [u8]) -> Result<Self, Malformed> {
        scan::scan(line).map_or_else(|| Self::parse_carefully(line), Ok)
    }

    /// Where the fields are in its `line`. `None` if a field of the schema is there twice.
    #[must_use]
    pub fn parts(&self, line: &[u8]) -> Option<Cow<'_, Parts>> {
        match &self.parts {
            Some(parts) => Some(Cow::Borrowed(parts)),
            None => Parts::find(line).map(Cow::Owned),
        }
    }

    fn parse_carefully(line: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(line).map_err(|e| Malformed::NotUtf8(e.valid_up_to()))?;
        // serde would take its items for the fields, in their order.
        let first = text.find(|c: char| !c.is_ascii_whitespace()).unwrap_or_default();
        if text[first..].starts_with('[') {
            return Err(Malformed::NotJson { column: first + 1, category: "wrong type" });
        }
        let fields: Fields<'a> = serde_json::from_str(text).map_err(|e| Malformed::NotJson {
            column: e.column(),
            category: match e.classify() {
                serde_json::error::Category::Eof => "ends too early",
                serde_json::error::Category::Data => "wrong type",
                serde_json::error::Category::Syntax | serde_json::error::Category::Io => "syntax",
            },
        })?;
        if fields.kind.as_ref().is_none_or(|kind| kind.0 != "Event") {
            return Err(Malformed::NotAnEvent);
        }
        let version =
            fields.api_version.and_then(|v| ApiVersion::parse(&v.0)).ok_or(Malformed::NotAnEvent)?;
        let level = fields.level.map_or(Level::None, |level| Level::parse(&level.0));
        Ok(Self { version, level, stage_timestamp: fields.stage_timestamp.map(|text| text.0), parts: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod any_bytes;

    const LINE: &[u8] = br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"1","stageTimestamp":"2026-11-22T02:22:50.248816Z","requestObject":{"a":[1,{"b":"\u003c"}]}}"#;

    #[test]
    fn reads_what_it_needs_without_copying() {
        let event = Event::parse(LINE).unwrap();
        assert_eq!((event.version, event.level), (ApiVersion::V1, Level::Request));
        assert!(matches!(event.stage_timestamp, Some(Cow::Borrowed("2026-11-22T02:22:50.248816Z"))));
    }

    #[test]
    fn refuses_what_is_no_event() {
        let cases: [(&[u8], &str); 10] = [
            (b"I1122 02:16:11.462030 flags.go:59] FLAG", "syntax"),
            (&LINE[..LINE.len() - 3], "ends too early"),
            (b"[]", "wrong type"),
            (br#"["Event","audit.k8s.io/v1",null,null]"#, "wrong type"),
            (b" \t[\"Event\",\"audit.k8s.io/v1\",\"Metadata\",null]", "wrong type"),
            (b"{}", "not an Event"),
            (br#"{"kind":"Event","apiVersion":"v1"}"#, "not an Event"),
            (br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1"}"#, "not an Event"),
            (br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1"}{"kind":"Event"}"#, "syntax"),
            (
                b"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"verb\":\"\xff\"}",
                "not UTF-8 at byte 55",
            ),
        ];
        for (line, expect) in cases {
            let error = Event::parse(line).unwrap_err().to_string();
            assert!(error.contains(expect), "{}: {error}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_deeply_nested_body_is_no_reason_to_refuse_an_event() {
        let line = format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","requestObject":{}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(Event::parse(line.as_bytes()).is_ok());
    }
}
