//! `cargo bench`: what shipping costs, each figure beside its bar.
//!
//! The real binary runs in a process of its own, and is measured from outside: the CPU that the kernel charges to it,
//! its peak memory, and when the endpoint in this process had what it was to get. Bars are ratios to *floors* (straight
//! loops that do the least of the same work, processes too) wherever the machine decides the absolute figure.
//! Candidates take turns, and medians count. Exit status 1 if a bar is not met.
//!
//! `cargo bench -- NAME...` runs the sections whose name contains one of the names.

use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;

use events::{Corpus, Log};
use report::Report;

mod drain;
mod endpoint;
mod events;
mod floor;
mod idle;
mod latency;
mod paced;
mod process;
mod report;
mod stage;
mod start;
mod steady;

const GIGABYTE: u64 = 1_000_000_000;
/// Of the log in the table of shippers: 245,378 events in 1 GB.
const MEAN_BYTES: usize = 4075;
/// With less free space than this a tenth of the history has to do.
const ROOM_FOR_HISTORY_BYTES: u64 = 20 * GIGABYTE;
const HISTORY_FILES: u64 = 100;

/// A part of the bench.
struct Section {
    name: &'static str,
    run: fn(&mut Bench) -> anyhow::Result<()>,
}

const SECTIONS: [Section; 5] = [
    Section { name: "drain", run: drain::run },
    Section { name: "latency", run: latency::run },
    Section { name: "steady", run: steady::run },
    Section { name: "idle", run: idle::run },
    Section { name: "start", run: start::run },
];

/// What the sections share.
struct Bench {
    report: Report,
    out: std::io::Stdout,
    gigabyte: Option<Rc<Log>>,
    history: Option<Rc<Log>>,
}

impl Bench {
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
    let is_wanted =
        |section: &&Section| wanted.is_empty() || wanted.iter().any(|name| section.name.contains(name));
    let mut bench =
        Bench { report: Report::default(), out: std::io::stdout(), gigabyte: None, history: None };
    for section in SECTIONS.iter().filter(is_wanted) {
        write!(bench.out, "{} ", section.name)?;
        bench.out.flush()?;
        (section.run)(&mut bench)?;
        writeln!(bench.out)?;
    }
    write!(bench.out, "\n{}", bench.report.table())?;
    Ok(if bench.report.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
