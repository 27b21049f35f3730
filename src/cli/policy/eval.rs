//! `policy eval`: what a policy says of each event of a log.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use flate2::read::MultiGzDecoder;

use crate::cli::{Failure, unless_broken_pipe};
use crate::config::DEFAULT_MAX_LINE_BYTES;
use crate::event::{Event, Field, Level, Parts};
use crate::policy::{Evaluator, Policy};

/// Begins every compressed file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const PIECE_BYTES: usize = 256 << 10;

/// Prints a JSON object for each event, in the order of the log. What is no event is told on the standard error.
pub(super) fn eval(policy: Policy, log: &Path) -> Result<(), Failure> {
    let mut stranger_count = 0;
    unless_broken_pipe(print(policy, log, &mut stranger_count))?;
    match stranger_count {
        0 => Ok(()),
        1 => Err(anyhow!("1 line is no audit event").into()),
        count => Err(anyhow!("{count} lines are no audit events").into()),
    }
}

fn print(policy: Policy, log: &Path, stranger_count: &mut u64) -> anyhow::Result<()> {
    let name = if log == Path::new("-") { "standard input".into() } else { log.display().to_string() };
    let mut lines = open(log).with_context(|| format!("cannot read {name}"))?;
    let mut evaluator = Evaluator::new(Arc::new(policy));
    let (mut out, mut stderr) = (io::BufWriter::new(io::stdout().lock()), io::stderr());
    let (mut line, mut row, mut number) = (Vec::new(), Vec::new(), 0_u64);
    loop {
        let found = next_line(&mut lines, &mut line).with_context(|| format!("cannot read {name}"))?;
        number += 1;
        let problem = match found {
            Found::End => break,
            Found::TooLong => Some("longer than 16 MiB".to_owned()),
            Found::Line if line.is_empty() => None,
            Found::Line => evaluate(&mut evaluator, &line, &mut row).err(),
        };
        if let Some(problem) = problem {
            *stranger_count += 1;
            let _ = writeln!(stderr, "error: {name}:{number}: {problem}");
        }
        out.write_all(&row)?;
        row.clear();
    }
    Ok(out.flush()?)
}

/// Puts what is said of the event `line` into `row`.
fn evaluate(evaluator: &mut Evaluator, line: &[u8], row: &mut Vec<u8>) -> Result<(), String> {
    let event = Event::parse(line).map_err(|malformed| malformed.to_string())?;
    let parts = event.parts(line).ok_or("a field is there twice, so nobody can tell what it says")?;
    let decision = evaluator.decide(line, &parts);
    let recorded = parts.value(line, Field::Level);
    let level = decision.level_of(event.level);
    // An unknown level is none that could fall; such an event is kept as it is.
    let level = match recorded {
        Some(recorded) if event.level == Level::None && decision.level > Level::None => recorded.to_vec(),
        _ => format!("{:?}", level.as_str()).into_bytes(),
    };
    let stages: Vec<String> = decision.omit_stages.names().map(|name| format!("{name:?}")).collect();
    let rule = decision.rule.map_or_else(|| "null".to_owned(), |rule| rule.to_string());
    row.extend_from_slice(b"{\"auditID\":");
    row.extend_from_slice(text(line, &parts, Field::AuditId));
    row.extend_from_slice(b",\"stage\":");
    row.extend_from_slice(text(line, &parts, Field::Stage));
    row.extend_from_slice(b",\"level\":");
    row.extend_from_slice(&level);
    let (kept, stages) = (decision.keeps(line, &parts), stages.join(","));
    row.extend_from_slice(
        format!(",\"rule\":{rule},\"kept\":{kept},\"omitStages\":[{stages}]}}\n").as_bytes(),
    );
    Ok(())
}

/// A field's value as it stands in the line, which is JSON already.
fn text<'a>(line: &'a [u8], parts: &Parts, field: Field) -> &'a [u8] {
    parts.value(line, field).unwrap_or(b"\"\"")
}

fn open(log: &Path) -> io::Result<Box<dyn BufRead>> {
    let raw: Box<dyn Read> =
        if log == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(File::open(log)?) };
    let mut raw = BufReader::with_capacity(PIECE_BYTES, raw);
    // A pipe may give the two bytes one by one; who writes so does not write gzip.
    if raw.fill_buf()?.starts_with(&GZIP) {
        return Ok(Box::new(BufReader::with_capacity(PIECE_BYTES, MultiGzDecoder::new(raw))));
    }
    Ok(Box::new(raw))
}

enum Found {
    End,
    Line,
    TooLong,
}

/// Reads a line into `line`, without what is no part of an event: its end, a byte order mark, blanks around it.
fn next_line(lines: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<Found> {
    let most = DEFAULT_MAX_LINE_BYTES.get() as u64 + 1;
    line.clear();
    if lines.take(most).read_until(b'\n', line)? == 0 {
        return Ok(Found::End);
    }
    if line.last() != Some(&b'\n') && line.len() as u64 == most {
        lines.skip_until(b'\n')?;
        return Ok(Found::TooLong);
    }
    let start = if line.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let end = start + line[start..].trim_ascii_end().len();
    line.truncate(end);
    line.drain(..start);
    Ok(Found::Line)
}
