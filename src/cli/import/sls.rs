//! An output for what logtail-ds ships to Alibaba Cloud's SLS.

use super::page::Page;
use crate::config::quoted;
use crate::manifest::{LogConfig, Manifest};
use crate::shown::printable;

/// What items are for that make or change something at SLS, or of logtail, and that shipping does not need.
const WITHOUT_COUNTERPART: [(&str, &str); 16] = [
    (
        "product",
        "has logtail make the logstore, its index and its dashboards; they are there, and are left as they are",
    ),
    ("language", "is the language of these dashboards"),
    ("jsonfile", "is so in any case: the fields of an event are the fields of a log"),
    ("machinegroup", "names logtail's machines; this needs none"),
    ("shard", "counts when a logstore is made"),
    ("ttl", "counts when a logstore is made"),
    ("dockerfile", "is about where logtail looks for files"),
    ("configtags", "are tags of logtail's configuration, not of logs"),
    (
        "detail",
        "is a whole configuration of logtail's in JSON, which replaces the rest: look what it does to the logs",
    ),
    ("logstoremode", "counts when a logstore is made"),
    ("logstorehotttl", "counts when a logstore is made"),
    ("logstoreautosplit", "counts when a logstore is made"),
    ("logstoremaxsplitshard", "counts when a logstore is made"),
    ("logstoreappendmeta", "counts when a logstore is made"),
    ("logstoreenabletracking", "counts when a logstore is made"),
    ("logstoretelemetrytype", "counts when a logstore is made"),
];

/// What the section's own fields are made of.
const USED: [&str; 4] = ["", "project", "logstore", "tags"];

/// Where the section stands in what is printed: behind the webhook.
fn place(manifest: &Manifest) -> String {
    format!("outputs[{}].sls", usize::from(manifest.has_webhook()))
}

pub(super) fn write(
    page: &mut Page,
    manifest: &Manifest,
    config: &LogConfig,
    env: &impl Fn(&str) -> Option<String>,
) {
    page.comment(
        2,
        "What logtail-ds ships to Alibaba Cloud's SLS. Events arrive as it sends them, under the same names. As soon as this ships, take \
         the variables out of the manifest, or events arrive twice.",
    );
    if let Some(item) = config.item("") {
        page.comment(
            2,
            &format!(
                "line {}: {}={}",
                item.line,
                printable(&item.variable),
                printable(config.text("").unwrap_or("?"))
            ),
        );
        page.finding(format!(
            "{}:{}: {}: take logtail's variables out of the manifest once audit-shipper ships, or events arrive twice",
            manifest.file,
            item.line,
            printable(&item.variable)
        ));
    }
    page.line(2, "- name: sls");
    page.line(4, "sls:");
    address(page, manifest, config, env);
    names(page, manifest, config, env);
    credentials(page, manifest, env);
    leftover(page, manifest, config);
}

/// A variable of the container, or of the environment of this command, with where it was found.
fn found(
    manifest: &Manifest,
    env: &impl Fn(&str) -> Option<String>,
    name: &'static str,
) -> Option<(String, String)> {
    let told = manifest.told(name).filter(|(_, value, _)| !value.is_empty());
    let in_manifest = told.map(|(_, value, line)| (value.to_owned(), format!("line {line}: {name}")));
    in_manifest.or_else(|| Some((env(name)?, format!("{name}, from the environment of `import`"))))
}

fn project(
    manifest: &Manifest,
    config: &LogConfig,
    env: &impl Fn(&str) -> Option<String>,
) -> Option<(String, String)> {
    let told = manifest.project(config);
    let told = told
        .map(|(variable, value, line)| (value.to_owned(), format!("line {line}: {}", printable(variable))));
    told.or_else(|| found(manifest, env, "ALICLOUD_LOG_DEFAULT_PROJECT"))
}

fn address(page: &mut Page, manifest: &Manifest, config: &LogConfig, env: &impl Fn(&str) -> Option<String>) {
    let project = project(manifest, config, env).map(|(project, _)| project);
    let endpoint = found(manifest, env, "ALICLOUD_LOG_ENDPOINT");
    let region = found(manifest, env, "ALICLOUD_LOG_REGION");
    let by_region = region.clone().map(|(region, from)| (format!("{region}.log.aliyuncs.com"), from));
    if let (Some((endpoint, from)), Some(project)) = (endpoint.or(by_region), project) {
        page.comment(6, &format!("{from}; the project is the first part of the host's name"));
        page.line(6, &format!("url: {}", quoted(&url(&endpoint, &project))));
    } else {
        let what = "https://PROJECT.REGION-intranet.log.aliyuncs.com, the endpoint of the project";
        page.placeholder(6, "url", &place(manifest), what);
    }
    if let Some((region, from)) = region {
        page.comment(6, &format!("{from}; requests are signed by V4"));
        page.line(6, &format!("region: {}", quoted(&region)));
    }
}

/// `https://PROJECT.ENDPOINT`; an endpoint that has the project, or a scheme, keeps it.
fn url(endpoint: &str, project: &str) -> String {
    let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
    let host = host.trim_end_matches('/');
    if host.starts_with(&format!("{project}.")) {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{project}.{host}")
    }
}

fn names(page: &mut Page, manifest: &Manifest, config: &LogConfig, env: &impl Fn(&str) -> Option<String>) {
    if let Some((project, from)) = project(manifest, config, env) {
        page.comment(6, &from);
        page.line(6, &format!("project: {}", quoted(&project)));
    } else {
        let what = "the project, as a rule k8s-log- and the cluster's ID";
        page.placeholder(6, "project", &place(manifest), what);
    }
    if let (Some(item), Some(logstore)) = (config.item("logstore"), config.text("logstore")) {
        page.comment(6, &format!("line {}: {}", item.line, printable(&item.variable)));
        page.line(6, &format!("logstore: {}", quoted(logstore)));
    } else {
        page.comment(6, "The configuration's own name, as with logtail.");
        page.line(6, &format!("logstore: {}", quoted(&config.name)));
    }
    if let (Some(item), Some((key, value))) = (config.item("tags"), config.tag()) {
        page.comment(6, &format!("line {}: {}", item.line, printable(&item.variable)));
        page.line(6, &format!("tags: {{ {}: {} }}", quoted(key), quoted(value)));
    }
}

/// Credentials are files, whatever they are in the manifest; no value of theirs is shown.
fn credentials(page: &mut Page, manifest: &Manifest, env: &impl Fn(&str) -> Option<String>) {
    page.comment(
        6,
        "Make these files (mode 0600, a line each) with an access key that may write to the logstore (log:PostLogStoreLogs). They are read \
         again when they change.",
    );
    page.finding(format!(
        "{}: make /etc/audit-shipper/sls/id and /etc/audit-shipper/sls/secret with an access key that may write to the logstore",
        place(manifest)
    ));
    let fields = [
        ("accessKeyIdFile", "id", "ALICLOUD_LOG_ACCESS_KEY_ID"),
        ("accessKeySecretFile", "secret", "ALICLOUD_LOG_ACCESS_KEY_SECRET"),
        ("securityTokenFile", "token", "ALICLOUD_LOG_STS_TOKEN"),
    ];
    for (field, file, variable) in fields {
        let place = match manifest.variable(variable) {
            Some(found) => Some(format!("line {}: {variable} holds it", found.line)),
            None => env(variable).map(|_| format!("{variable} of this environment holds it")),
        };
        if field == "securityTokenFile" && place.is_none() {
            continue;
        }
        if let Some(place) = place {
            page.comment(6, &place);
        }
        page.line(6, &format!("{field}: /etc/audit-shipper/sls/{file}"));
    }
}

fn leftover(page: &mut Page, manifest: &Manifest, config: &LogConfig) {
    let items: Vec<_> = config.items().filter(|(name, _)| !USED.contains(name)).collect();
    if items.is_empty() {
        return;
    }
    page.comment(6, "Of no counterpart here:");
    for (name, item) in items {
        let known = WITHOUT_COUNTERPART.iter().find(|(known, _)| *known == name);
        let why = known.map_or("is not an item that logtail's source has", |(_, why)| *why);
        page.item(6, &format!("line {}: {} {why}", item.line, printable(&item.variable)));
        if name == "detail" {
            page.finding(format!("{}:{}: {} {why}", manifest.file, item.line, printable(&item.variable)));
        }
    }
}
