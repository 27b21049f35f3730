//! What an output does to an event before it ships it: the audit policy. (Truncation comes last, since a smaller event
//! may fit.)

use std::sync::Arc;

use crate::event::{Event, Malformed};
use crate::policy::{Effect, Evaluator, Policy};

/// What is done to each event. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct Treatment {
    /// Which events are kept, and how much of them.
    pub policy: Option<Arc<Policy>>,
}

/// What is left of an event.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All of it.
    Unchanged,
    /// The line that [`Treating::changed`] holds.
    Changed,
    /// Nothing: this rule of the policy drops it, or `None` does, as no rule matches.
    Dropped(Option<usize>),
}

/// A treatment at work on one batch: all of its events see the same policy.
#[derive(Debug, Default)]
pub(super) struct Treating {
    evaluator: Option<Evaluator>,
    changed: Vec<u8>,
}

impl Treating {
    pub(super) fn new(treatment: Treatment) -> Self {
        let evaluator = treatment.policy.map(Evaluator::new);
        Self { evaluator, changed: Vec::new() }
    }

    /// The line of the last event that was changed.
    pub(super) fn changed(&self) -> &[u8] {
        &self.changed
    }

    /// Nothing more will be changed: gives back what that takes.
    pub(super) fn rest(&mut self) {
        self.changed = Vec::new();
    }

    /// Treats one event.
    pub(super) fn treat(&mut self, line: &[u8], event: &Event<'_>) -> Result<Outcome, Malformed> {
        let Some(evaluator) = &mut self.evaluator else { return Ok(Outcome::Unchanged) };
        let parts = event.parts(line).ok_or(Malformed::Ambiguous)?;
        let decision = evaluator.decide(line, &parts);
        Ok(match evaluator.apply(&decision, line, event, &parts, &mut self.changed) {
            Effect::Dropped => Outcome::Dropped(decision.rule),
            Effect::Unchanged => Outcome::Unchanged,
            Effect::Changed => Outcome::Changed,
        })
    }
}
