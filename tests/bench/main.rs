//! `cargo bench`: what shipping costs, each figure beside its bar.
//!
//! The real binary runs in a process of its own, and is measured from outside: the CPU that the kernel charges to it,
//! its peak memory, and when the endpoint in this process had what it was to get. Bars are ratios to *floors* (straight
//! loops that do the least of the same work, processes too) wherever the machine decides the absolute figure.
//! Candidates take turns, and medians count. Exit status 1 if a bar is not met.
//!
//! `cargo bench -- NAME...` runs the sections whose name contains one of the names, and only so those that are not part
//! of the default run. `COMPARE=1` has other shippers drain the same log, `PLOT=FILE` makes a picture (SVG) of it.
//!
//! | section | what | by default |
//! |---|---|---|
//! | drain | 1 GB into an endpoint, beside floors and other shippers | yes |
//! | truncating | the same with 5% large events, cut | yes |
//! | filtering | the same with an audit policy and redaction | yes |
//! | redaction | looking for what must not leave, and masking it, beside the check of an event | yes |
//! | sinks | a drain to each kind of destination, in its forms | yes |
//! | outputs | a drain by 1 to 8 outputs at once | yes |
//! | gzip | a backlog of compressed backups, beside bare decompression | yes |
//! | compression | compressed requests, beside the bare compressor | yes |
//! | latency | write to receipt at 1,000 events/s | yes |
//! | steady | 10 MB/s while they are written | yes |
//! | idle | nobody writes | yes |
//! | start | to the first request, with 10 GB of history | yes |
//! | scale-bytes | backlogs of 1 MB to 10 GB | yes |
//! | scale-files | 1 GB in 1 to 1,000 files | yes |
//! | scale-handles | what 5,000 rotations leave behind | yes |
//! | window | requests at a time over a distance | yes |
//! | policy | an audit policy, for each event | yes |
//! | simulate | what a policy would do to 1 GB of log, and who fills it | yes |
//! | outage | 1 GB waits for an endpoint | no |
//! | rotation-full-speed, -paced, -outage, -kills | 200 MB through rotation and retention, compared by content | no |

use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use events::{Corpus, Log};
use report::Report;

mod compare;
mod compression;
mod drain;
mod endpoint;
mod events;
mod filtering;
mod floor;
mod gzip;
mod idle;
mod latency;
mod outage;
mod outputs;
mod paced;
mod plot;
mod policy;
mod process;
mod redaction;
mod report;
mod rotation;
mod scale;
mod simulate;
mod sinks;
mod stage;
mod start;
mod steady;
mod truncating;
mod window;

const GIGABYTE: u64 = 1_000_000_000;
/// Of the log in the table of shippers: 245,378 events in 1 GB.
const MEAN_BYTES: usize = 4075;
/// With less free space than this a tenth of the history has to do.
const ROOM_FOR_HISTORY_BYTES: u64 = 20 * GIGABYTE;
const HISTORY_FILES: u64 = 100;

/// A part of the bench.
struct Section {
    name: &'static str,
    is_default: bool,
    run: fn(&mut Bench) -> anyhow::Result<()>,
}

const SECTIONS: [Section; 23] = [
    by_default("drain", drain::run),
    by_default("truncating", truncating::run),
    by_default("filtering", filtering::run),
    by_default("redaction", redaction::run),
    by_default("sinks", sinks::run),
    by_default("outputs", outputs::run),
    by_default("gzip", gzip::run),
    by_default("compression", compression::run),
    by_default("latency", latency::run),
    by_default("steady", steady::run),
    by_default("idle", idle::run),
    by_default("start", start::run),
    by_default("scale-bytes", scale::bytes),
    by_default("scale-files", scale::files),
    by_default("scale-handles", scale::handles),
    by_default("window", window::run),
    by_default("policy", policy::run),
    by_default("simulate", simulate::run),
    on_demand("outage", outage::run),
    on_demand("rotation-full-speed", rotation::full_speed),
    on_demand("rotation-paced", rotation::paced),
    on_demand("rotation-outage", rotation::outage),
    on_demand("rotation-kills", rotation::kills),
];

const fn by_default(name: &'static str, run: fn(&mut Bench) -> anyhow::Result<()>) -> Section {
    Section { name, is_default: true, run }
}

const fn on_demand(name: &'static str, run: fn(&mut Bench) -> anyhow::Result<()>) -> Section {
    Section { name, is_default: false, run }
}

/// What the sections share.
struct Bench {
    report: Report,
    out: std::io::Stdout,
    gigabyte: Option<Rc<Log>>,
    history: Option<Rc<Log>>,
}

impl Bench {
    /// Something moved.
    fn tick(&mut self) -> std::io::Result<()> {
        write!(self.out, ".")?;
        self.out.flush()
    }

    fn say(&mut self, text: &str) -> std::io::Result<()> {
        writeln!(self.out, "\n{text}")
    }

    /// One file of 1 GB.
    fn gigabyte(&mut self) -> anyhow::Result<Rc<Log>> {
        if let Some(log) = &self.gigabyte {
            return Ok(Rc::clone(log));
        }
        let log = Rc::new(Log::new(&Corpus::of_mean(MEAN_BYTES)?, GIGABYTE, 1)?);
        Ok(Rc::clone(self.gigabyte.insert(log)))
    }

    /// Many files, 10 GB in all.
    fn history(&mut self) -> anyhow::Result<Rc<Log>> {
        if let Some(log) = &self.history {
            return Ok(Rc::clone(log));
        }
        let system = rustix::fs::statvfs(std::env::temp_dir())?;
        let has_room = system.f_bavail * system.f_frsize > ROOM_FOR_HISTORY_BYTES;
        let bytes = if has_room { 10 * GIGABYTE } else { GIGABYTE };
        let log = Rc::new(Log::new(&Corpus::of_mean(MEAN_BYTES)?, bytes, HISTORY_FILES)?);
        Ok(Rc::clone(self.history.insert(log)))
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == floor::ARGUMENT
    {
        floor::run(rest)?;
        return Ok(ExitCode::SUCCESS);
    }
    // Cargo adds `--bench`.
    let wanted: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |section: &&Section| {
        let is_named = wanted.iter().any(|name| section.name.contains(name));
        is_named || wanted.is_empty() && section.is_default
    };
    let mut bench =
        Bench { report: Report::default(), out: std::io::stdout(), gigabyte: None, history: None };
    for section in SECTIONS.iter().filter(is_wanted) {
        let began = Instant::now();
        write!(bench.out, "{} ", section.name)?;
        bench.out.flush()?;
        if let Err(error) = (section.run)(&mut bench) {
            bench.report.failed(section.name, &format!("{error:#}"));
        }
        writeln!(bench.out, " {:.0} s", began.elapsed().as_secs_f64())?;
    }
    if let Some(path) = std::env::var_os("PLOT") {
        std::fs::write(path, plot::svg(&bench.report))?;
    }
    write!(bench.out, "\n{}", bench.report.table())?;
    Ok(if bench.report.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
