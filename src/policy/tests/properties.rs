use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::properties::{cases, mutated, mutations, real_line};

const LEVELS: [&str; 4] = ["None", "Metadata", "Request", "RequestResponse"];

/// Policies that have something to say of real events.
fn policies() -> impl Strategy<Value = Policy> {
    let word = |words: &'static [&'static str]| prop::sample::select(words);
    let list = |words| prop::collection::vec(word(words), 0..3);
    let verbs = list(&["get", "list", "watch", "create", "update", "patch", "delete"]);
    let groups = list(&["system:masters", "system:nodes", "system:authenticated"]);
    let namespaces = list(&["default", "kube-system", ""]);
    let stages = list(&STAGES);
    let rule = (word(&LEVELS), verbs, groups, namespaces, stages, any::<bool>());
    let rules = prop::collection::vec(rule, 1..5);
    (rules, any::<bool>()).prop_map(|(rules, omit)| {
        let rule = |(level, verbs, groups, namespaces, stages, omit)| {
            format!(
                "- {{ level: {level}, verbs: {verbs:?}, userGroups: {groups:?}, namespaces: {namespaces:?}, omitStages: \
                 {stages:?}, omitManagedFields: {omit} }}"
            )
        };
        let rules: Vec<String> = rules.into_iter().map(rule).collect();
        // Most events should come through.
        policy(&format!("apiVersion: audit.k8s.io/v1\nrules:\n{}\n- {{ level: Request, omitManagedFields: {omit} }}\n", rules.join("\n")))
    })
}

/// Real events with everything that a policy takes out, in any order of their fields.
fn events() -> impl Strategy<Value = Vec<u8>> {
    let insertion = prop::sample::select(
        &[
            r#""annotations":{"patch.webhook.admission.k8s.io/round_0_index_0":"{}"}"#,
            r#""annotations":{"patch.webhook.admission.k8s.io/r":"{}","a":"b","patch.webhook.admission.k8s.io/s":""}"#,
            r#" "requestObject" : {"metadata" : { "managedFields":[{"a":{}}] , "name":"n" } } "#,
            r#""responseObject":{"kind":"Table","rows":[{"object":{"metadata":{"managedFields":[]}}},{"object":null}]}"#,
            r#""responseObject":{"items":[{"metadata":{"name":"n","managedFields":[]}},7,"x"],"metadata":"none"}"#,
            r#""\u0072esponseObject":[{"metadata":{"managedFields":[]}}]"#,
        ][..],
    );
    (real_line(), prop::collection::vec((insertion, any::<Index>()), 0..3)).prop_map(|(line, insertions)| {
        insertions.into_iter().fold(line, |line, (field, at)| {
            let members: Vec<json::Member> = json::members(&line, 0).collect();
            // Behind one of the members.
            let end = members[at.index(members.len())].value.end;
            let with = [&line[..end], b",", field.as_bytes(), &line[end..]].concat();
            let is_event = Event::parse(&with).is_ok_and(|event| event.parts(&with).is_some());
            if is_event { with } else { line }
        })
    })
}

/// The members of an object as they stand there, but for those with one of these keys.
fn members_without(line: &[u8], start: usize, keys: &[&str]) -> Vec<String> {
    let text = |place: std::ops::Range<usize>| String::from_utf8(line[place].to_vec()).unwrap();
    json::members(line, start)
        .filter(|member| !keys.iter().any(|key| json::is_text(&line[member.key.clone()], key)))
        .map(|member| format!("{}:{}", text(member.key), text(member.value)))
        .collect()
}

fn level(line: &[u8]) -> Level {
    Event::parse(line).unwrap().level
}

proptest! {
    #![proptest_config(cases(1000))]

    /// What is kept of an event is an event, its level has not risen, it holds nothing above its level, and whatever the
    /// policy has nothing to do with has kept its bytes and its order; to apply the policy once more changes nothing.
    #[test]
    fn what_is_kept_is_the_event_without_what_goes(policy in policies(), line in events()) {
        let (decision, effect, after) = applied(&policy, &line);
        let level_before = level(&line);
        if effect == Effect::Dropped {
            prop_assert!(decision.level == Level::None || decision.omit_stages != Stages::default());
            return Ok(());
        }
        prop_assert_eq!(effect == Effect::Changed, after != line);
        let level_after = level(&after);
        prop_assert_eq!(level_after, decision.level.min(level_before));
        let parts = Event::parse(&after).unwrap().parts(&after).unwrap().into_owned();
        prop_assert!(level_after == Level::RequestResponse || parts.place(Field::ResponseObject).is_none());
        prop_assert!(level_after >= Level::Request || parts.place(Field::RequestObject).is_none());
        let patches = json::members(&after, parts.place(Field::Annotations).map_or(after.len(), |place| place.start))
            .filter(|member| json::unescaped(&after[member.key.clone()]).unwrap().starts_with("patch.webhook"))
            .count();
        prop_assert!(level_after >= Level::Request || patches == 0);

        let touched = ["level", "requestObject", "responseObject", "annotations"];
        prop_assert_eq!(members_without(&after, 0, &touched), members_without(&line, 0, &touched));
        for (field, of_body) in [(Field::RequestObject, true), (Field::ResponseObject, true), (Field::Annotations, false)] {
            let before = Event::parse(&line).unwrap().parts(&line).unwrap().into_owned();
            let (Some(old), Some(new)) = (before.place(field), parts.place(field)) else { continue };
            if of_body {
                let touched = ["metadata", "items", "rows"];
                prop_assert_eq!(
                    members_without(&after, new.start, &touched), members_without(&line, old.start, &touched)
                );
                let holds = |line: &[u8], place: std::ops::Range<usize>| line[place].windows(15).any(|window| window == b"\"managedFields\"");
                let is_patch_body = field == Field::RequestObject && parts.value(&after, Field::Verb) == Some(b"\"patch\"");
                let is_list = after[new.start] == b'[';
                if decision.omit_managed_fields && !is_patch_body && !is_list {
                    prop_assert!(!holds(&after, new));
                } else {
                    prop_assert_eq!(&after[new], &line[old]);
                }
            } else {
                let patches = ["patch.webhook.admission.k8s.io/round_0_index_0", "patch.webhook.admission.k8s.io/r",
                    "patch.webhook.admission.k8s.io/s"];
                prop_assert_eq!(
                    members_without(&after, new.start, &patches), members_without(&line, old.start, &patches)
                );
            }
        }

        let (again, effect, _) = applied(&policy, &after);
        prop_assert_eq!((again, effect), (decision, Effect::Unchanged));
    }

    /// Whatever was done to real events: what is still one is decided without a panic, and what is kept of it is an event.
    #[test]
    fn no_event_is_too_odd(policy in policies(), line in events(), mutations in mutations()) {
        let line = mutated(&line, &mutations);
        if Event::parse(&line).is_ok_and(|event| event.parts(&line).is_some()) {
            let (_, effect, after) = applied(&policy, &line);
            prop_assert!(effect == Effect::Dropped || Event::parse(&after).is_ok());
        }
    }

    /// Whatever the bytes and wherever the fields are said to be, nothing panics.
    #[test]
    fn places_that_mean_nothing_do_no_harm(line in events(), other in events(), mutations in mutations()) {
        let event = Event::parse(&line).unwrap();
        let parts = event.parts(&line).unwrap();
        let other = mutated(&other, &mutations);
        let mut evaluator = Evaluator::new(Arc::new(policy(
            "apiVersion: audit.k8s.io/v1\nrules:\n- { level: Metadata, users: [a] }\n- { level: Request, omitManagedFields: true }",
        )));
        let decision = evaluator.decide(&other, &parts);
        evaluator.apply(&decision, &other, &event, &parts, &mut Vec::new());
    }
}

#[test]
fn an_event_of_a_level_that_nobody_knows_is_kept_as_it_is_or_dropped() {
    let line = br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Everything","stage":"Panic","verb":"get","requestObject":{"metadata":{"managedFields":[]}}}"#;
    for (rule, effect) in [
        ("level: Metadata, omitManagedFields: true", Effect::Unchanged),
        ("level: None", Effect::Dropped),
        ("level: Metadata, omitStages: [Panic]", Effect::Dropped),
    ] {
        let policy = policy(&format!("apiVersion: audit.k8s.io/v1\nrules:\n- {{ {rule} }}\n"));
        for line in [line.to_vec(), String::from_utf8_lossy(line).replace("Everything", "None").into_bytes()]
        {
            assert_eq!(applied(&policy, &line).1, effect, "{rule}");
        }
    }
}

#[test]
fn an_evaluator_remembers_nothing_of_an_event() {
    let policy = Arc::new(policy(
        "apiVersion: audit.k8s.io/v1\nrules:\n- { level: Metadata, resources: [{ group: '', resources: [pods], resourceNames: [a] }] }\n\
         - { level: Request, nonResourceURLs: [/a b] }\n- { level: RequestResponse, resources: [{ group: g }] }\n",
    ));
    let line = |uri: &str, reference: &str| {
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","verb":"list","requestURI":"{uri}"{reference},"responseObject":{{}}}}"#
        )
    };
    let lines = [
        line("/api/v1/pods?fieldSelector=metadata.name=a", r#","objectRef":{}"#),
        line("/a%20b", ""),
        line("/old/v1/x", r#","objectRef":{"apiGroup":"\u0067"}"#),
        line("/api/v1/pods", r#","objectRef":{}"#),
        line(r"/\u0061%20b\u003f", ""),
        line("/", r#","objectRef":{}"#),
    ];
    let mut evaluator = Evaluator::new(Arc::clone(&policy));
    for line in lines.iter().chain(lines.iter().rev()).map(String::as_bytes) {
        let event = Event::parse(line).unwrap();
        let parts = event.parts(line).unwrap();
        let decision = evaluator.decide(line, &parts);
        let mut out = Vec::new();
        let effect = evaluator.apply(&decision, line, &event, &parts, &mut out);
        let after = if effect == Effect::Changed { out } else { line.to_vec() };
        assert_eq!((decision, effect, after), applied(&policy, line), "{}", String::from_utf8_lossy(line));
    }
}

/// A policy of more rules than a mask has bits, of which each event of a real log finds its own.
#[test]
fn a_long_policy_is_as_exact_as_a_short_one() {
    let users = ["nobody", "admin", "system:apiserver", "bob@example.com"];
    let rule = |number: usize| {
        let (user, other) = (users[number % 4], users[number / 4 % 4]);
        let verb = ["get", "list", "watch", "create", "update", "patch"][number % 6];
        let group = ["", "apps", "rbac.authorization.k8s.io", "*"][number / 3 % 4];
        format!(
            "- {{ level: None, users: [{user:?}, {other:?}], verbs: [{verb}], resources: [{{ group: {group:?}, resources: [nodes, \"r{number}\"] }}] }}\n"
        )
    };
    let many: String = (0..150).map(rule).collect();
    let last = "- { level: Metadata, userGroups: [\"system:authenticated\"], nonResourceURLs: [\"/healthz*\", /livez] }\n\
                - { level: Request, namespaces: [default, \"\"] }\n- { level: Metadata }\n";
    let policy = policy(&format!("apiVersion: audit.k8s.io/v1\nrules:\n{many}{last}"));
    let replay = crate::demo::replay::Replay::bundled();
    let (mut line, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
    for number in 0..1900 {
        replay.line(number, &mut line);
        line.pop();
        seen.insert(applied(&policy, &line).0.rule);
    }
    assert!(seen.contains(&Some(151)) && seen.contains(&Some(152)), "{seen:?}");
    assert!(seen.iter().any(|rule| rule.is_some_and(|rule| rule < 150)), "{seen:?}");
}

/// Users of all sorts, more than are remembered, in an order in which each is forgotten and comes again.
#[test]
fn a_user_who_is_remembered_is_the_one_who_was_asked_about() {
    let policy = policy(
        "apiVersion: audit.k8s.io/v1\nrules:\n\
         - { level: None, users: [user-7, user-300, \"\"] }\n- { level: Metadata, userGroups: [group-3] }\n\
         - { level: Request, users: [user-4], userGroups: [group-4] }\n- { level: RequestResponse, userGroups: [group-5] }\n",
    );
    let user = |number: usize| match number % 5 {
        0 => r#""user":{}"#.to_owned(),
        1 => r#""verb":"get""#.to_owned(),
        2 => format!(r#""user":{{"username":"\u0075ser-{}","groups":["group-{}"]}}"#, number % 9, number % 7),
        3 => format!(r#""user":{{"groups":["x","group-{}"],"uid":"{}"}}"#, number % 7, "u".repeat(number)),
        _ => format!(r#""user":{{"username":"user-{number}","groups":["group-{}"]}}"#, number % 7),
    };
    let mut evaluator = Evaluator::new(Arc::new(policy.clone()));
    let mut rules = std::collections::BTreeSet::new();
    for number in (0..4000).chain((0..4000).rev()).chain([7, 7, 300, 300]) {
        let line = format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1",{}}}"#, user(number));
        let parts = Parts::find(line.as_bytes()).unwrap();
        let decision = evaluator.decide(line.as_bytes(), &parts);
        assert_eq!(decision, decided_by_all(&policy, line.as_bytes(), &parts), "{line}");
        rules.insert(decision.rule);
    }
    assert_eq!(rules.len(), 5, "{rules:?}");
}

#[test]
fn a_decision_takes_no_memory_once_the_users_are_known() {
    let policy = policy(include_str!("../../../tests/data/policy/gce.yaml"));
    let mut matcher = Matcher::new(Arc::new(matching::all_fields()));
    let mut evaluator = Evaluator::new(Arc::new(policy));
    let (mut taken_events, mut others) = (0, 0);
    let replay = crate::demo::replay::Replay::bundled();
    let (mut line, mut out) = (Vec::new(), Vec::new());
    for round in 0..2 {
        for number in 0..1900 {
            replay.line(number, &mut line);
            line.pop();
            let event = Event::parse(&line).unwrap();
            let parts = event.parts(&line).unwrap();
            let (mut effect, mut is_taken) = (Effect::Dropped, false);
            let taken = allocation_counter::measure(|| {
                is_taken = matcher.takes(&line, &event, &parts);
                let decision = evaluator.decide(&line, &parts);
                effect = evaluator.apply(&decision, &line, &event, &parts, &mut out);
            });
            let is_free = round == 1 && effect != Effect::Changed;
            assert!(!is_free || taken.count_total == 0, "{}: {taken:?}", String::from_utf8_lossy(&line));
            if is_taken { taken_events += 1 } else { others += 1 }
        }
    }
    assert!(taken_events > 100 && others > 100, "{taken_events} {others}");
}
