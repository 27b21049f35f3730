//! What an endpoint is made of: a cluster and a user, in the terms of a kubeconfig.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_saphyr::{Location, Spanned};

use super::configured;
use super::report::Report;
use crate::config::Server;

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
        let of_server = self.server.iter().flat_map(|server| configured::credential_files(&server.login));
        named.into_iter().filter_map(Text::get).map(Path::new).chain(of_server)
    }
}

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
