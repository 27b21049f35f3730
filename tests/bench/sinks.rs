//! The same log to each kind of destination, beside the webhook.
//!
//! Endpoints answer as real ones do, and look into what they get: a run in which an event is missing fails. What they need
//! for that is not counted, but they share the machine, so CPU is what counts here, and no speed is told.
//!
//! The corpus is older than Loki takes, so there all events go to the streams of the past, as after a long outage.

mod arrivals;
mod protocol;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::Bench;
use crate::endpoint::Endpoint;
use crate::events::{Corpus, Log};
use crate::process::Daemon;
use crate::report::{Bar, float, median};
use crate::stage::{DRAIN, Drained, Settings, Stage};
use arrivals::Arrivals;
use protocol::{Answers, Coding, Protocol};

const LOG_BYTES: u64 = 300_000_000;
/// For an endpoint that says only after a second that it has what it took.
const SHORT_LOG_BYTES: u64 = LOG_BYTES / 10;
const ROUNDS: usize = 5;
/// So long nothing moves once everything is there.
const QUIET: Duration = Duration::from_millis(30);

/// One form of one destination.
struct Candidate {
    name: &'static str,
    to: To,
    settings: Settings,
}

#[derive(Clone, Copy)]
enum To {
    /// Takes requests: the output's section without the fields that each of its kind must have, and what comes of it.
    Http {
        section: &'static str,
        fields: &'static str,
        protocol: Protocol,
    },
    File,
    Stdout,
}

const CANDIDATES: [Candidate; 21] = [
    http("webhook", "webhook", "", plain(Answers::Json)),
    http("webhook, gzip", "webhook", "compression: gzip", gzip(Answers::Json)),
    http("ndjson", "ndjson", "", gzip(Answers::Json)),
    http("ndjson, not compressed", "ndjson", "compression: none", plain(Answers::Json)),
    http("elasticsearch", "elasticsearch", "", gzip(Answers::Bulk)),
    http("elasticsearch, not compressed", "elasticsearch", "compression: none", plain(Answers::Bulk)),
    http(
        "elasticsearch, ecs-raw, not compressed",
        "elasticsearch",
        "mode: ecs-raw, compression: none",
        plain(Answers::Bulk),
    ),
    http(
        "elasticsearch, raw, not compressed",
        "elasticsearch",
        "mode: raw, compression: none",
        plain(Answers::Bulk),
    ),
    http("otlp", "otlp", "", gzip(Answers::Empty("application/x-protobuf"))),
    http(
        "otlp, not compressed",
        "otlp",
        "compression: none",
        plain(Answers::Empty("application/x-protobuf")),
    ),
    http(
        "otlp, kvlist, not compressed",
        "otlp",
        "body: kvlist, compression: none",
        plain(Answers::Empty("application/x-protobuf")),
    ),
    http("otlp, JSON, not compressed", "otlp", "encoding: json, compression: none", plain(Answers::Json)),
    http("loki", "loki", "", Protocol { coding: Coding::Snappy, answers: Answers::Nothing }),
    http("loki, JSON, not compressed", "loki", "encoding: json", plain(Answers::Nothing)),
    http("sls", "sls", "", Protocol { coding: Coding::Lz4, answers: Answers::Sls }),
    http("sls, zstd", "sls", "compression: zstd", Protocol { coding: Coding::Zstd, answers: Answers::Sls }),
    http("splunkHec", "splunkHec", "", gzip(Answers::Splunk { acks: false })),
    http(
        "splunkHec, not compressed",
        "splunkHec",
        "compression: none",
        plain(Answers::Splunk { acks: false }),
    ),
    Candidate {
        settings: Settings { max_in_flight: Some(16), ..DRAIN },
        ..http("splunkHec, acknowledged", "splunkHec", "", gzip(Answers::Splunk { acks: true }))
    },
    Candidate { name: "file", to: To::File, settings: DRAIN },
    Candidate { name: "stdout", to: To::Stdout, settings: DRAIN },
];

const fn http(
    name: &'static str,
    section: &'static str,
    fields: &'static str,
    protocol: Protocol,
) -> Candidate {
    Candidate { name, to: To::Http { section, fields, protocol }, settings: DRAIN }
}

const fn plain(answers: Answers) -> Protocol {
    Protocol { coding: Coding::None, answers }
}

const fn gzip(answers: Answers) -> Protocol {
    Protocol { coding: Coding::Gzip, answers }
}

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let corpus = Corpus::of_mean(crate::MEAN_BYTES)?;
    let (log, short) = (Log::new(&corpus, LOG_BYTES, 1)?, Log::new(&corpus, SHORT_LOG_BYTES, 1)?);
    let mut drains: Vec<Vec<Drained>> = CANDIDATES.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (candidate, drains) in CANDIDATES.iter().zip(&mut drains) {
            let log = if candidate.waits() { &short } else { &log };
            drains.push(candidate.drain(log).with_context(|| candidate.name)?);
        }
        bench.tick()?;
    }
    for (candidate, drains_of_it) in CANDIDATES.iter().zip(&drains) {
        let of = |figure: fn(&Drained) -> f64| median(drains_of_it.iter().map(figure));
        let sent = of(|drained| float(drained.body_bytes) / float(drained.log_bytes)) * 100.0;
        let (efficiency, rss) = (of(Drained::mb_per_cpu_second), of(|drained| drained.peak_rss_mib));
        let webhook = drains[0].iter().map(Drained::mb_per_cpu_second);
        let ratios = drains_of_it.iter().zip(webhook).map(|(it, webhook)| webhook / it.mb_per_cpu_second());
        bench.report.ratio(
            format!("sinks: {}, CPU", candidate.name),
            format!("{efficiency:.0} MB/CPU s, {sent:.0}% of the bytes sent, {rss:.1} MiB"),
            median(ratios),
            Bar::None,
        );
    }
    Ok(())
}

/// What takes the events.
enum Taker {
    Endpoint(Endpoint),
    /// The directory of the file and its backups.
    File(TempDir),
    /// Reads until the end, and returns how many bytes there were.
    Stdout(JoinHandle<std::io::Result<u64>>),
}

impl Candidate {
    /// Whether the endpoint makes it wait for each batch.
    fn waits(&self) -> bool {
        matches!(self.to, To::Http { protocol: Protocol { answers: Answers::Splunk { acks: true }, .. }, .. })
    }

    fn drain(&self, log: &Log) -> anyhow::Result<Drained> {
        let arrivals = Arc::new(Arrivals::of(log.events));
        let credentials = tempfile::tempdir()?;
        let (stage, taker, stdout) = match self.to {
            To::Http { section, fields, protocol } => {
                let shared = Arc::clone(&arrivals);
                let endpoint = Endpoint::answering(protocol.answerer(shared))?;
                let stage = if section == "webhook" {
                    let compression = (protocol.coding == Coding::Gzip).then_some("gzip");
                    let settings = Settings { compression, ..self.settings };
                    Stage::new(&log.live(), endpoint.address, &settings)?
                } else {
                    let required = required_fields(section, credentials.path())?;
                    let section =
                        format!("{section}: {{ url: 'http://{}'{required}, {fields} }}", endpoint.address);
                    Stage::to(&log.live(), &section, &self.settings)?
                };
                (stage, Taker::Endpoint(endpoint), Stdio::null())
            }
            To::File => {
                let directory = tempfile::tempdir()?;
                let path = directory.path().join("events.log");
                let section = format!("file: {{ path: '{}', maxBackups: 0 }}", path.display());
                (Stage::to(&log.live(), &section, &self.settings)?, Taker::File(directory), Stdio::null())
            }
            To::Stdout => {
                let (reader, writer) = std::io::pipe()?;
                let shared = Arc::clone(&arrivals);
                let reading = std::thread::spawn(move || shared.note_lines(reader));
                let stage = Stage::to(&log.live(), "stdout: {}", &self.settings)?;
                (stage, Taker::Stdout(reading), writer.into())
            }
        };
        let mut shipper = stage.start_into(stdout)?;
        wait_until_settled(&mut shipper, log.events)?;
        let seconds = shipper.started.elapsed().as_secs_f64();
        let (cpu_seconds, peak_rss_mib) = (shipper.cpu_seconds()?, shipper.peak_rss_mib()?);
        shipper.stop()?;
        let body_bytes = match taker {
            Taker::Endpoint(endpoint) => endpoint.body_bytes(),
            Taker::File(directory) => arrivals.note_files(directory.path())?,
            Taker::Stdout(reading) => {
                reading.join().map_err(|_| anyhow::anyhow!("the reader of the pipe failed"))??
            }
        };
        let arrived = arrivals.count();
        anyhow::ensure!(arrived == log.events, "{arrived} of {} events arrived", log.events);
        Ok(Drained { log_bytes: log.bytes, body_bytes, seconds, cpu_seconds, peak_rss_mib })
    }
}

/// The fields that a section must have beside the endpoint's URL. `own` is a directory for credentials.
fn required_fields(section: &str, own: &Path) -> anyhow::Result<String> {
    let secret = own.join("secret");
    std::fs::write(&secret, "0123456789abcdef")?;
    let secret = secret.display();
    Ok(match section {
        "splunkHec" => format!(", tokenFile: '{secret}'"),
        "sls" => format!(
            ", project: bench, logstore: bench, accessKeyIdFile: '{secret}', accessKeySecretFile: '{secret}'"
        ),
        _ => String::new(),
    })
}

/// The program's metrics cost it something, so they are looked at only once it has not worked for a moment.
fn wait_until_settled(shipper: &mut Daemon, events: u64) -> anyhow::Result<()> {
    let (mut used, mut since) = (shipper.cpu_seconds()?, Instant::now());
    loop {
        std::thread::sleep(QUIET / 3);
        let now = shipper.cpu_seconds()?;
        if now - used > QUIET.as_secs_f64() / 100.0 {
            (used, since) = (now, Instant::now());
        }
        if since.elapsed() > QUIET {
            if shipper.settled_events()? >= float(events) {
                return Ok(());
            }
            anyhow::ensure!(shipper.metric("audit_shipper_gaps_total")? < 1.0, "events were lost");
            let set_aside = shipper.metric("audit_shipper_set_aside_events_total")?;
            anyhow::ensure!(set_aside < 1.0, "{set_aside} events were set aside");
            (used, since) = (shipper.cpu_seconds()?, Instant::now());
        }
        shipper.must_run()?;
    }
}
