use super::*;

const V1: &str = "apiVersion: audit.k8s.io/v1\n";
const RULE: &str = "rules:\n- level: None\n";

fn parse(text: &str) -> Result<Loaded, Vec<String>> {
    Policy::parse(text, "p.yaml")
}

fn mistakes(text: &str) -> Vec<String> {
    parse(text).expect_err(text)
}

fn warnings(text: &str) -> Vec<String> {
    parse(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}")).warnings
}

/// The only mistake in a policy with such rules, which begin on line 3; without the file's name.
fn mistake(rules: &str) -> String {
    let mistakes = mistakes(&format!("{V1}rules:\n{rules}\n"));
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    mistakes[0].strip_prefix("p.yaml:").unwrap().to_owned()
}

#[test]
fn a_policy_says_what_its_file_says() {
    let text = "# a comment\napiVersion: audit.k8s.io/v1\nkind: Policy\nmetadata: { name: p, labels: { a: b } }\n\
                omitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n- level: Request\n  users: [u]\n  \
                userGroups: [g]\n  verbs: [get]\n  namespaces: [n, ~]\n  omitStages: [Panic]\n  resources:\n  \
                - { group: apps, resources: [deployments/*], resourceNames: [d] }\n\n- nonResourceURLs: ['/a*']\n  \
                level: None\n  omitManagedFields: false\n";
    let Loaded { policy, warnings } = parse(text).unwrap();
    assert_eq!(warnings, [""; 0]);
    let stages = |names: &[&str]| {
        names.iter().map(|name| Stages::parse(name).unwrap()).fold(Stages::default(), Stages::union)
    };
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let first = Rule {
        line: 8,
        decision: Decision {
            level: Level::Request,
            rule: Some(0),
            omit_stages: stages(&["RequestReceived", "Panic"]),
            omit_managed_fields: true,
        },
        conditions: Conditions {
            users: owned(&["u"]),
            user_groups: owned(&["g"]),
            verbs: owned(&["get"]),
            namespaces: owned(&["n", ""]),
            resources: vec![GroupResources {
                group: "apps".into(),
                resources: owned(&["deployments/*"]),
                resource_names: owned(&["d"]),
            }],
            non_resource_urls: Vec::new(),
        },
    };
    let second = Rule {
        line: 17,
        decision: Decision {
            level: Level::None,
            rule: Some(1),
            omit_stages: stages(&["RequestReceived"]),
            omit_managed_fields: false,
        },
        conditions: Conditions { non_resource_urls: owned(&["/a*"]), ..Conditions::default() },
    };
    assert_eq!(policy.rules(), [first, second]);
    assert!(policy.rules.asks_for_names);
    assert_eq!(policy.default.omit_stages, stages(&["RequestReceived"]));
    assert!(policy.default.omit_managed_fields);
}

#[test]
fn the_policies_in_the_test_data_are_valid() {
    for (text, rules) in [
        (include_str!("../../../tests/data/policy/ack_policy.yaml"), 12),
        (include_str!("../../../tests/data/policy/gce.yaml"), 17),
    ] {
        let Loaded { policy, warnings } = parse(text).unwrap();
        assert_eq!((policy.rules().len(), warnings.len()), (rules, 0));
    }
}

#[test]
fn json_is_yaml_too() {
    let json = "{\n\t\"apiVersion\": \"audit.k8s.io/v1\",\n\t\"kind\": \"Policy\",\n\t\"rules\": [\n\t\t{\"level\": \
                \"Metadata\", \"verbs\": [\"get\"],\n\t\t \"users\": [\"a\\u0062\"]},\n\t\t{\"level\": \"Foo\"}\n\t]\n}\n";
    let found = mistakes(json);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("p.yaml:7: rules[1].level: Unsupported value: \"Foo\""), "{found:?}");
    let loaded = parse(&json.replace("Foo", "None")).unwrap();
    assert_eq!(loaded.policy.rules()[0].conditions.users, ["ab"]);
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
     must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation \
     is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

#[test]
fn every_mistake_in_kube_apiserver_s_words() {
    let stages = "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic";
    let levels = "supported values: \"None\", \"Metadata\", \"Request\", \"RequestResponse\"";
    let both = "rules cannot apply to both regular resources and non-resource URLs";
    for (rules, expected) in [
        ("- verbs: [get]", "3: rules[0].level: Required value".to_owned()),
        ("- verbs: [get]\n  level:", "4: rules[0].level: Required value".to_owned()),
        ("-", "3: rules[0].level: Required value".to_owned()),
        (
            "- level: None\n- level: metadata",
            format!("4: rules[1].level: Unsupported value: \"metadata\": {levels}"),
        ),
        (
            "- level: None\n  omitStages:\n  - Panic\n  - Done",
            format!("6: rules[0].omitStages[1]: Invalid value: \"Done\": {stages}"),
        ),
        (
            "- level: None\n  nonResourceURLs: [\"*\", /ok*, logs]",
            "4: rules[0].nonResourceURLs[2]: Invalid value: \"logs\": non-resource URL rules must begin with a '/' \
             character"
                .to_owned(),
        ),
        (
            "- level: None\n  nonResourceURLs: ['']",
            "4: rules[0].nonResourceURLs[0]: Invalid value: \"\": non-resource URL rules must begin with a '/' \
             character"
                .to_owned(),
        ),
        (
            "- level: None\n  nonResourceURLs: [/logs/*/*]",
            "4: rules[0].nonResourceURLs[0]: Invalid value: \"/logs/*/*\": non-resource URL wildcards '*' must be the \
             final character of the rule"
                .to_owned(),
        ),
        (
            "- level: None\n  resources:\n  - group: ''\n  - group: rbac.authorization.k8s.io/v1",
            format!("6: rules[0].resources.group: Invalid value: \"rbac.authorization.k8s.io/v1\": {SUBDOMAIN}"),
        ),
        (
            "- level: None\n  resources:\n  - group: ''\n    resourceNames: [a, b]",
            "6: rules[0].resources.resourceNames: Invalid value: []string{\"a\", \"b\"}: using resourceNames requires \
             at least one resource"
                .to_owned(),
        ),
        (
            "- level: None\n  namespaces: [n]\n  nonResourceURLs: [/a]",
            format!("5: rules[0].nonResourceURLs: Invalid value: []string{{\"/a\"}}: {both}"),
        ),
        (
            "- level: None\n  nonResourceURLs: [/a]\n  resources: [{}]",
            format!("4: rules[0].nonResourceURLs: Invalid value: []string{{\"/a\"}}: {both}"),
        ),
        ("", "2: rules: loaded illegal policy with 0 rules".to_owned()),
        (" []", "2: rules: loaded illegal policy with 0 rules".to_owned()),
    ] {
        assert_eq!(mistake(rules), expected, "{rules}");
    }
    let found = mistakes(&format!("{V1}omitStages: [Done]\n{RULE}"));
    assert_eq!(found, [format!("p.yaml:2: omitStages[0]: Invalid value: \"Done\": {stages}")]);
}

#[test]
fn groups_are_subdomains() {
    let long = "a".repeat(254);
    let found = mistake(&format!("- level: None\n  resources: [{{ group: {long} }}]"));
    assert!(found.ends_with(": must be no more than 253 characters"), "{found}");
    for wrong in ["A.b", "-a", "a-", "a..b", ".a", "a.", "a_b", "*.k8s.io", "ä"] {
        let found = mistake(&format!("- level: None\n  resources: [{{ group: '{wrong}' }}]"));
        assert!(found.ends_with(SUBDOMAIN), "{wrong}: {found}");
    }
    for right in ["a", "a-b.c0", "0", "*", "", &long[1..]] {
        parse(&format!("{V1}rules:\n- level: None\n  resources: [{{ group: '{right}' }}]")).expect(right);
    }
}

#[test]
fn what_kube_apiserver_does_not_mind() {
    let rules = "- level: None\n  users: ['', '*']\n  verbs: [GET, frob]\n  namespaces: ['*']\n  resources:\n  \
                 - { resources: ['*/*', 'pods*', ''] }\n- level: None\n- level: None\n  nonResourceURLs: ['*', '*']\n";
    assert_eq!(warnings(&format!("{V1}rules:\n{rules}")), [""; 0]);
}

#[test]
fn wrong_types_are_mistakes_and_nothing_else_is_said_of_them() {
    for (rules, expected) in [
        ("- level: 1", "3: rules[0].level: must be a string, not a number"),
        ("- level: None\n  users: alice", "4: rules[0].users: must be a list, not a string"),
        ("- level: None\n  verbs: [get, true]", "4: rules[0].verbs[1]: must be a string, not a boolean"),
        ("- level: None\n  omitStages: [[Panic]]", "4: rules[0].omitStages[0]: must be a string, not a list"),
        ("- level: None\n  resources: [pods]", "4: rules[0].resources[0]: must be a mapping, not a string"),
        ("- level: None\n  resources: {}", "4: rules[0].resources: must be a list, not a mapping"),
        (
            "- level: None\n  resources: [{ group: 7 }]",
            "4: rules[0].resources[0].group: must be a string, not a number",
        ),
        (
            "- level: None\n  omitManagedFields: 'true'",
            "4: rules[0].omitManagedFields: must be true or false, not a string",
        ),
        (" { level: None }", "2: rules: must be a list, not a mapping"),
    ] {
        let found =
            if rules.starts_with('{') { mistake(rules).replacen("2:", "3:", 1) } else { mistake(rules) };
        assert_eq!(found, expected, "{rules}");
    }
    assert_eq!(mistakes("[]"), ["p.yaml:1: must be a mapping, not a list"]);
    assert_eq!(
        mistakes(&format!("{V1}metadata: x\n{RULE}")),
        ["p.yaml:2: metadata: must be a mapping, not a string"]
    );
    assert!(mistakes("a: [\n").iter().all(|mistake| mistake.starts_with("p.yaml:")));
}

#[test]
fn versions_and_kinds() {
    let of = |head: &str| parse(&format!("{head}\n{RULE}"));
    assert_eq!(of("apiVersion: audit.k8s.io/v1").unwrap().warnings, [""; 0]);
    assert_eq!(of("apiVersion: audit.k8s.io/v1\nkind: Policy").unwrap().warnings, [""; 0]);
    for old in OLD_VERSIONS {
        let expected = format!(
            "p.yaml:1: apiVersion: \"{old}\" is deprecated and refused by kube-apiserver since 1.24, use \"{VERSION}\""
        );
        assert_eq!(of(&format!("apiVersion: {old}")).unwrap().warnings, [expected]);
    }
    for (head, expected) in [
        (
            "kind: Policy",
            "p.yaml:1: apiVersion: unknown group version field in policy: none is given; legal is audit.k8s.io/v1",
        ),
        (
            "apiVersion: audit.k8s.io/v2",
            "p.yaml:1: apiVersion: unknown group version field audit.k8s.io/v2, Kind=Policy in policy; legal is audit.k8s.io/v1",
        ),
        (
            "kind: Pod\napiVersion: audit.k8s.io/v1",
            "p.yaml:1: kind: no kind \"Pod\" is registered for version \"audit.k8s.io/v1\"; legal is Policy",
        ),
    ] {
        assert_eq!(of(head).unwrap_err(), [expected], "{head}");
    }
    for (text, count) in [("", 2), ("# nothing\n", 2), ("apiVersion: v1\nkind: Pod\n", 3)] {
        assert_eq!(mistakes(text).len(), count, "{text}: {:?}", mistakes(text));
    }
}

#[test]
fn unknown_and_repeated_fields_are_warned_about() {
    let text = format!(
        "{V1}Kind: Policy\nrules:\n- level: None\n  user: [a]\n  level: Request\n  resources:\n  - groups: apps\n    \"a\\nb\": 1\n"
    );
    let Loaded { policy, warnings } = parse(&text).unwrap();
    assert_eq!(
        warnings,
        [
            "p.yaml:2: unknown field \"Kind\" is ignored, as kube-apiserver does; did you mean `kind`?",
            "p.yaml:5: unknown field \"rules[0].user\" is ignored, as kube-apiserver does; did you mean `users`?",
            "p.yaml:6: duplicate field \"rules[0].level\": this one counts, as with kube-apiserver, not that of line 4",
            "p.yaml:8: unknown field \"rules[0].resources[0].groups\" is ignored, as kube-apiserver does; did you mean \
             `group`?",
            "p.yaml:9: unknown field \"rules[0].resources[0].a\\\\nb\" is ignored, as kube-apiserver does; legal are \
             group, resources, resourceNames",
        ]
    );
    assert_eq!(policy.rules()[0].decision.level, Level::Request);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "apiVersion: audit.k8s.io/v2\nomitStages: [x]\nrules:\n- level: a\n- users: b\n- level: None\n  \
                nonResourceURLs: [x*y]\n  resources: [{ group: A }]\n";
    let lines: Vec<String> =
        mistakes(text).iter().map(|mistake| mistake.split(": ").next().unwrap().to_owned()).collect();
    let expected: Vec<String> = [1, 2, 4, 5, 5, 7, 7, 8, 7].map(|line| format!("p.yaml:{line}")).into();
    assert_eq!(lines, expected, "{:#?}", mistakes(text));
}

#[test]
fn hostile_files_are_bounded() {
    let level = |level: u32| format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}, *a{0}]\n", level - 1);
    let bomb: Vec<String> = (1..40).map(level).collect();
    let deep = format!("{V1}rules: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    for text in [format!("a0: &a0 [x]\n{}", bomb.concat()), deep, format!("{V1}{}", "- ".repeat(200_000))] {
        assert_eq!(mistakes(&text).len(), 1);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.yaml");
    std::fs::write(&path, " ".repeat((1 << 20) + 1)).unwrap();
    let name = path.display().to_string();
    assert_eq!(Policy::load(&path).unwrap_err(), [format!("{name}: is longer than 1 MiB")]);
    assert!(Policy::load(directory.path()).unwrap_err()[0].starts_with("cannot read "));
    assert!(Policy::load(Path::new("/dev/zero")).is_err());
    std::fs::write(&path, b"apiVersion: \xff").unwrap();
    assert!(Policy::load(&path).is_err());
    std::fs::write(&path, format!("\u{feff}{V1}{RULE}")).unwrap();
    assert_eq!(Policy::load(&path).unwrap().policy.rules().len(), 1);
}
