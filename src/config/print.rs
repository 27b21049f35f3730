//! The effective configuration as YAML that loads again to the same one.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;

use reqwest::Url;

use super::{
    Batch, Compression, Config, Destination, Elasticsearch, File, Login, Ndjson, Output, Redact, Requests,
    Server, ServerTls, Sls, SplunkHec, Throttle, elasticsearch, load, loki, ndjson, otlp, output, quantity,
    sls, splunk_hec,
};

/// Prints the effective configuration in the file's own shape. Nothing in it is secret: credentials are in the
/// kubeconfig and the key of masked values in a file, of which only the paths are shown.
#[must_use]
pub fn to_yaml(config: &Config) -> String {
    let mut yaml = format!(
        "source:
  path: {path}
  startAt: {start_at}
  maxLineBytes: {max_line}
  pinLimit: {pin_limit}
  pinMaxFiles: {pin_max_files}
  pinMinFree: {pin_min_free}
outputs:
",
        path = show_path(&config.source.path),
        start_at = word(&load::START_AT, config.source.start_at),
        max_line = show_bytes(config.source.max_line_bytes),
        pin_limit = quantity::show_size(config.source.pins.limit),
        pin_max_files = config.source.pins.max_files,
        pin_min_free = quantity::show_free_space(config.source.pins.min_free),
    );
    for output in &config.outputs {
        yaml += &show_output(output);
    }
    // Writing to a String cannot fail.
    let _ = write!(
        yaml,
        "stateDir: {state_dir}\nbindAddress: {bind:?}\nshutdownGrace: {grace}\n",
        state_dir = show_path(&config.state_dir),
        bind = config.bind_address.to_string(),
        grace = quantity::show_duration(config.shutdown_grace),
    );
    yaml
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
    policyFile: {policy_file}
    gapRecords: {gap_records}
    rejected:
      maxSize: {rejected_size}
      onFull: {on_full}
    readyAfter: {ready_after}
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
        policy_file = show_file(output.policy_file.as_deref()),
        gap_records = output.gap_records,
        rejected_size = quantity::show_size(rejected.max_size),
        on_full = word(&output::ON_FULL, rejected.on_full),
        ready_after = quantity::show_duration(output.ready_after),
    )
}

/// What only requests have.
fn show_request(destination: &Destination, requests: &Requests) -> String {
    if matches!(destination, Destination::File(_) | Destination::Stdout) {
        return String::new();
    }
    let timeout = quantity::show_duration(requests.timeout);
    let compression = match destination {
        Destination::Sls(sls) => word(&sls::COMPRESSIONS, sls.compression).to_owned(),
        _ => show_compression(requests.compression),
    };
    format!("      timeout: {timeout}\n      compression: {compression}\n")
}

fn show_destination(destination: &Destination) -> String {
    match destination {
        Destination::Webhook(kubeconfig) => format!("      kubeconfig: {}\n", show_path(kubeconfig)),
        Destination::Ndjson(Ndjson { server, format }) => {
            format!("{}      format: {}\n", show_server(server, "url"), word(&ndjson::FORMATS, *format))
        }
        Destination::Otlp(otlp) => show_server(&otlp.server, "url") + &otlp::show(otlp),
        Destination::Loki(loki) => show_server(&loki.server, "url") + &loki::show(loki),
        Destination::File(File { path, max_size, max_backups, compress, mode }) => format!(
            "      path: {}\n      maxSize: {}\n      maxBackups: {max_backups}\n      compress: {compress}\n      mode: \"{mode:04o}\"\n",
            show_path(path),
            quantity::show_size(*max_size),
        ),
        Destination::Stdout => String::new(),
        Destination::Elasticsearch(elasticsearch) => show_elasticsearch(elasticsearch),
        Destination::SplunkHec(splunk) => show_splunk_hec(splunk),
        Destination::Sls(sls) => show_sls(sls),
    }
}

fn show_elasticsearch(elasticsearch: &Elasticsearch) -> String {
    let Elasticsearch { server, data_stream, mode, dedupe, keep_metadata, replace_dots } = elasticsearch;
    format!(
        "{server}      dataStream: {data_stream}
      mode: {mode}
      dedupe: {dedupe}
      keepMetadata: {keep_metadata}
      replaceDots: {replace_dots}
",
        server = show_server(server, "url"),
        data_stream = quoted(data_stream),
        mode = word(&elasticsearch::DOCUMENT_MODES, *mode),
    )
}

fn show_splunk_hec(splunk: &SplunkHec) -> String {
    let SplunkHec { server, host, source, sourcetype, index, fields, ack } = splunk;
    let [host, source, index] =
        [host, source, index].map(|text| text.as_deref().map_or_else(|| "~".to_owned(), quoted));
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}: {}", quoted(name), quoted(value))).collect();
    format!(
        "{server}      host: {host}
      source: {source}
      sourcetype: {sourcetype}
      index: {index}
      fields: {{ {fields} }}
      ack: {ack}
",
        server = show_server(server, "url"),
        sourcetype = quoted(sourcetype),
        fields = fields.join(", "),
        ack = quoted(word(&splunk_hec::ACKS, *ack)),
    )
}

/// Names and their values, on one line.
pub(super) fn show_texts(texts: &[(String, String)]) -> String {
    let pair = |(name, value): &(String, String)| format!("{}: {}", quoted(name), quoted(value));
    format!("{{ {} }}", texts.iter().map(pair).collect::<Vec<_>>().join(", "))
}

fn show_sls(sls: &Sls) -> String {
    let Sls { server, project, logstore, topic, source, hostname, pack_id, .. } = sls;
    let or_null = |text: &Option<String>| text.as_deref().map_or_else(|| "~".to_owned(), quoted);
    let tags: Vec<String> =
        sls.tags.iter().map(|(key, value)| format!("{}: {}", quoted(key), quoted(value))).collect();
    let fields = [
        ("project", quoted(project)),
        ("logstore", quoted(logstore)),
        ("region", or_null(&sls.region)),
        ("hashKey", or_null(&sls.hash_key)),
        ("topic", quoted(topic)),
        ("source", quoted(source)),
        ("hostname", quoted(hostname)),
        ("tags", format!("{{ {} }}", tags.join(", "))),
        ("time", word(&sls::TIMES, sls.time).to_owned()),
        ("packId", pack_id.to_string()),
    ];
    fields
        .iter()
        .fold(show_server(server, "url"), |yaml, (field, value)| yaml + &format!("      {field}: {value}\n"))
}

/// The fields that every endpoint has, below its section. Headers may be secret.
fn show_server(server: &Server, url_field: &str) -> String {
    let mut yaml = format!("      {url_field}: {}\n", quoted(&without_secrets(&server.url)));
    let mut line = |text: String| yaml += &format!("      {text}\n");
    match &server.login {
        Login::None => {}
        Login::Token { file, field, .. } => line(format!("{field}: {}", show_path(file))),
        Login::Basic { username, password_file } => {
            let (name, file) = (quoted(username), show_path(password_file));
            line(format!("basicAuth: {{ username: {name}, passwordFile: {file} }}"));
        }
        Login::Key { id_file, secret_file, security_token_file } => {
            line(format!("accessKeyIdFile: {}", show_path(id_file)));
            line(format!("accessKeySecretFile: {}", show_path(secret_file)));
            line(format!("securityTokenFile: {}", show_file(security_token_file.as_deref())));
        }
    }
    let ServerTls { ca_file, cert_file, key_file, server_name, insecure_skip_verify } = &server.tls;
    let [ca, cert, key] = [ca_file, cert_file, key_file].map(|file| show_file(file.as_deref()));
    let name = server_name.as_deref().map_or_else(|| "~".to_owned(), quoted);
    line(format!(
        "tls: {{ caFile: {ca}, certFile: {cert}, keyFile: {key}, serverName: {name}, insecureSkipVerify: {insecure_skip_verify} }}"
    ));
    line(format!("proxyUrl: {}", show_proxy(server.proxy_url.as_deref())));
    if !server.headers.is_empty() {
        let names: Vec<String> = server
            .headers
            .iter()
            .map(|(name, _)| format!("{}: \"<redacted>\"", quoted(name.as_str())))
            .collect();
        line(format!("headers: {{ {} }}", names.join(", ")));
    }
    yaml
}

fn show_proxy(url: Option<&str>) -> String {
    let shown = |url: &str| Url::parse(url).map_or_else(|_| url.to_owned(), |url| without_secrets(&url));
    url.map_or_else(|| "~".to_owned(), |url| quoted(&shown(url)))
}

/// A URL without what may be a credential in it.
fn without_secrets(url: &Url) -> String {
    let mut shown = url.clone();
    if shown.password().is_some() {
        let _ = shown.set_password(Some("redacted"));
    }
    if shown.query().is_some() {
        shown.set_query(Some("redacted"));
    }
    shown.to_string()
}

/// Null for none.
fn show_file(path: Option<&Path>) -> String {
    path.map_or_else(|| "~".to_owned(), show_path)
}

/// A level without compression would be a mistake.
fn show_compression(compression: Option<Compression>) -> String {
    let word = word(&output::COMPRESSIONS, compression.map(|compression| compression.coding));
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

/// The word that the file has for a choice.
pub(super) fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], choice: T) -> &'static str {
    words.iter().find(|(_, value)| *value == choice).map_or("", |(word, _)| word)
}

fn show_bytes(bytes: NonZeroUsize) -> String {
    quantity::show_size(bytes.get() as u64)
}

/// A path, in quotes unless it is plain beyond doubt.
fn show_path(path: &Path) -> String {
    let path = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.starts_with('/') && path.chars().all(plain) {
        return path.into_owned();
    }
    quoted(&path)
}

/// Any text, in quotes.
pub(super) fn quoted(text: &str) -> String {
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
