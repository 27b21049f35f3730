//! What it costs to look for what must not leave, and to mask it, beside the check that each event gets anyway.

use std::hint::black_box;
use std::time::Instant;

use audit_shipper::config::Redact;
use audit_shipper::event::Event;
use audit_shipper::redact::{Key, Redaction};

use crate::events::Corpus;
use crate::report::{Bar, float, median};
use crate::{Bench, MEAN_BYTES};

const EVENTS: u64 = 12_000;
const ROUNDS: usize = 9;
/// Nearly all events of a cluster since 1.30 say this of their user.
const CREDENTIAL: &str = r#""user":{"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=0d5a1c2b3f4e5d6c7b8a99887766554433221100ffeeddccbbaa998877665544"]},""#;

pub(crate) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let redaction = Redaction::new(Key::of_state_dir(directory.path())?, &Redact::default());
    let recorded = lines()?;
    let with_credential: Vec<Vec<u8>> = recorded.iter().map(|line| with_credential(line)).collect();
    for (name, lines) in
        [("as recorded", &recorded), ("with the ID of a credential in each", &with_credential)]
    {
        let bytes = float(lines.iter().map(|line| line.len() as u64).sum::<u64>());
        let (mut checks, mut looks, mut masked) = (Vec::new(), Vec::new(), 0_u64);
        let mut out = Vec::new();
        for _ in 0..ROUNDS {
            let began = Instant::now();
            for line in lines {
                black_box(Event::parse(line)?.parts(line));
            }
            checks.push(began.elapsed().as_secs_f64());
            let began = Instant::now();
            masked = 0;
            for line in lines {
                let event = Event::parse(line)?;
                if let Some(parts) = event.parts(line) {
                    masked += u64::from(black_box(redaction.apply(line, &parts, &mut out)));
                }
            }
            looks.push(began.elapsed().as_secs_f64());
            bench.tick()?;
        }
        let alone: Vec<f64> = looks.iter().zip(&checks).map(|(both, check)| both - check).collect();
        let (check, alone) = (median(checks), median(alone));
        let events = float(lines.len() as u64);
        bench.report.ratio(
            format!("redaction, events {name}"),
            format!(
                "{:.0} ns an event, {:.3} CPU s/GB; {:.0}% masked",
                alone / events * 1e9,
                alone / bytes * 1e9,
                float(masked) / events * 100.0
            ),
            (check + alone) / check,
            Bar::None,
        );
    }
    Ok(())
}

fn lines() -> anyhow::Result<Vec<Vec<u8>>> {
    let corpus = Corpus::of_mean(MEAN_BYTES)?;
    let line = |number| {
        let mut line = Vec::new();
        corpus.line(number, &mut line);
        line.pop();
        line
    };
    Ok((0..EVENTS).map(line).collect())
}

fn with_credential(line: &[u8]) -> Vec<u8> {
    const USER: &[u8] = br#""user":{""#;
    let Some(at) = memchr::memmem::find(line, USER) else { return line.to_vec() };
    [&line[..at], CREDENTIAL.as_bytes(), &line[at + USER.len()..]].concat()
}
