//! The YAML of a kubeconfig, and which cluster and user of it count.
//!
//! Lax where client-go is: unknown fields, `null` for a list or an entry, entries that nothing refers to, a
//! context whose user does not exist. Strict where it is: types, names given twice, a context or cluster that
//! is named but not there. JSON is YAML.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;
use serde_saphyr::Error;

use super::report::{Report, Reported};
use super::source::{Cluster, Source, Text, User};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Document {
    kind: Text,
    #[serde(rename = "apiVersion")]
    api_version: Text,
    current_context: Text,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
    contexts: Option<Vec<NamedContext>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedCluster {
    name: Text,
    cluster: Option<Cluster>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedUser {
    name: Text,
    user: Option<User>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedContext {
    name: Text,
    context: Option<Context>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: Text,
    user: Text,
}

/// Reads the kubeconfig and picks the cluster and the user of its current context.
pub(super) fn read(kubeconfig: &Path, report: &mut Report<'_>) -> Result<Source, Reported> {
    let bytes = super::read_file(kubeconfig)
        .map_err(|error| report.error(0, "", format_args!("cannot read the kubeconfig: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| report.error(0, "", "not UTF-8: a kubeconfig is YAML or JSON text"))?;
    // no_schema: an unquoted number or boolean is no text, as for client-go. A snippet would show
    // neighbouring secrets.
    let options = serde_saphyr::options! { no_schema: true, with_snippet: false };
    let mut documents =
        serde_saphyr::from_multiple_with_options::<Document>(&text, options).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            report.error(line, "", explain(&error))
        })?;
    let document = documents.pop().unwrap_or_default();
    if !documents.is_empty() {
        return Err(report.error(0, "", "more than one YAML document: keep one kubeconfig"));
    }
    select(document, report)
}

/// The mistake without the offending text, which may be a secret in the wrong place.
fn explain(error: &Error) -> String {
    match error.without_snippet() {
        Error::QuotingRequired { .. } => {
            "a number or boolean where text is expected: put it in quotes".to_owned()
        }
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("wrong type: expected {expected}")
        }
        Error::DuplicateMappingKey { .. } => "a field is given twice: remove one".to_owned(),
        Error::InvalidScalar { ty, .. } => format!("wrong type: expected {ty}"),
        Error::AliasError { error, .. } => explain(error),
        Error::UnknownAnchor { .. } => "an alias without its anchor".to_owned(),
        Error::Eof { .. } => "the file ends in the middle of a value".to_owned(),
        Error::Unexpected { expected, .. } => format!("wrong type: expected {expected}"),
        _ => "not YAML from here on: `kubectl config view --kubeconfig FILE` may say more".to_owned(),
    }
}

fn select(document: Document, report: &mut Report<'_>) -> Result<Source, Reported> {
    expect_or_absent("kind", &document.kind, "Config", report);
    expect_or_absent("apiVersion", &document.api_version, "v1", report);
    let mut clusters = document.clusters.unwrap_or_default();
    let mut users = document.users.unwrap_or_default();
    let mut contexts = document.contexts.unwrap_or_default();
    refuse_duplicates("clusters", clusters.iter().map(|entry| &entry.name), report);
    refuse_duplicates("users", users.iter().map(|entry| &entry.name), report);
    refuse_duplicates("contexts", contexts.iter().map(|entry| &entry.name), report);

    let current = &document.current_context;
    let context = take(&mut contexts, |entry| entry.name.or_empty() == current.or_empty());
    let context = match (context, current.get()) {
        (Some(entry), _) => entry.context.unwrap_or_default(),
        (None, None) => Context::default(),
        (None, Some(name)) => {
            let message = format_args!("there is no context {name:?}: name one of `contexts`");
            return Err(report.error(current.line(), "current-context", message));
        }
    };
    // client-go does not require the user: without one, requests carry no credentials.
    let user = take(&mut users, |entry| entry.name.or_empty() == context.user.or_empty());
    let user = user.and_then(|entry| entry.user).unwrap_or_default();
    let cluster = take(&mut clusters, |entry| entry.name.or_empty() == context.cluster.or_empty());
    match (cluster, context.cluster.get()) {
        (Some(entry), _) => Ok(Source { cluster: entry.cluster.unwrap_or_default(), user, server: None }),
        (None, Some(name)) => {
            let message = format_args!("there is no cluster {name:?}: name one of `clusters`");
            Err(report.error(context.cluster.line(), "cluster", message))
        }
        (None, None) => {
            let message = "no cluster is chosen: set it to a context that names one of `clusters`";
            Err(report.error(current.line(), "current-context", message))
        }
    }
}

/// The first entry that fits, out of the list.
fn take<T>(entries: &mut Vec<T>, fits: impl Fn(&T) -> bool) -> Option<T> {
    let index = entries.iter().position(fits)?;
    Some(entries.swap_remove(index))
}

fn expect_or_absent(field: &str, text: &Text, expected: &str, report: &mut Report<'_>) {
    if text.get().is_some_and(|value| value != expected) {
        report.error(text.line(), field, format_args!("must be {expected}: this is not a kubeconfig"));
    }
}

fn refuse_duplicates<'a>(list: &str, names: impl Iterator<Item = &'a Text>, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name.or_empty()) {
            let text = name.or_empty();
            report.error(
                name.line(),
                list,
                format_args!("the name {text:?} is given twice: rename or remove one"),
            );
        }
    }
}
