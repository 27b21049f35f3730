//! An endpoint that the configuration names itself, as the cluster and the user that a kubeconfig would have: so all that
//! is known of TLS, proxies and renewal holds for both.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use super::credentials::{AccessKey, Credentials};
use super::read_file;
use super::report::{Report, Reported};
use super::source::{Cluster, Source, Text, User};
use crate::config::{Login, Server};

/// A kubeconfig's names of fields, and ours. Longer names come first.
const FIELDS: [(&str, &str); 9] = [
    ("set client-key or client-key-data", "set tls.keyFile"),
    ("set client-certificate or client-certificate-data", "set tls.certFile"),
    ("insecure-skip-tls-verify", "tls.insecureSkipVerify"),
    ("certificate-authority", "tls.caFile"),
    ("client-certificate", "tls.certFile"),
    ("tls-server-name", "tls.serverName"),
    ("client-key", "tls.keyFile"),
    ("proxy-url", "proxyUrl"),
    ("the host of `server`", "the host of the URL"),
];

/// What `server` would be in a kubeconfig.
pub(super) fn source(server: &Server) -> Source {
    let file = |path: &Option<std::path::PathBuf>| Text::of_path(path.as_deref());
    let tls = &server.tls;
    let cluster = Cluster {
        server: Text::of(Some(server.url.as_str())),
        tls_server_name: Text::of(tls.server_name.as_deref()),
        certificate_authority: file(&tls.ca_file),
        proxy_url: Text::of(server.proxy_url.as_deref()),
        ..Cluster::checking(!tls.insecure_skip_verify)
    };
    let user =
        User { client_certificate: file(&tls.cert_file), client_key: file(&tls.key_file), ..User::default() };
    Source { cluster, user, server: Some(server.clone()) }
}

/// The files of credentials.
pub(super) fn credential_files(login: &Login) -> Vec<&Path> {
    match login {
        Login::None => Vec::new(),
        Login::Token { file, .. } => vec![file],
        Login::Basic { password_file, .. } => vec![password_file],
        Login::Key { id_file, secret_file, security_token_file } => {
            let files = [Some(id_file), Some(secret_file), security_token_file.as_ref()];
            files.into_iter().flatten().map(std::path::PathBuf::as_path).collect()
        }
    }
}

/// Reads them.
pub(super) fn credentials(login: &Login, report: &mut Report<'_>) -> Result<Credentials, Reported> {
    let credentials = match login {
        Login::None => Credentials::None,
        Login::Token { scheme, file, field } => {
            let token = read(file, field, report)?;
            Credentials::Fixed(SecretString::from(format!("{scheme} {}", token.expose_secret())))
        }
        Login::Basic { username, password_file } => {
            let password = read(password_file, "basicAuth.passwordFile", report)?;
            let pair = SecretString::from(format!("{username}:{}", password.expose_secret()));
            Credentials::Fixed(SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret()))))
        }
        Login::Key { id_file, secret_file, security_token_file } => {
            let id = read(id_file, "accessKeyIdFile", report);
            let secret = read(secret_file, "accessKeySecretFile", report);
            let token = security_token_file.as_ref().map(|file| read(file, "securityTokenFile", report));
            let (id, secret, security_token) = (id?, secret?, token.transpose()?);
            let id = id.expose_secret().to_owned();
            Credentials::Key(std::sync::Arc::new(AccessKey { id, secret, security_token }))
        }
    };
    Ok(credentials)
}

/// What a file holds, without the line break at its end.
fn read(path: &Path, field: &str, report: &mut Report<'_>) -> Result<SecretString, Reported> {
    let bytes = read_file(path)
        .map_err(|error| report.error(0, field, format_args!("cannot read {}: {error}", path.display())))?;
    let is_legal = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    match String::from_utf8(bytes).map(SecretString::from) {
        Ok(text) if is_legal(text.expose_secret().trim()) => {
            Ok(SecretString::from(text.expose_secret().trim()))
        }
        Ok(text) if text.expose_secret().trim().is_empty() => {
            Err(report.error(0, field, format_args!("{} is empty", path.display())))
        }
        _ => {
            let what = format_args!("{} must hold one line of text", path.display());
            Err(report.error(0, field, what))
        }
    }
}

/// A message in the words of our configuration.
pub(super) fn in_our_words(message: &str) -> String {
    FIELDS.iter().fold(message.to_owned(), |message, (theirs, ours)| message.replace(theirs, ours))
}
