//! `import`: kube-apiserver's static pod manifest into a configuration of ours, with a comment on what came from where.
//!
//! What the manifest does not hold is a marked placeholder, which `check` refuses. What somebody has to act on goes to the
//! standard error too. No secret is printed: credentials become files that are yet to be made.

mod kubeconfig;
mod page;
mod rest;
mod sls;
mod source;
mod webhook;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use super::Failure;
use crate::manifest::{self, Manifest};
use crate::shown::printable;
use page::Page;

/// What to read.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// kube-apiserver's static pod manifest, as a rule /etc/kubernetes/manifests/kube-apiserver.yaml; - is the standard input
    manifest: PathBuf,
}

pub(super) fn import(args: &Args) -> Result<(), Failure> {
    let (name, read) = if args.manifest.as_os_str() == "-" {
        ("standard input".to_owned(), manifest::read_from(std::io::stdin()))
    } else {
        (args.manifest.display().to_string(), manifest::read_file(&args.manifest))
    };
    let text = read.map_err(|error| Failure::Config(vec![format!("cannot read {name}: {error}")]))?;
    let manifest = Manifest::read(&text, &name).map_err(Failure::Config)?;
    let page = imported(&manifest, |name| std::env::var_os(name));
    let mut stderr = std::io::stderr();
    for finding in page.findings() {
        let _ = writeln!(stderr, "warning: {finding}");
    }
    let written = std::io::stdout().write_all(page.text().as_bytes());
    super::unless_broken_pipe(written.map_err(anyhow::Error::from))
}

/// The configuration. `env` looks up a variable of the environment, where logtail's own may be set.
fn imported(manifest: &Manifest, env: impl Fn(&str) -> Option<OsString>) -> Page {
    let env = |name: &str| env(name)?.into_string().ok().filter(|value| !value.is_empty());
    let mut page = Page::default();
    let Manifest { file, namespace, pod, container, .. } = manifest;
    page.comment(
        0,
        &format!(
            "audit-shipper's configuration, made by `audit-shipper import` of {}: container {}, Pod {}. `line` is a line of that \
             file. Look it over, fill in what is marked FILL IN, then try it: audit-shipper check --config FILE",
            printable(file),
            printable(container),
            printable(&format!("{namespace}/{pod}")),
        ),
    );
    page.blank();
    source::write(&mut page, manifest);
    page.blank();
    page.comment(
        0,
        "Each output has its own place in the log and its own pace. What is not said has its default; \
         config/audit-shipper.yaml of audit-shipper shows every field.",
    );
    page.line(0, "outputs:");
    let sls_config = manifest.sls();
    if manifest.has_webhook() {
        webhook::write(&mut page, manifest);
    }
    if let Some(config) = &sls_config {
        sls::write(&mut page, manifest, config, &env);
    }
    if !manifest.has_webhook() && sls_config.is_none() {
        webhook::write_placeholder(&mut page);
    }
    rest::write(&mut page, manifest);
    page
}
