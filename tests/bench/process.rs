//! Child processes, and what the system says of them. For `audit-shipper`, its metrics too.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::time::ClockId;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// How long a program may take for what it was started for.
const LONGEST: Duration = Duration::from_secs(300);

/// A running program, killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    clock: ClockId,
    pub(crate) started: Instant,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("{}", command.get_program().display()))?;
        let clock = nix::time::clock_getcpuclockid(nix::unistd::Pid::from_raw(child.id().cast_signed()))?;
        Ok(Self { child, clock, started })
    }

    /// What all its threads have used so far, ended ones too, in the kernel and outside.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        Ok(Duration::from(self.clock.now()?).as_secs_f64())
    }

    pub(crate) fn peak_rss_mib(&self) -> anyhow::Result<f64> {
        self.status_mib("VmHWM:")
    }

    pub(crate) fn rss_mib(&self) -> anyhow::Result<f64> {
        self.status_mib("VmRSS:")
    }

    fn status_mib(&self, key: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let value = status.lines().find_map(|line| line.strip_prefix(key)).context("no such line")?;
        Ok(value.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// Open handles.
    pub(crate) fn handles(&self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Waits until it has ended by itself. The system can still be asked what it used.
    pub(crate) fn wait_for_end(&self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a child has a number")?;
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        Ok(())
    }

    /// Waits for it to end by itself.
    pub(crate) fn wait(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "a child ended with {status}");
        Ok(())
    }

    /// The next line of its standard output.
    pub(crate) fn read_line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        BufReader::with_capacity(1, self.child.stdout.as_mut().context("no pipe")?).read_line(&mut line)?;
        anyhow::ensure!(line.ends_with('\n'), "a child ended early");
        Ok(line.trim_end().to_owned())
    }

    /// Fails if it has ended, or takes too long.
    pub(crate) fn must_run(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            anyhow::bail!("it ended with {status}");
        }
        anyhow::ensure!(self.started.elapsed() < LONGEST, "not done after {LONGEST:?}");
        Ok(())
    }

    /// Asks it to stop and waits for that.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.end(Signal::TERM)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(self) -> anyhow::Result<()> {
        self.end(Signal::KILL)
    }

    fn end(mut self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a child has a number")?;
        kill_process(pid, signal)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running `audit-shipper` that listens. Its log is a file.
pub(crate) struct Daemon {
    process: Process,
    address: String,
}

impl Daemon {
    /// Starts `audit-shipper` with these arguments and waits until it listens.
    pub(crate) fn start(arguments: &[String], log: &Path, stdout: Stdio) -> anyhow::Result<Self> {
        let mut process = Process::start(
            Command::new(env!("CARGO_BIN_EXE_audit-shipper"))
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(stdout)
                .stderr(File::create(log)?),
        )?;
        loop {
            let text = fs::read_to_string(log)?;
            process.must_run().with_context(|| text.clone())?;
            if let Some((_, tail)) = text.split_once("address=")
                && let Some((address, _)) = tail.split_once([' ', '\n'])
            {
                return Ok(Self { process, address: address.to_owned() });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sum of the samples of a metric, 0 if there is none.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(stream, "GET /metrics HTTP/1.0\r\nHost: bench\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        let samples = page.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let rest = series.strip_prefix(name)?;
            (rest.is_empty() || rest.starts_with('{')).then(|| value.parse::<f64>().ok())?
        });
        // The sum of no samples is -0.
        Ok(samples.sum::<f64>() + 0.0)
    }

    pub(crate) fn delivered_events(&self) -> anyhow::Result<f64> {
        self.metric("audit_shipper_delivered_events_total")
    }

    /// Those that were delivered, and those that the policy dropped.
    pub(crate) fn settled_events(&self) -> anyhow::Result<f64> {
        Ok(self.delivered_events()? + self.metric("audit_shipper_filtered_events_total")?)
    }

    pub(crate) fn must_run(&mut self) -> anyhow::Result<()> {
        self.process.must_run()
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.process.stop()
    }

    pub(crate) fn kill(self) -> anyhow::Result<()> {
        self.process.kill()
    }
}

impl Deref for Daemon {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}
