//! The real binary between a log and an endpoint, and its way through a backlog.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::endpoint::Endpoint;
use crate::events::Log;
use crate::filtering::Policy;
use crate::process::Daemon;
use crate::report::{float, megabytes};

/// An endpoint to which nothing came for so long may have everything.
const QUIET: Duration = Duration::from_millis(30);

/// What differs from the defaults, apart from the throttle, which is off, and from the free space that pins need: the
/// disk of a machine for builds is full.
#[derive(Clone, Copy, Default)]
pub(crate) struct Settings {
    pub(crate) max_wait: Option<&'static str>,
    pub(crate) initial_backoff: Option<&'static str>,
    pub(crate) max_in_flight: Option<u32>,
    pub(crate) truncate_above: Option<&'static str>,
    pub(crate) compression: Option<&'static str>,
    pub(crate) policy: Option<Policy>,
    pub(crate) redact: bool,
}

/// As in the table of shippers: truncation is on; nothing is to wait at the end of the log.
pub(crate) const DRAIN: Settings = Settings {
    max_wait: Some("20ms"),
    initial_backoff: None,
    truncate_above: Some("100KiB"),
    max_in_flight: None,
    compression: None,
    policy: None,
    redact: false,
};

/// A state directory and a configuration.
pub(crate) struct Stage {
    directory: TempDir,
}

impl Stage {
    /// For the webhook at `endpoint`.
    pub(crate) fn new(log: &Path, endpoint: SocketAddr, settings: &Settings) -> anyhow::Result<Self> {
        Self::of_many(log, endpoint, 1, settings)
    }

    /// With so many outputs to the webhook at `endpoint`.
    pub(crate) fn of_many(
        log: &Path,
        endpoint: SocketAddr,
        outputs: u32,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("kubeconfig");
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{ server: 'http://{endpoint}/audit' }}\n\
             users:\n- name: u\n  user: {{}}\ncontexts:\n- name: x\n  context: {{ cluster: c, user: u }}\ncurrent-context: x\n"
        );
        std::fs::write(&path, kubeconfig)?;
        let compression = field("compression", settings.compression);
        let initial_backoff = field("initialBackoff", settings.initial_backoff);
        let kubeconfig = path.display();
        let webhook = format!("webhook: {{ kubeconfig: '{kubeconfig}'{compression}{initial_backoff} }}");
        Self::of(directory, log, &webhook, outputs, settings)
    }

    /// For the destination that this section names. Of the settings, those of a webhook do not count.
    pub(crate) fn to(log: &Path, section: &str, settings: &Settings) -> anyhow::Result<Self> {
        Self::of(tempfile::tempdir()?, log, section, 1, settings)
    }

    fn of(
        directory: TempDir,
        log: &Path,
        section: &str,
        outputs: u32,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("state"))?;
        let max_wait = field("maxWait", settings.max_wait);
        let max_in_flight =
            settings.max_in_flight.map(|most| format!(", maxInFlight: {most}")).unwrap_or_default();
        let truncate = settings
            .truncate_above
            .map(|size| format!(", truncate: {{ enabled: true, maxEventSize: {size} }}"))
            .unwrap_or_default();
        let policy = match settings.policy {
            Some(policy) => {
                std::fs::write(path("policy.yaml"), policy.text())?;
                format!(", policyFile: '{}'", path("policy.yaml").display())
            }
            None => String::new(),
        };
        let redact = settings.redact;
        let output = |number| {
            format!(
                "- {{ name: siem-{number}, {section}, redact: {{ enabled: {redact} }}, \
                 batch: {{ throttle: {{ enable: false }}{max_wait} }}{max_in_flight}{truncate}{policy} }}\n"
            )
        };
        let config = format!(
            "source: {{ path: '{}', pinMinFree: 1% }}\nstateDir: '{}'\nbindAddress: 127.0.0.1:0\noutputs:\n{}",
            log.display(),
            path("state").display(),
            (0..outputs).map(output).collect::<String>(),
        );
        std::fs::write(path("config.yaml"), config)?;
        Ok(Self { directory })
    }

    fn config_flag(&self) -> String {
        format!("--config={}", self.directory.path().join("config.yaml").display())
    }

    pub(crate) fn start(&self) -> anyhow::Result<Daemon> {
        self.start_into(Stdio::null())
    }

    /// The same with a standard output.
    pub(crate) fn start_into(&self, stdout: Stdio) -> anyhow::Result<Daemon> {
        let arguments = ["run".to_owned(), self.config_flag()];
        Daemon::start(&arguments, &self.directory.path().join("stderr"), stdout)
    }

    /// Whether this version of the program knows every field of the configuration.
    pub(crate) fn is_understood(&self) -> anyhow::Result<bool> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_audit-shipper"));
        Ok(command.args(["check".to_owned(), self.config_flag()]).output()?.status.success())
    }

    /// What the program logged at WARN and above.
    pub(crate) fn warnings(&self) -> anyhow::Result<Vec<String>> {
        let text = std::fs::read_to_string(self.directory.path().join("stderr"))?;
        let is_warning = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
        Ok(text.lines().filter(is_warning).map(str::to_owned).collect())
    }
}

/// A further field of a section, if it has a value.
fn field(name: &str, value: Option<&str>) -> String {
    value.map(|value| format!(", {name}: {value}")).unwrap_or_default()
}

/// What it took to bring a log to an endpoint, or only to read it.
#[derive(Clone, Copy)]
pub(crate) struct Drained {
    pub(crate) log_bytes: u64,
    pub(crate) body_bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_rss_mib: f64,
}

impl Drained {
    pub(crate) fn mb_per_second(&self) -> f64 {
        megabytes(self.log_bytes) / self.seconds
    }

    pub(crate) fn mb_per_cpu_second(&self) -> f64 {
        megabytes(self.log_bytes) / self.cpu_seconds
    }
}

/// Has the program ship a whole log.
pub(crate) fn drain(log: &Log, settings: &Settings) -> anyhow::Result<Drained> {
    let endpoint = Endpoint::new()?;
    let stage = Stage::new(&log.live(), endpoint.address, settings)?;
    let mut shipper = stage.start()?;
    wait_until_delivered(&mut shipper, &endpoint, log.events)?;
    let drained = Drained {
        log_bytes: log.bytes,
        body_bytes: endpoint.body_bytes(),
        seconds: (endpoint.last().context("nothing came")? - shipper.started).as_secs_f64(),
        cpu_seconds: shipper.cpu_seconds()?,
        peak_rss_mib: shipper.peak_rss_mib()?,
    };
    shipper.stop()?;
    Ok(drained)
}

/// The program's metrics cost it something, so they are looked at only once the endpoint is quiet.
pub(crate) fn wait_until_delivered(
    shipper: &mut Daemon,
    endpoint: &Endpoint,
    events: u64,
) -> anyhow::Result<()> {
    loop {
        std::thread::sleep(QUIET / 3);
        let is_quiet = endpoint.last().is_some_and(|last| last + QUIET < Instant::now());
        if is_quiet {
            if shipper.settled_events()? >= float(events) {
                return Ok(());
            }
            anyhow::ensure!(shipper.metric("audit_shipper_gaps_total")? < 1.0, "events were lost");
        }
        shipper.must_run()?;
    }
}
