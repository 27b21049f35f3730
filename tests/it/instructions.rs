//! What the way of an event costs, in instructions: they are the same however busy the machine is.
//!
//! Each *stage* runs in a process of its own, this test's program under callgrind. What it took when it was last looked
//! at is in `tests/data/instructions.txt`; more than 5% above that is a failure. If it is meant to cost more, or costs
//! less, `AUDIT_SHIPPER_KEEP_INSTRUCTIONS=1 cargo test instructions` keeps what it takes now. The counts are those of the
//! test's build, which is not as optimised as a release: they are there to be compared with themselves.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use audit_shipper::batch::{Batch, Limits};
use audit_shipper::buffers::Buffers;
use audit_shipper::config::{Redact, StartAt};
use audit_shipper::event::Event;
use audit_shipper::health::Health;
use audit_shipper::metrics::Metrics;
use audit_shipper::redact::{Key, Redaction};
use audit_shipper::sink::webhook::Webhook;
use audit_shipper::sink::{Events, HttpSink as _};
use audit_shipper::source::pins::PinSet;
use audit_shipper::source::tail::{Progress, Tail};
use flate2::read::GzDecoder;

use crate::support::workdir::Workdir;

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/instructions.txt");
/// More than this over what was kept is a failure.
const TOLERANCE_PERCENT: u64 = 5;
const TRUNCATE_ABOVE: usize = 8 << 10;

/// What is counted on the lines of the log at a path, by its name.
type Stage = (&'static str, fn(&Path));

const STAGES: [Stage; 4] = [("check", check), ("batch", batch), ("truncate", truncate), ("redact", redact)];

/// Checks each line.
fn check(log: &Path) {
    let text = fs::read_to_string(log).unwrap();
    counted(|| {
        for line in text.lines() {
            black_box(Event::parse(line.as_bytes())).unwrap();
        }
    });
}

/// From the file to the bodies of requests, with the look at a few events of each batch that the live view shows.
fn batch(log: &Path) {
    drain(log, None);
}

/// The same, with large events cut.
fn truncate(log: &Path) {
    drain(log, Some(TRUNCATE_ABOVE));
}

/// Masks each line, and what is made to be looked at again and again: kinds within kinds, and a field many times.
fn redact(log: &Path) {
    let key = log.with_extension("key");
    fs::write(&key, [7; 32]).unwrap();
    let config = Redact { managed_fields: true, ..Redact::default() };
    let redaction = Redaction::new(Key::load(&key).unwrap(), &config);
    let (open, numbers, close) = ("{\"kind\":".repeat(500), "1,".repeat(500_000), "}".repeat(500));
    let hostile = [
        format!("[\"Secret\",{open}[{numbers}1]{close}]"),
        format!("{{{}}}", "\"rows\":[],".repeat(3_000).trim_end_matches(',')),
    ]
    .map(|body| {
        format!("{{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"responseObject\":{body}}}")
    });
    let text = fs::read_to_string(log).unwrap();
    let mut out = Vec::new();
    counted(|| {
        for line in text.lines().chain(hostile.iter().map(String::as_str)) {
            let event = Event::parse(line.as_bytes()).unwrap();
            black_box(redaction.apply(line.as_bytes(), &event.parts(line.as_bytes()).unwrap(), &mut out));
        }
    });
}

fn drain(log: &Path, max_event_size: Option<usize>) {
    let limits =
        Limits { max_lines: 400, max_bytes: 10 << 20, max_first_line_bytes: usize::MAX, max_event_size };
    let buffers = Buffers::new(8 << 20);
    let mut tail = Tail::new(PinSet::of_one(log), 0, None, StartAt::Oldest, 16 << 20);
    let health = Health::new("siem", Duration::ZERO, Arc::new(Metrics::new().route("siem")));
    counted(|| {
        let mut progress = Progress::Full;
        while progress != Progress::AtEnd {
            let mut batch = Batch::new(buffers.clone());
            progress = tail.fill(&mut batch, &limits).unwrap();
            batch.seal();
            health.took(&batch);
            let events = Events::all(Arc::new(batch));
            black_box(Webhook::default().request(&events, SystemTime::UNIX_EPOCH));
        }
    });
}

/// Only what is done here counts: callgrind is told so by this name.
#[inline(never)]
fn counted(work: impl FnOnce()) {
    work();
}

#[test]
#[ignore = "a part of the test below, which runs it under callgrind"]
fn stage() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let stage = variable("STAGE");
    let (_, run) = STAGES.iter().find(|(name, _)| *name == stage).unwrap();
    run(Path::new(&variable("STAGE_LOG")));
}

/// Instructions of one stage; `None` without valgrind.
fn instructions(stage: &str, dir: &Workdir, log: &Path) -> Option<u64> {
    let out = dir.path(&format!("{stage}.callgrind"));
    let counted = "--toggle-collect=*instructions::counted*";
    let ended = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", counted])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().unwrap())
        .args(["instructions::stage", "--exact", "--ignored", "--test-threads=1"])
        .env("STAGE", stage)
        .env("STAGE_LOG", log)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stdout));
    let profile = fs::read_to_string(out).unwrap();
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    Some(total.trim().parse().unwrap())
}

/// What the counts depend on beside our code: the compiler, and how many bytes the processor compares at a time. (Under
/// callgrind no processor has AVX-512.)
fn compiler() -> String {
    let told = Command::new("rustc").arg("--version").output().unwrap();
    let has_avx2 = fs::read_to_string("/proc/cpuinfo").unwrap().contains(" avx2 ");
    let told = String::from_utf8(told.stdout).unwrap();
    format!("{}, {} AVX2", told.trim(), if has_avx2 { "with" } else { "without" })
}

#[test]
fn no_stage_takes_more_instructions_than_it_did() {
    let dir = Workdir::new();
    let log = dir.path("audit.log");
    let mut text = Vec::new();
    for compressed in [
        &include_bytes!("../data/events/gke.log.gz")[..],
        &include_bytes!("../data/events/requestresponse.log.gz")[..],
    ] {
        GzDecoder::new(compressed).read_to_end(&mut text).unwrap();
    }
    fs::write(&log, &text).unwrap();
    let mut now = format!("compiler: {}\nbytes: {}\n", compiler(), text.len());
    for (stage, _) in STAGES {
        let Some(count) = instructions(stage, &dir, &log) else {
            return eprintln!("skipped: valgrind is not on the PATH");
        };
        assert!(count > text.len() as u64 / 10, "{stage}: {count} is not all of it");
        writeln!(now, "{stage}: {count}").unwrap();
    }
    if std::env::var_os("AUDIT_SHIPPER_KEEP_INSTRUCTIONS").is_some() {
        return fs::write(KEPT, now).unwrap();
    }
    let kept = fs::read_to_string(KEPT).unwrap();
    let compared: Vec<(&str, &str)> = kept.lines().zip(now.lines()).collect();
    if compared[0].0 != compared[0].1 {
        return eprintln!("skipped: kept with another {}, this is {}", compared[0].0, compared[0].1);
    }
    for (kept, now) in compared {
        let count = |line: &str| line.rsplit_once(": ").and_then(|(_, count)| count.parse::<u64>().ok());
        let (Some(was), Some(is)) = (count(kept), count(now)) else { continue };
        assert!(is * 100 <= was * (100 + TOLERANCE_PERCENT), "instructions: {now}, but kept is {kept}");
    }
}
