//! Where an output's requests go: the URL, over which TLS, with which credentials. All of it is renewed while we run.
//!
//! kube-apiserver names its audit webhook by a *kubeconfig* (`--audit-webhook-config-file`), so whatever kubectl can
//! write may stand in it. It is read the way client-go's `clientcmd` does with an explicit path:
//!
//! - The **current context** picks one *cluster* (the endpoint) and at most one *user* (the credentials).
//! - The **server** is the cluster's URL. Over `http` no credentials are read or sent, as in client-go.
//! - The **token file** wins over the inline token once it could be read, and is read again while we run.
//! - An **exec** plugin is run when there is nothing to show yet, before that expires, and after it was refused.
//!
//! Every other server is named by a section of *our own configuration*, which is made into the cluster and the user that
//! a kubeconfig would have. From there on both are the same.
//!
//! Every file that is named is looked at while we run, and all are read again when one has changed: `current.rs` says
//! what takes the place of what. All mistakes are reported together, each with the file and the line it stands on, or
//! with the field of our configuration. No text of a kubeconfig is ever part of a message unless it is a name or a
//! path, since nearly every other field can hold a secret.
//!
//! | file | what it holds |
//! |---|---|
//! | `kubeconfig.rs` | the YAML of a kubeconfig, and the rules of which cluster and user count |
//! | `configured.rs` | the same from a section of our own configuration |
//! | `source.rs` | the cluster and the user that come of either |
//! | `report.rs` | what is wrong with them |
//! | `server.rs` | `server` as the URL that is posted to |
//! | `tls.rs` | certificate authorities, the client certificate |
//! | `verifier.rs` | which certificates of a server are believed |
//! | `credentials.rs` | the `Authorization` header, the token file |
//! | `exec.rs` | commands that print credentials |
//! | `exec/run.rs` | one run of such a command |
//! | `exec/info.rs` | what such a command is told of the cluster |
//! | `client.rs` | all of it as a `reqwest::Client`: proxies, timeouts, `tls-server-name` |
//! | `current.rs` | what is in use, and what takes its place |
//! | `condition.rs` | how its files and certificates are |

mod client;
mod condition;
mod configured;
mod credentials;
mod current;
mod exec;
mod kubeconfig;
mod report;
mod server;
mod source;
mod tls;
mod verifier;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};
use rustix::fs::OFlags;
use tokio::sync::watch;

use crate::config::{self, Server};
use client::Connection;
pub use condition::Condition;
pub use credentials::AccessKey;
use current::Current;
use report::Report;

/// No file that names an endpoint or is named for one is longer; a bundle of all public authorities is a tenth of it.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// One server: URL, TLS, credentials, as they are now.
pub struct Endpoint {
    subject: Subject,
    timeout: Duration,
    current: Mutex<Current>,
    /// Held while files are read again; who comes second finds them read.
    rereading: tokio::sync::Mutex<()>,
    changes: watch::Sender<u64>,
    warnings: Vec<String>,
}

/// What names an endpoint.
enum Subject {
    /// A kubeconfig.
    Kubeconfig(PathBuf),
    /// A section of our own configuration.
    Server(Box<Server>),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubeconfig(path) => path.display().fmt(f),
            Self::Server(server) => server.place.fmt(f),
        }
    }
}

/// What one request is made of.
pub struct Session {
    connection: Arc<Connection>,
    authorization: Option<HeaderValue>,
    access_key: Option<Arc<AccessKey>>,
    generation: u64,
}

impl Endpoint {
    /// Reads the kubeconfig and everything it points to. A credential plugin is not run before it is needed.
    ///
    /// `timeout` limits one request, from connecting to the last byte of the answer.
    ///
    /// # Errors
    ///
    /// All mistakes at once, each naming the file and line or field, and what to do.
    pub fn load(kubeconfig: &Path, timeout: Duration) -> Result<Endpoint, Vec<String>> {
        Self::of(Subject::Kubeconfig(kubeconfig.to_owned()), timeout)
    }

    fn of(subject: Subject, timeout: Duration) -> Result<Endpoint, Vec<String>> {
        let mut report = Report::new(&subject, true);
        match Current::load(&mut report, timeout) {
            Ok(current) if report.errors.is_empty() => Ok(Endpoint {
                current: Mutex::new(current),
                warnings: report.warnings,
                subject,
                timeout,
                rereading: tokio::sync::Mutex::default(),
                changes: watch::Sender::new(0),
            }),
            _ => Err(report.errors),
        }
    }

    /// The endpoint of an output.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::load`].
    pub fn of_output(output: &config::Output) -> Result<Endpoint, Vec<String>> {
        let destination = &output.destination;
        let subject = match (destination.kubeconfig(), destination.server()) {
            (_, Some(server)) => Subject::Server(Box::new(server.clone())),
            (kubeconfig, None) => Subject::Kubeconfig(kubeconfig.unwrap_or(Path::new("")).to_owned()),
        };
        Self::of(subject, output.requests.timeout)
    }

    /// What the next request is made of; runs a credential plugin if need be.
    ///
    /// # Errors
    /// The plugin has nothing to show, in words for people.
    pub async fn session(&self) -> Result<Session, String> {
        loop {
            let plugin = self.current().plugin();
            let Some(plugin) = plugin else { return Ok(self.current().session(None)) };
            let issued = plugin.issued().await?;
            let mut current = self.current();
            // What names the endpoint may say something else by now.
            if current.use_issued(&plugin, &issued)? {
                self.tell(&current);
                return Ok(current.session(Some(&issued)));
            }
        }
    }

    /// Looks whether a kubeconfig or a file that is named has changed, and reads all of them again if so. What cannot be
    /// read leaves what was good in use; that is logged once. Has a credential plugin run again before what it printed
    /// expires.
    pub async fn look(self: &Arc<Self>) {
        {
            let _one = self.rereading.lock().await;
            self.reread(false).await;
        }
        let plugin = self.current().plugin();
        if let Some(plugin) = plugin {
            plugin.refresh().await;
        }
    }

    /// Reads everything again, since the endpoint has refused the credentials of a request. True if the next request
    /// has others than that one.
    pub async fn refused(self: &Arc<Self>, generation: u64) -> bool {
        let _one = self.rereading.lock().await;
        if self.current().generation() == generation {
            self.reread(true).await;
            let plugin = self.current().plugin();
            if let Some(plugin) = plugin {
                plugin.forget();
                // What it cannot print now is said when the next request asks for it.
                let _ = self.session().await;
            }
        }
        self.current().generation() != generation
    }

    /// Reads everything again because an operator wants it, and has a credential plugin run again. Whoever waits for a
    /// change need not wait any longer: it may have been made at the endpoint.
    pub async fn renew(self: &Arc<Self>) {
        let _one = self.rereading.lock().await;
        self.reread(true).await;
        let plugin = self.current().plugin();
        if let Some(plugin) = plugin {
            plugin.forget();
        }
        self.changes.send_modify(|_| ());
    }

    async fn reread(self: &Arc<Self>, in_any_case: bool) {
        let endpoint = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let now = std::time::Instant::now();
            let to_reread = endpoint.current().to_reread(in_any_case, now);
            let mut report = Report::new(&endpoint.subject, false);
            let Some(found) = to_reread.read(&mut report, endpoint.timeout) else { return };
            let mut current = endpoint.current();
            current.replace(found, report, now);
            endpoint.tell(&current);
        });
        if let Err(error) = reading.await {
            tracing::error!(endpoint = %self.subject, %error, "what names the endpoint could not be read again");
        }
    }

    /// Gives up all connections of the session's kind: one of them may be dead, which HTTP/2 does not notice at once.
    /// The next request looks up the host's name again.
    pub fn reconnect(&self, session: &Session) {
        self.current().reconnect(&session.connection);
    }

    /// An answer came from a server with this certificate; `None` over plain http.
    pub fn answered(&self, certificate: Option<&[u8]>) {
        self.current().answered(certificate);
    }

    /// Counts the changes of what [`Endpoint::session`] returns.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How the files are, for metrics.
    pub fn condition(&self) -> Condition {
        self.current().condition()
    }

    /// What an operator should know, to be said once at start: ignored fields, credentials that are not sent,
    /// ...
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// `scheme://host:port/path` for logs; never a query, never credentials.
    pub fn display(&self) -> String {
        self.current().display()
    }

    /// A message that speaks of a kubeconfig, in the words of whatever names this endpoint.
    pub fn in_its_words(&self, message: &str) -> String {
        match self.subject {
            Subject::Kubeconfig(_) => message.to_owned(),
            Subject::Server(_) => configured::in_our_words(message),
        }
    }

    fn tell(&self, current: &Current) {
        let generation = current.generation();
        self.changes.send_if_modified(|told| std::mem::replace(told, generation) != generation);
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // The state is whole between any two statements that change it, so a panic elsewhere cannot spoil it.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("server", &self.display()).finish_non_exhaustive()
    }
}

impl Session {
    /// The client of requests to this endpoint: pooled, with a timeout, without redirects or retries of its own.
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

    /// The `Authorization` header, marked sensitive; `None` without credentials or over plain http.
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// What requests are signed with, where that takes the place of a header.
    pub fn access_key(&self) -> Option<&AccessKey> {
        self.access_key.as_deref()
    }

    /// Which credentials and connection these are, for [`Endpoint::refused`].
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// A whole file, up to [`MAX_FILE_BYTES`]. A pipe would be waited for until somebody opens its other end.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let no_wait = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(no_wait).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than 4 MiB"));
    }
    Ok(bytes)
}
