//! What `check` finds of the node that it runs on: whether what `run` needs is there for this very user.
//!
//! Nothing is made or changed, and what is read is bounded however large the log is. Findings are for people: they go to the
//! standard error, and change no exit status, since `run` waits for most of what may be missing here.

mod log;
mod logrotate;
mod pace;
mod sample;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::config::Config;
use crate::shown::{count, printable};

/// Columns of the names of findings, as for destinations.
const NAME_COLUMNS: usize = 11;

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    /// As it should be.
    Shown(String),
    /// It cannot be known from here.
    NotShown(String),
    /// It works, and may cost events or time; and what to do about it.
    Warning(String, String),
    /// Nothing would be shipped; and what to do about it.
    Wrong(String, String),
}

/// What was found, in the order in which it was looked for.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

/// Looks at everything that the configuration needs of this machine but for its destinations.
pub(super) fn look(config: &Config) -> Findings {
    let mut findings = Findings::default();
    let seen = log::look(&config.source, &mut findings);
    if seen == log::Seen::Elsewhere {
        return findings;
    }
    state::look(config, &mut findings);
    logrotate::look(&config.source.path, &mut findings);
    // Of a log that cannot be read it would say that there is nothing in it.
    if seen == log::Seen::Here {
        pace::look(config, &mut findings);
    }
    findings
}

impl Findings {
    fn shown(&mut self, what: impl Into<String>) {
        self.0.push(Finding::Shown(what.into()));
    }

    fn not_shown(&mut self, what: impl Into<String>) {
        self.0.push(Finding::NotShown(what.into()));
    }

    fn warning(&mut self, what: impl Into<String>, to_do: impl Into<String>) {
        self.0.push(Finding::Warning(what.into(), to_do.into()));
    }

    fn wrong(&mut self, what: impl Into<String>, to_do: impl Into<String>) {
        self.0.push(Finding::Wrong(what.into(), to_do.into()));
    }
}

impl fmt::Display for Findings {
    /// A line with the result, and one for each thing that was found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number_of = |is: fn(&Finding) -> bool| self.0.iter().filter(|finding| is(finding)).count() as u64;
        let warnings = number_of(|finding| matches!(finding, Finding::Warning(..)));
        let is_wrong = number_of(|finding| matches!(finding, Finding::Wrong(..))) > 0;
        let is_seen = number_of(|finding| !matches!(finding, Finding::NotShown(_))) > 0;
        match warnings {
            _ if is_wrong => writeln!(f, "node: FAILED")?,
            0 if is_seen => writeln!(f, "node: good")?,
            0 => writeln!(f, "node: not looked at")?,
            warnings => writeln!(f, "node: {}", count(warnings, "warning", "warnings"))?,
        }
        let mut line = |name: &str, what: &str| writeln!(f, "  {name:NAME_COLUMNS$}  {}", printable(what));
        for finding in &self.0 {
            match finding {
                Finding::Shown(what) => line("shown", what)?,
                Finding::NotShown(what) => line("not shown", what)?,
                Finding::Warning(what, to_do) => {
                    line("warning", what)?;
                    line("to do", to_do)?;
                }
                Finding::Wrong(what, to_do) => {
                    line("wrong", what)?;
                    line("to do", to_do)?;
                }
            }
        }
        Ok(())
    }
}
