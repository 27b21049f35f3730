//! What was found of one output's destination, and how people are told.
//!
//! What a server says of itself, its certificate included, is escaped: a terminal may show it. What it answers is never
//! shown but for the words that a protocol has for what is wrong, since an answer may repeat our credentials.

use std::fmt;
use std::time::Duration;

use crate::config::{Login, Output, Server};
use crate::deliver::Line;
use crate::shown::printable;
use crate::sink::{Answer, Finding, Place, Probe, Wrong};

/// Columns of the names of what was found.
const NAME_COLUMNS: usize = 11;

/// One output, and what was found of its destination.
pub(super) struct Tried {
    output: Output,
    /// Its address, without secrets.
    place: String,
    found: Vec<Found>,
}

/// One thing that was found.
pub(super) enum Found {
    /// How a request was answered.
    Answer(String),
    /// Whom the server says that it is.
    Certificate(String),
    /// For completeness.
    Note(String),
    Shown(String),
    NotShown(String),
    Wrong(Wrong),
}

/// What all of it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// All that can be known without an event is known, and good.
    Good,
    /// Nothing is wrong, and not all is shown.
    Reached,
    /// Events would not get there.
    Failed,
    /// There is nothing to try.
    Untried,
}

impl Tried {
    pub(super) fn new(output: &Output, place: String) -> Self {
        Self { output: output.clone(), place, found: Vec::new() }
    }

    pub(super) fn name(&self) -> &str {
        &self.output.name
    }

    pub(super) fn add(&mut self, found: Found) {
        self.found.push(found);
    }

    pub(super) fn extend(&mut self, found: Option<Found>) {
        self.found.extend(found);
    }

    pub(super) fn add_finding(&mut self, finding: Finding) {
        self.extend(match finding {
            Finding::Shown(what) => Some(Found::Shown(what)),
            Finding::NotShown(what) => Some(Found::NotShown(what)),
            Finding::Wrong(wrong) => Some(Found::Wrong(wrong)),
            Finding::Again => None,
        });
    }

    /// Notes how `probe` was answered; the first time also by whom.
    pub(super) fn add_answer(&mut self, probe: &Probe<'_>, answer: &Answer, line: &Line, took: Duration) {
        let path = probe.request.target.split('?').next().unwrap_or_default();
        let space = if path.is_empty() { "" } else { " " };
        self.add(Found::Answer(format!(
            "{}{space}{path}: status {}, {}, {} ms",
            probe.method,
            answer.status,
            line.versions(),
            took.as_millis()
        )));
        let is_known = self.found.iter().any(|found| matches!(found, Found::Certificate(_)));
        if let Some(certificate) = line.certificate().filter(|_| !is_known) {
            let expires = certificate.expires.map(|at| format!(", expires {at}")).unwrap_or_default();
            self.add(Found::Certificate(format!(
                "{}, signed by {}{expires}",
                certificate.subject, certificate.issuer
            )));
        }
    }

    /// There was no complete answer.
    pub(super) fn unreachable(&self, what: String) -> Wrong {
        let has = |word| what.contains(word);
        let what_to_do = if has("proxy") {
            self.look_at("proxy-url", "proxyUrl") + ", or at the proxy that the environment names"
        } else if has("client certificate") {
            self.look_at("client-certificate and client-key", "tls.certFile and tls.keyFile")
        } else if has("certificate") {
            self.look_at(
                "certificate-authority, tls-server-name and server",
                "tls.caFile, tls.serverName and url",
            )
        } else if self.place.starts_with("https:") && (has("closed") || has("reset")) {
            // With TLS 1.3 a server misses our certificate when we believe to be connected already.
            let certificate =
                self.look_at("client-certificate and client-key", "tls.certFile and tls.keyFile");
            format!(
                "{}; if the endpoint wants a client certificate, {certificate}",
                self.look_at("server", "url")
            )
        } else {
            self.look_at("server", "url")
        };
        Wrong { what, place: Place::Told(what_to_do) }
    }

    pub(super) fn state(&self) -> State {
        let has = |is: fn(&Found) -> bool| self.found.iter().any(is);
        if has(|found| matches!(found, Found::Wrong(_))) {
            State::Failed
        } else if has(|found| matches!(found, Found::NotShown(_))) {
            State::Reached
        } else if has(|found| matches!(found, Found::Shown(_))) {
            State::Good
        } else {
            State::Untried
        }
    }

    fn what_to_do(&self, place: &Place) -> String {
        match place {
            Place::Credentials => self.credentials(),
            Place::Address => self.look_at("server", "url"),
            Place::Endpoint => "nothing here; `run` waits, and tries again until it is taken".to_owned(),
            Place::Told(what) => what.clone(),
        }
    }

    fn credentials(&self) -> String {
        let Some(server) = self.output.destination.server() else {
            return self.look_at("the user", "");
        };
        match &server.login {
            Login::Token { file, field, .. } => named(server, &format!("{field} ({})", file.display())),
            Login::Basic { password_file, .. } => named(
                server,
                &format!("basicAuth.username and basicAuth.passwordFile ({})", password_file.display()),
            ),
            Login::Key { id_file, secret_file, security_token_file } => {
                let files: Vec<String> = [Some(id_file), Some(secret_file), security_token_file.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(|file| file.display().to_string())
                    .collect();
                let fields = "accessKeyIdFile, accessKeySecretFile and securityTokenFile";
                named(server, &format!("{fields} ({})", files.join(", ")))
            }
            Login::None => {
                named(server, "the credentials, of which there are none, and at headers and tls.certFile")
            }
        }
    }

    /// The fields of a kubeconfig, or ours.
    fn look_at(&self, of_kubeconfig: &str, ours: &str) -> String {
        let destination = &self.output.destination;
        match (destination.server(), destination.kubeconfig()) {
            (Some(server), _) => named(server, ours),
            (None, Some(path)) => format!("look at {of_kubeconfig} in {}", path.display()),
            (None, None) => format!("look at {ours}"),
        }
    }
}

fn named(server: &Server, fields: &str) -> String {
    format!("look at {fields} of {}", server.place)
}

impl fmt::Display for Tried {
    /// A line with the result, and one for each thing that was found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = match self.state() {
            State::Good => "good",
            State::Reached => "reached; not everything can be shown without an event",
            State::Failed => "FAILED",
            State::Untried => "nothing to try",
        };
        writeln!(f, "{}: {result}", self.name())?;
        let mut line = |name: &str, what: &str| writeln!(f, "  {name:NAME_COLUMNS$}  {}", printable(what));
        line("destination", &format!("{} {}", self.output.destination.name(), self.place))?;
        for found in &self.found {
            match found {
                Found::Answer(what) => line("answer", what)?,
                Found::Certificate(what) => line("certificate", what)?,
                Found::Note(what) => line("note", what)?,
                Found::Shown(what) => line("shown", what)?,
                Found::NotShown(what) => line("not shown", what)?,
                Found::Wrong(Wrong { what, place }) => {
                    line("wrong", what)?;
                    line("to do", &self.what_to_do(place))?;
                }
            }
        }
        Ok(())
    }
}
