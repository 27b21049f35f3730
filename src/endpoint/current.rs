//! What is in use of what names an endpoint and of its files, and what takes its place when they change.
//!
//! Three things are kept apart, so that a mistake in one does not keep another from being renewed: the text that
//! names the endpoint, the connection (server, authorities, client certificate, proxy), and the credentials. Each stays as
//! it was last good. A connection that did not change keeps its open connections; one that did begins anew while requests
//! under way end on the old one.
//!
//! Files are looked at by name: a Secret volume renews them by leading a link elsewhere.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use super::client::{Connection, Target};
use super::credentials::{self, Credentials};
use super::exec::{Issued, Plugin};
use super::report::{Report, Reported};
use super::source::{Cluster, Source, User};
use super::{Condition, Session, configured, tls};
use crate::stamp::Stamp;

/// Files that look the same are read again all the same after this long.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Current {
    source: Arc<Source>,
    target: Target,
    connection: Arc<Connection>,
    credentials: Credentials,
    issued: Option<Arc<Issued>>,
    /// The certificate that the server has shown last.
    server_certificate: Option<CertificateDer<'static>>,
    generation: u64,
    stamps: Arc<[Stamp]>,
    read_at: Instant,
    /// What is wrong with the files, and what is worth a word, as it was last said.
    complaints: Vec<String>,
    warnings: Vec<String>,
}

/// What was found when everything was read again.
pub(super) struct Found {
    stamps: Arc<[Stamp]>,
    source: Arc<Source>,
    target: Result<Target, Reported>,
    credentials: Result<Credentials, Reported>,
}

/// What to look at, and what counts if it cannot be read. A look may hang with the file system, so it is no business of
/// those who send requests meanwhile.
pub(super) struct ToReread {
    source: Arc<Source>,
    stamps: Arc<[Stamp]>,
    is_due: bool,
}

impl ToReread {
    /// Reads a kubeconfig, if there is one, and all files that are named, if any of them has changed or it is time.
    pub(super) fn read(self, report: &mut Report<'_>, timeout: Duration) -> Option<Found> {
        let changed = || self.stamps.iter().any(|stamp| stamp.now() != *stamp);
        if !self.is_due && !changed() {
            return None;
        }
        let source = report.source().map_or(self.source, Arc::new);
        Some(read_files(source, report, timeout))
    }
}

fn read_files(source: Arc<Source>, report: &mut Report<'_>, timeout: Duration) -> Found {
    // Before they are read: a write in between is seen at the next look.
    let stamps = stamps(&source, report);
    let target = Target::read(&source, timeout, report);
    if target.as_ref().is_ok_and(|target| !target.is_encrypted()) {
        warn_of_plain_http(&source.cluster, &source.user, report);
    }
    source.user.warn_of_ignored(report);
    let credentials = match &source.server {
        Some(server) => configured::credentials(&server.login, report),
        None if target.as_ref().map_or(true, Target::is_encrypted) => credentials::read(&source, report),
        None => Ok(Credentials::None),
    };
    Found { stamps, source, target, credentials }
}

fn stamps(source: &Source, report: &Report<'_>) -> Arc<[Stamp]> {
    let named = source.paths().map(|path| report.resolve(path));
    report.kubeconfig().map(Path::to_owned).into_iter().chain(named).map(Stamp::of).collect()
}

impl Current {
    /// Reads everything for the first time.
    pub(super) fn load(report: &mut Report<'_>, timeout: Duration) -> Result<Current, Reported> {
        let source = Arc::new(report.source()?);
        let Found { stamps, source, target, credentials } = read_files(source, report, timeout);
        let (target, credentials) = (target?, credentials?);
        let connection = target.connect(None).map_err(|reason| tls_failed(&reason, report))?;
        Ok(Current {
            source,
            target,
            connection: Arc::new(connection),
            credentials,
            issued: None,
            server_certificate: None,
            generation: 0,
            stamps,
            read_at: Instant::now(),
            complaints: Vec::new(),
            warnings: report.warnings.clone(),
        })
    }

    /// What may have to be read again.
    pub(super) fn to_reread(&self, in_any_case: bool, now: Instant) -> ToReread {
        let is_old = now.saturating_duration_since(self.read_at) >= READ_AGAIN_AFTER;
        // What is half done is looked at until it is done.
        let is_due = in_any_case || is_old || !self.complaints.is_empty();
        ToReread { source: Arc::clone(&self.source), stamps: Arc::clone(&self.stamps), is_due }
    }

    /// Puts what is good in the place of what was in use.
    pub(super) fn replace(&mut self, found: Found, mut report: Report<'_>, now: Instant) {
        self.read_at = now;
        if self.is_half_of_a_move(&found) {
            return self.complain(report);
        }
        (self.source, self.stamps) = (found.source, found.stamps);
        let had_issued_identity = self.identity().is_some();
        if let Ok(credentials) = found.credentials
            && !credentials.are(&self.credentials)
        {
            (self.credentials, self.issued) = (credentials, None);
            self.generation += 1;
            tracing::info!(endpoint = %report.subject, "the credentials have been renewed");
        }
        if let Ok(target) = found.target
            && target != self.target
        {
            match target.connect(self.identity()) {
                Ok(connection) => {
                    (self.target, self.connection) = (target, Arc::new(connection));
                    self.generation += 1;
                    let endpoint = self.display();
                    tracing::info!(endpoint, "the connection to the endpoint has been set up anew");
                }
                Err(reason) => drop(tls_failed(&reason, &mut report)),
            }
        }
        if had_issued_identity && self.identity().is_none() {
            // The connection in use still shows the certificate of the user before.
            match self.target.connect(None) {
                Ok(connection) => self.connection = Arc::new(connection),
                Err(reason) => drop(tls_failed(&reason, &mut report)),
            }
        }
        self.complain(report);
    }

    /// Whether another server is named, and something that goes with it cannot be had: neither server may see
    /// the credentials for the other.
    fn is_half_of_a_move(&self, found: &Found) -> bool {
        let server = |source: &Source| source.cluster.server.get().map(str::to_owned);
        let is_move = server(&found.source) != server(&self.source);
        is_move && (found.target.is_err() || found.credentials.is_err())
    }

    /// Says what is wrong with the files, once.
    fn complain(&mut self, report: Report<'_>) {
        for warning in report.warnings.iter().filter(|warning| !self.warnings.contains(warning)) {
            tracing::warn!("{warning}");
        }
        for mistake in report.errors.iter().filter(|mistake| !self.complaints.contains(mistake)) {
            tracing::warn!(mistake, "what was good before stays in use");
        }
        if report.errors.is_empty() && !self.complaints.is_empty() {
            tracing::warn!(endpoint = %report.subject, "its files are good again");
        }
        (self.complaints, self.warnings) = (report.errors, report.warnings);
    }

    /// Takes what a plugin has printed; false if that plugin does not count any more.
    pub(super) fn use_issued(&mut self, plugin: &Arc<Plugin>, issued: &Arc<Issued>) -> Result<bool, String> {
        if !self.plugin().is_some_and(|current| Arc::ptr_eq(&current, plugin)) {
            return Ok(false);
        }
        if self.issued.as_ref().is_some_and(|known| Arc::ptr_eq(known, issued)) {
            return Ok(true);
        }
        let is_new = self.issued.as_ref().is_none_or(|known| !known.is(issued));
        if self.identity() != issued.identity.as_ref() {
            self.connection = Arc::new(self.target.connect(issued.identity.as_ref())?);
        }
        self.issued = Some(Arc::clone(issued));
        self.generation += u64::from(is_new);
        Ok(true)
    }

    pub(super) fn session(&self, issued: Option<&Issued>) -> Session {
        let header = match (&self.credentials, issued) {
            (Credentials::Fixed(header), _) => Some(header),
            (_, Some(issued)) => issued.header.as_ref(),
            _ => None,
        };
        Session {
            connection: Arc::clone(&self.connection),
            authorization: header.and_then(credentials::header),
            access_key: match &self.credentials {
                Credentials::Key(key) => Some(Arc::clone(key)),
                _ => None,
            },
            generation: self.generation,
        }
    }

    /// Sets the connection up anew if it is still the one that failed.
    pub(super) fn reconnect(&mut self, failed: &Arc<Connection>) {
        if !Arc::ptr_eq(&self.connection, failed) {
            return;
        }
        match self.target.connect(self.identity()) {
            Ok(connection) => self.connection = Arc::new(connection),
            Err(reason) => tracing::warn!(reason, "the old connection to the endpoint stays in use"),
        }
    }

    pub(super) fn plugin(&self) -> Option<Arc<Plugin>> {
        self.credentials.plugin().cloned()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn condition(&self) -> Condition {
        Condition {
            is_good: self.complaints.is_empty(),
            client_certificate_expires: self.connection.identity_expires,
            authorities_expire: self.target.authorities_expire(),
            server_certificate_expires: self.server_certificate.as_ref().and_then(tls::not_after),
        }
    }

    /// Keeps what is read when somebody asks: each answer comes with the same one.
    pub(super) fn answered(&mut self, certificate: Option<&[u8]>) {
        if self.server_certificate.as_deref() != certificate {
            self.server_certificate = certificate.map(|der| CertificateDer::from(der.to_owned()));
        }
    }

    pub(super) fn display(&self) -> String {
        let mut url = self.target.url().clone();
        // It may hold a credential.
        url.set_query(None);
        url.to_string()
    }

    /// The client certificate that a plugin has printed.
    fn identity(&self) -> Option<&tls::Identity> {
        self.issued.as_ref().and_then(|issued| issued.identity.as_ref())
    }
}

/// What was read fits together by now, so what is left is the machine's own authorities.
fn tls_failed(reason: &str, report: &mut Report<'_>) -> Reported {
    let message =
        format_args!("TLS cannot be set up ({reason}): set it, or install the machine's authorities");
    report.error(0, "certificate-authority", message)
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
