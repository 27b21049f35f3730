//! What an output does to an event before it ships it: the audit policy, then redaction. (Truncation comes last, since a
//! smaller event may fit.)

use std::borrow::Cow;
use std::sync::Arc;

use crate::event::{Event, Level, Malformed, Parts};
use crate::policy::{Effect, Evaluator, Policy};
use crate::redact::Redaction;

/// What is done to each event. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct Treatment {
    /// Which events are kept, and how much of them.
    pub policy: Option<Arc<Policy>>,
    /// What is masked in them.
    pub redaction: Option<Arc<Redaction>>,
}

/// What is left of an event.
#[derive(Debug)]
pub(super) enum Outcome {
    /// All of it.
    Unchanged,
    /// The line that [`Treating::changed`] holds, which has this level.
    Changed(Level),
    /// Nothing: this rule of the policy drops it, or `None` does, as no rule matches.
    Dropped(Option<usize>),
}

/// A treatment at work, on one batch after the other: it remembers what helps it with the next event.
#[derive(Debug, Default)]
pub struct Treating {
    treatment: Treatment,
    evaluator: Option<Evaluator>,
    changed: Vec<u8>,
    before: Vec<u8>,
}

impl Treating {
    /// `None` if nothing is to be done.
    #[must_use]
    pub fn new(treatment: Treatment) -> Option<Box<Self>> {
        let is_something = treatment.policy.is_some() || treatment.redaction.is_some();
        let evaluator = treatment.policy.clone().map(Evaluator::new);
        is_something.then(|| Self { treatment, evaluator, ..Self::default() }).map(Box::new)
    }

    /// Whether it is `treatment` that is at work: the very same, not one that says the same.
    #[must_use]
    pub fn is_of(&self, treatment: &Treatment) -> bool {
        let policies = [&self.treatment, treatment].map(|of| of.policy.as_ref().map(Arc::as_ptr));
        let redactions = [&self.treatment, treatment].map(|of| of.redaction.as_ref().map(Arc::as_ptr));
        policies[0] == policies[1] && redactions[0] == redactions[1]
    }

    /// The line of the last event that was changed.
    pub(super) fn changed(&self) -> &[u8] {
        &self.changed
    }

    /// The batch is complete: gives back the memory that its events took.
    pub(super) fn rest(&mut self) {
        (self.changed, self.before) = (Vec::new(), Vec::new());
    }

    /// Treats one event.
    pub(super) fn treat(&mut self, line: &[u8], event: &Event<'_>) -> Result<Outcome, Malformed> {
        let Self { treatment: Treatment { redaction, .. }, evaluator, changed, before } = self;
        let mut parts = event.parts(line).ok_or(Malformed::Ambiguous)?;
        let (mut line, mut is_changed, mut level) = (line, false, event.level);
        if let Some(evaluator) = evaluator {
            let decision = evaluator.decide(line, &parts);
            match evaluator.apply(&decision, line, event, &parts, before) {
                Effect::Dropped => return Ok(Outcome::Dropped(decision.rule)),
                Effect::Unchanged => {}
                Effect::Changed => {
                    is_changed = true;
                    level = decision.level_of(level);
                    if redaction.is_some() {
                        line = before;
                        parts = Cow::Owned(parts_of(line)?);
                    }
                }
            }
        }
        let is_redacted = redaction.as_ref().is_some_and(|redaction| redaction.apply(line, &parts, changed));
        if is_changed && !is_redacted {
            std::mem::swap(changed, before);
        }
        Ok(if is_changed || is_redacted { Outcome::Changed(level) } else { Outcome::Unchanged })
    }
}

/// Where the fields of a line are that we have changed.
fn parts_of(line: &[u8]) -> Result<Parts, Malformed> {
    let event = Event::parse(line)?;
    event.parts(line).map(Cow::into_owned).ok_or(Malformed::Ambiguous)
}
