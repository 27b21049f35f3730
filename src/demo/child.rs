//! A child process that is this executable with another subcommand.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::DemoError;

const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Longer than the grace that `run` gives its requests.
const STOP_TIMEOUT: Duration = Duration::from_secs(45);
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);
/// Lines of its log that an error shows.
const TAIL_LINES: usize = 15;
/// What would change the child's behaviour or the way to it: the demo is the same everywhere.
const FOREIGN_VARIABLES: [&str; 14] = [
    "RUST_LOG",
    "STATE_DIRECTORY",
    "NOTIFY_SOCKET",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// The process, killed when this is dropped.
pub(super) struct Child {
    name: &'static str,
    process: tokio::process::Child,
    log: PathBuf,
    /// Where its metrics are, once it has said so.
    metrics: Option<String>,
    client: reqwest::Client,
}

impl Child {
    /// Starts `audit-shipper <name> <arguments>`; its log goes to `<name>.stderr` in `directory`.
    pub(super) fn start(name: &'static str, arguments: &[String], directory: &Path) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(name).args(arguments);
        Self::spawn(name, command, directory)
    }

    fn spawn(name: &'static str, mut command: Command, directory: &Path) -> io::Result<Self> {
        let log = directory.join(format!("{name}.stderr"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?).kill_on_drop(true);
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            if text.starts_with("AUDIT_SHIPPER_") || FOREIGN_VARIABLES.contains(&text.as_ref()) {
                command.env_remove(&variable);
            }
        }
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(SCRAPE_TIMEOUT)
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { name, process: command.spawn()?, log, metrics: None, client })
    }

    /// Waits for the line of its log with this message, and returns its field `address`.
    pub(super) async fn address(&mut self, message: &str) -> Result<SocketAddr, DemoError> {
        let started = Instant::now();
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(address) = address_in(&log, message) {
                self.metrics = Some(format!("http://{address}/metrics"));
                return Ok(address);
            }
            self.still_running()?;
            if started.elapsed() > START_TIMEOUT {
                return Err(self.failed(format!("did not say `{message}`")));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sum of a metric over its labels; 0 if it is not there yet.
    pub(super) async fn metric(&mut self, name: &str) -> Result<u64, DemoError> {
        self.still_running()?;
        let Some(url) = &self.metrics else { return Ok(0) };
        let scrape = async { self.client.get(url).send().await?.error_for_status()?.text().await };
        match scrape.await {
            Ok(text) => Ok(sum(&text, name)),
            Err(error) => {
                // That it died says more, and takes a moment to be known.
                sleep(Duration::from_millis(100)).await;
                self.still_running()?;
                Err(self.failed(format!("does not show its metrics ({error})")))
            }
        }
    }

    /// Bytes of memory that it used at most.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }

    /// The end of its log.
    pub(super) fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// Sends SIGTERM and waits for the end.
    pub(super) async fn terminate(mut self) -> Result<(), DemoError> {
        self.still_running()?;
        let pid = self.process.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let Some(pid) = pid else { return Err(self.failed("has no process")) };
        kill_process(pid, Signal::TERM)
            .map_err(|error| self.failed(format!("cannot be asked to stop ({error})")))?;
        match timeout(STOP_TIMEOUT, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.ended(status)),
            Ok(Err(error)) => Err(self.failed(format!("cannot be waited for ({error})"))),
            Err(_) => Err(self.failed("did not stop in time")),
        }
    }

    fn still_running(&mut self) -> Result<(), DemoError> {
        match self.process.try_wait() {
            Ok(Some(status)) => Err(self.ended(status)),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn ended(&self, status: ExitStatus) -> DemoError {
        self.failed(format!("ended ({status})"))
    }

    fn failed(&self, problem: impl Into<String>) -> DemoError {
        DemoError::Child { name: self.name, problem: problem.into(), log: self.log_tail() }
    }
}

/// The address in a whole line such as `... INFO target: listening address=127.0.0.1:9880 output=-`.
fn address_in(log: &str, message: &str) -> Option<SocketAddr> {
    log.split_inclusive('\n')
        .filter(|line| line.ends_with('\n') && line.contains(message))
        .find_map(|line| line.split_whitespace().find_map(|word| word.strip_prefix("address=")?.parse().ok()))
}

/// Sum of all samples of a counter in Prometheus' text format.
fn sum(text: &str, name: &str) -> u64 {
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit(' ').next()?.parse::<u64>().ok()
    });
    samples.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, directory: &Path) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::spawn("run", command, directory).unwrap()
    }

    #[tokio::test]
    async fn an_address_is_found_and_a_stop_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let script = "trap 'exit 0' TERM; echo '2026 INFO x: listening address=127.0.0.1:99 output=-' >&2
            while :; do sleep 0.01; done";
        let mut child = shell(script, directory.path());
        assert_eq!(child.address("listening").await.unwrap(), "127.0.0.1:99".parse().unwrap());
        assert!(child.peak_memory().unwrap() > 100_000);
        child.terminate().await.unwrap();
    }

    #[tokio::test]
    async fn an_early_end_shows_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = shell("echo no such flag >&2; exit 2", directory.path());
        let error = child.address("listening").await.unwrap_err().to_string();
        assert_eq!(error, "`audit-shipper run` ended (exit status: 2); the end of its log:\nno such flag");
    }

    #[test]
    fn addresses_and_samples_are_read() {
        assert_eq!(
            address_in("a: listening address=127.0.0.1:9", "listening"),
            None,
            "the line is not whole"
        );
        assert_eq!(address_in("a: listening address=[::1]:9 b=c\n", "listening"), "[::1]:9".parse().ok());
        let text = "# TYPE x counter\nx{output=\"a b\"} 3\nx{output=\"c\"} 4\nx_other 5\n";
        assert_eq!((sum(text, "x"), sum(text, "x_other"), sum(text, "y")), (7, 5, 0));
    }
}
