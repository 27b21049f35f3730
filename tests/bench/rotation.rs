//! A log that is rotated every 5 MB, of which three backups are kept, and what of it arrives.
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
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use audit_shipper::demo::lumberjack::{Lumberjack, Options};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::Bench;
use crate::events::Corpus;
use crate::process::Daemon;
use crate::report::{Bar, float};
use crate::stage::{DRAIN, Settings, Stage};

const LOG_BYTES: usize = 200_000_000;
const FOLLOWED: Options =
    Options { max_bytes: 5_000_000, max_backups: 3, compress: true, avoid_name_clash: true };
const PACE: f64 = 20e6;
const OUTAGE: Duration = Duration::from_secs(30);
/// The log is level when nothing has moved for this long.
const LEVEL_FOR: Duration = Duration::from_secs(3);
const SETTINGS: Settings =
    Settings { max_wait: Some("1s"), initial_backoff: Some("500ms"), truncate_above: None, ..DRAIN };

pub(crate) fn full_speed(bench: &mut Bench) -> anyhow::Result<()> {
    Run { name: "full-speed", options: FOLLOWED, bytes_a_second: None, outage: Duration::ZERO, kills: 0 }
        .report(bench)
}

pub(crate) fn paced(bench: &mut Bench) -> anyhow::Result<()> {
    Run { name: "paced", options: FOLLOWED, bytes_a_second: Some(PACE), outage: Duration::ZERO, kills: 0 }
        .report(bench)
}

pub(crate) fn outage(bench: &mut Bench) -> anyhow::Result<()> {
    Run { name: "outage", options: FOLLOWED, bytes_a_second: Some(PACE), outage: OUTAGE, kills: 0 }
        .report(bench)
}

pub(crate) fn kills(bench: &mut Bench) -> anyhow::Result<()> {
    let options = Options { max_backups: 0, ..FOLLOWED };
    Run { name: "kills", options, bytes_a_second: None, outage: Duration::ZERO, kills: 2 }.report(bench)
}

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
    cpu_seconds: f64,
    peak_rss_mib: f64,
}

/// The lines that are written, ready, so that nothing but writing takes time.
struct Lines(Vec<Vec<u8>>);

impl Lines {
    fn generate() -> anyhow::Result<Self> {
        let (corpus, mut lines, mut bytes) = (Corpus::small()?, Vec::new(), 0);
        while bytes < LOG_BYTES {
            let mut line = Vec::new();
            corpus.line(lines.len() as u64, &mut line);
            bytes += line.len();
            lines.push(line);
        }
        Ok(Self(lines))
    }

    /// Returns how long it took.
    fn write(&self, log: &Path, options: Options, bytes_a_second: Option<f64>) -> anyhow::Result<f64> {
        let mut writer = Lumberjack::new(log, options);
        let (started, mut written) = (Instant::now(), 0.0);
        for line in &self.0 {
            if let Some(pace) = bytes_a_second {
                let due = started + Duration::from_secs_f64(written / pace);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            writer.write_line(line)?;
            written += float(line.len() as u64);
        }
        let took = started.elapsed().as_secs_f64();
        writer.finish();
        Ok(took)
    }
}

/// The log, the place of the receiver, and what was found over all lives of the shipper.
struct Scene {
    directory: TempDir,
    receiver: SocketAddr,
    stage: Stage,
    outcome: Outcome,
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::create_dir(directory.path().join("log"))?;
        // Nobody else is given the port at once, so there is none that answers until the receiver has it.
        let receiver = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let stage = Stage::new(&directory.path().join("log/audit.log"), receiver, &SETTINGS)?;
        Ok(Self { directory, receiver, stage, outcome: Outcome::default() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn receiver(&self) -> anyhow::Result<Daemon> {
        let bind = format!("--bind-address={}", self.receiver);
        let output = format!("--output={}", self.path("received.log").display());
        Daemon::start(&["receive".to_owned(), bind, output], &self.path("receiver.stderr"), Stdio::null())
    }

    /// Notes what a life came to, just before it ends.
    fn note(&mut self, shipper: &Daemon) -> anyhow::Result<()> {
        let sum = &mut self.outcome;
        sum.cpu_seconds += shipper.cpu_seconds()?;
        sum.peak_rss_mib = sum.peak_rss_mib.max(shipper.peak_rss_mib()?);
        sum.gaps += shipper.metric("audit_shipper_gaps_total")?;
        sum.lost_bytes += shipper.metric("audit_shipper_lost_bytes_total")?;
        Ok(())
    }

    /// Waits until nothing is left to be shipped and nothing moves.
    fn wait_until_level(&mut self, shipper: &Daemon) -> anyhow::Result<()> {
        let (mut delivered, mut since) = (-1.0, Instant::now());
        while since.elapsed() < LEVEL_FOR {
            std::thread::sleep(Duration::from_millis(100));
            let now = shipper.delivered_events()?;
            let left = shipper.metric("audit_shipper_lag_bytes")?
                + shipper.metric("audit_shipper_buffered_events")?;
            self.look_at_pins(shipper)?;
            if now > delivered || left > 0.0 {
                (delivered, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    fn look_at_pins(&mut self, shipper: &Daemon) -> anyhow::Result<()> {
        let pinned = shipper.metric("audit_shipper_pinned_bytes")?;
        self.outcome.most_pinned = self.outcome.most_pinned.max(pinned);
        Ok(())
    }

    /// Compares what arrived with what was written.
    fn compare(&mut self, lines: &Lines) -> anyhow::Result<()> {
        let received = std::fs::read(self.path("received.log"))?;
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
        // Records of gaps are events that nobody wrote.
        self.outcome.foreign = arrived.len();
        Ok(())
    }
}

impl Run {
    fn report(&self, bench: &mut Bench) -> anyhow::Result<()> {
        let lines = Lines::generate()?;
        let found = self.run(&lines)?;
        let name = format!("rotation {}", self.name);
        bench.report.note(
            format!("{name}: written, shipped"),
            format!(
                "{:.0} MB/s, {:.1} s, {:.1} s of CPU, {:.1} MiB, {:.0} MB pinned",
                float(LOG_BYTES as u64) / 1e6 / found.write_seconds,
                found.seconds,
                found.cpu_seconds,
                found.peak_rss_mib,
                found.most_pinned / 1e6,
            ),
        );
        bench.report.note(
            format!("{name}: events"),
            format!(
                "{} of {} lost, {} twice, {:.0} gaps, {:.0} bytes reported",
                found.lost,
                lines.0.len(),
                found.doubled,
                found.gaps,
                found.lost_bytes
            ),
        );
        let in_silence = if found.gaps > 0.0 { 0 } else { found.lost };
        let none = Bar::Below(1.0);
        bench.report.absolute(format!("{name}: lost in silence"), float(in_silence as u64), "", none);
        let unknown = float(found.foreign as u64) - found.gaps;
        bench.report.absolute(format!("{name}: arrived, but never written"), unknown.max(0.0), "", none);
        Ok(())
    }

    fn run(&self, lines: &Lines) -> anyhow::Result<Outcome> {
        let mut scene = Scene::new()?;
        let log = scene.path("log/audit.log");
        let started = Instant::now();
        let write = || lines.write(&log, self.options, self.bytes_a_second);
        let (shipper, receiver) = if self.kills > 0 {
            scene.outcome.write_seconds = write()?;
            let receiver = scene.receiver()?;
            (self.kill_and_start_again(&mut scene, &receiver, lines)?, receiver)
        } else {
            let early = if self.outage.is_zero() { Some(scene.receiver()?) } else { None };
            let shipper = scene.stage.start()?;
            scene.outcome.write_seconds = write()?;
            scene.look_at_pins(&shipper)?;
            std::thread::sleep(self.outage.saturating_sub(started.elapsed()));
            scene.look_at_pins(&shipper)?;
            let receiver = early.map_or_else(|| scene.receiver(), Ok)?;
            (shipper, receiver)
        };
        scene.wait_until_level(&shipper)?;
        scene.outcome.seconds = started.elapsed().saturating_sub(LEVEL_FOR).as_secs_f64();
        scene.note(&shipper)?;
        shipper.stop()?;
        receiver.stop()?;
        scene.compare(lines)?;
        Ok(scene.outcome)
    }

    /// Kills the shipper at equal parts of the way; returns its last life.
    fn kill_and_start_again(
        &self,
        scene: &mut Scene,
        receiver: &Daemon,
        lines: &Lines,
    ) -> anyhow::Result<Daemon> {
        for kill in 1..=self.kills {
            let mut shipper = scene.stage.start()?;
            let until = float(lines.0.len() as u64) * f64::from(kill) / f64::from(self.kills + 1);
            while receiver.metric("audit_shipper_receiver_events_total")? < until {
                shipper.must_run()?;
                std::thread::sleep(Duration::from_millis(5));
            }
            scene.note(&shipper)?;
            shipper.kill()?;
        }
        scene.stage.start()
    }
}
