//! What an output does to an event before it ships it: its match decides on the event as it was recorded, then comes the
//! audit policy, then redaction. (Truncation comes last, since a smaller event may fit.)

use std::borrow::Cow;
use std::sync::Arc;

use super::FilteredBy;
use crate::event::{Event, Level, Malformed, Parts};
use crate::policy::{Effect, Evaluator, Match, Matcher, Policy};
use crate::redact::Redaction;

/// What is done to each event. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct Treatment {
    /// Which events the output takes; `None`: all.
    pub takes: Option<Arc<Match>>,
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
    /// Nothing, as this says.
    Filtered(FilteredBy),
}

/// A treatment at work, on one batch after the other: it remembers what helps it with the next event.
#[derive(Debug, Default)]
pub struct Treating {
    treatment: Treatment,
    matcher: Option<Matcher>,
    evaluator: Option<Evaluator>,
    changed: Vec<u8>,
    before: Vec<u8>,
}

impl Treating {
    /// `None` if nothing is to be done.
    #[must_use]
    pub fn new(treatment: Treatment) -> Option<Box<Self>> {
        let Treatment { takes, policy, redaction } = &treatment;
        let is_something = takes.is_some() || policy.is_some() || redaction.is_some();
        let (matcher, evaluator) = (takes.clone().map(Matcher::new), policy.clone().map(Evaluator::new));
        is_something.then(|| Self { treatment, matcher, evaluator, ..Self::default() }).map(Box::new)
    }

    /// Whether it is `treatment` that is at work: the very same, not one that says the same.
    #[must_use]
    pub fn is_of(&self, treatment: &Treatment) -> bool {
        let Treatment { takes, policy, redaction } = &self.treatment;
        is_same(takes.as_ref(), treatment.takes.as_ref())
            && is_same(policy.as_ref(), treatment.policy.as_ref())
            && is_same(redaction.as_ref(), treatment.redaction.as_ref())
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
        let Self { treatment: Treatment { redaction, .. }, matcher, evaluator, changed, before } = self;
        let mut parts = event.parts(line).ok_or(Malformed::Ambiguous)?;
        if matcher.as_mut().is_some_and(|matcher| !matcher.takes(line, event, &parts)) {
            return Ok(Outcome::Filtered(FilteredBy::Match));
        }
        let (mut line, mut is_changed, mut level) = (line, false, event.level);
        if let Some(evaluator) = evaluator {
            let decision = evaluator.decide(line, &parts);
            match evaluator.apply(&decision, line, event, &parts, before) {
                Effect::Dropped => return Ok(Outcome::Filtered(FilteredBy::Policy(decision.rule))),
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

fn is_same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
}

/// Where the fields of a line are that we have changed.
fn parts_of(line: &[u8]) -> Result<Parts, Malformed> {
    let event = Event::parse(line)?;
    event.parts(line).map(Cow::into_owned).ok_or(Malformed::Ambiguous)
}
