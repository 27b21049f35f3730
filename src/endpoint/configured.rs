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
const FIELDS: [(&str, &str); 13] = [
    ("certificate-authority of the kubeconfig", "tls.caFile"),
    ("the server in the kubeconfig", "the URL"),
    ("set client-certificate and client-key", "set tls.certFile and tls.keyFile"),
    ("credentials in proxy-url", "credentials in proxyUrl"),
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

/// What a file holds, without blanks around, and without the mark that some editors put before all they save as UTF-8:
/// nobody could see what is wrong.
fn read(path: &Path, field: &str, report: &mut Report<'_>) -> Result<SecretString, Reported> {
    let bytes = read_file(path)
        .map_err(|error| report.error(0, field, format_args!("cannot read {}: {error}", path.display())))?;
    let text = String::from_utf8(bytes).map(SecretString::from);
    let text = text.as_ref().map(|text| text.expose_secret().trim_start_matches('\u{feff}').trim());
    match text {
        Ok("") => Err(report.error(0, field, format_args!("{} is empty", path.display()))),
        Ok(text) if !text.chars().any(char::is_control) => Ok(SecretString::from(text)),
        _ => Err(report.error(0, field, format_args!("{} must hold one line of text", path.display()))),
    }
}

/// A message in the words of our configuration.
pub(super) fn in_our_words(message: &str) -> String {
    FIELDS.iter().fold(message.to_owned(), |message, (theirs, ours)| replaced(&message, theirs, ours))
}

/// With `ours` for `theirs`, but not within a path.
fn replaced(message: &str, theirs: &str, ours: &str) -> String {
    let (mut out, mut rest) = (String::new(), message);
    while let Some((before, behind)) = rest.split_once(theirs) {
        out.push_str(before);
        let is_in_path =
            before.ends_with(['/', '-', '_', '.']) || behind.starts_with(['/', '_']) || is_ending(behind);
        out.push_str(if is_in_path { theirs } else { ours });
        rest = behind;
    }
    out + rest
}

/// Whether `text` begins as the ending of a file's name does.
fn is_ending(text: &str) -> bool {
    text.strip_prefix('.').is_some_and(|text| text.starts_with(|first: char| first.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::endpoint::Subject;

    #[test]
    fn a_file_holds_one_line_and_nothing_that_cannot_be_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let subject = Subject::Kubeconfig(path.clone());
        for (content, expect) in [
            (&b"s3cret"[..], Ok("s3cret")),
            (b"s3cret\n", Ok("s3cret")),
            (b" s3cret \r\n\n", Ok("s3cret")),
            (b"\xef\xbb\xbfs3cret\r\n", Ok("s3cret")),
            (b"", Err("is empty")),
            (b" \n", Err("is empty")),
            (b"\xef\xbb\xbf\n", Err("is empty")),
            (b"s3\ncret", Err("must hold one line of text")),
            (b"s3\0cret", Err("must hold one line of text")),
            (b"s3\xffcret", Err("must hold one line of text")),
        ] {
            fs::write(&path, content).unwrap();
            let mut report = Report::new(&subject, true);
            let found = read(&path, "bearerTokenFile", &mut report);
            let told = report.errors.join("\n");
            match expect {
                Ok(expect) => assert_eq!(found.ok().unwrap().expose_secret(), expect),
                Err(expect) => {
                    assert!(told.contains(expect) && !told.contains("cret"), "{content:?}: {told}");
                }
            }
        }
    }

    #[test]
    fn names_of_files_stay_as_they_are() {
        for (message, ours) in [
            ("client-key: cannot read /pki/client-key.pem", "tls.keyFile: cannot read /pki/client-key.pem"),
            ("certificate-authority.crt is empty", "certificate-authority.crt is empty"),
            ("set tls-server-name.", "set tls.serverName."),
            ("/etc/my-proxy-url: no proxy-url", "/etc/my-proxy-url: no proxyUrl"),
        ] {
            assert_eq!(in_our_words(message), ours);
        }
    }
}
