//! What kube-apiserver checks of a policy, in its words (kubernetes-audit.md, section 10).

use super::fields::{Findings, Text};
use crate::event::Level;
use crate::policy::{STAGES, Stages};

const LEVELS: [Level; 4] = [Level::None, Level::Metadata, Level::Request, Level::RequestResponse];
const LONGEST_SUBDOMAIN: usize = 253;

pub(super) fn level(text: Text<'_>, path: &str, findings: &Findings<'_>) -> Level {
    let Some(name) = text.text else { return Level::None };
    if let Some(level) = LEVELS.into_iter().find(|level| level.as_str() == name) {
        return level;
    }
    if name.is_empty() {
        findings.mistake(text.line, path, "Required value");
    } else {
        let supported = LEVELS.map(|level| format!("{:?}", level.as_str())).join(", ");
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
