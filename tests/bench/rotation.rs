//! `cargo bench --bench rotation [-- RUN]`: a log that is rotated every 5 MB, of which three backups are kept, and what
//! of it arrives.
//!
//! kube-apiserver's place is taken by `demo::lumberjack` with real events; the real binary ships them to the real
//! `receive`, which writes them to a file. What was written is then compared with what arrived by the content of the
//! lines. Lost without a report is the one thing that must not be: it fails.
//!
//! | run | what happens |
//! |---|---|
//! | full-speed | the writer never waits: what is not held while it has a name is gone |
//! | paced | 20 MB/s |
//! | outage | the same, and there is no endpoint for the first 30 s |
//! | kills | all backups are kept; the shipper drains them and is killed twice |

use std::collections::HashMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use audit_shipper::demo::lumberjack::{Lumberjack, Options};
use audit_shipper::demo::replay::Replay;
use process::{Process, Usage};
use sha2::{Digest as _, Sha256};

mod process;

const LOG_BYTES: usize = 200_000_000;
const FOLLOWED: Options =
    Options { max_bytes: 5_000_000, max_backups: 3, compress: true, avoid_name_clash: true };
const PACE: f64 = 20e6;
const OUTAGE: Duration = Duration::from_secs(30);
/// The log is level when nothing has moved for this long.
const LEVEL_FOR: Duration = Duration::from_secs(3);

/// One way to run it.
struct Run {
    name: &'static str,
    options: Options,
    bytes_a_second: Option<f64>,
    outage: Duration,
    kills: u32,
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    write_seconds: f64,
    seconds: f64,
    lost: usize,
    doubled: usize,
    foreign: usize,
    gaps: f64,
    lost_bytes: f64,
    most_pinned: f64,
    usage: Usage,
}

/// The lines that are written, ready, so that nothing but writing takes time.
struct Lines(Vec<Vec<u8>>);

impl Lines {
    fn generate() -> Self {
        let (replay, mut lines, mut bytes) = (Replay::bundled(), Vec::new(), 0);
        while bytes < LOG_BYTES {
            let mut line = Vec::new();
            replay.line(lines.len() as u64, &mut line);
            bytes += line.len();
            lines.push(line);
        }
        Self(lines)
    }

    /// Returns how long it took.
    fn write(&self, log: &Path, options: Options, bytes_a_second: Option<f64>) -> f64 {
        let mut writer = Lumberjack::new(log, options);
        let (started, mut written) = (Instant::now(), 0.0);
        for line in &self.0 {
            if let Some(pace) = bytes_a_second {
                let due = started + Duration::from_secs_f64(written / pace);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            writer.write_line(line).expect("the log can be written");
            written += float(line.len());
        }
        let took = started.elapsed().as_secs_f64();
        writer.finish();
        took
    }
}

/// The shipper over all of its lives, and the place of the receiver.
struct Stage {
    directory: tempfile::TempDir,
    receiver_address: String,
    lives: u32,
    outcome: Outcome,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        for name in ["log", "state"] {
            std::fs::create_dir(directory.path().join(name)).expect("a directory can be made");
        }
        // Nobody else is given the port at once, so there is none that answers until the receiver has it.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let receiver_address = free.expect("there is a free port").to_string();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{ server: 'http://{receiver_address}/audit' }}\n\
             users:\n- name: u\n  user: {{}}\ncontexts:\n- name: x\n  context: {{ cluster: c, user: u }}\ncurrent-context: x\n"
        );
        std::fs::write(directory.path().join("kubeconfig"), kubeconfig).expect("a file can be written");
        Self { directory, receiver_address, lives: 0, outcome: Outcome::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn receiver(&self) -> Process {
        let bind = format!("--bind-address={}", self.receiver_address);
        let output = format!("--output={}", self.path("received.log").display());
        Process::start(&["receive".to_owned(), bind, output], &self.path("receiver.stderr"))
    }

    fn shipper(&mut self) -> Process {
        let flag = |name: &str, file: &str| format!("--{name}={}", self.path(file).display());
        let arguments = [
            "run".to_owned(),
            flag("audit-log-path", "log/audit.log"),
            flag("audit-webhook-config-file", "kubeconfig"),
            flag("state-dir", "state"),
            "--bind-address=127.0.0.1:0".to_owned(),
            "--audit-webhook-batch-throttle-enable=false".to_owned(),
            "--audit-webhook-batch-max-wait=1s".to_owned(),
            "--audit-webhook-initial-backoff=500ms".to_owned(),
        ];
        self.lives += 1;
        Process::start(&arguments, &self.path(&format!("shipper-{}.stderr", self.lives)))
    }

    /// Notes what a life came to, just before it ends.
    fn note(&mut self, shipper: &Process) {
        let usage = shipper.usage();
        let sum = &mut self.outcome;
        sum.usage.cpu_seconds += usage.cpu_seconds;
        sum.usage.peak_rss_bytes = sum.usage.peak_rss_bytes.max(usage.peak_rss_bytes);
        sum.gaps += shipper.metric("audit_shipper_gaps_total");
        sum.lost_bytes += shipper.metric("audit_shipper_lost_bytes_total");
    }

    /// Waits until nothing is left to be shipped and nothing moves.
    fn wait_until_level(&mut self, shipper: &Process) {
        let (mut delivered, mut since) = (-1.0, Instant::now());
        while since.elapsed() < LEVEL_FOR {
            std::thread::sleep(Duration::from_millis(100));
            let now = shipper.metric("audit_shipper_delivered_events_total");
            let left =
                shipper.metric("audit_shipper_lag_bytes") + shipper.metric("audit_shipper_buffered_events");
            self.look_at_pins(shipper);
            if now > delivered || left > 0.0 {
                (delivered, since) = (now, Instant::now());
            }
        }
    }

    fn look_at_pins(&mut self, shipper: &Process) {
        let pinned = shipper.metric("audit_shipper_pinned_bytes");
        self.outcome.most_pinned = self.outcome.most_pinned.max(pinned);
    }

    /// Compares what arrived with what was written.
    fn compare(&mut self, lines: &Lines) {
        let received = std::fs::read(self.path("received.log")).expect("there is what was received");
        let mut arrived: HashMap<[u8; 32], usize> = HashMap::new();
        for line in received.split_inclusive(|byte| *byte == b'\n') {
            *arrived.entry(Sha256::digest(line).into()).or_default() += 1;
        }
        for line in &lines.0 {
            match arrived.remove::<[u8; 32]>(&Sha256::digest(line).into()) {
                Some(count) => self.outcome.doubled += count - 1,
                None => self.outcome.lost += 1,
            }
        }
        self.outcome.foreign = arrived.len();
    }
}

impl Run {
    fn all() -> [Self; 4] {
        let followed =
            |name, bytes_a_second, outage| Self { name, options: FOLLOWED, bytes_a_second, outage, kills: 0 };
        [
            followed("full-speed", None, Duration::ZERO),
            followed("paced", Some(PACE), Duration::ZERO),
            followed("outage", Some(PACE), OUTAGE),
            Self {
                options: Options { max_backups: 0, ..FOLLOWED },
                kills: 2,
                ..followed("kills", None, Duration::ZERO)
            },
        ]
    }

    fn run(&self, lines: &Lines) -> Outcome {
        let mut stage = Stage::new();
        let log = stage.path("log/audit.log");
        let started = Instant::now();
        let write = || lines.write(&log, self.options, self.bytes_a_second);
        let (shipper, receiver) = if self.kills > 0 {
            stage.outcome.write_seconds = write();
            let receiver = stage.receiver();
            (self.kill_and_start_again(&mut stage, &receiver, lines), receiver)
        } else {
            let early = self.outage.is_zero().then(|| stage.receiver());
            let shipper = stage.shipper();
            stage.outcome.write_seconds = write();
            stage.look_at_pins(&shipper);
            std::thread::sleep(self.outage.saturating_sub(started.elapsed()));
            stage.look_at_pins(&shipper);
            (shipper, early.unwrap_or_else(|| stage.receiver()))
        };
        stage.wait_until_level(&shipper);
        stage.outcome.seconds = started.elapsed().saturating_sub(LEVEL_FOR).as_secs_f64();
        stage.note(&shipper);
        shipper.stop();
        receiver.stop();
        stage.compare(lines);
        stage.outcome
    }

    /// Kills the shipper at equal parts of the way; returns its last life.
    fn kill_and_start_again(&self, stage: &mut Stage, receiver: &Process, lines: &Lines) -> Process {
        for kill in 1..=self.kills {
            let shipper = stage.shipper();
            let until = float(lines.0.len()) * f64::from(kill) / f64::from(self.kills + 1);
            while receiver.metric("audit_shipper_receiver_events_total") < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            stage.note(&shipper);
            shipper.kill();
        }
        stage.shipper()
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(count: usize) -> f64 {
    count as f64
}

fn main() -> std::io::Result<ExitCode> {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let lines = Lines::generate();
    let bytes = float(lines.0.iter().map(Vec::len).sum());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} events, {:.0} MB", lines.0.len(), bytes / 1e6)?;
    writeln!(
        out,
        "{:<12}{:>10}{:>9}{:>8}{:>9}{:>7}{:>12}{:>11}{:>7}{:>8}",
        "run", "MB/s in", "seconds", "lost", "doubled", "gaps", "lost bytes", "pinned MB", "CPU s", "RSS MiB"
    )?;
    let mut silent = false;
    for run in Run::all().iter().filter(|run| run.name.contains(&filter)) {
        let found = run.run(&lines);
        silent |= found.lost > 0 && found.gaps == 0.0 || found.foreign > 0;
        writeln!(
            out,
            "{:<12}{:>10.0}{:>9.1}{:>8}{:>9}{:>7.0}{:>12.0}{:>11.0}{:>7.1}{:>8}",
            run.name,
            bytes / 1e6 / found.write_seconds,
            found.seconds,
            found.lost,
            found.doubled,
            found.gaps,
            found.lost_bytes,
            found.most_pinned / 1e6,
            found.usage.cpu_seconds,
            found.usage.peak_rss_bytes >> 20,
        )?;
        if found.foreign > 0 {
            writeln!(out, "{} lines arrived that nobody wrote", found.foreign)?;
        }
    }
    if silent {
        writeln!(out, "events are missing without a report")?;
    }
    Ok(if silent { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
