//! Credential plugins: a command that prints who we are (client.authentication.k8s.io, the `exec` of a user).
//!
//! It is run when there is nothing to show yet, when nine tenths of the life of what it printed are over (beside the
//! requests, which go on with that), and after the endpoint has refused it. While it fails, what it printed before stays
//! in use until it expires. It has no terminal.

mod info;
mod run;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{Access, access};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::Instant;

use super::credentials;
use super::report::{Report, Reported};
use super::source::{Cluster, Exec};
use super::tls::Identity;

const V1: &str = "client.authentication.k8s.io/v1";
const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";
/// A plugin that takes longer is killed.
const LONGEST_RUN: Duration = Duration::from_secs(60);
/// A plugin that prints what has expired already, or nothing, is not run more often.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);
/// A plugin that prints more has printed no credential.
const MOST_PRINTED_BYTES: u64 = 1 << 20;

/// A command, and what it printed last.
pub(super) struct Plugin {
    command: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    api_version: &'static str,
    /// `KUBERNETES_EXEC_INFO`.
    info: String,
    install_hint: Option<String>,
    state: Mutex<State>,
    /// Held while the command runs.
    running: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    issued: Option<Arc<Issued>>,
    /// Not before this after a run that has not helped.
    run_again_at: Option<Instant>,
    /// The endpoint has refused it.
    stale: bool,
    /// Why the last run failed.
    failure: Option<String>,
}

/// What a plugin has printed.
pub(super) struct Issued {
    pub(super) header: Option<SecretString>,
    pub(super) identity: Option<Identity>,
    expires: Option<Timestamp>,
    refresh_at: Option<Timestamp>,
}

impl Issued {
    fn is_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= Timestamp::now())
    }

    fn is_due(&self) -> bool {
        self.refresh_at.is_some_and(|at| at <= Timestamp::now())
    }

    /// Whether this says the same of us as `other`.
    pub(super) fn is(&self, other: &Issued) -> bool {
        let header = |issued: &Self| issued.header.as_ref().map(|header| header.expose_secret().to_owned());
        header(self) == header(other) && self.identity == other.identity
    }
}

impl State {
    fn usable(&self) -> Option<&Arc<Issued>> {
        self.issued.as_ref().filter(|issued| !issued.is_expired())
    }

    /// Whether the last run is long enough ago, if it has not helped.
    fn may_run(&self) -> bool {
        self.run_again_at.is_none_or(|at| at <= Instant::now())
    }

    /// Takes what a run has come to.
    fn take(&mut self, result: Result<Issued, String>, command: &Path) {
        let helped = result.as_ref().is_ok_and(|issued| !issued.is_due());
        self.run_again_at = (!helped).then(|| Instant::now() + SHORTEST_INTERVAL);
        self.stale = false;
        match result {
            Ok(issued) => {
                self.issued = Some(Arc::new(issued));
                if self.failure.take().is_some() {
                    tracing::warn!(command = %command.display(), "the credential plugin works again");
                }
            }
            Err(reason) => {
                if self.failure.is_none() && self.issued.is_some() {
                    tracing::warn!(
                        reason,
                        "what the credential plugin printed before stays in use until it expires"
                    );
                }
                self.failure = Some(reason);
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Printed {
    kind: Option<String>,
    api_version: Option<String>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<SecretString>,
    client_certificate_data: Option<String>,
    client_key_data: Option<SecretString>,
    expiration_timestamp: Option<String>,
}

impl Plugin {
    /// Checks what a user says of it. `line` is that of `exec`.
    pub(super) fn read(
        exec: &Exec,
        line: u64,
        cluster: &Cluster,
        report: &mut Report<'_>,
    ) -> Result<Plugin, Reported> {
        let api_version = match exec.api_version.get() {
            Some(V1) => Ok(V1),
            Some(V1BETA1) => Ok(V1BETA1),
            _ => Err(report.error(
                exec.api_version.line().max(line),
                "exec.apiVersion",
                format_args!("must be {V1} or {V1BETA1}"),
            )),
        };
        let mode_line = exec.interactive_mode.line().max(line);
        let mode = match exec.interactive_mode.get() {
            Some("Never" | "IfAvailable") => Ok(()),
            None if exec.api_version.get() != Some(V1) => Ok(()),
            Some("Always") => {
                let message =
                    "a daemon has no terminal: use a command that needs none, and IfAvailable or Never";
                Err(report.error(mode_line, "exec.interactiveMode", message))
            }
            _ => Err(report.error(mode_line, "exec.interactiveMode", "must be Never or IfAvailable")),
        };
        let command = find(exec, line, report);
        let info = info::info(exec, cluster, report);
        let texts =
            |texts: &[super::source::Text]| texts.iter().map(|text| text.or_empty().to_owned()).collect();
        let env = exec.env.iter().flatten();
        let env =
            env.map(|variable| (variable.name.or_empty().to_owned(), variable.value.or_empty().to_owned()));
        mode?;
        Ok(Plugin {
            command: command?,
            args: texts(exec.args.as_deref().unwrap_or_default()),
            env: env.collect(),
            api_version: api_version?,
            info: info?,
            install_hint: exec.install_hint.get().map(str::to_owned),
            state: Mutex::default(),
            running: tokio::sync::Mutex::default(),
        })
    }

    /// Whether both run the same command in the same way.
    pub(super) fn is_command_of(&self, other: &Plugin) -> bool {
        let all = |plugin: &Self| {
            (plugin.command.clone(), plugin.args.clone(), plugin.env.clone(), plugin.info.clone())
        };
        all(self) == all(other)
    }

    /// What to show to the endpoint; runs the command if there is nothing, once however many ask.
    pub(super) async fn issued(&self) -> Result<Arc<Issued>, String> {
        self.run_if(|state| state.stale || (state.usable().is_none() && state.may_run())).await;
        let state = self.state();
        // What is expired when it is printed is expired by a clock that is wrong, most likely; the endpoint has its own.
        let issued = state.issued.clone().filter(|issued| state.failure.is_none() || !issued.is_expired());
        issued.ok_or_else(|| state.failure.clone().unwrap_or_default())
    }

    /// Runs the command if what it printed is about to expire.
    pub(super) async fn refresh(&self) {
        self.run_if(|state| state.issued.as_ref().is_some_and(|issued| issued.is_due()) && state.may_run())
            .await;
    }

    /// The endpoint has refused what it printed: it is run again when it is asked next.
    pub(super) fn forget(&self) {
        self.state().stale = true;
    }

    async fn run_if(&self, is_needed: impl Fn(&State) -> bool) {
        if !is_needed(&self.state()) {
            return;
        }
        let _one = self.running.lock().await;
        // Another may have had it run meanwhile.
        if is_needed(&self.state()) {
            let result = self.run().await;
            self.state().take(result, &self.command);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that change it, so a panic elsewhere cannot spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self) -> Result<Issued, String> {
        let name = self.command.display();
        let mut command = Command::new(&self.command);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env("KUBERNETES_EXEC_INFO", &self.info).env_remove("NOTIFY_SOCKET");
        // What it complains of goes where our own log goes.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).process_group(0);
        let hint = || self.install_hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        let child = command
            .spawn()
            .map_err(|error| format!("the credential plugin {name} cannot be run: {error}{}", hint()))?;
        let (status, printed) = run::to_its_end(child, LONGEST_RUN, MOST_PRINTED_BYTES)
            .await
            .ok_or_else(|| {
                format!("the credential plugin {name} took longer than {} s", LONGEST_RUN.as_secs())
            })?
            .map_err(|error| format!("the credential plugin {name}: {error}"))?;
        if printed.len() as u64 > MOST_PRINTED_BYTES {
            return Err(format!("the credential plugin {name} printed more than {MOST_PRINTED_BYTES} bytes"));
        }
        if !status.success() {
            return Err(format!("the credential plugin {name} failed: {status}"));
        }
        self.parse(&printed).map_err(|reason| format!("the credential plugin {name} printed {reason}"))
    }

    /// What was printed, which may be secret as a whole.
    fn parse(&self, printed: &[u8]) -> Result<Issued, String> {
        let printed: Printed =
            serde_json::from_slice(printed).map_err(|_| "something else than an ExecCredential in JSON")?;
        if printed.kind.as_deref() != Some("ExecCredential") {
            return Err("no object of kind ExecCredential".to_owned());
        }
        if printed.api_version.as_deref() != Some(self.api_version) {
            return Err(format!("another apiVersion than {}", self.api_version));
        }
        let mut status = printed.status.ok_or("no status")?;
        // As for client-go, a text of nothing is none.
        status.token = status.token.filter(|token| !token.expose_secret().is_empty());
        status.client_certificate_data = status.client_certificate_data.filter(|text| !text.is_empty());
        status.client_key_data = status.client_key_data.filter(|key| !key.expose_secret().is_empty());
        let header =
            status.token.as_ref().map(|token| credentials::bearer(token.expose_secret())).transpose();
        let header = header.map_err(|reason| format!("a token that is {reason}"))?;
        let identity = match (&status.client_certificate_data, &status.client_key_data) {
            (Some(certificate), Some(key)) => Some(Identity::from_pem(certificate, key)?),
            (None, None) => None,
            _ => return Err("only one of clientCertificateData and clientKeyData".to_owned()),
        };
        if header.is_none() && identity.is_none() {
            return Err("neither a token nor a client certificate".to_owned());
        }
        let expires = status.expiration_timestamp.map(|text| text.parse::<Timestamp>()).transpose();
        let expires = expires.map_err(|_| "an expirationTimestamp that is no RFC 3339 time")?;
        let tenth = |expires: Timestamp| expires.duration_since(Timestamp::now()) / 10;
        let refresh_at = expires.and_then(|expires| expires.checked_sub(tenth(expires)).ok());
        Ok(Issued { header, identity, expires, refresh_at })
    }
}

/// The command as a path: one with a slash begins at the kubeconfig's directory, any other is in PATH.
fn find(exec: &Exec, line: u64, report: &mut Report<'_>) -> Result<PathBuf, Reported> {
    let Some(command) = exec.command.get() else {
        return Err(report.error(line, "exec.command", "not set: name the command that prints credentials"));
    };
    let may_run = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    let found = if command.contains('/') {
        Some(report.resolve(command)).filter(|path| may_run(path))
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|directory| directory.join(command)).find(|path| may_run(path))
    };
    found.ok_or_else(|| {
        let hint = exec.install_hint.get().map(|hint| format!("; {hint}")).unwrap_or_default();
        let message = format_args!("{command} is not there or cannot be run{hint}");
        report.error(exec.command.line(), "exec.command", message)
    })
}
