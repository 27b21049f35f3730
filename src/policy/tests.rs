use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::request::{Request, Scratch};
use super::*;

mod cases;
mod matching;
mod properties;
mod rules;

/// A policy without warnings.
fn policy(yaml: &str) -> Policy {
    let loaded = Policy::parse(yaml, "p.yaml").unwrap();
    assert_eq!(loaded.warnings, [""; 0], "{yaml}");
    loaded.policy
}

/// The match of these rules.
fn match_of(yaml: &str) -> Match {
    let node = crate::yaml::parse(yaml).unwrap_or_else(|error| panic!("{yaml}: {error:?}"));
    Match::read(&node, "match", "f.yaml").unwrap_or_else(|mistakes| panic!("{yaml}: {mistakes:?}")).0
}

/// Whether a match takes an event.
fn is_taken(of: &Match, line: &[u8]) -> bool {
    let event = Event::parse(line).unwrap();
    let parts = event.parts(line).unwrap();
    Matcher::new(Arc::new(of.clone())).takes(line, &event, &parts)
}

/// What a policy says of an event, what becomes of it, and the event as it is then.
fn applied(policy: &Policy, line: &[u8]) -> (Decision, Effect, Vec<u8>) {
    let event =
        Event::parse(line).unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(line)));
    let parts = event.parts(line).unwrap();
    let mut evaluator = Evaluator::new(Arc::new(policy.clone()));
    let decision = evaluator.decide(line, &parts);
    assert_eq!(decision, decided_by_all(policy, line, &parts));
    let mut out = b"unused".to_vec();
    let effect = evaluator.apply(&decision, line, &event, &parts, &mut out);
    match effect {
        Effect::Changed => {}
        _ => assert_eq!(out, b"unused"),
    }
    (decision, effect, if effect == Effect::Changed { out } else { line.to_vec() })
}

/// The same decision without the index: every rule is compared.
fn decided_by_all(policy: &Policy, line: &[u8], parts: &Parts) -> Decision {
    let mut scratch = Scratch::default();
    let request = Request::of(line, parts, policy.rules.asks_for_names, &mut scratch);
    let user = user::User::of(parts.value(line, Field::User).unwrap_or_default());
    let mut rules = policy.rules().iter();
    rules
        .find(|rule| rule.conditions.takes(&user) && rule.conditions.matches(&request))
        .map_or(policy.default, |rule| rule.decision)
}

/// JSON without the blanks between its tokens.
fn compact(json: &str) -> String {
    let (mut out, mut in_string, mut is_escaped) = (String::new(), false, false);
    for char in json.chars() {
        if in_string || !char.is_ascii_whitespace() {
            out.push(char);
        }
        in_string ^= char == '"' && !is_escaped;
        is_escaped = char == '\\' && !is_escaped;
    }
    out
}
