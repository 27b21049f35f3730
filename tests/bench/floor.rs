//! Straight loops that do the least that a shipper must do. Each is a process of its own, so that what it costs is
//! measured as the shipper's cost is: the bench runs itself with `--floor NAME`.
//!
//! A floor says `done` when it is, and goes on living until its standard input ends, so that the system can be asked
//! what it used.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;

use anyhow::Context as _;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::Deserialize;

use crate::endpoint::Endpoint;
use crate::process::Process;
use crate::stage::Drained;

const BODY_BYTES: usize = 4 << 20;
const INFLATED_AT_ONCE: usize = 256 << 10;
/// Of the requests between two threads; as small as that, they stay in the CPU's caches.
const INFLATED_BODY_BYTES: usize = 512 << 10;
/// Bodies that wait for the thread that posts.
const BODIES_AHEAD: usize = 2;

/// What the argument says that makes the bench a floor.
pub(crate) const ARGUMENT: &str = "--floor";

/// Reads 4 MiB, posts them, over one connection.
pub(crate) const POST: &str = "post";
/// The same, and `serde_json` checks each line.
pub(crate) const CHECK_AND_POST: &str = "check-and-post";
/// Decompresses files.
pub(crate) const INFLATE: &str = "inflate";
/// The same, and posts what was decompressed from another thread; nothing is checked.
pub(crate) const INFLATE_AND_POST: &str = "inflate-and-post";
/// Compress a file in parts of a given size, level 1.
pub(crate) const ZSTD: &str = "zstd";
pub(crate) const GZIP: &str = "gzip";

/// Runs a floor on a log of so many bytes.
pub(crate) fn measure(name: &str, arguments: &[&str], log_bytes: u64) -> anyhow::Result<Drained> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(ARGUMENT).arg(name).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::start(&mut command)?;
    let line = process.read_line()?;
    let seconds = process.started.elapsed().as_secs_f64();
    let drained = Drained {
        log_bytes,
        body_bytes: line.strip_prefix("done ").context("no floor")?.parse()?,
        seconds,
        cpu_seconds: process.cpu_seconds()?,
        peak_rss_mib: process.peak_rss_mib()?,
    };
    process.wait()?;
    Ok(drained)
}

/// Runs a floor that posts the live file of a log.
pub(crate) fn measure_post(name: &str, log: &Path, log_bytes: u64) -> anyhow::Result<Drained> {
    let endpoint = Endpoint::new()?;
    measure(name, &[&log.display().to_string(), &endpoint.address.to_string()], log_bytes)
}

/// The whole of a process that is a floor.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (name, arguments) = arguments.split_first().context("which floor?")?;
    let bytes = match (name.as_str(), arguments) {
        (POST, [log, address]) => post(log, address, false)?,
        (CHECK_AND_POST, [log, address]) => post(log, address, true)?,
        (INFLATE, files) => inflate(files, &mut |_| Ok(()))?,
        (INFLATE_AND_POST, [address, files @ ..]) => inflate_and_post(files, address)?,
        (ZSTD, [log, part_bytes]) => zstd(log, part_bytes.parse()?)?,
        (GZIP, [log, part_bytes]) => gzip(log, part_bytes.parse()?)?,
        _ => anyhow::bail!("no floor {name} with {} arguments", arguments.len()),
    };
    writeln!(std::io::stdout(), "done {bytes}")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A string that borrows from the line unless it holds an escape.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a shipper has to know of an event. Kept apart from the program, which may find a faster way.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    api_version: Option<Text<'a>>,
    #[serde(borrow)]
    level: Option<Text<'a>>,
    #[serde(borrow)]
    stage_timestamp: Option<Text<'a>>,
}

fn is_event(line: &[u8]) -> bool {
    let fields = str::from_utf8(line).ok().and_then(|text| serde_json::from_str::<Fields<'_>>(text).ok());
    fields.is_some_and(|fields| {
        std::hint::black_box((fields.level, fields.stage_timestamp));
        fields.kind.is_some_and(|kind| kind.0 == "Event")
            && fields.api_version.is_some_and(|version| version.0 == "audit.k8s.io/v1")
    })
}

/// One connection.
struct Poster {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Poster {
    fn new(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let answers = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, answers })
    }

    /// Posts `body` and waits for the answer.
    fn post(&mut self, body: &[u8]) -> anyhow::Result<()> {
        let length = body.len();
        write!(self.stream, "POST /audit HTTP/1.1\r\nhost: floor\r\ncontent-length: {length}\r\n\r\n")?;
        self.stream.write_all(body)?;
        take_answer(&mut self.answers)
    }
}

/// Returns how many bytes were posted.
fn post(log: &str, address: &str, is_checked: bool) -> anyhow::Result<u64> {
    let (mut file, mut connection) = (File::open(log)?, Poster::new(address)?);
    let (mut buffer, mut kept, mut posted) = (vec![0; BODY_BYTES], 0, 0);
    loop {
        let count = file.read(&mut buffer[kept..])?;
        if count == 0 {
            return Ok(posted);
        }
        let (mut start, end) = (0, kept + count);
        if is_checked {
            while let Some(length) = memchr::memchr(b'\n', &buffer[start..end]) {
                anyhow::ensure!(is_event(&buffer[start..start + length]), "the log holds no events");
                start += length + 1;
            }
        } else {
            start = end;
        }
        connection.post(&buffer[..start])?;
        posted += start as u64;
        buffer.copy_within(start..end, 0);
        kept = end - start;
    }
}

fn take_answer(answers: &mut impl std::io::BufRead) -> anyhow::Result<()> {
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        anyhow::ensure!(answers.read_line(&mut line)? > 0, "no answer");
    }
    answers.read_exact(&mut [0; 2])?;
    Ok(())
}

/// Returns how many bytes there were.
fn inflate(files: &[String], take: &mut impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let (mut buffer, mut inflated) = (vec![0; INFLATED_AT_ONCE], 0);
    for path in files {
        let file = BufReader::with_capacity(INFLATED_AT_ONCE, File::open(path)?);
        let mut decoder = MultiGzDecoder::new(file);
        loop {
            let count = decoder.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            take(std::hint::black_box(&buffer[..count]))?;
            inflated += count as u64;
        }
    }
    Ok(inflated)
}

/// Returns how many bytes were posted.
fn inflate_and_post(files: &[String], address: &str) -> anyhow::Result<u64> {
    let mut poster = Poster::new(address)?;
    let (full, bodies) = sync_channel::<Vec<u8>>(BODIES_AHEAD);
    let (empty, emptied) = sync_channel(BODIES_AHEAD + 2);
    std::thread::scope(|scope| {
        let posting = scope.spawn(move || {
            for mut body in bodies {
                poster.post(&body)?;
                body.clear();
                // At the end nobody wants it any more.
                let _ = empty.try_send(body);
            }
            Ok(())
        });
        let mut body = Vec::new();
        let inflated = inflate(files, &mut |part| {
            body.extend_from_slice(part);
            if body.len() >= INFLATED_BODY_BYTES {
                let next = emptied.try_recv().unwrap_or_default();
                full.send(std::mem::replace(&mut body, next))?;
            }
            Ok(())
        })?;
        full.send(body)?;
        drop(full);
        posting.join().unwrap_or_else(|_| Err(anyhow::anyhow!("posting has panicked")))?;
        Ok(inflated)
    })
}

/// Returns how many bytes it came to.
fn zstd(log: &str, part_bytes: usize) -> anyhow::Result<u64> {
    let mut compressor = zstd::bulk::Compressor::new(1)?;
    let mut compressed = vec![0; zstd::zstd_safe::compress_bound(part_bytes)];
    each_part(log, part_bytes, |part| Ok(compressor.compress_to_buffer(part, &mut compressed)?))
}

/// Returns how many bytes it came to.
fn gzip(log: &str, part_bytes: usize) -> anyhow::Result<u64> {
    let mut compressed = Vec::new();
    each_part(log, part_bytes, |part| {
        compressed.clear();
        let mut encoder = GzEncoder::new(std::mem::take(&mut compressed), Compression::new(1));
        encoder.write_all(part)?;
        compressed = encoder.finish()?;
        Ok(compressed.len())
    })
}

fn each_part(
    log: &str,
    part_bytes: usize,
    mut compress: impl FnMut(&[u8]) -> anyhow::Result<usize>,
) -> anyhow::Result<u64> {
    let (mut file, mut part, mut total) = (File::open(log)?, vec![0; part_bytes], 0);
    loop {
        let count = file.read(&mut part)?;
        if count == 0 {
            return Ok(total);
        }
        total += compress(&part[..count])? as u64;
    }
}
