//! `policy eval`: what a policy says of each event of a log.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use crate::cli::{Failure, unless_broken_pipe};
use crate::event::{Event, Field, Level, Parts, glued};
use crate::logs::{LogFile, STDIN};
use crate::policy::{Evaluator, Policy};
use crate::source::reader::Line;

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
    let name = if log.as_os_str() == STDIN { "standard input".into() } else { log.display().to_string() };
    let cannot_read = || format!("cannot read {name}");
    let mut reader = LogFile::open(log).and_then(|file| file.reader(0)).with_context(cannot_read)?;
    let mut evaluator = Evaluator::new(Arc::new(policy));
    let (mut out, mut stderr) = (io::BufWriter::new(io::stdout().lock()), io::stderr());
    let (mut row, mut number) = (Vec::new(), 0_u64);
    let mut is_ended = false;
    loop {
        while let Some((_, line)) = if is_ended { reader.remainder() } else { reader.line() } {
            let ends = match line {
                Line::Whole(line) => glued_events(line),
                _ => Vec::new(),
            };
            if !ends.is_empty() {
                // Its pieces come next, one by one.
                reader.cut(&ends);
                number += 1;
                continue;
            }
            let problem = match line {
                Line::TooLong(_) => Some("longer than 16 MiB".to_owned()),
                Line::Whole(line) | Line::Piece(line) => {
                    glued::text_of(line).and_then(|(_, text)| evaluate(&mut evaluator, text, &mut row).err())
                }
            };
            number += u64::from(!matches!(line, Line::Piece(_)));
            if let Some(problem) = problem {
                *stranger_count += 1;
                let _ = writeln!(stderr, "error: {name}:{number}: {problem}");
            }
            out.write_all(&row)?;
            row.clear();
            reader.consume();
        }
        if is_ended {
            break;
        }
        is_ended = reader.read_more().with_context(cannot_read)? == 0;
    }
    Ok(out.flush()?)
}

/// Where the pieces of a line end that is no event, but holds some; none of any other line.
fn glued_events(line: &[u8]) -> Vec<usize> {
    let Some((mark_bytes, text)) = glued::text_of(line).filter(|(_, text)| Event::parse(text).is_err())
    else {
        return Vec::new();
    };
    glued::ends(text).into_iter().map(|end| end + mark_bytes).collect()
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
