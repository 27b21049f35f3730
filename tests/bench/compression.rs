//! `cargo bench --bench compression`: what it costs to compress request bodies, and how close to the bare compressor a
//! drain comes.
//!
//! For each coding and level, in turns within each round: the library alone over the bodies that the drain sends, each in
//! one piece, with a context that is used again; our compressor over the same bodies in their pieces; and the real binary
//! that drains the log into an endpoint in this process that looks at nothing. Fails if the drain with zstd at its default
//! level is slower than 0.8 of the bare compressor. Wall time is in the ratio, so a machine that does something else spoils
//! it; CPU time tells what the node pays.
//!
//! `cargo bench --bench compression -- levels` compares levels by the library alone.

use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use audit_shipper::batch::{Batch, Limits};
use audit_shipper::body::{Body, Coding};
use audit_shipper::buffers::Buffers;
use audit_shipper::compress::Compressor;
use audit_shipper::config::{Compression, StartAt};
use audit_shipper::demo::replay::Replay;
use audit_shipper::sink::HttpSink as _;
use audit_shipper::sink::webhook::Webhook;
use audit_shipper::source::pins::PinSet;
use audit_shipper::source::tail::{Progress, Tail};
use flate2::{Compress, FlushCompress, Status};
use process::{Process, Usage};

#[expect(dead_code, reason = "other benches ask a process to stop")]
mod process;

const LOG_BYTES: usize = 900_000_000;
/// The libraries alone have the bodies in memory, so it is the beginning of the log for them.
const IN_MEMORY: u64 = 250_000_000;
const ROUNDS: usize = 5;
const LEAST_RATIO: f64 = 0.8;
const BATCH: Limits =
    Limits { max_lines: 400, max_bytes: 10 << 20, max_first_line_bytes: usize::MAX, max_event_size: None };
/// What `levels` compares.
const LEVELS: [(Coding, &[u8]); 2] = [(Coding::Gzip, &[1, 2, 4, 6, 9]), (Coding::Zstd, &[1, 3, 6, 9])];

/// One way through all bodies.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    wall: Duration,
    cpu: Duration,
    plain_bytes: u64,
    sent_bytes: u64,
    peak_rss_bytes: u64,
}

/// The beginning of the log, in the bodies that a drain sends.
fn bodies(log: &Path) -> Vec<Body> {
    let mut tail = Tail::new(PinSet::of_one(log), 0, None, StartAt::Oldest, 16 << 20);
    let (mut bodies, mut bytes) = (Vec::new(), 0);
    loop {
        let mut batch = Batch::new(Buffers::default());
        let progress = tail.fill(&mut batch, &BATCH).expect("the log can be read");
        batch.seal();
        let body = Webhook.body(batch.version(), batch.items(0..batch.events()));
        bytes += body.len();
        bodies.push(body);
        if progress == Progress::AtEnd || bytes >= IN_MEMORY {
            return bodies;
        }
    }
}

/// CPU time of this thread.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    Duration::from_nanos(text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default())
}

fn timed(plain_bytes: u64, run: impl FnOnce() -> u64) -> Run {
    let (began, cpu) = (Instant::now(), thread_cpu());
    let sent_bytes = run();
    Run {
        wall: began.elapsed(),
        cpu: thread_cpu().saturating_sub(cpu),
        plain_bytes,
        sent_bytes,
        peak_rss_bytes: 0,
    }
}

/// The library, and nothing else.
fn bare(bodies: &[Vec<u8>], Compression { coding, level }: Compression) -> u64 {
    let longest = bodies.iter().map(Vec::len).max().unwrap_or_default();
    let mut out = Vec::with_capacity(longest + longest / 8 + 1024);
    match coding {
        Coding::Gzip => {
            let mut context = Compress::new_gzip(flate2::Compression::new(level.into()), 15);
            let one = |body: &Vec<u8>| {
                context.reset();
                out.clear();
                let status = context.compress_vec(body, &mut out, FlushCompress::Finish);
                assert!(matches!(status, Ok(Status::StreamEnd)));
                out.len() as u64
            };
            bodies.iter().map(one).sum()
        }
        Coding::Zstd => {
            let mut context = zstd::bulk::Compressor::new(level.into()).expect("the level is legal");
            context.include_checksum(true).expect("every version has it");
            let one =
                |body: &Vec<u8>| context.compress_to_buffer(body, &mut out).expect("there is room") as u64;
            bodies.iter().map(one).sum()
        }
    }
}

/// Our compressor, over bodies in their pieces.
fn ours(bodies: &[Body], compression: Compression) -> u64 {
    let mut compressor = Compressor::new(compression, Buffers::new(8 << 20));
    bodies.iter().map(|body| compressor.compress(body, || true).expect("there is memory").len()).sum()
}

/// The real binary, from the log to the endpoint.
fn drain(log: &Path, endpoint: SocketAddr, how: Option<Compression>, events: u64) -> std::io::Result<Run> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{ server: 'http://{endpoint}/audit' }}\n\
         users:\n- name: u\n  user: {{}}\ncontexts:\n- name: x\n  context: {{ cluster: c, user: u }}\ncurrent-context: x\n"
    );
    let compression = how.map_or_else(String::new, |Compression { coding, level }| {
        format!(", compression: {}, compressionLevel: {level}", coding.as_str())
    });
    let config = format!(
        "source: {{ path: '{}' }}\nstateDir: '{}'\nbindAddress: 127.0.0.1:0\noutputs:\n\
         - {{ name: siem, webhook: {{ kubeconfig: '{}'{compression} }}, gapRecords: false,\n    \
         batch: {{ maxSize: 400, maxWait: 10ms, throttle: {{ enable: false }} }} }}\n",
        log.display(),
        path("state").display(),
        path("kubeconfig").display(),
    );
    std::fs::create_dir(path("state"))?;
    std::fs::write(path("kubeconfig"), kubeconfig)?;
    std::fs::write(path("config.yaml"), config)?;
    let began = Instant::now();
    let config = format!("--config={}", path("config.yaml").display());
    let shipper = Process::start(&["run".to_owned(), config], &path("stderr"));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    while shipper.metric("audit_shipper_delivered_events_total") < events as f64 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let wall = began.elapsed();
    let Usage { cpu_seconds, peak_rss_bytes } = shipper.usage();
    let bytes = |name: &str| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of bytes")]
        let bytes = shipper.metric(name) as u64;
        bytes
    };
    let plain_bytes = bytes("audit_shipper_delivered_bytes_total");
    let sent_bytes = bytes("audit_shipper_sent_bytes_total");
    shipper.kill();
    Ok(Run { wall, cpu: Duration::from_secs_f64(cpu_seconds), plain_bytes, sent_bytes, peak_rss_bytes })
}

/// Takes whatever is posted, and looks at nothing.
fn endpoint() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = BufReader::with_capacity(256 << 10, stream);
                while let Ok(true) = take_one(&mut stream) {}
            });
        }
    });
    Ok(address)
}

/// Takes one request; false at the end of the connection.
fn take_one(stream: &mut BufReader<TcpStream>) -> std::io::Result<bool> {
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink())?;
    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")?;
    Ok(true)
}

/// The median of each of them for itself.
fn median(runs: &[Run]) -> Run {
    let middle = |of: fn(&Run) -> Duration| {
        let mut times: Vec<Duration> = runs.iter().map(of).collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    let peak_rss_bytes = runs.iter().map(|run| run.peak_rss_bytes).max().unwrap_or_default();
    Run { wall: middle(|run| run.wall), cpu: middle(|run| run.cpu), peak_rss_bytes, ..runs[0] }
}

impl Run {
    /// MB a second, by the clock and by CPU time.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    fn speeds(&self) -> [f64; 2] {
        [self.wall, self.cpu].map(|time| self.plain_bytes as f64 / 1e6 / time.as_secs_f64())
    }
}

fn head(out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "medians of {ROUNDS} rounds")?;
    writeln!(
        out,
        "{:<20}{:>8}{:>12}{:>12}{:>10}{:>10}",
        "", "MB/s", "MB/CPU s", "CPU ms/MB", "smaller", "RSS MiB"
    )
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
fn tell(out: &mut impl Write, name: &str, run: &Run) -> std::io::Result<()> {
    let ([speed, per_cpu], smaller) = (run.speeds(), run.plain_bytes as f64 / run.sent_bytes as f64);
    let (cost, rss) = (1e3 / per_cpu, run.peak_rss_bytes >> 20);
    writeln!(out, "{name:<20}{speed:>8.0}{per_cpu:>12.0}{cost:>12.2}{smaller:>10.1}{rss:>10}")
}

fn levels(bodies: &[Vec<u8>], out: &mut impl Write) -> std::io::Result<()> {
    let bytes = bodies.iter().map(|body| body.len() as u64).sum();
    let all: Vec<Compression> = LEVELS
        .iter()
        .flat_map(|(coding, levels)| {
            levels.iter().map(|level| Compression { coding: *coding, level: *level })
        })
        .collect();
    let mut runs = vec![Vec::new(); all.len()];
    for _ in 0..ROUNDS {
        for (compression, runs) in all.iter().zip(&mut runs) {
            runs.push(timed(bytes, || bare(bodies, *compression)));
        }
    }
    head(out)?;
    for (Compression { coding, level }, runs) in all.iter().zip(&runs) {
        tell(out, &format!("{} {level}", coding.as_str()), &median(runs))?;
    }
    Ok(())
}

fn drains(bodies: &[Body], log: &Path, events: u64, out: &mut impl Write) -> std::io::Result<bool> {
    let bytes = bodies.iter().map(Body::len).sum();
    let whole: Vec<Vec<u8>> = bodies.iter().map(Body::concat).collect();
    let address = endpoint()?;
    let codings = [Coding::Gzip, Coding::Zstd].map(|coding| Compression { coding, level: 1 });
    let mut runs = [const { [const { Vec::new() }; 3] }; 2];
    let mut plain = Vec::new();
    for _ in 0..ROUNDS {
        plain.push(drain(log, address, None, events)?);
        for (how, [alone, pieces, whole_way]) in codings.iter().zip(&mut runs) {
            alone.push(timed(bytes, || bare(&whole, *how)));
            pieces.push(timed(bytes, || ours(bodies, *how)));
            whole_way.push(drain(log, address, Some(*how), events)?);
        }
    }
    head(out)?;
    tell(out, "drain, plain", &median(&plain))?;
    let mut fast_enough = true;
    for (Compression { coding, .. }, runs) in codings.iter().zip(&runs) {
        let [alone, pieces, whole_way] = [0, 1, 2].map(|index| median(&runs[index]));
        let name = coding.as_str();
        tell(out, &format!("{name} alone"), &alone)?;
        tell(out, &format!("{name} in pieces"), &pieces)?;
        tell(out, &format!("drain, {name}"), &whole_way)?;
        let ratio = whole_way.speeds()[0] / alone.speeds()[0];
        writeln!(out, "drain, {name}, to {name} alone: {ratio:.2}")?;
        fast_enough &= *coding != Coding::Zstd || ratio >= LEAST_RATIO;
    }
    Ok(fast_enough)
}

fn main() -> std::io::Result<ExitCode> {
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("audit.log");
    let (replay, mut line, mut written, mut events) = (Replay::bundled(), Vec::new(), 0, 0);
    let mut file = BufWriter::new(std::fs::File::create(&log)?);
    while written < LOG_BYTES {
        replay.line(events, &mut line);
        file.write_all(&line)?;
        (written, events) = (written + line.len(), events + 1);
    }
    file.flush()?;
    let bodies = bodies(&log);
    let mut out = std::io::stdout().lock();
    if std::env::args().any(|argument| argument == "levels") {
        levels(&bodies.iter().map(Body::concat).collect::<Vec<_>>(), &mut out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let good = drains(&bodies, &log, events, &mut out)?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
