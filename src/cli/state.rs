//! The state directory and the configuration of a daemon, as the commands beside it are told of them.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::config::{self, Config};
use crate::flags::RunArgs;

/// Where the daemon keeps its files.
#[derive(Debug, clap::Args)]
pub(super) struct State {
    /// Configuration file of the daemon
    #[arg(long, value_name = "FILE", env = "AUDIT_SHIPPER_CONFIG")]
    config: Option<PathBuf>,
    /// State directory of the daemon; wins over the configuration file
    #[arg(long, value_name = "DIR", env = "AUDIT_SHIPPER_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

/// No log is looked at, and yet there is no configuration without one.
const ANY_LOG: &str = "audit.log";

impl State {
    /// The state directory, and the rest of the configuration if a file was named.
    pub(super) fn load(&self) -> Result<(PathBuf, Option<Config>), Failure> {
        self.load_with(None)
    }

    /// The same, with the endpoint that a daemon is told of by a flag.
    pub(super) fn load_with(&self, kubeconfig: Option<&Path>) -> Result<(PathBuf, Option<Config>), Failure> {
        let mut files: Vec<(&'static str, &Path)> = Vec::new();
        if let Some(kubeconfig) = kubeconfig {
            files.push(("audit-webhook-config-file", kubeconfig));
        }
        match &self.config {
            Some(config) => files.push(("config", config)),
            None if files.is_empty() => return Ok((self.directory(None), None)),
            None => files.push(("audit-log-path", Path::new(ANY_LOG))),
        }
        let loaded = RunArgs::with(files).load(|name| std::env::var_os(name)).map_err(Failure::config)?;
        Ok((self.directory(Some(&loaded.config)), Some(loaded.config)))
    }

    fn directory(&self, config: Option<&Config>) -> PathBuf {
        let named = self.state_dir.as_ref().or(config.map(|config| &config.state_dir));
        named
            .cloned()
            .unwrap_or_else(|| config::default_state_dir(std::env::var("STATE_DIRECTORY").ok().as_deref()))
    }
}

/// Names of the outputs that have a file in the state directory whose name ends in `suffix`, sorted. What no output can
/// be called is nobody's, and may hold what a terminal obeys.
pub(super) fn outputs(state_dir: &Path, suffix: &str) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(state_dir)? {
        let file_name = entry?.file_name();
        let name = file_name.to_str().and_then(|name| name.strip_suffix(suffix));
        names.extend(name.filter(|name| config::is_name(name)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}
