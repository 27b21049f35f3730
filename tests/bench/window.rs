//! `cargo bench --bench window`: what requests at a time are worth over a distance.
//!
//! The real binary ships real events, 400 in a batch and without the throttle, to an endpoint in this process that
//! answers at once, but is 50 ms away in each direction. Prints MB a second for each `maxInFlight` and fails if 8 at a
//! time are less than 4 times as fast as one.
//!
//! `cargo bench --bench window -- outage`: 1 GB waits while there is no endpoint for 20 s, and is then shipped as fast
//! as that goes. Fails if the shipper needed 64 MiB of memory.

use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use audit_shipper::demo::replay::Replay;
use process::{Process, Usage};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

mod process;

/// How far away the endpoint is, in one direction.
const DISTANCE: Duration = Duration::from_millis(50);
const WINDOWS: [u32; 5] = [1, 2, 4, 8, 16];
/// Of 8 requests at a time over one.
const LEAST_RATIO: f64 = 4.0;
/// What is left of the log after this is not shipped.
const MEASURE_FOR: Duration = Duration::from_secs(8);
const LOG_BYTES: usize = 600_000_000;

const OUTAGE: Duration = Duration::from_secs(20);
const BACKLOG_BYTES: usize = 1_000_000_000;
const MOST_MEMORY: u64 = 64 << 20;

/// A log, and room for what each shipper of it needs.
struct Stage {
    directory: tempfile::TempDir,
    lines: u64,
}

impl Stage {
    fn new(log_bytes: usize) -> std::io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut log = BufWriter::new(std::fs::File::create(directory.path().join("audit.log"))?);
        let (replay, mut line, mut bytes, mut lines) = (Replay::bundled(), Vec::new(), 0, 0);
        while bytes < log_bytes {
            line.clear();
            replay.line(lines, &mut line);
            log.write_all(&line)?;
            (bytes, lines) = (bytes + line.len(), lines + 1);
        }
        log.flush()?;
        Ok(Self { directory, lines })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn shipper(&self, name: &str, endpoint: SocketAddr, max_in_flight: u32) -> std::io::Result<Process> {
        let own = self.path(name);
        std::fs::create_dir_all(own.join("state"))?;
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{ server: 'http://{endpoint}/audit' }}\n\
             users:\n- name: u\n  user: {{}}\ncontexts:\n- name: x\n  context: {{ cluster: c, user: u }}\ncurrent-context: x\n"
        );
        let config = format!(
            "source: {{ path: '{}' }}\nstateDir: '{}'\nbindAddress: 127.0.0.1:0\noutputs:\n\
             - {{ name: siem, webhook: {{ kubeconfig: '{}' }}, maxInFlight: {max_in_flight}, gapRecords: false,\n    \
             redact: {{ enabled: false }}, batch: {{ maxSize: 400, maxWait: 1s, throttle: {{ enable: false }} }} }}\n",
            self.path("audit.log").display(),
            own.join("state").display(),
            own.join("kubeconfig").display(),
        );
        std::fs::write(own.join("kubeconfig"), kubeconfig)?;
        std::fs::write(own.join("config.yaml"), config)?;
        let config = format!("--config={}", own.join("config.yaml").display());
        Ok(Process::start(&["run".to_owned(), config], &own.join("stderr")))
    }
}

/// Takes whatever is posted.
async fn endpoint(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut stream = BufReader::with_capacity(256 << 10, stream);
            while let Ok(true) = take_one(&mut stream).await {}
        });
    }
}

/// Takes one request; false at the end of the connection.
async fn take_one(stream: &mut BufReader<TcpStream>) -> std::io::Result<bool> {
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(false);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    tokio::io::copy(&mut (&mut *stream).take(length), &mut tokio::io::sink()).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await?;
    Ok(true)
}

/// Puts a distance between whoever connects and `to`.
async fn far_away(listener: TcpListener, to: SocketAddr) {
    while let Ok((near, _)) = listener.accept().await {
        tokio::spawn(async move {
            let Ok(far) = TcpStream::connect(to).await else { return };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::join!(carry(near_in, far_out), carry(far_in, near_out));
        });
    }
}

/// As a long line does: any number of bytes may be on it.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    let read = async move {
        loop {
            let mut bytes = Vec::with_capacity(64 << 10);
            match from.read_buf(&mut bytes).await {
                Ok(1..) if sender.send((tokio::time::Instant::now() + DISTANCE, bytes)).is_ok() => {}
                _ => return,
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

async fn listen(address: &str) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// MB a second over the distance, and what that took.
fn speed(stage: &Stage, endpoint: SocketAddr, max_in_flight: u32) -> std::io::Result<(f64, Usage)> {
    let shipper = stage.shipper(&format!("window-{max_in_flight}"), endpoint, max_in_flight)?;
    let delivered = || shipper.metric("audit_shipper_delivered_bytes_total");
    let first = loop {
        std::thread::sleep(Duration::from_millis(5));
        let first = delivered();
        if first > 0.0 {
            break first;
        }
    };
    let began = Instant::now();
    let left = || shipper.metric("audit_shipper_lag_bytes");
    while began.elapsed() < MEASURE_FOR && left() > 0.0 {
        std::thread::sleep(Duration::from_millis(100));
    }
    let rate = (delivered() - first) / began.elapsed().as_secs_f64() / 1e6;
    let usage = shipper.usage();
    shipper.kill();
    Ok((rate, usage))
}

fn windows(runtime: &Runtime, out: &mut impl std::io::Write) -> std::io::Result<bool> {
    let stage = Stage::new(LOG_BYTES)?;
    let (listener, near) = runtime.block_on(listen("127.0.0.1:0"))?;
    runtime.spawn(endpoint(listener));
    let (listener, far) = runtime.block_on(listen("127.0.0.1:0"))?;
    runtime.spawn(far_away(listener, near));
    writeln!(out, "{:<12}{:>8}{:>8}{:>9}", "maxInFlight", "MB/s", "ratio", "RSS MiB")?;
    let (mut one, mut fast_enough) = (0.0, true);
    for window in WINDOWS {
        let (rate, usage) = speed(&stage, far, window)?;
        one = if window == 1 { rate } else { one };
        let ratio = rate / one;
        writeln!(out, "{window:<12}{rate:>8.1}{ratio:>8.1}{:>9}", usage.peak_rss_bytes >> 20)?;
        fast_enough &= window != 8 || ratio >= LEAST_RATIO;
    }
    if !fast_enough {
        writeln!(out, "8 requests at a time are less than {LEAST_RATIO} times as fast as one")?;
    }
    Ok(fast_enough)
}

fn outage(runtime: &Runtime, out: &mut impl std::io::Write) -> std::io::Result<bool> {
    let stage = Stage::new(BACKLOG_BYTES)?;
    // Nobody else is given the port at once, so there is none that answers until the endpoint has it.
    let address = runtime.block_on(listen("127.0.0.1:0"))?.1;
    let shipper = stage.shipper("outage", address, 4)?;
    std::thread::sleep(OUTAGE);
    let during = shipper.usage();
    let (listener, _) = runtime.block_on(listen(&address.to_string()))?;
    runtime.spawn(endpoint(listener));
    let began = Instant::now();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    while shipper.metric("audit_shipper_delivered_events_total") < stage.lines as f64 {
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = began.elapsed().as_secs_f64();
    let usage = shipper.usage();
    shipper.stop();
    writeln!(
        out,
        "{} events, {BACKLOG_BYTES} bytes: an outage of {OUTAGE:?}, level {took:.1} s after it; \
         peak memory {:.1} MiB, {:.1} MiB at the end of the outage; {:.1} s of CPU",
        stage.lines,
        mib(usage.peak_rss_bytes),
        mib(during.peak_rss_bytes),
        usage.cpu_seconds,
    )?;
    let told = std::fs::read_to_string(stage.path("outage/stderr"))?;
    for line in told.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")) {
        writeln!(out, "{line}")?;
    }
    Ok(usage.peak_rss_bytes < MOST_MEMORY)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn main() -> std::io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut out = std::io::stdout().lock();
    let with_outage = std::env::args().any(|argument| argument == "outage");
    let good = if with_outage { outage(&runtime, &mut out)? } else { windows(&runtime, &mut out)? };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
