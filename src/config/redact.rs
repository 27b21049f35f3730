//! `redact`: what is masked before events leave.

use std::path::{Path, PathBuf};

use super::section::Section;
use super::{Output, Redact};

/// Reads the section.
pub(super) fn read(mut section: Section<'_>) -> Redact {
    // With flags alone the stream is what kube-apiserver's own backend would send, and nothing else.
    let with_file = section.sources.file.is_some();
    let redact = Redact {
        enabled: section.value("enabled", Some("redact")).boolean(with_file).value,
        key_file: section.value("keyFile", None).line().value.map(PathBuf::from),
        config_maps: section.value("configMaps", None).boolean(false).value,
        pod_env: section.value("podEnv", None).boolean(false).value,
        managed_fields: section.value("managedFields", None).boolean(false).value,
    };
    section.finish();
    redact
}

/// The key files that are needed, each with the field that names it.
pub(crate) fn key_files(outputs: &[Output]) -> impl Iterator<Item = (String, &Path)> {
    outputs.iter().enumerate().filter(|(_, output)| output.redact.enabled).filter_map(|(index, output)| {
        let path = output.redact.key_file.as_deref()?;
        Some((format!("outputs[{index}].redact.keyFile"), path))
    })
}
