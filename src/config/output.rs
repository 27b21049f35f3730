//! One output: the webhook group of kube-apiserver's flags, and the bounds that only we have.
//!
//! kube-apiserver's own rules hold with kube-apiserver's own words (`pkg/server/options/audit.go`), except that every
//! mistake is told, not only the first. As there, batch and throttle numbers count in mode batch only, throttle numbers
//! only while the throttle is on, and the truncate limits always.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::report::{Located, Origin, Report};
use super::section::{Section, nothing_available};
use super::settings::INITIAL_BACKOFF;
use super::value::{not_among, not_positive};
use super::{
    Batch, Compression, Destination, Mode, OnFull, Output, Rejected, Requests, Throttle, Truncate,
    elasticsearch, file, loki, ndjson, otlp, quantity, redact, sls, splunk_hec,
};
use crate::body::Coding;

const MIB: i64 = 1 << 20;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The destinations beside the webhook, which is the default.
const SINKS: [&str; 8] = ["ndjson", "elasticsearch", "otlp", "loki", "splunkHec", "sls", "file", "stdout"];

pub(super) const MODES: [(&str, Mode); 3] =
    [("batch", Mode::Batch), ("blocking", Mode::Blocking), ("blocking-strict", Mode::BlockingStrict)];

pub(super) const COMPRESSIONS: [(&str, Option<Coding>); 3] =
    [("none", None), ("gzip", Some(Coding::Gzip)), ("zstd", Some(Coding::Zstd))];

pub(super) const ON_FULL: [(&str, OnFull); 2] = [("dropOldest", OnFull::DropOldest), ("wait", OnFull::Wait)];

/// Reads one output. `max_line_bytes` has to fit into its memory.
pub(super) fn read(mut section: Section<'_>, max_line_bytes: &Located<i64>) -> Output {
    let report = section.sources.report;
    let name = name(&mut section);
    let (destination, requests) = destination(&mut section);
    let mut batch = batch(section.section("batch"));
    batch.max_size = destination.most_events().map_or(batch.max_size, |most| most.min(batch.max_size));
    let max_in_flight = section.value("maxInFlight", None).int(4).positive(report, not_positive);
    let max_memory = max_memory(&mut section, max_line_bytes);
    let truncate = truncate(section.section("truncate"), max_memory);
    let policy_file = section.value("policyFile", Some("audit-policy-file")).line_or_empty().value;
    let redact = redact::read(section.section("redact"));
    // With flags alone the stream is what kube-apiserver's own backend would send, and nothing else.
    let with_file = section.sources.file.is_some();
    let gap_records = section.value("gapRecords", Some("gap-records")).boolean(with_file).value;
    let rejected = rejected(section.section("rejected"), max_line_bytes);
    let ready_after =
        above_zero(report, &section.value("readyAfter", None).duration(Duration::from_secs(5 * 60)));
    reserve_later_fields(&mut section);
    section.finish();
    Output {
        name,
        destination,
        requests,
        max_in_flight: if batch.mode == Mode::Batch { max_in_flight } else { NonZeroUsize::MIN },
        batch,
        redact,
        truncate,
        max_memory,
        // As kube-apiserver has it, no name is no policy.
        policy_file: policy_file.filter(|path| !path.is_empty()).map(PathBuf::from),
        gap_records,
        rejected,
        ready_after,
    }
}

/// The name; an output that exists through flags alone is called `webhook`, and one with a wrong name nothing.
fn name(section: &mut Section<'_>) -> String {
    let report = section.sources.report;
    let name = section.value("name", None).line();
    if name.is_default() && !section.is_present() {
        return "webhook".to_owned();
    }
    if name.is_default() {
        section.missing("name", None);
    }
    let Some(text) = name.value else { return String::new() };
    if !is_name(&text) {
        let legal = "up to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit";
        report.mistake(&name.origin, format_args!("{text:?} is not a name; legal are {legal}"));
    }
    text
}

/// Whether an output may be called so.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Where events go: one of the sections that say so.
fn destination(section: &mut Section<'_>) -> (Destination, Requests) {
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
        "loki" => {
            of_http(section.section("loki"), None, |section| Some(Destination::Loki(loki::read(section)?)))
        }
        "file" => of_writer(section.section("file"), |section| Destination::File(file::read(section))),
        "stdout" => of_writer(section.section("stdout"), |section| {
            section.finish();
            Destination::Stdout
        }),
        "elasticsearch" => without_zstd(section.section("elasticsearch"), |section| {
            Some(Destination::Elasticsearch(elasticsearch::read(section)?))
        }),
        "splunkHec" => of_http(section.section("splunkHec"), gzip, |section| {
            Some(Destination::SplunkHec(splunk_hec::read(section)?))
        }),
        "sls" => sls(section.section("sls")),
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
fn sls(mut section: Section<'_>) -> (Destination, Requests) {
    let requests = uncompressed_requests(&mut section, None);
    (or_nowhere(sls::read(section).map(Destination::Sls)), requests)
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

fn batch(mut section: Section<'_>) -> Batch {
    let report = section.sources.report;
    let mode = section
        .value("mode", Some("audit-webhook-mode"))
        .choice(Mode::Batch, &MODES, |mode| {
            format!("invalid audit webhook mode {mode}, allowed modes are \"batch,blocking,blocking-strict\"")
        })
        .value;
    let buffer_size = section.value("bufferSize", Some("audit-webhook-batch-buffer-size")).int(10_000);
    let max_size = section.value("maxSize", Some("audit-webhook-batch-max-size")).int(400);
    let max_wait = section
        .value("maxWait", Some("audit-webhook-batch-max-wait"))
        .duration(Duration::from_secs(30))
        .value;
    let throttle = throttle(section.section("throttle"), mode);
    section.finish();
    if mode != Mode::Batch {
        let default = Located { value: 10_000, origin: Origin::Default };
        let buffer_size = if buffer_size.value > 0 { buffer_size } else { default };
        let buffer_size = buffer_size.positive(report, not_positive);
        return Batch { mode, buffer_size, max_size: NonZeroUsize::MIN, max_wait, throttle: None };
    }
    let invalid =
        |what: &str, value| format!("invalid audit batch webhook {what} {value}, must be a positive number");
    let buffer_size = buffer_size.positive(report, |value| invalid("buffer size", value));
    let max_size = max_size.positive(report, |value| invalid("max batch size", value));
    Batch { mode, buffer_size, max_size: max_size.min(buffer_size), max_wait, throttle }
}

fn throttle(mut section: Section<'_>, mode: Mode) -> Option<Throttle> {
    let report = section.sources.report;
    let enable = section.value("enable", Some("audit-webhook-batch-throttle-enable")).boolean(true).value;
    let qps = section.value("qps", Some("audit-webhook-batch-throttle-qps")).float(10.0);
    let burst = section.value("burst", Some("audit-webhook-batch-throttle-burst")).int(15);
    section.finish();
    if !enable || mode != Mode::Batch {
        return None;
    }
    let Located { value: rate, origin } = qps;
    if rate <= 0.0 {
        let what = format!("invalid audit batch webhook throttle QPS {rate}, must be a positive number");
        report.mistake(&origin, what);
    } else if !(1e-6..=1e6).contains(&rate) {
        // Beyond these the time between two batches cannot be told in nanoseconds, or is years.
        let what = "legal are 0.000001 to 1000000 batches a second; without a limit, turn the throttle off";
        report.mistake(&origin, format_args!("{rate} is out of range; {what}"));
    }
    let count = burst.positive(report, |value| {
        format!("invalid audit batch webhook throttle burst {value}, must be a positive number")
    });
    let burst = u32::try_from(count.get()).ok().and_then(NonZeroU32::new).unwrap_or_else(|| {
        report.mistake(&burst.origin, format_args!("{count} is out of range; legal are 1 to {}", u32::MAX));
        NonZeroU32::MAX
    });
    Some(Throttle { qps: rate, burst })
}

/// Memory has to hold the longest line twice: in the reader's buffer, and in the batch that takes it.
fn max_memory(section: &mut Section<'_>, max_line_bytes: &Located<i64>) -> NonZeroUsize {
    let report = section.sources.report;
    let max_memory = section.value("maxMemory", None).size(32 * MIB);
    let bytes = max_memory.positive(report, not_positive);
    if max_memory.value > 0 && max_memory.value < max_line_bytes.value.saturating_mul(2) {
        let memory = quantity::show_size(max_memory.value.unsigned_abs());
        let line = quantity::show_size(max_line_bytes.value.unsigned_abs());
        let path = section.path_of("maxMemory");
        let what = format!(
            "{path} ({memory}) must be at least twice source.maxLineBytes ({line}); raise the one or lower the other"
        );
        report.misfit(&max_memory.origin, &max_line_bytes.origin, what);
    }
    bytes
}

/// The limits of a request's body. What could never be reached within the output's memory is lowered to what can, as
/// the batch's size is to the buffer's: requests get smaller, and nothing is lost by it.
fn truncate(mut section: Section<'_>, max_memory: NonZeroUsize) -> Truncate {
    let report = section.sources.report;
    let enabled = section.value("enabled", Some("audit-webhook-truncate-enabled")).boolean(false).value;
    let event = section.value("maxEventSize", Some("audit-webhook-truncate-max-event-size")).size(100 << 10);
    let batch = section.value("maxBatchSize", Some("audit-webhook-truncate-max-batch-size")).size(10 * MIB);
    section.finish();
    let max_event_size = event.positive(report, |value| {
        format!("invalid audit truncate webhook max event size {value}, must be a positive number")
    });
    if batch.value < event.value {
        // kube-apiserver's words; equal is legal there as well.
        let (batch_size, event_size) = (batch.value, event.value);
        let what = format!(
            "invalid audit truncate webhook max batch size {batch_size}, must be greater than max event size ({event_size})"
        );
        report.misfit(&batch.origin, &event.origin, what);
    }
    let max_batch_size =
        usize::try_from(batch.value).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN);
    let reachable = NonZeroUsize::new(max_memory.get() / 2).unwrap_or(NonZeroUsize::MIN);
    let max_batch_size = max_batch_size.min(reachable);
    Truncate { enabled, max_event_size: max_event_size.min(max_batch_size), max_batch_size }
}

fn rejected(mut section: Section<'_>, max_line_bytes: &Located<i64>) -> Rejected {
    let defaults = Rejected::default();
    let report = section.sources.report;
    let max_size = section.value("maxSize", None).size(i64::try_from(defaults.max_size).unwrap_or(i64::MAX));
    let on_full = section
        .value("onFull", None)
        .choice(defaults.on_full, &ON_FULL, |word| not_among(word, &ON_FULL))
        .value;
    section.finish();
    let bytes = max_size.positive(report, not_positive);
    if max_size.value > 0 && max_size.value < max_line_bytes.value.saturating_mul(2) && !max_size.is_default()
    {
        let line = quantity::show_size(max_line_bytes.value.unsigned_abs());
        let what =
            format!("is less than twice source.maxLineBytes ({line}): one event may be larger than the file");
        report.warn(&max_size.origin, what);
    }
    Rejected { max_size: u64::try_from(bytes.get()).unwrap_or(u64::MAX), on_full }
}

/// Fields that the documentation promises for later: known by name, so that they are not taken for typing errors.
fn reserve_later_fields(section: &mut Section<'_>) {
    for field in ["match", "identity"] {
        section.reserve(field, nothing_available);
    }
}

fn above_zero(report: &Report, duration: &Located<Duration>) -> Duration {
    if duration.value.is_zero() {
        report.mistake(&duration.origin, "0 is out of range; legal are durations above 0");
    }
    duration.value
}
