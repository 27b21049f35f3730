//! Which events an output takes: its *match*, a list of rules of which the first that matches an event decides.
//!
//! A rule asks for what a policy's rule asks for, in the same way, and besides for what only a recorded event has: its
//! stage, how much of it was recorded, and the code of the response. What no rule matches is not taken. Nothing is changed
//! in an event: that is what a policy is for.

use std::cell::LazyCell;
use std::sync::Arc;

use super::Stages;
use super::rule::Conditions;
use super::rules::{Memory, Rules};
use crate::event::{Event, Field, Level, Parts};
use crate::json;

/// A checked list of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match(Rules<MatchRule>);

/// One of them. As in a policy, an empty list is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchRule {
    /// What it asks of the request.
    pub conditions: Conditions,
    /// What the event's stage may be.
    pub stages: Stages,
    /// What was recorded of the request.
    pub levels: Vec<Level>,
    /// What the response's code may be; an event without one is never meant.
    pub response_codes: Vec<ResponseCode>,
    /// Whether what it matches is passed over.
    pub exclude: bool,
}

/// Some codes of responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseCode {
    /// Such as 404.
    One(u16),
    /// Such as all from 400 to 499, by the first digit.
    Class(u16),
}

/// A match in use, and memory that is used again and again.
#[derive(Debug)]
pub struct Matcher {
    of: Arc<Match>,
    memory: Memory,
}

impl Match {
    pub(super) fn new(rules: Vec<MatchRule>) -> Self {
        Self(Rules::new(rules))
    }

    /// The rules, in the order in which they are asked.
    #[must_use]
    pub fn rules(&self) -> &[MatchRule] {
        self.0.all()
    }
}

impl MatchRule {
    /// Whether it matches every event.
    pub(super) fn matches_all(&self) -> bool {
        *self == Self { exclude: self.exclude, ..Self::default() }
    }
}

impl AsRef<Conditions> for MatchRule {
    fn as_ref(&self) -> &Conditions {
        &self.conditions
    }
}

impl ResponseCode {
    fn has(self, code: u16) -> bool {
        match self {
            Self::One(one) => one == code,
            Self::Class(digit) => code / 100 == digit,
        }
    }
}

impl Matcher {
    /// Puts a match to use.
    #[must_use]
    pub fn new(of: Arc<Match>) -> Self {
        Self { of, memory: Memory::default() }
    }

    /// Whether `event`, which is `line`, is taken.
    pub fn takes(&mut self, line: &[u8], event: &Event<'_>, parts: &Parts) -> bool {
        let stage = LazyCell::new(|| Stages::of(parts.value(line, Field::Stage)?));
        let code = LazyCell::new(|| response_code(line, parts));
        let holds = |rule: &MatchRule| {
            let MatchRule { stages, levels, response_codes, .. } = rule;
            (levels.is_empty() || levels.contains(&event.level))
                && (stages.is_empty() || stage.is_some_and(|stage| stages.has(stage)))
                && (response_codes.is_empty()
                    || code.is_some_and(|code| response_codes.iter().any(|wanted| wanted.has(code))))
        };
        self.of.0.first(line, parts, &mut self.memory, holds).is_some_and(|rule| !rule.exclude)
    }
}

/// The `responseStatus.code` of the event `line`.
fn response_code(line: &[u8], parts: &Parts) -> Option<u16> {
    let status = parts.place(Field::ResponseStatus)?;
    let code = json::member(line, status.start, "code")?;
    str::from_utf8(line.get(code)?).ok()?.parse().ok()
}
