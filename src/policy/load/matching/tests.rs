use super::*;
use crate::event::Level;
use crate::policy::{Conditions, GroupResources, ResponseCode, Stages};
use crate::yaml;

fn read(text: &str) -> Result<(Match, Vec<String>), Vec<String>> {
    Match::read(&yaml::parse(text).unwrap(), "outputs[1].match", "f.yaml")
}

/// The only mistake, without the file's name and the path of the list.
fn mistake(text: &str) -> String {
    let mistakes = read(text).expect_err(text);
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    let (line, what) = mistakes[0].strip_prefix("f.yaml:").unwrap().split_once(": outputs[1].match").unwrap();
    format!("{line}: {}", what.trim_start_matches(": "))
}

#[test]
fn a_match_says_what_its_file_says() {
    let text = "- users: [u]\n  userGroups: [g]\n  verbs: [get]\n  namespaces: ['']\n  stages: [Panic, ResponseStarted]\n  \
                resources: [{ group: apps, resources: [deployments/*], resourceNames: [d] }, {}]\n  \
                levels: [Request, Metadata]\n  responseCodes: [404, 5xx, '1xx', 599]\n  exclude: true\n\
                - nonResourceURLs: ['/a*']\n  exclude: false\n- {}\n";
    let (found, warnings) = read(text).unwrap();
    assert_eq!(warnings, [""; 0]);
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let first = MatchRule {
        conditions: Conditions {
            users: owned(&["u"]),
            user_groups: owned(&["g"]),
            verbs: owned(&["get"]),
            namespaces: owned(&[""]),
            resources: vec![
                GroupResources {
                    group: "apps".into(),
                    resources: owned(&["deployments/*"]),
                    resource_names: owned(&["d"]),
                },
                GroupResources::default(),
            ],
            non_resource_urls: Vec::new(),
        },
        stages: Stages::parse("Panic").unwrap().union(Stages::parse("ResponseStarted").unwrap()),
        levels: vec![Level::Request, Level::Metadata],
        response_codes: vec![
            ResponseCode::One(404),
            ResponseCode::Class(5),
            ResponseCode::Class(1),
            ResponseCode::One(599),
        ],
        exclude: true,
    };
    let second = MatchRule {
        conditions: Conditions { non_resource_urls: owned(&["/a*"]), ..Conditions::default() },
        ..MatchRule::default()
    };
    assert_eq!(found.rules(), [first, second, MatchRule::default()]);
}

#[test]
fn what_takes_nothing_is_a_mistake() {
    let all_exclude = "1: takes nothing: all of its rules exclude, and what no rule matches is not taken; {} as the last \
                       rule takes the rest";
    assert_eq!(mistake("[]"), "1: takes nothing; remove it or add a rule");
    assert_eq!(mistake("- { exclude: true, verbs: [get] }\n- { exclude: true }\n"), all_exclude);
    assert!(read("- { exclude: true, verbs: [get] }\n- {}\n").is_ok());
    // As of a template that had no users to fill in.
    let excluded = "2: [1]: excludes everything, and no rule before it takes anything: it has no condition, and an \
                    empty list is none";
    let rules = "- { exclude: true, verbs: [get] }\n- { exclude: true, users: [] }\n- {}\n";
    assert_eq!(mistake(rules), excluded);
    assert!(read("- { verbs: [get] }\n- { exclude: true }\n- {}\n").is_ok());
}

#[test]
fn mistakes_have_the_words_of_a_policy_and_their_place() {
    let rule = "must be a mapping of users, userGroups, verbs, resources, namespaces, nonResourceURLs, stages, levels, \
                responseCodes, exclude, not";
    let codes = "legal are numbers from 100 to 599, and classes such as \"4xx\"";
    let levels = "supported values: \"Metadata\", \"Request\", \"RequestResponse\"";
    let stages = "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic";
    for (text, expected) in [
        ("verbs: [get]", "1: must be a list of rules, not a mapping".to_owned()),
        ("get", "1: must be a list of rules, not a string".to_owned()),
        ("- {}\n- get", format!("2: [1]: {rule} a string")),
        ("- {}\n-", format!("2: [1]: {rule} nothing")),
        ("- verbs: get", "1: [0].verbs: must be a list, not a string".to_owned()),
        ("- verbs: [get, true]", "1: [0].verbs[1]: must be a string, not a boolean".to_owned()),
        ("- verbs: [~]", "1: [0].verbs[0]: must be a string, not nothing".to_owned()),
        ("- stages: [Done]", format!("1: [0].stages[0]: Invalid value: \"Done\": {stages}")),
        ("- {}\n- levels: [None]", format!("2: [1].levels[0]: Unsupported value: \"None\": {levels}")),
        ("- levels: ['']", "1: [0].levels[0]: Required value".to_owned()),
        ("- responseCodes: 404", "1: [0].responseCodes: must be a list, not a number".to_owned()),
        ("- responseCodes: [99]", format!("1: [0].responseCodes[0]: Invalid value: 99: {codes}")),
        ("- responseCodes: [600]", format!("1: [0].responseCodes[0]: Invalid value: 600: {codes}")),
        ("- responseCodes: [-404]", format!("1: [0].responseCodes[0]: Invalid value: -404: {codes}")),
        ("- responseCodes: [65940]", format!("1: [0].responseCodes[0]: Invalid value: 65940: {codes}")),
        ("- responseCodes: [404.0]", format!("1: [0].responseCodes[0]: Invalid value: a number: {codes}")),
        ("- responseCodes: [404, 4XX]", format!("1: [0].responseCodes[1]: Invalid value: \"4XX\": {codes}")),
        ("- responseCodes: [0xx]", format!("1: [0].responseCodes[0]: Invalid value: \"0xx\": {codes}")),
        ("- responseCodes: [700xx]", format!("1: [0].responseCodes[0]: Invalid value: \"700xx\": {codes}")),
        ("- responseCodes: ['404']", format!("1: [0].responseCodes[0]: Invalid value: \"404\": {codes}")),
        ("- responseCodes: [~]", format!("1: [0].responseCodes[0]: Invalid value: nothing: {codes}")),
        ("- exclude: 'yes'", "1: [0].exclude: must be true or false, not a string".to_owned()),
        (
            "- nonResourceURLs: [healthz]",
            "1: [0].nonResourceURLs[0]: Invalid value: \"healthz\": non-resource URL rules must begin with a '/' character"
                .to_owned(),
        ),
        (
            "- resources: [pods]",
            "1: [0].resources[0]: must be a mapping of group, resources, resourceNames, not a string".to_owned(),
        ),
        (
            "- resources:\n  - {}\n  - { resourceNames: [a] }",
            "3: [0].resources[1].resourceNames: Invalid value: []string{\"a\"}: using resourceNames requires at least one \
             resource"
                .to_owned(),
        ),
        (
            "- { namespaces: [n], nonResourceURLs: [/a] }",
            "1: [0].nonResourceURLs: Invalid value: []string{\"/a\"}: rules cannot apply to both regular resources and \
             non-resource URLs"
                .to_owned(),
        ),
    ] {
        assert_eq!(mistake(text), expected, "{text}");
    }
}

#[test]
fn unknown_and_repeated_fields_are_mistakes_with_a_hint() {
    for (field, hint) in [
        ("verb", "did you mean `verbs`?"),
        ("user", "did you mean `users`?"),
        ("nonResourceUrls", "did you mean `nonResourceURLs`?"),
        ("user_groups", "did you mean `userGroups`?"),
        ("groups", "did you mean `userGroups`? Groups of the API are in `resources`: [{ group: apps }]"),
        (
            "level",
            "did you mean `levels`, the recorded ones? What is left of an event is said by a policyFile",
        ),
        ("codes", "did you mean `responseCodes`?"),
        (
            "omitStages",
            "`stages` names those that are taken; a rule of its own with `exclude: true` passes others over",
        ),
        ("omitManagedFields", "a match changes no event; redact.managedFields does that"),
        (
            "\"a\\nb\"",
            "legal are users, userGroups, verbs, resources, namespaces, nonResourceURLs, stages, levels, responseCodes, \
             exclude",
        ),
    ] {
        let shown = field.trim_matches('"').replace('\\', "\\\\");
        let shown = if field.starts_with('"') { shown.replace("\\\\n", "\\n") } else { shown };
        let expected = format!("2: [1].{shown}: is not a known field; {hint}");
        assert_eq!(mistake(&format!("- {{}}\n- {{ {field}: [] }}\n")), expected);
    }
    // Each hint is about a field that there is not, and can be reached.
    for (field, meant) in MATCH_RULE.meant {
        assert!(!MATCH_RULE.fields.contains(field));
        assert!(mistake(&format!("- {{ {field}: x }}")).ends_with(meant));
    }
    assert_eq!(
        mistake("- resources:\n  - { groups: apps }\n"),
        "2: [0].resources[0].groups: is not a known field; did you mean `group`?"
    );
    assert_eq!(
        mistake("- verbs: [get]\n  users: [a]\n  verbs: [list]\n"),
        "3: [0].verbs: is given twice; the first is on line 1, keep one"
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "- { verbs: get, stages: [x], colour: red }\n- []\n- { responseCodes: [1], levels: [x], exclude: 1 }\n\
                - resources: [{ group: A }]\n";
    let lines: Vec<String> = read(text)
        .unwrap_err()
        .iter()
        .map(|mistake| mistake.split(": ").next().unwrap().to_owned())
        .collect();
    assert_eq!(lines, [1, 1, 1, 2, 3, 3, 3, 4].map(|line| format!("f.yaml:{line}")));
}

#[test]
fn what_nobody_means_is_a_warning() {
    let warnings = |text: &str| read(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}")).1;
    assert_eq!(
        warnings(
            "- { verbs: ['*', GET], users: ['*'] }\n- stages: []\n  userGroups:\n- { exclude: true, verbs: [x] }\n"
        ),
        [
            "f.yaml:1: outputs[1].match[0].users[0]: \"*\" is no wildcard here; leave the field out for all",
            "f.yaml:1: outputs[1].match[0].verbs[0]: \"*\" is no wildcard here; leave the field out for all",
            "f.yaml:1: outputs[1].match[0].verbs[1]: verbs are recorded in lower case, so it matches nothing",
            "f.yaml:3: outputs[1].match[1].userGroups: is empty, and so it is no condition; remove it",
            "f.yaml:2: outputs[1].match[1].stages: is empty, and so it is no condition; remove it",
            "f.yaml:4: outputs[1].match[2]: is never asked: outputs[1].match[1] matches everything",
        ]
    );
    assert_eq!(warnings("- { verbs: [get], namespaces: [''] }\n- {}\n"), [""; 0]);
}
