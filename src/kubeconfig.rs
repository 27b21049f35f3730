//! The webhook's kubeconfig: where batches go, over which TLS, with which credentials.
//!
//! kube-apiserver names its audit webhook by a kubeconfig (`--audit-webhook-config-file`), so whatever
//! kubectl can write may stand in it. This module reads it the way client-go's `clientcmd` does with an
//! explicit path:
//!
//! - The **current context** picks one *cluster* (the endpoint) and at most one *user* (the credentials).
//! - The **server** is the cluster's URL. Over `http` no credentials are read or sent, as in client-go.
//! - The **token file** wins over the inline token once it could be read, and is read again while we run.
//!
//! Everything else is fixed at load: a changed kubeconfig, certificate or key takes a restart. All mistakes
//! are reported together, each with the file and the line it stands on. No text of a kubeconfig is ever part
//! of a message unless it is a name or a path, since nearly every other field can hold a secret.
//!
//! | file | what it holds |
//! |---|---|
//! | `file.rs` | the YAML, and the rules of which cluster and user count |
//! | `server.rs` | `server` as the URL that is posted to |
//! | `tls.rs` | certificate authorities, the client certificate |
//! | `credentials.rs` | the `Authorization` header, the token file |
//! | `client.rs` | all of it as a `reqwest::Client`: proxies, timeouts, `tls-server-name` |

mod client;
mod credentials;
mod file;
mod server;
mod tls;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};

use client::Connection;
use credentials::Credentials;
use file::{Cluster, User};
use tls::Tls;

/// No file that a kubeconfig is or points to is longer; a bundle of all public authorities is a tenth of it.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The endpoint that a kubeconfig names: URL, TLS, credentials.
pub struct Endpoint {
    connection: Connection,
    credentials: Credentials,
    warnings: Vec<String>,
    display: String,
}

impl Endpoint {
    /// Reads the kubeconfig and everything it points to.
    ///
    /// `timeout` limits one request, from connecting to the last byte of the answer.
    ///
    /// # Errors
    ///
    /// All mistakes at once, each naming the file and line or field, and what to do.
    pub fn load(kubeconfig: &Path, timeout: Duration) -> Result<Endpoint, Vec<String>> {
        let mut report = Report::new(kubeconfig);
        match read(&mut report, timeout) {
            Ok(endpoint) if report.errors.is_empty() => {
                Ok(Endpoint { warnings: report.warnings, ..endpoint })
            }
            _ => Err(report.errors),
        }
    }

    /// The client of all requests to this endpoint: pooled, with a timeout, without redirects or retries of
    /// its own.
    pub fn client(&self) -> &reqwest::Client {
        &self.connection.client
    }

    /// The URL that batches are posted to.
    ///
    /// With `tls-server-name` its host is that name; [`Endpoint::display`] keeps the host that is connected
    /// to.
    pub fn url(&self) -> &Url {
        &self.connection.url
    }

    /// Extra headers of each request, such as `Host` when `tls-server-name` replaced the URL's host; not the
    /// credentials.
    pub fn headers(&self) -> &HeaderMap {
        &self.connection.headers
    }

    /// The `Authorization` header of the next request, marked sensitive; `None` without credentials or over
    /// plain http.
    ///
    /// Reads the token file again when the last look is 50 s old or the file's time of modification changed.
    /// While the file is bad, the last good token stays in use.
    pub fn authorization(&self) -> Option<HeaderValue> {
        self.credentials.authorization(std::time::Instant::now())
    }

    /// Makes the next [`Endpoint::authorization`] read the token file again; for use after a 401.
    pub fn forget_token(&self) {
        self.credentials.forget_token();
    }

    /// What an operator should know, to be said once at start: ignored fields, credentials that are not sent,
    /// ...
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// `scheme://host:port/path` for logs; never a query, never credentials.
    pub fn display(&self) -> String {
        self.display.clone()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("server", &self.display).finish_non_exhaustive()
    }
}

/// Everything that `load` does; what is wrong ends in the report, and the rest is looked at nevertheless.
fn read(report: &mut Report<'_>, timeout: Duration) -> Result<Endpoint, Reported> {
    let (cluster, user) = file::read(report)?;
    let url = server::parse(&cluster, &user, report);
    let (tls, credentials) = if url.as_ref().map_or(true, |url| url.scheme() == "https") {
        (Tls::read(&cluster, &user, report).map(Some), credentials::read(&user, report))
    } else {
        warn_of_plain_http(&cluster, &user, report);
        (Ok(None), Ok(Credentials::None))
    };
    user.warn_of_ignored(report);
    let proxy = client::proxy(&cluster, report);
    let name = client::server_name(&cluster, url.as_ref().ok(), report);
    let (url, tls, credentials) = (url?, tls?, credentials?);
    let display = url.to_string();
    let connection = client::connect(url, tls, proxy?, name?, timeout, report)?;
    Ok(Endpoint { connection, credentials, warnings: Vec::new(), display })
}

fn warn_of_plain_http(cluster: &Cluster, user: &User, report: &mut Report<'_>) {
    let line = cluster.server.line();
    let credentials = user.credential_fields();
    if !credentials.is_empty() {
        let fields = are(&credentials);
        let message =
            format_args!("plain http: {fields} not read and not sent; use https for a credential to count");
        report.warn(line, "server", message);
    }
    let tls = cluster.tls_fields();
    if !tls.is_empty() {
        let fields = are(&tls);
        report.warn(line, "server", format_args!("plain http: {fields} ignored; use https for it to count"));
    }
}

/// `token is`, or `token, tokenFile are`.
fn are(fields: &[&str]) -> String {
    let verb = if fields.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", fields.join(", "))
}

/// A mistake that is in the report already: the reader of the field has nothing to return.
#[derive(Debug, Clone, Copy)]
struct Reported;

/// Collects what is wrong and what is worth a word, each with its place in the kubeconfig.
struct Report<'a> {
    kubeconfig: &'a Path,
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl<'a> Report<'a> {
    fn new(kubeconfig: &'a Path) -> Report<'a> {
        Report { kubeconfig, errors: Vec::new(), warnings: Vec::new() }
    }

    /// Returns the proof that there is something to say, for the caller to return.
    fn error(&mut self, line: u64, field: &str, message: impl fmt::Display) -> Reported {
        self.errors.push(self.place(line, field, message));
        Reported
    }

    fn warn(&mut self, line: u64, field: &str, message: impl fmt::Display) {
        self.warnings.push(self.place(line, field, message));
    }

    /// `file:line: field: message`; line 0 and an empty field are left out.
    fn place(&self, line: u64, field: &str, message: impl fmt::Display) -> String {
        let file = self.kubeconfig.display();
        let line = if line > 0 { format!(":{line}") } else { String::new() };
        let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
        format!("{file}{line}: {field}{message}")
    }

    /// A path of the kubeconfig: relative ones start at the kubeconfig's directory.
    fn resolve(&self, path: &str) -> PathBuf {
        self.kubeconfig.parent().map_or_else(|| PathBuf::from(path), |directory| directory.join(path))
    }
}

/// A whole file, up to [`MAX_FILE_BYTES`].
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than 4 MiB"));
    }
    Ok(bytes)
}
