//! The real binary as a child process: `run` and `receive` alike.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::wait_until;

/// A running `audit-shipper`, killed when this is dropped.
pub(crate) struct Daemon {
    process: Child,
    /// A file, not a pipe: what it has logged is there at once, and not when a thread of ours gets to read it. So what it
    /// logs before it does something else is in its log when that is seen.
    log: File,
}

impl Daemon {
    /// Starts `audit-shipper` with these arguments and nothing of our environment that would change it.
    pub(crate) fn start<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let mut command = Self::command();
        command.args(args);
        Self::spawn(command)
    }

    /// The bare command, for a test that needs variables or other pipes.
    pub(crate) fn command() -> Command {
        Self::command_of(env!("CARGO_BIN_EXE_audit-shipper"))
    }

    /// The same behind `wrapper`, which ends in `exec "$0" "$@"`, run by `sh`, itself behind the words of `prefix`.
    pub(crate) fn command_behind(prefix: &[&str], wrapper: &str) -> Command {
        let words: Vec<&str> = prefix.iter().copied().chain(["sh", "-c", wrapper]).collect();
        let mut command = Self::command_of(words[0]);
        command.args(&words[1..]).arg(env!("CARGO_BIN_EXE_audit-shipper"));
        command
    }

    fn command_of(program: &str) -> Command {
        let mut command = Command::new(program);
        Self::isolate(&mut command);
        command
    }

    /// Keeps from the command what would change its behaviour or mix with ours.
    pub(crate) fn isolate(command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_lowercase();
            let foreign = ["rust_log", "state_directory", "notify_socket", "node_name", "cluster_name"]
                .contains(&text.as_str());
            let ours = ["audit_shipper_", "listen_"].iter().any(|prefix| text.starts_with(prefix));
            if foreign || ours || text.ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
    }

    /// Starts the command with its log captured.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let log = tempfile::tempfile().unwrap();
        let process = command.stderr(log.try_clone().unwrap()).spawn().unwrap();
        Self { process, log }
    }

    /// Every line that it logged so far.
    pub(crate) fn log(&self) -> String {
        let mut bytes = vec![0; usize::try_from(self.log.metadata().unwrap().len()).unwrap()];
        self.log.read_exact_at(&mut bytes, 0).unwrap();
        bytes.truncate(memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a line of its log that contains `text`, and returns the first.
    pub(crate) fn wait_for_line(&self, text: &str) -> String {
        wait_until(&format!("the log line `{text}`"), || {
            // It may be the last line of a process that is gone.
            let (alive, log) = (self.alive(), self.log());
            let found = log.lines().find(|line| line.contains(text)).map(str::to_owned);
            assert!(found.is_some() || alive, "ended without the log line `{text}`:\n{log}");
            found
        })
    }

    /// Where it listens, as it logs it.
    pub(crate) fn address(&self) -> SocketAddr {
        wait_until("the log line with its address", || {
            let (alive, log) = (self.alive(), self.log());
            // As text, or as JSON.
            let found = ["address=", "\"address\":\""].iter().find_map(|key| log.split_once(key));
            let address = found.and_then(|(_, tail)| tail.split([' ', '\n', '"']).next()?.parse().ok());
            assert!(address.is_some() || alive, "ended without the address in its log:\n{log}");
            address
        })
    }

    /// Status and body of a page, asked for over plain HTTP.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(self.address(), path)
    }

    /// Its metrics now.
    pub(crate) fn metrics(&self) -> Metrics {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        Metrics(text)
    }

    /// Waits until its metrics satisfy `condition`.
    pub(crate) fn wait_for_metrics(&self, what: &str, condition: impl Fn(&Metrics) -> bool) -> Metrics {
        wait_until(what, || {
            let metrics = self.metrics();
            condition(&metrics).then_some(metrics)
        })
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Has it read everything again at once; without that it takes some seconds to notice.
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Ends it as a crash would, and waits for that.
    pub(crate) fn kill9(&mut self) {
        self.signal(Signal::KILL);
        assert_eq!(self.wait().signal(), Some(9));
    }

    /// Waits for its end; its log is complete then.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_until("the end of the process", || self.process.try_wait().unwrap())
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Bytes of memory that it used at most (VmHWM).
    pub(crate) fn peak_rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Until somebody waits for it, a process that ended is a zombie.
    fn alive(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.process.id().cast_signed()).unwrap(), signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the process ---\n{}", self.log());
        }
    }
}

/// Status and body of a page of any server, asked for over plain HTTP.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    // An answer to HTTP/1.0 is neither chunked nor followed by another.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Metrics in Prometheus' text format.
pub(crate) struct Metrics(String);

impl Metrics {
    /// Sum of the samples of `name` that carry all of `labels`; panics if there is none.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found = self.find(name, labels);
        assert!(!found.is_empty(), "no sample of {name} {labels:?} in:\n{}", self.0);
        found.iter().sum()
    }

    /// The same, 0 if there is none.
    pub(crate) fn value_or_zero(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).iter().sum()
    }

    /// The names of the outputs that have read anything, or could have.
    pub(crate) fn outputs(&self) -> Vec<&str> {
        let behind = |line| str::strip_prefix(line, "audit_shipper_read_events_total{output=\"");
        self.0.lines().filter_map(behind).filter_map(|rest| rest.split('"').next()).collect()
    }

    /// The page as it came.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    fn find(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let samples = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let rest = series.strip_prefix(name)?;
            let inner = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            if inner.is_none() && !rest.is_empty() {
                return None;
            }
            let has = |label: &String| inner.is_some_and(|inner| inner.split(',').any(|pair| pair == label));
            wanted.iter().all(has).then(|| value.parse().ok())?
        });
        samples.collect()
    }
}

#[test]
fn samples_are_found_by_name_and_labels() {
    let text = "# HELP x y\nx{a=\"1\",b=\"2\"} 3\nx{a=\"1\",b=\"3\"} 4\nx_sum 5.5\n";
    let metrics = Metrics(text.to_owned());
    assert!((metrics.value("x", &[("a", "1")]) - 7.0).abs() < f64::EPSILON);
    assert!((metrics.value("x", &[("b", "3"), ("a", "1")]) - 4.0).abs() < f64::EPSILON);
    assert!((metrics.value("x_sum", &[]) - 5.5).abs() < f64::EPSILON);
    assert!(metrics.value_or_zero("x", &[("a", "2")]).abs() < f64::EPSILON);
}
