//! The YAML of a kubeconfig, and which cluster and user of it count.
//!
//! Lax where client-go is: unknown fields, `null` for a list or an entry, entries that nothing refers to, a
//! context whose user does not exist. Strict where it is: types, names given twice, a context or cluster that
//! is named but not there. JSON is YAML.

use std::collections::HashSet;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_saphyr::{Error, Location, Spanned};

use super::{Report, Reported, named};
use crate::config::Server;

/// A text field and its line; absent, `null` and `""` are the same. Secret, since most fields may hold a
/// credential.
#[derive(Default)]
pub(super) struct Text {
    value: Option<SecretString>,
    line: u64,
}

impl Text {
    /// The text, unless it is empty.
    pub(super) fn get(&self) -> Option<&str> {
        self.value.as_ref().map(ExposeSecret::expose_secret)
    }

    /// The line it stands on; 0 if it is absent.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The text where absent and empty are the same, as for names.
    pub(super) fn or_empty(&self) -> &str {
        self.get().unwrap_or_default()
    }
}

impl Text {
    /// A text that stands in no kubeconfig.
    pub(super) fn of(text: Option<&str>) -> Text {
        Text { value: text.map(SecretString::from), line: 0 }
    }

    /// The same of a path.
    pub(super) fn of_path(path: Option<&Path>) -> Text {
        Text::of(path.map(|path| path.to_string_lossy()).as_deref())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        let text = Option::<Spanned<String>>::deserialize(deserializer)?;
        Ok(text.map_or_else(Text::default, |text| Text {
            line: text.referenced.line(),
            value: (!text.value.is_empty()).then(|| SecretString::from(text.value)),
        }))
    }
}

/// Where events go. Fields as in client-go's `clientcmd/api/v1`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Cluster {
    pub(super) server: Text,
    pub(super) tls_server_name: Text,
    pub(super) insecure_skip_tls_verify: Option<Spanned<bool>>,
    pub(super) certificate_authority: Text,
    pub(super) certificate_authority_data: Text,
    pub(super) proxy_url: Text,
    pub(super) disable_compression: Option<bool>,
}

impl Cluster {
    /// Nothing but whether the server is to be checked.
    pub(super) fn checking(is_checked: bool) -> Cluster {
        Cluster {
            insecure_skip_tls_verify: (!is_checked)
                .then(|| Spanned::new(true, Location::UNKNOWN, Location::UNKNOWN)),
            ..Cluster::default()
        }
    }

    pub(super) fn insecure(&self) -> bool {
        self.insecure_skip_tls_verify.as_ref().is_some_and(|insecure| insecure.value)
    }

    /// The line of `insecure-skip-tls-verify`.
    pub(super) fn insecure_line(&self) -> u64 {
        self.insecure_skip_tls_verify.as_ref().map_or(0, |insecure| insecure.referenced.line())
    }

    /// Answers are small; this is only passed on to credential plugins.
    pub(super) fn disable_compression(&self) -> bool {
        self.disable_compression.unwrap_or_default()
    }

    /// The names of the fields that only count over TLS and are set.
    pub(super) fn tls_fields(&self) -> Vec<&'static str> {
        let mut fields = set(&[
            ("certificate-authority", &self.certificate_authority),
            ("certificate-authority-data", &self.certificate_authority_data),
            ("tls-server-name", &self.tls_server_name),
        ]);
        if self.insecure() {
            fields.push("insecure-skip-tls-verify");
        }
        fields
    }
}

/// Who sends them.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct User {
    pub(super) client_certificate: Text,
    pub(super) client_certificate_data: Text,
    pub(super) client_key: Text,
    pub(super) client_key_data: Text,
    pub(super) token: Text,
    #[serde(rename = "tokenFile")]
    pub(super) token_file: Text,
    pub(super) username: Text,
    pub(super) password: Text,
    pub(super) exec: Option<Spanned<Exec>>,
    pub(super) auth_provider: Option<Spanned<IgnoredAny>>,
    pub(super) r#as: Text,
    pub(super) as_uid: Text,
    pub(super) as_groups: Option<Spanned<IgnoredAny>>,
    pub(super) as_user_extra: Option<Spanned<IgnoredAny>>,
}

impl User {
    /// The names of the fields that identify us to the endpoint and are set.
    pub(super) fn credential_fields(&self) -> Vec<&'static str> {
        let mut fields = set(&[
            ("client-certificate", &self.client_certificate),
            ("client-certificate-data", &self.client_certificate_data),
            ("client-key", &self.client_key),
            ("client-key-data", &self.client_key_data),
            ("token", &self.token),
            ("tokenFile", &self.token_file),
            ("username", &self.username),
            ("password", &self.password),
        ]);
        fields.extend(self.exec.as_ref().map(|_| "exec"));
        fields.extend(self.auth_provider.as_ref().map(|_| "auth-provider"));
        fields
    }

    /// Impersonation is for an API server; an audit endpoint has nobody to impersonate.
    pub(super) fn warn_of_ignored(&self, report: &mut Report<'_>) {
        let line =
            |field: &Option<Spanned<IgnoredAny>>| field.as_ref().map_or(0, |any| any.referenced.line());
        for (field, line) in [
            ("as", self.r#as.line()),
            ("as-uid", self.as_uid.line()),
            ("as-groups", line(&self.as_groups)),
            ("as-user-extra", line(&self.as_user_extra)),
        ] {
            if line > 0 {
                let message = "ignored: no Impersonate-* header is sent to an audit endpoint; remove it";
                report.warn(line, field, message);
            }
        }
    }
}

/// A command that prints credentials.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Exec {
    pub(super) command: Text,
    pub(super) args: Option<Vec<Text>>,
    pub(super) env: Option<Vec<Variable>>,
    pub(super) api_version: Text,
    pub(super) install_hint: Text,
    pub(super) provide_cluster_info: Option<bool>,
    pub(super) interactive_mode: Text,
}

/// A variable of its environment.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Variable {
    pub(super) name: Text,
    pub(super) value: Text,
}

/// The names of those fields that are not empty.
fn set(fields: &[(&'static str, &Text)]) -> Vec<&'static str> {
    fields.iter().filter(|(_, text)| text.get().is_some()).map(|(name, _)| *name).collect()
}

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

/// The cluster and the user that count.
pub(super) struct Source {
    pub(super) cluster: Cluster,
    pub(super) user: User,
    /// What they were made of, if no kubeconfig said it.
    pub(super) server: Option<Server>,
}

impl Source {
    /// The files that they name, as they are written.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let (cluster, user) = (&self.cluster, &self.user);
        let named =
            [&cluster.certificate_authority, &user.client_certificate, &user.client_key, &user.token_file];
        let of_server = self.server.iter().flat_map(|server| named::credential_files(&server.login));
        named.into_iter().filter_map(Text::get).map(Path::new).chain(of_server)
    }
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
