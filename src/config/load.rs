//! From the three sources to [`Config`]: a flag wins over its variable, that over the file, that over the default.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::manifest::{self, Layer};
use super::report::{Errors, Located, Missing, Report};
use super::section::{Section, Sources};
use super::settings::{DEPRECATED_BACKOFF, INITIAL_BACKOFF, Setting, Settings};
use super::value::{not_among, not_positive};
use super::{
    Config, DEFAULT_MAX_LINE_BYTES, Destination, File, Loaded, LogFormat, Output, Pins, Rotation, Source,
    StartAt, destination, file, live_view, log_flags, output, rotation,
};
use crate::source::format::Format;
use crate::source::series::problem_of_pattern;
use crate::yaml::{self, Node};

/// Far more than a configuration needs; `--config /dev/zero` must not fill the memory.
const LONGEST_FILE: u64 = 1 << 20;

pub(super) const START_AT: [(&str, StartAt); 2] = [("oldest", StartAt::Oldest), ("newest", StartAt::Newest)];

const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// Loads the configuration. `state_directory` is what systemd says in `$STATE_DIRECTORY`.
pub(crate) fn load(settings: &Settings, state_directory: Option<&str>) -> Result<Loaded, Errors> {
    let report = Report::default();
    let file = settings.get("config");
    let text = file.and_then(|file| read_file(file, &report));
    load_text(file.map(|file| file.text.as_str()), text.as_deref(), settings, state_directory, report)
}

/// Loads the configuration from a file's text; `None` with a name means a file that could not be read.
pub(super) fn load_text(
    file: Option<&str>,
    text: Option<&str>,
    settings: &Settings,
    state_directory: Option<&str>,
    report: Report,
) -> Result<Loaded, Errors> {
    let document = text.and_then(|text| match yaml::parse(text) {
        Ok(document) => Some(document),
        Err(yaml::Unreadable { line, reason }) => {
            report.general(format!("{}:{line}: {reason}", file.unwrap_or_default()));
            None
        }
    });
    let complete = file.is_none() || document.is_some();
    let (nobody, nothing) = (Settings::default(), Layer::default());
    let sources = Sources { file, complete, settings, below: &nobody, manifest: &nothing, report: &report };
    let config = config(sources, document.as_ref(), state_directory);
    let log_format = sources
        .flag("log-format")
        .choice(LogFormat::Text, &LOG_FORMATS, |word| not_among(word, &LOG_FORMATS))
        .value;
    check_flags_without_field(sources);
    warn_of_flags_without_webhook(sources, &config.outputs);
    log_flags::check(sources);
    match report.finish() {
        Ok(warnings) => Ok(Loaded { config, warnings, log_format, file: file.map(PathBuf::from) }),
        Err(mut errors) => {
            errors.note_files(&config.outputs);
            Err(errors)
        }
    }
}

fn read_file(file: &Setting, report: &Report) -> Option<String> {
    let read = || {
        let mut text = String::new();
        std::fs::File::open(&file.text)?.take(LONGEST_FILE + 1).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    match read() {
        Ok(text) if text.len() as u64 <= LONGEST_FILE => return Some(text),
        Ok(_) => report.mistake(&file.origin, format_args!("{} is longer than 1 MiB", file.text)),
        Err(error) => {
            report.mistake(&file.origin, format_args!("cannot read {}: {error}", file.text));
            if error.kind() == std::io::ErrorKind::NotFound {
                report.is_away(Missing::File);
            }
        }
    }
    None
}

fn config(sources: Sources<'_>, document: Option<&Node>, state_directory: Option<&str>) -> Config {
    let mut top = Section::new(sources, document, String::new());
    let mut section = top.section("source");
    let manifest = manifest::read(&mut section);
    let sources = Sources {
        complete: sources.complete && manifest.complete,
        below: &manifest.layer.log,
        manifest: &manifest.layer,
        ..sources
    };
    (section.sources, top.sources) = (sources, sources);
    let (source, max_line_bytes) = source(section, manifest.path);
    let mut outputs = outputs(sources, top.list("outputs"), &max_line_bytes);
    tell_of_lost_kubeconfig(sources, &outputs);
    for output in &mut outputs {
        if let Destination::SplunkHec(splunk) = &mut output.destination {
            splunk.complete(&source.path);
        }
    }
    let state_dir = top.value("stateDir", Some("state-dir")).line().value;
    let bind_address = bind_address(sources.report, top.value("bindAddress", Some("bind-address")).line());
    let live_view = live_view::read(top.section("liveView"));
    let shutdown_grace =
        top.value("shutdownGrace", Some("shutdown-grace")).duration(Duration::from_secs(30)).value;
    top.finish();
    let state_dir = state_dir.map_or_else(|| default_state_dir(state_directory), PathBuf::from);
    for (index, output) in outputs.iter().enumerate() {
        if let Destination::File(File { path, .. }) = &output.destination
            && let Some(problem) = file::problem_of_place(path, &source.path, &state_dir)
        {
            sources.report.general(format!("outputs[{index}].file.path: {} {problem}", path.display()));
        }
    }
    check_apart(sources.report, &outputs);
    Config { source, outputs, state_dir, bind_address, live_view, shutdown_grace }
}

/// No two outputs write to one place: a file has one writer, and lines from two would be mixed up.
fn check_apart(report: &Report, outputs: &[Output]) {
    for (index, output) in outputs.iter().enumerate() {
        for (first, earlier) in outputs[..index].iter().enumerate() {
            match (&output.destination, &earlier.destination) {
                (Destination::Stdout, Destination::Stdout) => report.general(format!(
                    "outputs[{index}].stdout: is the destination of outputs[{first}] already; their lines would be mixed up"
                )),
                (Destination::File(File { path, .. }), Destination::File(other)) => {
                    if let Some(problem) = file::problem_of_two(path, &other.path, first) {
                        report.general(format!("outputs[{index}].file.path: {} {problem}", path.display()));
                    }
                }
                _ => {}
            }
        }
    }
}

fn source(mut section: Section<'_>, manifest: Option<PathBuf>) -> (Source, Located<i64>) {
    let report = section.sources.report;
    let path = section.value("path", Some("audit-log-path")).line();
    if path.is_default() {
        section.missing("path", Some("audit-log-path"));
    }
    if let Some(problem) = path.value.as_deref().and_then(problem_of_log_path) {
        report.mistake(&path.origin, problem);
    }
    let format = log_flags::format(&mut section);
    let is_pattern = path.value.as_deref().is_some_and(|path| path.contains('*'));
    if is_pattern && matches!(format, Format::Json | Format::Legacy) {
        report.mistake(
            &path.origin,
            "has a `*`, which is for the logs of containers: set source.format to cri, docker or auto. The backups of \
             other logs are found by the one name, and would fit the pattern themselves",
        );
    }
    let start_at = section
        .value("startAt", None)
        .choice(StartAt::Oldest, &START_AT, |word| not_among(word, &START_AT))
        .value;
    let max_line = section
        .value("maxLineBytes", None)
        .size(i64::try_from(DEFAULT_MAX_LINE_BYTES.get()).unwrap_or(i64::MAX));
    let pins = pins(&mut section);
    let max_line_bytes: NonZeroUsize = max_line.positive(report, not_positive);
    let path = PathBuf::from(path.value.unwrap_or_default());
    let rotation = Rotation::default();
    let mut source = Source { path, manifest, format, start_at, max_line_bytes, pins, rotation };
    source.rotation = rotation::read(&mut section, source.is_of_container());
    section.finish();
    (source, max_line)
}

fn pins(section: &mut Section<'_>) -> Pins {
    let report = section.sources.report;
    let defaults = Pins::default();
    let signed = |default: u64| i64::try_from(default).unwrap_or(i64::MAX);
    let limit = section.value("pinLimit", None).size(signed(defaults.limit)).positive(report, not_positive);
    let max_files = section.value("pinMaxFiles", None).int(signed(defaults.max_files as u64));
    Pins {
        limit: limit.get() as u64,
        max_files: max_files.positive(report, not_positive).get(),
        min_free: section.value("pinMinFree", None).free_space(defaults.min_free).value,
    }
}

fn problem_of_log_path(path: &str) -> Option<&'static str> {
    if path == "-" {
        return Some(
            "\"-\" is kube-apiserver's standard output, which no other process can tail; name what the container \
             runtime writes of it instead, in a configuration file: source.path: \
             /var/log/containers/kube-apiserver-*_kube-system_kube-apiserver-*.log and source.format: cri \
             (`audit-shipper import` makes one of the manifest)",
        );
    }
    let is_directory = path.ends_with('/') || Path::new(path).file_name().is_none();
    let problem = is_directory.then_some("names a directory; legal is the file that kube-apiserver writes");
    problem.or_else(|| problem_of_pattern(path))
}

/// The outputs of the file. With one or none, the flags speak of it; with several, it is unknown of which.
fn outputs(sources: Sources<'_>, sections: Vec<Section<'_>>, max_line_bytes: &Located<i64>) -> Vec<Output> {
    let (nobody, of_all) = (Settings::default(), sources.settings.of_all_outputs());
    let count = sections.len();
    if count == 0 {
        let sources = Sources { below: &sources.manifest.webhook, ..sources };
        let section = Section::new(sources, None, "outputs[0]".to_owned());
        return vec![output::read(section, max_line_bytes)];
    }
    if count > 1 {
        for setting in sources.settings.of_one_output() {
            let what =
                format!("the file has {count} outputs, and this can only speak of one; set it there in each");
            sources.report.mistake(&setting.origin, what);
        }
    }
    let mut names: Vec<String> = Vec::with_capacity(count);
    let mut outputs = Vec::with_capacity(count);
    for mut section in sections {
        // What the manifest says of a webhook's batches is meant for no other destination.
        section.sources.below =
            if count == 1 && destination::is_webhook(&section) { &sources.manifest.webhook } else { &nobody };
        if count > 1 {
            section.sources.settings = &of_all;
        }
        let place = section.place_of("name");
        let output = output::read(section, max_line_bytes);
        if let (Some(place), Some(first)) = (place, position(&names, &output.name)) {
            let what =
                format!("{:?} is the name of outputs[{first}] already; each needs its own", output.name);
            sources.report.mistake(&place, what);
        }
        names.push(output.name.clone());
        outputs.push(output);
    }
    outputs
}

/// A webhook whose kubeconfig nobody names but the manifest, which names none that the host has.
fn tell_of_lost_kubeconfig(sources: Sources<'_>, outputs: &[Output]) {
    let Some(what) = &sources.manifest.lost_kubeconfig else { return };
    if let [Output { destination: Destination::Webhook(kubeconfig), .. }] = outputs
        && kubeconfig.as_os_str().is_empty()
    {
        sources.report.general(what.as_str());
    }
}

/// The earlier output of this name. An output whose name was wrong has none.
fn position(names: &[String], name: &str) -> Option<usize> {
    names.iter().position(|other| !name.is_empty() && other == name)
}

fn bind_address(report: &Report, text: Located<Option<String>>) -> SocketAddr {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 9465));
    let Some(address) = text.value else { return default };
    address.parse().unwrap_or_else(|_| {
        let what = format!(
            "{address:?} is not an address; legal are such as 127.0.0.1:9465, 0.0.0.0:9465 or [::1]:0"
        );
        report.mistake(&text.origin, what);
        default
    })
}

/// systemd may name several directories, separated by colons.
pub(crate) fn default_state_dir(state_directory: Option<&str>) -> PathBuf {
    let first = state_directory.and_then(|all| all.split(':').find(|one| !one.is_empty()));
    PathBuf::from(first.unwrap_or("/var/lib/audit-shipper"))
}

/// Flags that only a webhook has a field for. They are no mistake beside other destinations: a manifest or a unit that all
/// nodes share may set them. What they ask for does not happen, though, so nobody shall believe that it does.
fn warn_of_flags_without_webhook(sources: Sources<'_>, outputs: &[Output]) {
    let is_webhook = |output: &Output| matches!(output.destination, Destination::Webhook(_));
    let Some(Output { destination, .. }) = outputs.first().filter(|_| !outputs.iter().any(is_webhook)) else {
        return;
    };
    let name = destination.name();
    let instead = [
        ("audit-webhook-config-file", format!("say `webhook` in place of `{name}`")),
        (INITIAL_BACKOFF, format!("set outputs[0].{name}.initialBackoff in the file")),
    ];
    for (flag, instead) in instead {
        if let Some(Setting { origin, .. }) = sources.settings.get(flag) {
            let what = format_args!("has no effect, since no output is a webhook; remove it, or {instead}");
            sources.report.warn(origin, what);
        }
    }
}

fn check_flags_without_field(sources: Sources<'_>) {
    let report = sources.report;
    sources.flag("audit-webhook-version").choice((), &[("audit.k8s.io/v1", ())], |_| {
        "invalid group version, allowed versions are [\"audit.k8s.io/v1\"]".to_owned()
    });
    if let Some(Setting { origin, .. }) = sources.settings.get(DEPRECATED_BACKOFF) {
        report.warn(origin, "Deprecated, use --audit-webhook-initial-backoff instead.");
    }
}
