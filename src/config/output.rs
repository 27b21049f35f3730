//! One output: the webhook group of kube-apiserver's flags, and the bounds that only we have.
//!
//! kube-apiserver's own rules hold with kube-apiserver's own words (`pkg/server/options/audit.go`), except that every
//! mistake is told, not only the first. As there, batch and throttle numbers count in mode batch only, throttle numbers
//! only while the throttle is on, and the truncate limits always.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::report::{Located, Origin, Report};
use super::section::Section;
use super::value::{not_among, not_positive};
use super::{
    Batch, Destination, Identity, Mode, OnFull, Output, Rejected, Throttle, Truncate, destination, identity,
    quantity, redact, routing,
};

const MIB: i64 = 1 << 20;

pub(super) const MODES: [(&str, Mode); 3] =
    [("batch", Mode::Batch), ("blocking", Mode::Blocking), ("blocking-strict", Mode::BlockingStrict)];

pub(super) const ON_FULL: [(&str, OnFull); 2] = [("dropOldest", OnFull::DropOldest), ("wait", OnFull::Wait)];

/// Reads one output. `max_line_bytes` has to fit into its memory.
pub(super) fn read(mut section: Section<'_>, max_line_bytes: &Located<i64>) -> Output {
    let report = section.sources.report;
    let name = name(&mut section);
    let identity = identity(section.section("identity"));
    let (destination, requests) = destination::read(&mut section, &identity.value);
    let identity = told_to(&destination, identity, report);
    let mut batch = batch(section.section("batch"));
    batch.max_size = destination.most_events().map_or(batch.max_size, |most| most.min(batch.max_size));
    let max_in_flight = section.value("maxInFlight", None).int(4).positive(report, not_positive);
    let max_memory = max_memory(&mut section, max_line_bytes);
    let truncate = truncate(section.section("truncate"), max_memory);
    let takes = routing::read(&mut section);
    let policy_file = section.value("policyFile", Some("audit-policy-file")).line_or_empty().value;
    let redact = redact::read(section.section("redact"));
    // With flags alone the stream is what kube-apiserver's own backend would send, and nothing else.
    let with_file = section.sources.file.is_some();
    let gap_records = section.value("gapRecords", Some("gap-records")).boolean(with_file).value;
    let rejected = rejected(section.section("rejected"), max_line_bytes);
    let ready_after =
        above_zero(report, &section.value("readyAfter", None).duration(Duration::from_secs(5 * 60)));
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
        takes,
        // As kube-apiserver has it, no name is no policy.
        policy_file: policy_file.filter(|path| !path.is_empty()).map(PathBuf::from),
        gap_records,
        rejected,
        identity,
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

/// Where the events come from, and where the file says so.
fn identity(mut section: Section<'_>) -> Located<Identity> {
    let is_given = |field| section.place_of(field).filter(|_| section.has_value(field));
    let origin = is_given("cluster").or_else(|| is_given("node")).unwrap_or(Origin::Default);
    let value = identity::read(&mut section);
    section.finish();
    Located { value, origin }
}

/// What of it the destination is told: a file and standard output have kube-apiserver's lines, and nothing beside them.
fn told_to(destination: &Destination, identity: Located<Identity>, report: &Report) -> Identity {
    if !matches!(destination, Destination::File(_) | Destination::Stdout) {
        return identity.value;
    }
    if !identity.is_default() {
        let name = destination.name();
        let what =
            format!("has no effect: {name} has kube-apiserver's lines and nothing beside them; remove it");
        report.warn(&identity.origin, what);
    }
    Identity::default()
}

pub(super) fn above_zero(report: &Report, duration: &Located<Duration>) -> Duration {
    if duration.value.is_zero() {
        report.mistake(&duration.origin, "0 is out of range; legal are durations above 0");
    }
    duration.value
}
