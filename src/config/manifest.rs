//! `source.manifest`: what kube-apiserver's static pod manifest says, as a layer between the file and the defaults.
//!
//! It speaks of the log, of a webhook if that is the only output, and of the names that logtail-ds had for SLS. What it holds
//! beside these is kube-apiserver's own concern: its audit policy is applied already, and so are the modes and batches of its
//! log.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::report::{Missing, Origin, Report};
use super::rotation;
use super::section::Section;
use super::settings::{Setting, Settings};
use crate::flags;
use crate::manifest::{self, Log, Manifest};

/// What the manifest says.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// Of the source, by the names of flags.
    pub(super) log: Settings,
    /// Of an output that is a webhook, by the names of flags.
    pub(super) webhook: Settings,
    pub(super) sls: Sls,
    /// Why the webhook's kubeconfig cannot be found on the host.
    pub(super) lost_kubeconfig: Option<String>,
}

/// What the manifest says of an output to SLS.
#[derive(Debug, Default)]
pub(super) struct Sls {
    pub(super) project: Option<Setting>,
    pub(super) logstore: Option<Setting>,
    pub(super) tag: Option<(String, String)>,
}

/// The manifest of a configuration.
pub(super) struct Read {
    pub(super) path: Option<PathBuf>,
    pub(super) layer: Layer,
    /// False where it could not be read: what seems to lack may well be in it.
    pub(super) complete: bool,
}

/// Reads the field `manifest` and the file that it names.
pub(super) fn read(section: &mut Section<'_>) -> Read {
    let report = section.sources.report;
    let given = section.value("manifest", None).line();
    let Some(name) = given.value else {
        return Read { path: None, layer: Layer::default(), complete: true };
    };
    let path = PathBuf::from(&name);
    let read = match manifest::read_file(&path) {
        Ok(text) => Manifest::read(&text, &name),
        Err(error) => {
            report.mistake(&given.origin, format_args!("cannot read {name}: {error}"));
            if error.kind() == ErrorKind::NotFound {
                report.is_away(Missing::Manifest);
            }
            Err(Vec::new())
        }
    };
    match read {
        Ok(manifest) => Read { path: Some(path), layer: layer(&manifest, report), complete: true },
        Err(mistakes) => {
            for mistake in mistakes {
                report.general(mistake);
            }
            Read { path: Some(path), layer: Layer::default(), complete: false }
        }
    }
}

fn layer(manifest: &Manifest, report: &Report) -> Layer {
    let mut layer = Layer::default();
    let setting = |line: u64, what: &str, text: String| {
        let origin = Origin::Field(format!("{}:{line}: {what}", manifest.file));
        Setting { origin, text }
    };
    for (name, told) in manifest.flags() {
        let Some(flag) = flags::known(name) else { continue };
        let shown = format!("--{flag}");
        match &manifest.log {
            Log::File(file) if flag == "audit-log-path" => {
                layer.log.insert(flag, setting(told.line, &shown, file.path.clone()));
            }
            Log::Stdout if flag == "audit-log-path" => {
                layer.log.insert(flag, setting(told.line, &shown, manifest.stdout_files()));
                layer.log.insert("audit-log-format", setting(told.line, &shown, "cri".to_owned()));
            }
            Log::File(_) if flag == "audit-log-format" || rotation::FLAGS.contains(&flag) => {
                layer.log.insert(flag, setting(told.line, &shown, told.text.clone()));
            }
            _ => {}
        }
        if !flag.starts_with("audit-webhook-") || !manifest.has_webhook() {
            continue;
        }
        if let Some(variable) = &told.unseen {
            let what = format_args!(
                "depends on the variable {variable}, whose value is not in the manifest (valueFrom)"
            );
            report.mistake(&setting(told.line, &shown, String::new()).origin, what);
        } else if flag != "audit-webhook-config-file" {
            layer.webhook.insert(flag, setting(told.line, &shown, told.text.clone()));
        } else {
            match manifest.host_path(&told.text) {
                Ok(file) => layer.webhook.insert(flag, setting(told.line, &shown, file.path)),
                Err(what) => {
                    layer.lost_kubeconfig = Some(format!("{}: {what}", manifest.place_of(flag, told)));
                }
            }
        }
    }
    if let Some(config) = manifest.sls() {
        let of_item = |name: &str| {
            let item = config.item(name)?;
            Some(setting(item.line, &item.variable, item.value.clone()?))
        };
        let project = manifest.project(&config);
        let project = project.map(|(variable, value, line)| setting(line, variable, value.to_owned()));
        // Without a name of its own the logstore is called as the configuration is.
        let logstore = of_item("logstore")
            .or_else(|| of_item("").map(|own| Setting { text: config.name.clone(), ..own }));
        let tag = config.tag().map(|(key, value)| (key.to_owned(), value.to_owned()));
        layer.sls = Sls { project, logstore, tag };
    }
    layer
}
