//! Where an output's events go, and how requests are made: the one section of the output that says so.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::output::above_zero;
use super::report::Origin;
use super::section::Section;
use super::settings::INITIAL_BACKOFF;
use super::value::not_among;
use super::{
    Elasticsearch, File, Identity, Loki, Ndjson, Otlp, Server, Sls, SplunkHec, elasticsearch, file, loki,
    ndjson, otlp, quantity, sls, splunk_hec,
};
use crate::body::Coding;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The destinations beside the webhook, which is the default.
const SINKS: [&str; 8] = ["ndjson", "elasticsearch", "otlp", "loki", "splunkHec", "sls", "file", "stdout"];

pub(super) const COMPRESSIONS: [(&str, Option<Coding>); 3] =
    [("none", None), ("gzip", Some(Coding::Gzip)), ("zstd", Some(Coding::Zstd))];

/// Where events go, and in which form.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    /// An audit webhook, as kube-apiserver is told of one: the path of a kubeconfig (`--audit-webhook-config-file`).
    Webhook(PathBuf),
    /// Any HTTP endpoint.
    Ndjson(Ndjson),
    /// An endpoint of OpenTelemetry's log protocol.
    Otlp(Otlp),
    /// Grafana Loki.
    Loki(Loki),
    /// A file that is rotated by size.
    File(File),
    /// Standard output.
    Stdout,
    /// A data stream.
    Elasticsearch(Elasticsearch),
    /// Splunk's HTTP Event Collector.
    SplunkHec(SplunkHec),
    /// Alibaba Cloud's Simple Log Service.
    Sls(Sls),
}

impl Destination {
    /// The field of the output that says it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Ndjson(_) => "ndjson",
            Self::Otlp(_) => "otlp",
            Self::Loki(_) => "loki",
            Self::File(_) => "file",
            Self::Stdout => "stdout",
            Self::Elasticsearch(_) => "elasticsearch",
            Self::SplunkHec(_) => "splunkHec",
            Self::Sls(_) => "sls",
        }
    }

    /// How many events a request may hold, if its protocol has a limit.
    #[must_use]
    pub fn most_events(&self) -> Option<NonZeroUsize> {
        matches!(self, Self::Sls(_)).then_some(const { NonZeroUsize::new(4096).expect("it is not zero") })
    }

    /// The endpoint that the output names itself.
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        match self {
            Self::Webhook(_) | Self::File(_) | Self::Stdout => None,
            Self::Ndjson(ndjson) => Some(&ndjson.server),
            Self::Elasticsearch(elasticsearch) => Some(&elasticsearch.server),
            Self::SplunkHec(splunk) => Some(&splunk.server),
            Self::Otlp(otlp) => Some(&otlp.server),
            Self::Loki(loki) => Some(&loki.server),
            Self::Sls(sls) => Some(&sls.server),
        }
    }

    /// The kubeconfig that names the endpoint.
    #[must_use]
    pub fn kubeconfig(&self) -> Option<&Path> {
        match self {
            Self::Webhook(kubeconfig) => Some(kubeconfig),
            _ => None,
        }
    }
}

/// How requests are made.
#[derive(Debug, Clone, PartialEq)]
pub struct Requests {
    /// Wait before the first retry.
    pub initial_backoff: Duration,
    /// No wait between retries is longer.
    pub max_backoff: Duration,
    /// Limit for one request, from its first byte to the last byte of the answer.
    pub timeout: Duration,
    /// `None`: bodies go as they are, as kube-apiserver sends them.
    pub compression: Option<Compression>,
}

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// What the endpoint has to understand.
    pub coding: Coding,
    /// 1 is the fastest; 9 is the last of gzip, 19 of zstd.
    pub level: u8,
}

/// Whether an output is a webhook: nothing else stands in its place.
pub(super) fn is_webhook(section: &Section<'_>) -> bool {
    !SINKS.iter().any(|name| section.place_of(name).is_some())
}

/// Where events go: one of the sections that say so. `identity` is told there.
pub(super) fn read(section: &mut Section<'_>, identity: &Identity) -> (Destination, Requests) {
    let given: Vec<&str> =
        ["webhook"].into_iter().chain(SINKS).filter(|name| section.place_of(name).is_some()).collect();
    section.knows(&SINKS);
    if let [first, second, ..] = given[..] {
        let place = section.place_of(second).unwrap_or(Origin::Default);
        let what = format!("the output has a destination already, {first}; give each an output of its own");
        section.sources.report.mistake(&place, what);
    }
    let gzip = Some(Coding::Gzip);
    match given.first().copied().unwrap_or("webhook") {
        "ndjson" => of_http(section.section("ndjson"), gzip, |section| {
            Some(Destination::Ndjson(ndjson::read(section)?))
        }),
        "otlp" => {
            of_http(section.section("otlp"), gzip, |section| Some(Destination::Otlp(otlp::read(section)?)))
        }
        // Unless it is JSON, it is compressed by its own rules.
        "loki" => of_http(section.section("loki"), None, |section| {
            Some(Destination::Loki(loki::read(section, identity)?))
        }),
        "file" => of_writer(section.section("file"), |section| Destination::File(file::read(section))),
        "stdout" => of_writer(section.section("stdout"), |section| {
            section.finish();
            Destination::Stdout
        }),
        "elasticsearch" => without_zstd(section.section("elasticsearch"), |section| {
            Some(Destination::Elasticsearch(elasticsearch::read(section)?))
        }),
        "splunkHec" => of_http(section.section("splunkHec"), gzip, |section| {
            Some(Destination::SplunkHec(splunk_hec::read(section, identity)?))
        }),
        "sls" => sls(section.section("sls"), identity),
        _ => webhook(section.section("webhook")),
    }
}

/// As [`of_http`], of servers that know no zstd.
fn without_zstd<'a>(
    section: Section<'a>,
    read: impl FnOnce(Section<'a>) -> Option<Destination>,
) -> (Destination, Requests) {
    let (report, origin) = (section.sources.report, section.place_of("compression"));
    let (destination, requests) = of_http(section, Some(Coding::Gzip), read);
    let coding = requests.compression.map(|compression| compression.coding);
    if let (Some(Coding::Zstd), Some(origin)) = (coding, origin) {
        let what = format!("zstd is not known to {}; legal are none and gzip", destination.name());
        report.mistake(&origin, what);
    }
    (destination, requests)
}

/// A destination whose section has the fields of every HTTP endpoint.
fn of_http<'a>(
    mut section: Section<'a>,
    compression: Option<Coding>,
    read: impl FnOnce(Section<'a>) -> Option<Destination>,
) -> (Destination, Requests) {
    let requests = requests(&mut section, None, compression);
    (or_nowhere(read(section)), requests)
}

/// SLS has codings of its own.
fn sls(mut section: Section<'_>, identity: &Identity) -> (Destination, Requests) {
    let requests = uncompressed_requests(&mut section, None);
    (or_nowhere(sls::read(section, identity).map(Destination::Sls)), requests)
}

/// What cannot be read has been told: there is no configuration then.
fn or_nowhere(destination: Option<Destination>) -> Destination {
    destination.unwrap_or_else(|| Destination::Webhook(PathBuf::new()))
}

/// A destination that is no server: it has waits, and nothing else of a request.
fn of_writer<'a>(
    mut section: Section<'a>,
    read: impl FnOnce(Section<'a>) -> Destination,
) -> (Destination, Requests) {
    let (initial_backoff, max_backoff) = backoffs(&mut section, None);
    let requests = Requests { initial_backoff, max_backoff, timeout: DEFAULT_TIMEOUT, compression: None };
    (read(section), requests)
}

fn webhook(mut section: Section<'_>) -> (Destination, Requests) {
    let kubeconfig = section.value("kubeconfig", Some("audit-webhook-config-file")).line();
    if kubeconfig.is_default() {
        section.missing("kubeconfig", Some("audit-webhook-config-file"));
    }
    let requests = requests(&mut section, Some(INITIAL_BACKOFF), None);
    section.finish();
    (Destination::Webhook(PathBuf::from(kubeconfig.value.unwrap_or_default())), requests)
}

/// How requests are made, to whatever endpoint.
fn requests(section: &mut Section<'_>, backoff_flag: Option<&str>, compression: Option<Coding>) -> Requests {
    let requests = uncompressed_requests(section, backoff_flag);
    Requests { compression: self::compression(section, compression), ..requests }
}

/// The same, of bodies that HTTP knows no coding of.
fn uncompressed_requests(section: &mut Section<'_>, backoff_flag: Option<&str>) -> Requests {
    let report = section.sources.report;
    let (initial_backoff, max_backoff) = backoffs(section, backoff_flag);
    let timeout = above_zero(report, &section.value("timeout", None).duration(DEFAULT_TIMEOUT));
    Requests { initial_backoff, max_backoff, timeout, compression: None }
}

/// The wait before the first try again, and the longest.
fn backoffs(section: &mut Section<'_>, flag: Option<&str>) -> (Duration, Duration) {
    let report = section.sources.report;
    let initial = section.value("initialBackoff", flag).duration(Duration::from_secs(10));
    // kube-apiserver takes 0 and gives up after five tries. We try for ever, and 0 would never grow.
    let initial_backoff = initial.value.max(Duration::from_millis(1));
    // With a long initial backoff from kube-apiserver's flags, which know no longest, the default has to give way.
    let default = Duration::from_secs(60).max(initial_backoff);
    let max = section.value("maxBackoff", None).duration(default);
    if max.value < initial_backoff {
        let (shown, least) = (quantity::show_duration(max.value), quantity::show_duration(initial_backoff));
        let what = format!("{shown} is shorter than initialBackoff; legal are {least} and above");
        report.misfit(&max.origin, &initial.origin, what);
    }
    (initial_backoff, max.value)
}

/// The levels of each coding that its library documents as ordinary ones: above 19, zstd needs windows that decoders
/// refuse (RFC 9659).
fn compression(section: &mut Section<'_>, default: Option<Coding>) -> Option<Compression> {
    let report = section.sources.report;
    let coding = section
        .value("compression", None)
        .choice(default, &COMPRESSIONS, |word| not_among(word, &COMPRESSIONS));
    let level = section.value("compressionLevel", None).int(1);
    let most = match coding.value {
        Some(Coding::Gzip) => 9,
        Some(Coding::Zstd) => 19,
        None => {
            if !level.is_default() {
                let what = "has no effect without compression; remove it, or choose gzip or zstd";
                report.misfit(&level.origin, &coding.origin, what);
            }
            return None;
        }
    };
    let legal = u8::try_from(level.value).ok().filter(|level| (1..=most).contains(level));
    if legal.is_none() {
        let (value, word) = (level.value, coding.value.map_or("", Coding::as_str));
        let what = format_args!("{value} is out of range; legal are 1 to {most} for {word}");
        report.mistake(&level.origin, what);
    }
    coding.value.map(|coding| Compression { coding, level: legal.unwrap_or(1) })
}
