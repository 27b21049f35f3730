//! `policy eval`: what a policy says of each event of a log.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use crate::cli::{Failure, unless_broken_pipe};
use crate::event::{Event, Field, Level, Parts};
use crate::logs::{LogFile, STDIN, each_event, each_line};
use crate::policy::{Evaluator, Policy};
use crate::source::format::Records;
use crate::source::reader::Line;

/// Prints a JSON object for each event, in the order of the log. What is no event is told on the standard error, but for what
/// else a container wrote.
pub(super) fn eval(policy: Policy, log: &Path) -> Result<(), Failure> {
    let mut stranger_count = 0;
    unless_broken_pipe(print(policy, log, &mut stranger_count))?;
    match stranger_count {
        0 => Ok(()),
        1 => Err(anyhow!("1 line is no audit event").into()),
        count => Err(anyhow!("{count} lines are no audit events").into()),
    }
}

/// What is said of the lines of one log.
struct Evaluating<'a> {
    evaluator: Evaluator,
    /// What the log is called.
    name: &'a str,
    rows: Vec<u8>,
    stranger_count: &'a mut u64,
}

fn print(policy: Policy, log: &Path, stranger_count: &mut u64) -> anyhow::Result<()> {
    let name = if log.as_os_str() == STDIN { "standard input".into() } else { log.display().to_string() };
    let cannot_read = || format!("cannot read {name}");
    let file = LogFile::open(log).with_context(cannot_read)?;
    let mut reader = file.reader(0).with_context(cannot_read)?.in_format(file.format());
    let mut records = Records::of(file.format());
    let evaluator = Evaluator::new(Arc::new(policy));
    let mut evaluating = Evaluating { evaluator, name: &name, rows: Vec::new(), stranger_count };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (mut number, mut is_ended) = (1, false);
    loop {
        while let Some((_, line)) = if is_ended { reader.remainder() } else { reader.line() } {
            match line {
                Line::Whole(span) | Line::Piece(span) => {
                    let line = |line: &[u8], begin| evaluating.line(line, number + newlines(&span[..begin]));
                    each_line(&mut records, span, line);
                    number += newlines(span) + 1;
                }
                Line::TooLong(_) => {
                    evaluating.stranger(number, &"longer than 16 MiB");
                    number += 1;
                }
            }
            out.write_all(&evaluating.rows)?;
            evaluating.rows.clear();
            reader.consume();
        }
        if is_ended {
            break;
        }
        is_ended = reader.read_more().with_context(cannot_read)? == 0;
    }
    Ok(out.flush()?)
}

/// How many lines end in a span, but for its last one.
fn newlines(span: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', span).count() as u64
}

impl Evaluating<'_> {
    /// Takes a line that begins in the file's line of this number.
    fn line(&mut self, line: &[u8], number: u64) {
        each_event(line, |text, event| {
            let evaluated = event
                .map_err(|malformed| malformed.to_string())
                .and_then(|event| evaluate(&mut self.evaluator, text, event, &mut self.rows));
            if let Err(problem) = evaluated {
                self.stranger(number, &problem);
            }
        });
    }

    fn stranger(&mut self, number: u64, problem: &dyn Display) {
        *self.stranger_count += 1;
        let _ = writeln!(io::stderr(), "error: {}:{number}: {problem}", self.name);
    }
}

/// Puts what is said of the event `line` into `row`.
fn evaluate(
    evaluator: &mut Evaluator,
    line: &[u8],
    event: &Event<'_>,
    row: &mut Vec<u8>,
) -> Result<(), String> {
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
