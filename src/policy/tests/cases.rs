//! The cases in tests/data/policy.

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

#[test]
fn what_is_kept_of_an_event() {
    let text = include_str!("../../../tests/data/policy/apply_cases.json");
    let cases: Vec<Case<'_>> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 17);
    for Case { name, policy: rules, event, expect } in cases {
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
