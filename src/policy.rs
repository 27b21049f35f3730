//! kube-apiserver's audit policy, applied once more to what kube-apiserver has recorded.
//!
//! A *policy* is a list of rules; the first that matches a request decides how much of it is recorded (kubernetes-audit.md,
//! sections 10 to 13). kube-apiserver decides once for a request. We have only the events of it, and decide for each of
//! them from what the request was, with the same result: `request` derives that from the event, mostly from its URL. What a
//! policy asks for is then taken out of the event ([`Evaluator::apply`]); nothing can be put back, so the level of an event
//! is never raised.
//!
//! The same rules, asked in the same way, say which events an output takes at all: its *match* ([`Match`]).
//!
//! `load` reads both, and finds everything that is wrong with them; `rule` is what a rule asks for, `rules` asks one after
//! the other, and `index` saves most of that; `user` and `request` are what is matched, the latter with the help of
//! `selector`; `effect` changes an event, and `matching` decides whether an output takes it.

mod effect;
mod index;
mod load;
mod matching;
mod reference;
mod request;
mod rule;
mod rules;
mod selector;
mod texts;
mod user;

use std::sync::Arc;

use crate::event::{Event, Field, Level, Parts};
use crate::json::{self, Edits};
use rules::{Memory, Rules};

pub use effect::omit_managed_fields;
pub use matching::{Match, MatchRule, Matcher, ResponseCode};
pub(crate) use reference::{Reference, reference};
pub use rule::{Conditions, GroupResources, Rule};

/// A checked policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    rules: Rules<Rule>,
    /// What no rule says otherwise of.
    default: Decision,
}

/// A policy and what else its file said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// What kube-apiserver takes and does not heed; one line each, beginning with file and line.
    pub warnings: Vec<String>,
}

/// What a policy says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// How much of it may be kept.
    pub level: Level,
    /// The rule that says so, from 0; without one nothing is kept.
    pub rule: Option<usize>,
    /// Of which stages nothing is kept.
    pub omit_stages: Stages,
    /// Whether bodies lose their `managedFields`.
    pub omit_managed_fields: bool,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing of it is kept.
    Dropped,
    /// It is kept as it is.
    Unchanged,
    /// A part of it is kept.
    Changed,
}

/// A set of stages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages(u8);

/// In the order in which a request comes through them.
const STAGES: [&str; 4] = ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"];

/// A policy in use, and memory that is used again and again.
#[derive(Debug)]
pub struct Evaluator {
    policy: Arc<Policy>,
    memory: Memory,
    edits: Edits,
}

impl Policy {
    fn new(rules: Vec<Rule>, default: Decision) -> Self {
        Self { rules: Rules::new(rules), default }
    }

    /// The rules, in the order in which they are asked.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        self.rules.all()
    }
}

impl Evaluator {
    /// Puts a policy to use.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        Self { policy, memory: Memory::default(), edits: Edits::default() }
    }

    /// What the policy says of the request whose event is `line`.
    pub fn decide(&mut self, line: &[u8], parts: &Parts) -> Decision {
        let rule = self.policy.rules.first(line, parts, &mut self.memory, |_| true);
        rule.map_or(self.policy.default, |rule| rule.decision)
    }

    /// Does to an event what was decided. If it is changed, `out` is the new line; what stays has kept its bytes.
    pub fn apply(
        &mut self,
        decision: &Decision,
        line: &[u8],
        event: &Event<'_>,
        parts: &Parts,
        out: &mut Vec<u8>,
    ) -> Effect {
        if !decision.keeps(line, parts) {
            return Effect::Dropped;
        }
        effect::changes(decision, line, event.level, parts, &mut self.edits);
        if self.edits.is_empty() {
            return Effect::Unchanged;
        }
        self.edits.apply(line, out);
        Effect::Changed
    }
}

impl Decision {
    /// Whether anything is kept of the event `line`.
    #[must_use]
    pub fn keeps(&self, line: &[u8], parts: &Parts) -> bool {
        let is_omitted = |stage| self.omit_stages.names().any(|name| json::is_text(stage, name));
        self.level > Level::None && !parts.value(line, Field::Stage).is_some_and(is_omitted)
    }

    /// The level of an event that was recorded at `recorded`, once this is done to it.
    #[must_use]
    pub fn level_of(&self, recorded: Level) -> Level {
        self.level.min(recorded)
    }
}

impl Stages {
    /// The names of those in the set, in the order in which a request comes through them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        STAGES.into_iter().enumerate().filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| name)
    }

    /// The set of one.
    fn parse(name: &str) -> Option<Self> {
        STAGES.iter().position(|stage| *stage == name).map(|bit| Self(1 << bit))
    }

    /// The set of the one that the string `quoted` names.
    fn of(quoted: &[u8]) -> Option<Self> {
        STAGES.iter().position(|stage| json::is_text(quoted, stage)).map(|bit| Self(1 << bit))
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether all of `others` are in it.
    fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests;
