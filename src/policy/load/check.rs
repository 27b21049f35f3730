//! What kube-apiserver checks of a policy, in its words (kubernetes-audit.md, section 10), and the like of a match.

use std::ops::RangeInclusive;

use super::fields::{Findings, Text};
use crate::event::Level;
use crate::policy::{ResponseCode, STAGES, Stages};
use crate::yaml::{Node, Value};

/// Those that a policy may ask for; the first is the one of which nothing is recorded.
const LEVELS: [Level; 4] = [Level::None, Level::Metadata, Level::Request, Level::RequestResponse];
const LONGEST_SUBDOMAIN: usize = 253;
const CODES: RangeInclusive<u16> = 100..=599;

pub(super) fn level(text: Text<'_>, path: &str, findings: &Findings<'_>) -> Level {
    level_of(&LEVELS, text, path, findings)
}

/// The same of an event: there is none at level None.
pub(super) fn recorded_level(text: Text<'_>, path: &str, findings: &Findings<'_>) -> Level {
    level_of(&LEVELS[1..], text, path, findings)
}

fn level_of(levels: &[Level], text: Text<'_>, path: &str, findings: &Findings<'_>) -> Level {
    let Some(name) = text.text else { return Level::None };
    if let Some(level) = levels.iter().find(|level| level.as_str() == name) {
        return *level;
    }
    if name.is_empty() {
        findings.mistake(text.line, path, "Required value");
    } else {
        let supported: Vec<String> = levels.iter().map(|level| format!("{:?}", level.as_str())).collect();
        let supported = supported.join(", ");
        let what = format_args!("Unsupported value: {name:?}: supported values: {supported}");
        findings.mistake(text.line, path, what);
    }
    Level::None
}

pub(super) fn stage(text: Text<'_>, path: &str, findings: &Findings<'_>) -> Stages {
    let Some(name) = text.text else { return Stages::default() };
    Stages::parse(name).unwrap_or_else(|| {
        let allowed = STAGES.join(",");
        findings.mistake(
            text.line,
            path,
            format_args!("Invalid value: {name:?}: allowed stages are {allowed}"),
        );
        Stages::default()
    })
}

/// The code of a response, or a class of them, which only a match asks for.
pub(super) fn response_code(node: &Node, path: &str, findings: &Findings<'_>) -> Option<ResponseCode> {
    let found = match &node.value {
        Value::Int(code) => {
            u16::try_from(*code).ok().filter(|code| CODES.contains(code)).map(ResponseCode::One)
        }
        Value::Text(text) => match text.as_bytes() {
            [digit @ b'1'..=b'5', b'x', b'x'] => Some(ResponseCode::Class(u16::from(digit - b'0'))),
            _ => None,
        },
        _ => None,
    };
    if found.is_none() {
        let shown = match &node.value {
            Value::Int(code) => code.to_string(),
            Value::Text(text) => format!("{text:?}"),
            other => other.kind().to_owned(),
        };
        let what = format_args!(
            "Invalid value: {shown}: legal are numbers from 100 to 599, and classes such as \"4xx\""
        );
        findings.mistake(node.line, path, what);
    }
    found
}

pub(super) fn non_resource_url(text: Text<'_>, path: &str, findings: &Findings<'_>) {
    let invalid = |url: &str, what: &str| {
        findings.mistake(text.line, path, format_args!("Invalid value: {url:?}: non-resource URL {what}"));
    };
    let Some(url) = text.text.filter(|url| *url != "*") else { return };
    if !url.starts_with('/') {
        invalid(url, "rules must begin with a '/' character");
    }
    if url.find('*').is_some_and(|at| at + 1 < url.len()) {
        invalid(url, "wildcards '*' must be the final character of the rule");
    }
}

/// An API group; no name is the core group, and `*` all of them.
pub(super) fn group(text: Text<'_>, path: &str, findings: &Findings<'_>) {
    let Some(name) = text.text.filter(|name| !matches!(*name, "" | "*")) else { return };
    let too_long = format!("must be no more than {LONGEST_SUBDOMAIN} characters");
    let no_subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                        and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                        validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    let mut wrong = Vec::new();
    if name.len() > LONGEST_SUBDOMAIN {
        wrong.push(too_long.as_str());
    }
    if !name.split('.').all(is_label) {
        wrong.push(no_subdomain);
    }
    if !wrong.is_empty() {
        findings.mistake(text.line, path, format_args!("Invalid value: {name:?}: {}", wrong.join(",")));
    }
}

fn is_label(label: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = label.as_bytes();
    bytes.first().is_some_and(|first| is_alphanumeric(*first))
        && bytes.last().is_some_and(|last| is_alphanumeric(*last))
        && bytes.iter().all(|byte| is_alphanumeric(*byte) || *byte == b'-')
}

/// A list of strings as kube-apiserver prints it, which is how Go would write it.
pub(super) fn show_list(texts: &[Text<'_>]) -> String {
    let texts: Vec<String> =
        texts.iter().map(|text| format!("{:?}", text.text.unwrap_or_default())).collect();
    format!("[]string{{{}}}", texts.join(", "))
}
