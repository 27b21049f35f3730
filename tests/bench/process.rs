//! `audit-shipper` as a child process, and what the system and its metrics say of it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A running `audit-shipper`, killed when this is dropped. Its log is a file.
pub(crate) struct Process {
    child: Child,
    address: String,
}

/// What a process has used so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_rss_bytes: u64,
}

impl Process {
    /// Starts `audit-shipper` with these arguments and waits until it listens.
    pub(crate) fn start(arguments: &[String], log: &Path) -> Self {
        let stderr = File::create(log).expect("the log can be made");
        let child = Command::new(env!("CARGO_BIN_EXE_audit-shipper"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the program can be run");
        let mut process = Self { child, address: String::new() };
        while process.address.is_empty() {
            let text = fs::read_to_string(log).expect("the log is there");
            let ended = process.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "ended:\n{text}");
            if let Some((_, tail)) = text.split_once("address=")
                && let Some((address, _)) = tail.split_once([' ', '\n'])
            {
                address.clone_into(&mut process.address);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        process
    }

    /// Sum of the samples of a metric, 0 if there is none.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let ask = || {
            let mut stream = TcpStream::connect(&self.address)?;
            write!(stream, "GET /metrics HTTP/1.0\r\nHost: bench\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        let page = ask().expect("it serves its metrics");
        let samples = page.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let rest = series.strip_prefix(name)?;
            (rest.is_empty() || rest.starts_with('{')).then(|| value.parse::<f64>().ok())?
        });
        // The sum of no samples is -0.
        samples.sum::<f64>() + 0.0
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Usage {
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.child.id()));
        let (Ok(stat), Ok(status)) = (read("stat"), read("status")) else { return Usage::default() };
        // utime and stime are fields 14 and 15, and the state, the first one here, is field 3; in 1/100 s.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
        let ticks: u32 = fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap_or_default();
        Usage { cpu_seconds: f64::from(ticks) / 100.0, peak_rss_bytes: peak << 10 }
    }

    /// Asks it to stop and waits for that.
    pub(crate) fn stop(self) {
        self.end(Signal::TERM);
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(self) {
        self.end(Signal::KILL);
    }

    fn end(mut self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a child has a number");
        kill_process(pid, signal).expect("it runs");
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
