//! Where events go, as YAML below the section that says it.

use reqwest::Url;

use super::super::{
    Destination, Elasticsearch, File, Login, Ndjson, Requests, Server, ServerTls, Sls, SplunkHec,
};
use super::super::{elasticsearch, loki, ndjson, otlp, quantity, sls, splunk_hec};
use super::{quoted, show_compression, show_file, show_path, show_texts, word};

/// What only requests have.
pub(super) fn show_request(destination: &Destination, requests: &Requests) -> String {
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

pub(super) fn show_destination(destination: &Destination) -> String {
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
    format!(
        "{server}      host: {host}
      source: {source}
      sourcetype: {sourcetype}
      index: {index}
      fields: {fields}
      ack: {ack}
",
        server = show_server(server, "url"),
        sourcetype = quoted(sourcetype),
        fields = show_texts(&Vec::from_iter(fields.clone())),
        ack = quoted(word(&splunk_hec::ACKS, *ack)),
    )
}

fn show_sls(sls: &Sls) -> String {
    let Sls { server, project, logstore, topic, source, hostname, pack_id, .. } = sls;
    let or_null = |text: &Option<String>| text.as_deref().map_or_else(|| "~".to_owned(), quoted);
    let fields = [
        ("project", quoted(project)),
        ("logstore", quoted(logstore)),
        ("region", or_null(&sls.region)),
        ("hashKey", or_null(&sls.hash_key)),
        ("topic", quoted(topic)),
        ("source", quoted(source)),
        ("hostname", quoted(hostname)),
        ("tags", show_texts(&sls.tags)),
        ("time", word(&sls::TIMES, sls.time).to_owned()),
        ("packId", pack_id.to_string()),
    ];
    fields
        .iter()
        .fold(show_server(server, "url"), |yaml, (field, value)| yaml + &format!("      {field}: {value}\n"))
}

/// The fields that every endpoint has, below its section. Headers may be secret.
fn show_server(server: &Server, url_field: &str) -> String {
    let mut lines = vec![format!("{url_field}: {}", quoted(&without_secrets(&server.url)))];
    let mut line = |text: String| lines.push(text);
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
    lines.iter().flat_map(|line| ["      ", line, "\n"]).collect()
}

/// As it was given, unless it holds a secret: a slash or a port that parsing adds or takes away is nobody's.
fn show_proxy(given: Option<&str>) -> String {
    let shown = |given: &str| match Url::parse(given) {
        Ok(url) if url.password().is_some() || url.query().is_some() => without_secrets(&url),
        _ => given.to_owned(),
    };
    given.map_or_else(|| "~".to_owned(), |given| quoted(&shown(given)))
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
