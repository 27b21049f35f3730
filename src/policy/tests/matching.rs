//! A match asks as a policy does, and besides for what was recorded.

use std::io::Read as _;

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::*;
use crate::properties::{cases, mutated, mutations, real_line};

/// A match that asks for all there is.
pub(super) fn all_fields() -> Match {
    match_of(
        "- { exclude: true, users: ['system:serviceaccount:kube-system:namespace-controller'], verbs: [list] }\n\
         - { exclude: true, responseCodes: [404, 5xx], levels: [Metadata] }\n\
         - { userGroups: ['system:masters'], verbs: [list, watch], resources: [{ group: '', resources: [pods], resourceNames: [x] }] }\n\
         - { namespaces: [kube-system], stages: [ResponseComplete], levels: [Request, RequestResponse] }\n\
         - { nonResourceURLs: ['/healthz*', /version], responseCodes: [2xx] }\n\
         - { stages: [ResponseStarted, RequestReceived] }\n- { responseCodes: [201, 3xx] }\n",
    )
}

/// The match that takes what a policy keeps anything of.
fn match_as(policy: &Policy) -> Match {
    let rule = |rule: &Rule| MatchRule {
        conditions: rule.conditions.clone(),
        exclude: rule.decision.level == Level::None,
        ..MatchRule::default()
    };
    Match::new(policy.rules().iter().map(rule).collect())
}

fn real_lines() -> Vec<String> {
    let mut log = String::new();
    for gzip in [
        &include_bytes!("../../../tests/data/events/gke.log.gz")[..],
        &include_bytes!("../../../tests/data/events/requestresponse.log.gz")[..],
    ] {
        GzDecoder::new(gzip).read_to_string(&mut log).unwrap();
    }
    log.lines().map(str::to_owned).collect()
}

/// Policies of record say of real events, and of the cases that a policy is judged by, what a match of their rules says.
#[test]
fn a_match_passes_over_what_a_policy_of_its_rules_records_nothing_of() {
    let lines = real_lines();
    for text in [
        include_str!("../../../tests/data/policy/gce.yaml"),
        include_str!("../../../tests/data/policy/ack_policy.yaml"),
        include_str!("../../../tests/data/policy/corners.yaml"),
    ] {
        let policy = Policy::parse(text, "p.yaml").unwrap().policy;
        let of = match_as(&policy);
        let mut passed_over = 0;
        for line in &lines {
            let decision = applied(&policy, line.as_bytes()).0;
            assert_eq!(is_taken(&of, line.as_bytes()), decision.level > Level::None, "{line}");
            passed_over += usize::from(decision.level == Level::None);
        }
        assert!(0 < passed_over && passed_over < lines.len(), "{passed_over}");
    }
    cases::each(|policy, line| {
        let decision = applied(policy, line.as_bytes()).0;
        assert_eq!(is_taken(&match_as(policy), line.as_bytes()), decision.level > Level::None, "{line}");
    });
}

fn event(fields: &str) -> String {
    format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1",{fields},"verb":"get","user":{{}}}}"#)
}

/// Checks one rule: what it takes, and what it does not.
fn check(rule: &str, taken: &[&str], others: &[&str]) {
    let of = match_of(&format!("- {{ {rule} }}\n"));
    for (fields, expected) in taken.iter().map(|f| (f, true)).chain(others.iter().map(|f| (f, false))) {
        let line = event(fields);
        assert_eq!(is_taken(&of, line.as_bytes()), expected, "{rule} {line}");
    }
}

#[test]
fn stages_levels_and_response_codes_are_those_of_the_event() {
    let at = r#""level":"Metadata","stage":"Panic""#;
    let escaped = r#""level":"Request","st\u0061ge":"P\u0061nic""#;
    let started = r#""level":"RequestResponse","stage":"ResponseStarted""#;
    let unknown = r#""level":"Everything","stage":"Later""#;
    let bare = r#""auditID":"1""#;
    check("stages: [Panic]", &[at, escaped], &[started, unknown, bare]);
    check("stages: [Panic, ResponseStarted]", &[at, escaped, started], &[unknown, bare]);
    check("levels: [Metadata]", &[at], &[escaped, started, unknown, bare]);
    check("levels: [RequestResponse, Request]", &[escaped, started], &[at, unknown, bare]);
    check("levels: [Metadata], stages: [ResponseStarted]", &[], &[at, started]);
    check("verbs: [get], stages: [], levels: [], responseCodes: []", &[at, unknown, bare], &[]);

    let [not_found, created, error] = [404, 201, 599]
        .map(|code| format!(r#""level":"Request","responseStatus":{{"metadata":{{}},"code":{code}}}"#));
    let [not_found, created, error] = [&not_found, &created, &error].map(String::as_str);
    let odd = r#""responseStatus" : { "c\u006fde" : 404 , "status":"Failure" }"#;
    let none = [
        r#""responseStatus":{}"#,
        r#""responseStatus":null"#,
        r#""responseStatus":404"#,
        r#""responseStatus":[404]"#,
        r#""responseStatus":{"code":"404"}"#,
        r#""responseStatus":{"code":404.0}"#,
        r#""responseStatus":{"code":-404}"#,
        r#""responseStatus":{"code":65940}"#,
        r#""responseStatus":{"details":{"code":404}}"#,
        r#""code":404"#,
        bare,
    ];
    check("responseCodes: [404]", &[not_found, odd], &[created, error]);
    check("responseCodes: [404]", &[], &none);
    check("responseCodes: [1xx, 2xx, 3xx, 4xx, 5xx]", &[not_found, odd, created, error], &none);
    check("responseCodes: [4xx, 201]", &[not_found, created], &[error]);
    check("responseCodes: [5xx, 403, 405]", &[error], &[not_found, created]);
    // Go's decoder takes the last.
    check("responseCodes: [404]", &[r#""responseStatus":{"code":200,"code":404}"#], &[]);
}

#[test]
fn the_first_rule_decides_and_what_none_matches_is_not_taken() {
    let rules = "- { exclude: true, responseCodes: [404] }\n- { responseCodes: [4xx] }\n";
    let code = |code: u16| event(&format!(r#""responseStatus":{{"code":{code}}}"#));
    for (rules, expected) in [
        (rules.to_owned(), [false, true, false]),
        (format!("{rules}- {{}}\n"), [false, true, true]),
        (format!("{rules}- {{ exclude: true, responseCodes: [500] }}\n- {{}}\n"), [false, true, false]),
        (format!("- {{ verbs: [get], levels: [Metadata] }}\n{rules}"), [false, true, false]),
        ("- {}\n- { exclude: true }\n".to_owned(), [true; 3]),
    ] {
        let of = match_of(&rules);
        assert_eq!(
            [404, 403, 500].map(|of_code| is_taken(&of, code(of_code).as_bytes())),
            expected,
            "{rules}"
        );
    }
}

/// What only a recorded event has, read by serde.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    level: String,
    stage: String,
    response_status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

/// A rule: what it asks of a request, and of the event.
#[derive(Debug, Clone)]
struct Asking {
    of_request: String,
    stages: Vec<&'static str>,
    levels: Vec<&'static str>,
    codes: Vec<&'static str>,
    exclude: bool,
}

impl Asking {
    fn yaml(&self) -> String {
        let Self { of_request, stages, levels, codes, exclude } = self;
        format!(
            "- {{ {of_request}, stages: {stages:?}, levels: {levels:?}, responseCodes: [{}], exclude: {exclude} }}\n",
            codes.join(", ")
        )
    }

    /// Whether it matches, as a policy of this rule alone and a reading of the event say.
    fn matches(&self, line: &[u8]) -> bool {
        let alone =
            format!("apiVersion: audit.k8s.io/v1\nrules:\n- {{ level: Metadata, {} }}\n", self.of_request);
        let Recorded { level, stage, response_status } = serde_json::from_slice(line).unwrap();
        let code = response_status.and_then(|status| status.code);
        let is = |wanted: &&str| {
            code.is_some_and(|code| {
                let code = code.to_string();
                **wanted == code || wanted.strip_suffix("xx").is_some_and(|class| code.starts_with(class))
            })
        };
        (self.stages.is_empty() || self.stages.contains(&stage.as_str()))
            && (self.levels.is_empty() || self.levels.contains(&level.as_str()))
            && (self.codes.is_empty() || self.codes.iter().any(is))
            && applied(&policy(&alone), line).0.rule.is_some()
    }
}

fn asking() -> impl Strategy<Value = Asking> {
    let list = |words: &'static [&'static str]| prop::collection::vec(prop::sample::select(words), 0..3);
    let seldom = |words| prop_oneof![2 => Just(Vec::new()), 1 => list(words)];
    let target = prop_oneof![
        list(&["default", "kube-system", ""]).prop_map(|names| format!("namespaces: {names:?}")),
        prop::sample::select(&["pods", "*/status", "pods/*", "*"][..])
            .prop_map(|name| format!("resources: [{{ group: '*', resources: ['{name}'] }}]")),
        Just("resources: [{ group: apps }, {}]".to_owned()),
        Just("nonResourceURLs: ['/api*', /version]".to_owned()),
        Just("namespaces: []".to_owned()),
    ];
    let verbs = list(&["get", "list", "watch", "create", "update", "patch", "delete"]);
    let who = (seldom(&["system:masters", "system:nodes"]), seldom(&["admin", "system:apiserver"]));
    let recorded = (
        seldom(&STAGES),
        seldom(&["Metadata", "Request", "RequestResponse"]),
        seldom(&["404", "2xx", "201", "4xx", "409"]),
    );
    (who, verbs, target, recorded, any::<bool>()).prop_map(
        |((groups, users), verbs, target, recorded, exclude)| {
            let (stages, levels, codes) = recorded;
            let of_request = format!("userGroups: {groups:?}, users: {users:?}, verbs: {verbs:?}, {target}");
            Asking { of_request, stages, levels, codes, exclude }
        },
    )
}

/// Rules that are legal whatever the others exclude: the first takes what nobody does.
fn askings() -> impl Strategy<Value = Vec<Asking>> {
    // Now and then they are more than a mask has bits.
    let rules =
        prop_oneof![9 => prop::collection::vec(asking(), 1..6), 1 => prop::collection::vec(asking(), 60..70)];
    let of_nobody = Asking {
        of_request: "users: [nobody]".to_owned(),
        stages: vec![],
        levels: vec![],
        codes: vec![],
        exclude: false,
    };
    rules.prop_map(move |mut rules| {
        rules.insert(0, of_nobody.clone());
        rules
    })
}

proptest! {
    #![proptest_config(cases(500))]

    /// A match decides as a policy of the same rules does that records nothing of what the match excludes.
    #[test]
    fn a_match_decides_as_a_policy(rules in askings(), line in real_line()) {
        let rules = rules.into_iter().map(|rule| Asking { stages: vec![], levels: vec![], codes: vec![], ..rule });
        let rules: Vec<Asking> = rules.collect();
        let of_policy = |rule: &Asking| {
            format!("- {{ level: {}, {} }}\n", if rule.exclude { "None" } else { "Metadata" }, rule.of_request)
        };
        let of_policy = format!("apiVersion: audit.k8s.io/v1\nrules:\n{}", rules.iter().map(of_policy).collect::<String>());
        let decision = applied(&policy(&of_policy), &line).0;
        let of = match_of(&rules.iter().map(Asking::yaml).collect::<String>());
        prop_assert_eq!(is_taken(&of, &line), decision.level > Level::None);
    }

    /// The first rule that matches decides, and a rule matches if the event is as it asks and a policy's rule would match.
    #[test]
    fn the_first_rule_of_which_all_conditions_hold_decides(rules in askings(), line in real_line()) {
        let of = match_of(&rules.iter().map(Asking::yaml).collect::<String>());
        let first = rules.iter().find(|rule| rule.matches(&line));
        prop_assert_eq!(is_taken(&of, &line), first.is_some_and(|rule| !rule.exclude), "{:?}", first);
    }

    /// Whatever was done to real events: what is still one is taken or not without a panic, and nothing remembered of one
    /// event changes what is said of the next.
    #[test]
    fn no_event_is_too_odd_for_a_match(lines in prop::collection::vec((real_line(), mutations()), 1..8)) {
        let of = all_fields();
        let mut matcher = Matcher::new(Arc::new(of.clone()));
        for (line, mutations) in lines {
            let line = mutated(&line, &mutations);
            if let Ok(event) = Event::parse(&line)
                && let Some(parts) = event.parts(&line)
            {
                prop_assert_eq!(matcher.takes(&line, &event, &parts), is_taken(&of, &line));
            }
        }
    }
}
