//! What the configuration names, read before anything starts: kubeconfigs, audit policies, keys of masked values. All that
//! is wrong with any of them is told in one go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Errors, Loaded, Output};
use crate::kubeconfig::Endpoint;
use crate::policy::Policy;
use crate::redact::Key;

/// Of an endpoint that is loaded only to find out what is wrong with it.
const ANY_TIMEOUT: Duration = Duration::from_secs(30);

/// What one output needs beside its configuration.
pub struct Prepared {
    /// Where it ships to.
    pub endpoint: Arc<Endpoint>,
    /// What it ships; `None` for all.
    pub policy: Option<Arc<Policy>>,
}

/// Reads what the outputs name, in their order; what is worth a warning goes to the other warnings.
///
/// # Errors
/// Every mistake, each with its file.
pub fn prepare(loaded: &mut Loaded) -> Result<Vec<Prepared>, Vec<String>> {
    let (mut mistakes, mut prepared) = (Vec::new(), Vec::new());
    for output in &loaded.config.outputs {
        let endpoint = Endpoint::of_output(output);
        if let Ok(endpoint) = &endpoint {
            add_new(&mut loaded.warnings, endpoint.warnings().iter().cloned());
        }
        match (endpoint, policy(output, &mut loaded.warnings)) {
            (Ok(endpoint), Ok(policy)) => prepared.push(Prepared { endpoint: Arc::new(endpoint), policy }),
            (endpoint, policy) => {
                add_new(&mut mistakes, endpoint.err().into_iter().chain(policy.err()).flatten());
            }
        }
    }
    let exposed = check_keys(config::key_files(&loaded.config.outputs), &mut mistakes);
    add_new(&mut loaded.warnings, exposed);
    if mistakes.is_empty() { Ok(prepared) } else { Err(mistakes) }
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
