//! What the configuration names, read before anything starts: kubeconfigs, audit policies, keys of masked values. All that
//! is wrong with any of them is told in one go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config, Destination, Errors, Loaded, Output};
use crate::endpoint::Endpoint;
use crate::live::Guard;
use crate::policy::Policy;
use crate::redact::Key;
use crate::sink::{self, HttpSink};
use crate::writer::{WriteError, Writer};

/// Of an endpoint that is loaded only to find out what is wrong with it.
const ANY_TIMEOUT: Duration = Duration::from_secs(30);

/// Where an output ships to.
pub enum Way {
    /// A server, and the form that requests to it have.
    Server(Arc<Endpoint>, Arc<dyn HttpSink>),
    /// A file, or standard output.
    Writer(Writer),
}

impl Way {
    /// For logs; never a query, never credentials.
    #[must_use]
    pub fn display(&self) -> String {
        match self {
            Self::Server(endpoint, _) => endpoint.display(),
            Self::Writer(writer) => writer.to_string(),
        }
    }
}

/// What one output needs beside its configuration.
pub struct Prepared {
    /// Where it ships to.
    pub way: Way,
    /// What it ships; `None` for all.
    pub policy: Option<Arc<Policy>>,
}

/// Reads what the outputs name, in their order; what is worth a warning goes to the other warnings.
///
/// # Errors
/// Every mistake, each with its file.
pub fn prepare(loaded: &mut Loaded) -> Result<Vec<Prepared>, Vec<String>> {
    let Loaded { config, warnings, .. } = loaded;
    of_outputs(config, warnings)
}

/// The same of a configuration whose warnings have been told.
///
/// # Errors
/// Every mistake, each with its file.
pub fn of_config(config: &Config) -> Result<Vec<Prepared>, Vec<String>> {
    of_outputs(config, &mut Vec::new())
}

fn of_outputs(config: &Config, warnings: &mut Vec<String>) -> Result<Vec<Prepared>, Vec<String>> {
    let (mut mistakes, mut prepared) = (Vec::new(), Vec::new());
    for output in &config.outputs {
        let way = way(output, config);
        if let Ok(Way::Server(endpoint, _)) = &way {
            add_new(warnings, endpoint.warnings().iter().cloned());
        }
        match (way, policy(output, warnings)) {
            (Ok(way), Ok(policy)) => prepared.push(Prepared { way, policy }),
            (way, policy) => {
                add_new(&mut mistakes, way.err().into_iter().chain(policy.err()).flatten());
            }
        }
    }
    if let Some(view) = &config.live_view {
        add_new(&mut mistakes, Guard::load(view).err().into_iter().flatten());
    }
    let exposed = check_keys(config::key_files(&config.outputs), &mut mistakes);
    add_new(warnings, exposed);
    if mistakes.is_empty() { Ok(prepared) } else { Err(mistakes) }
}

fn way(output: &Output, config: &Config) -> Result<Way, Vec<String>> {
    let in_words = |error: WriteError| vec![format!("outputs[].{}: {error}", output.destination.name())];
    match (sink::of(output, &config.source.path), &output.destination) {
        (Some(sink), _) => Ok(Way::Server(Arc::new(Endpoint::of_output(output)?), sink)),
        (None, Destination::File(file)) => Ok(Way::Writer(Writer::file(file, &config.source.path))),
        (None, _) => Writer::stdout().map(Way::Writer).map_err(in_words),
    }
}

/// The policy that an output names, if it names one.
///
/// # Errors
/// Every mistake in it.
pub fn policy(output: &Output, warnings: &mut Vec<String>) -> Result<Option<Arc<Policy>>, Vec<String>> {
    let Some(path) = &output.policy_file else { return Ok(None) };
    let loaded = Policy::load(path)?;
    add_new(warnings, loaded.warnings);
    Ok(Some(Arc::new(loaded.policy)))
}

/// What is wrong with the files that a wrong configuration names nevertheless.
#[must_use]
pub fn mistakes_in_files(errors: &Errors) -> Vec<String> {
    let kubeconfigs = errors.kubeconfigs().filter_map(|path| Endpoint::load(path, ANY_TIMEOUT).err());
    let policies = errors.policies().filter_map(|path| Policy::load(path).err());
    let mut mistakes = kubeconfigs.chain(policies).flatten().collect();
    check_keys(errors.key_files(), &mut mistakes);
    mistakes
}

/// Whether the keys of masked values can be had. Returns what is worth a warning.
fn check_keys<'a>(
    files: impl Iterator<Item = (String, &'a Path)>,
    mistakes: &mut Vec<String>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (field, path) in files {
        match Key::load(path) {
            Ok(_) => warnings.extend(Key::exposure(path).map(|what| format!("{field}: {what}"))),
            Err(error) => mistakes.push(format!("{field}: {error}")),
        }
    }
    warnings
}

/// Adds the lines that are not there yet: two outputs may share a file.
fn add_new(lines: &mut Vec<String>, found: impl IntoIterator<Item = String>) {
    for line in found {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
}
