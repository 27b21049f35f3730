//! The cases in tests/data/policy.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;

use super::*;

#[derive(Deserialize)]
struct Case<'a> {
    name: String,
    #[serde(borrow)]
    policy: &'a RawValue,
    #[serde(borrow)]
    event: &'a RawValue,
    #[serde(borrow)]
    expect: Expected<'a>,
}

#[derive(Deserialize)]
struct Expected<'a> {
    dropped: bool,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
}

fn cases() -> Vec<Case<'static>> {
    let text = include_str!("../../../tests/data/policy/apply_cases.json");
    let cases: Vec<Case<'_>> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 17);
    cases
}

/// Calls `check` with the policy and the event of each case.
pub(super) fn each(check: impl Fn(&Policy, &str)) {
    for case in cases() {
        check(&policy(case.policy.get()), &compact(case.event.get()));
    }
}

#[test]
fn what_is_kept_of_an_event() {
    for Case { name, policy: rules, event, expect } in cases() {
        let policy = policy(rules.get());
        // As kube-apiserver writes it, and with blanks and line breaks between the tokens.
        for line in [compact(event.get()).as_str(), event.get()] {
            let (_, effect, after) = applied(&policy, line.as_bytes());
            assert_eq!(effect == Effect::Dropped, expect.dropped, "{name}");
            if let Some(expected) = expect.event {
                let after = String::from_utf8(after).unwrap();
                assert_eq!(compact(&after), compact(expected.get()), "{name}");
                assert_eq!(effect == Effect::Unchanged, compact(expected.get()) == compact(line), "{name}");
            }
        }
    }
}

/// kube-apiserver wrote this log under this policy, so what it decided of each request is known.
#[test]
fn kube_apiserver_itself_decided_the_same() {
    let mut log = String::new();
    let compressed = &include_bytes!("../../../tests/data/events/gke.log.gz")[..];
    GzDecoder::new(compressed).read_to_string(&mut log).unwrap();
    let policy = policy(include_str!("../../../tests/data/policy/gce.yaml"));
    let mut levels = BTreeMap::<&str, u64>::new();
    for line in log.lines() {
        let (decision, effect, _) = applied(&policy, line.as_bytes());
        let recorded = Event::parse(line.as_bytes()).unwrap().level;
        assert_eq!((decision.level, effect), (recorded, Effect::Unchanged), "{line}");
        *levels.entry(recorded.as_str()).or_default() += 1;
    }
    assert_eq!(levels.values().sum::<u64>(), 1250);
    assert_eq!(levels.len(), 3, "{levels:?}");
}
