//! The effective configuration as YAML that loads again to the same one.

mod destinations;

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;

use super::{
    Batch, Compression, Config, Destination, Identity, LiveView, Output, Redact, Throttle, destination, load,
    log_flags, output, quantity, rotation, routing,
};
use destinations::{show_destination, show_request};

/// Prints the effective configuration in the file's own shape. Nothing in it is secret: credentials are in the
/// kubeconfig and the key of masked values in a file, of which only the paths are shown.
#[must_use]
pub fn to_yaml(config: &Config) -> String {
    let mut yaml = format!(
        "source:
  path: {path}
  format: {format}
  manifest: {manifest}
  startAt: {start_at}
  maxLineBytes: {max_line}
  pinLimit: {pin_limit}
  pinMaxFiles: {pin_max_files}
  pinMinFree: {pin_min_free}
  rotation: {rotation}
outputs:
",
        path = show_path(&config.source.path),
        format = word(&log_flags::FORMATS, config.source.format),
        manifest = show_file(config.source.manifest.as_deref()),
        start_at = word(&load::START_AT, config.source.start_at),
        max_line = show_bytes(config.source.max_line_bytes),
        pin_limit = quantity::show_size(config.source.pins.limit),
        pin_max_files = config.source.pins.max_files,
        pin_min_free = quantity::show_free_space(config.source.pins.min_free),
        rotation = rotation::show(&config.source.rotation),
    );
    for output in &config.outputs {
        yaml += &show_output(output);
    }
    // Writing to a String cannot fail.
    let _ = write!(
        yaml,
        "stateDir: {state_dir}\nbindAddress: {bind:?}\n{live_view}shutdownGrace: {grace}\n",
        state_dir = show_path(&config.state_dir),
        bind = config.bind_address.to_string(),
        live_view = show_live_view(config.live_view.as_ref()),
        grace = quantity::show_duration(config.shutdown_grace),
    );
    yaml
}

fn show_live_view(view: Option<&LiveView>) -> String {
    let address = view.map_or_else(|| "~".to_owned(), |view| quoted(&view.listen.to_string()));
    let token = show_file(view.and_then(|view| view.bearer_token_file.as_deref()));
    let tls = view.and_then(|view| view.tls.as_ref());
    let cert = show_file(tls.map(|(cert, _)| cert.as_path()));
    let key = show_file(tls.map(|(_, key)| key.as_path()));
    format!(
        "liveView:\n  bindAddress: {address}\n  bearerTokenFile: {token}\n  tls: {{ certFile: {cert}, keyFile: {key} }}\n"
    )
}

fn show_output(output: &Output) -> String {
    let Output { name, destination, requests, batch, truncate, max_in_flight, max_memory, rejected, .. } =
        output;
    format!(
        "  - name: \"{name}\"
    {section}:
{destination}      initialBackoff: {initial_backoff}
      maxBackoff: {max_backoff}
{request}{batch}    redact: {redact}
    truncate:
      enabled: {enabled}
      maxEventSize: {max_event_size}
      maxBatchSize: {max_batch_size}
    maxInFlight: {max_in_flight}
    maxMemory: {max_memory}
    match:{takes}
    policyFile: {policy_file}
    gapRecords: {gap_records}
    rejected:
      maxSize: {rejected_size}
      onFull: {on_full}
{identity}    readyAfter: {ready_after}
",
        section = destination.name(),
        destination = show_destination(destination),
        initial_backoff = quantity::show_duration(requests.initial_backoff),
        max_backoff = quantity::show_duration(requests.max_backoff),
        request = show_request(destination, requests),
        batch = show_batch(batch),
        redact = show_redact(&output.redact),
        enabled = truncate.enabled,
        max_event_size = show_bytes(truncate.max_event_size),
        max_batch_size = show_bytes(truncate.max_batch_size),
        max_memory = show_bytes(*max_memory),
        takes = routing::show(output.takes.as_deref()),
        policy_file = show_file(output.policy_file.as_deref()),
        gap_records = output.gap_records,
        rejected_size = quantity::show_size(rejected.max_size),
        on_full = word(&output::ON_FULL, rejected.on_full),
        identity = show_identity(output),
        ready_after = quantity::show_duration(output.ready_after),
    )
}

/// Names and their values, on one line.
pub(super) fn show_texts(texts: &[(String, String)]) -> String {
    let pair = |(name, value): &(String, String)| format!("{}: {}", quoted(name), quoted(value));
    format!("{{ {} }}", texts.iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// Null for none.
fn show_file(path: Option<&Path>) -> String {
    path.map_or_else(|| "~".to_owned(), show_path)
}

/// A level without compression would be a mistake.
fn show_compression(compression: Option<Compression>) -> String {
    let word = word(&destination::COMPRESSIONS, compression.map(|compression| compression.coding));
    match compression {
        Some(Compression { level, .. }) => format!("{word}\n      compressionLevel: {level}"),
        None => word.to_owned(),
    }
}

fn show_batch(batch: &Batch) -> String {
    let Batch { mode, buffer_size, max_size, max_wait, throttle } = batch;
    let throttle = match throttle {
        Some(Throttle { qps, burst }) => format!("{{ enable: true, qps: {qps}, burst: {burst} }}"),
        None => "{ enable: false }".to_owned(),
    };
    format!(
        "    batch:
      mode: {mode}
      bufferSize: {buffer_size}
      maxSize: {max_size}
      maxWait: {max_wait}
      throttle: {throttle}
",
        mode = word(&output::MODES, *mode),
        max_wait = quantity::show_duration(*max_wait),
    )
}

fn show_redact(redact: &Redact) -> String {
    let Redact { enabled, key_file, config_maps, pod_env, managed_fields } = redact;
    let key_file = show_file(key_file.as_deref());
    format!(
        "{{ enabled: {enabled}, keyFile: {key_file}, configMaps: {config_maps}, podEnv: {pod_env}, \
         managedFields: {managed_fields} }}"
    )
}

/// What is not told is an empty text: null would leave it to the environment of whoever loads this. A file and standard
/// output are told nothing.
fn show_identity(output: &Output) -> String {
    if matches!(output.destination, Destination::File(_) | Destination::Stdout) {
        return String::new();
    }
    let Identity { cluster, node } = &output.identity;
    let [cluster, node] = [cluster, node].map(|name| quoted(name.as_deref().unwrap_or_default()));
    format!("    identity: {{ cluster: {cluster}, node: {node} }}\n")
}

/// The word that the file has for a choice.
pub(super) fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], choice: T) -> &'static str {
    words.iter().find(|(_, value)| *value == choice).map_or("", |(word, _)| word)
}

fn show_bytes(bytes: NonZeroUsize) -> String {
    quantity::show_size(bytes.get() as u64)
}

/// A path, in quotes unless it is plain beyond doubt.
pub(crate) fn show_path(path: &Path) -> String {
    let path = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.starts_with('/') && path.chars().all(plain) {
        return path.into_owned();
    }
    quoted(&path)
}

/// Any text, in quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ if c.is_alphanumeric() => quoted.push(c),
            // Writing to a String cannot fail.
            _ => drop(write!(quoted, "\\U{:08x}", u32::from(c))),
        }
    }
    quoted + "\""
}
