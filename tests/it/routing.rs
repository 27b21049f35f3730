//! `match`: which events an output takes.

mod event;
mod gke;
mod outputs;

use std::collections::BTreeSet;

use self::event::{Event, Object};
use self::outputs::{AS_THEY_ARE, Outputs, filtered_by, of};
use crate::support::cli::audit_shipper;
use crate::support::workdir::{Workdir, large_events, lines_of, real_events, replace};

type Expected = fn(&Event) -> bool;

/// Outputs by their rules, and what each of them takes.
const ROUTES: [(&str, &str, Expected); 14] = [
    ("users", "- { users: [bob, 'system:apiserver'] }", |event| event.is_by("system:apiserver")),
    ("groups", "- { userGroups: ['system:masters'] }", |event| event.is_of_group("system:masters")),
    ("verbs", "- { verbs: [list, watch] }", |event| event.is(&["list", "watch"])),
    ("resources", "- { resources: [{ group: '', resources: [pods, '*/log'] }, { group: apps }] }", |event| {
        let is_wanted = |object: &Object| {
            let Object { api_group, resource, subresource, .. } = object;
            api_group == "apps"
                || api_group.is_empty()
                    && (resource == "pods" && subresource.is_empty() || subresource == "log")
        };
        event.has(is_wanted)
    }),
    (
        "names",
        "- { verbs: [get], resources: [{ group: '', resources: [configmaps], resourceNames: [a3-1, big-5-206, cluster-autoscaler-status] }] }",
        |event| {
            let names = ["a3-1", "big-5-206", "cluster-autoscaler-status"];
            event.is(&["get"])
                && event
                    .has(|object| object.resource == "configmaps" && names.contains(&object.name.as_str()))
        },
    ),
    ("namespaces", "- { namespaces: [kube-system] }", |event| {
        event.has(|object| object.namespace == "kube-system")
    }),
    ("urls", "- { nonResourceURLs: [/version, '/healthz*', '/apis*'] }", |event| {
        let path = event.request_uri.split('?').next().unwrap();
        event.object_ref.is_none()
            && (path == "/version" || path.starts_with("/healthz") || path.starts_with("/apis"))
    }),
    ("stages", "- { stages: [RequestReceived, ResponseStarted] }", |event| {
        ["RequestReceived", "ResponseStarted"].contains(&event.stage.as_str())
    }),
    ("levels", "- { levels: [Request] }", |event| event.level == "Request"),
    ("codes", "- { responseCodes: [404, 2xx] }", |event| {
        event.code() == 404 || (200..300).contains(&event.code())
    }),
    ("exclude", "- { exclude: true, responseCodes: [4xx] }\n      - {}", |event| {
        !(400..500).contains(&event.code())
    }),
    (
        "first",
        "- { verbs: [get] }\n      - { exclude: true, users: ['system:apiserver'] }\n      - { levels: [Metadata] }",
        |event| event.is(&["get"]) || !event.is_by("system:apiserver") && event.level == "Metadata",
    ),
    (
        "all",
        "- { userGroups: ['system:masters'], verbs: [create], namespaces: [''], resources: [{ group: '' }], stages: [ResponseComplete], levels: [RequestResponse], responseCodes: [201] }",
        |event| {
            event.is_of_group("system:masters")
                && event.is(&["create"])
                && event.has(|object| object.api_group.is_empty() && object.namespace.is_empty())
                && event.stage == "ResponseComplete"
                && event.level == "RequestResponse"
                && event.code() == 201
        },
    ),
    ("everything", "- {}", |_| true),
];

#[test]
fn each_output_takes_what_its_rules_say() {
    let lines = [real_events(1250), large_events()].concat();
    let matches: Vec<String> = ROUTES.iter().map(|(_, rules, _)| format!("match:\n      {rules}")).collect();
    let fields: Vec<[&str; 2]> = matches.iter().map(|rules| [AS_THEY_ARE, rules.as_str()]).collect();
    let outputs: Vec<(&str, &[&str])> =
        ROUTES.iter().zip(&fields).map(|((name, ..), fields)| (*name, &fields[..])).collect();
    let outputs = Outputs::new(&outputs);
    outputs.workdir.append(&lines);
    let daemon = outputs.start();
    let metrics = outputs.wait_until_settled(&daemon, lines.len());
    for (output, rules, expected) in ROUTES {
        let expected: BTreeSet<String> =
            lines.iter().filter(|line| expected(&Event::read(line))).cloned().collect();
        let is_one_of_several =
            output == "everything" || !expected.is_empty() && expected.len() < lines.len();
        assert!(is_one_of_several, "{rules} takes {}", expected.len());
        let arrived = outputs.arrived(output);
        let wrong = arrived.symmetric_difference(&expected).next();
        assert_eq!(wrong, None, "{rules} took {} of {}", arrived.len(), expected.len());
        assert_eq!(of(&metrics, output, "delivered"), expected.len() as u64, "{output}");
        assert_eq!(filtered_by(&metrics, output, "match"), (lines.len() - expected.len()) as u64, "{output}");
        assert_eq!(of(&metrics, output, "filtered"), filtered_by(&metrics, output, "match"), "{output}");
    }
}

/// Writes a policy of these rules.
fn policy(workdir: &Workdir, rules: &str) {
    let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: {rules}\n");
    replace(&workdir.path("policy.yaml"), &text);
}

fn is_of_secrets(event: &Event) -> bool {
    event.has(|object| object.resource == "secrets")
}

#[test]
fn a_match_sees_what_was_recorded_then_come_policy_and_redaction() {
    let lines = [large_events(), real_events(1250)].concat();
    let (first, rest) = lines.split_at(450);
    let workdir = Workdir::new();
    policy(
        &workdir,
        "[{ level: None, verbs: [list] }, { level: Metadata, verbs: [get] }, { level: Request }]",
    );
    let policy_file = format!("policyFile: \"{}\"", workdir.path("policy.yaml").display());
    let secrets = "match: [{ resources: [{ resources: [secrets] }], levels: [RequestResponse] }]";
    let outputs = Outputs::new(&[
        ("treated", &[secrets, &policy_file, "redact: { enabled: true }"]),
        ("matched", &[secrets, AS_THEY_ARE]),
        ("plain", &[AS_THEY_ARE, "match: ~"]),
    ]);
    outputs.workdir.append(first);
    let daemon = outputs.start();
    let metrics = outputs.wait_until_settled(&daemon, first.len());
    let is_matched = |event: &Event| is_of_secrets(event) && event.level == "RequestResponse";
    let events: Vec<Event> = first.iter().map(|line| Event::read(line)).collect();
    let (matched, others): (Vec<Event>, Vec<Event>) = events.into_iter().partition(is_matched);
    let listed = matched.iter().filter(|event| event.is(&["list"])).count() as u64;
    assert!(listed > 0 && !others.is_empty());
    for (output, by_match, by_rule) in
        [("treated", others.len() as u64, listed), ("matched", others.len() as u64, 0), ("plain", 0, 0)]
    {
        assert_eq!(filtered_by(&metrics, output, "match"), by_match, "{output}");
        assert_eq!(filtered_by(&metrics, output, "0"), by_rule, "{output}");
        assert_eq!(of(&metrics, output, "filtered"), by_match + by_rule, "{output}");
    }

    // What the policy leaves of them is of lower levels than the match asks for, and it is masked.
    let treated: Vec<String> = outputs.arrived("treated").into_iter().collect();
    let arrived: BTreeSet<_> = treated.iter().map(|line| Event::read(line).identity()).collect();
    let kept = matched.iter().filter(|event| !event.is(&["list"]));
    assert!(arrived == kept.map(Event::identity).collect());
    for line in &treated {
        let event = Event::read(line);
        assert_eq!(event.level, if event.is(&["get"]) { "Metadata" } else { "Request" });
        assert!(!line.contains("\"responseObject\""), "{line}");
    }
    assert!(treated.iter().any(|line| line.contains("redacted:hmac-sha256:")));
    let as_they_are = outputs.arrived("matched");
    let expected = first.iter().filter(|line| is_matched(&Event::read(line))).cloned().collect();
    assert!(as_they_are == expected);

    // A new policy leaves the match as it is.
    policy(&workdir, "[{ level: RequestResponse }]");
    daemon.wait_for_line("the policy was read again");
    outputs.workdir.append(rest);
    let metrics = outputs.wait_until_settled(&daemon, lines.len());
    let all = lines.iter().filter(|line| is_matched(&Event::read(line))).count() as u64;
    assert!(all > matched.len() as u64);
    assert_eq!(of(&metrics, "treated", "delivered"), all - listed);
    assert_eq!(filtered_by(&metrics, "treated", "match"), lines.len() as u64 - all);
    assert!(outputs.arrived("plain") == lines.iter().cloned().collect());
}

#[test]
fn what_is_no_event_is_no_output_s_in_particular() {
    let events = real_events(20);
    let twice = events[0].replacen("\"verb\":", "\"verb\":\"get\",\"verb\":", 1);
    let noise = "I1122 02:16:11.462030 flags.go:59] FLAG\n".to_owned();
    let lines = [&events[..], &[noise, twice.clone()]].concat();
    let outputs = Outputs::new(&[
        ("reads", &[AS_THEY_ARE, "match: [{ verbs: [get, list, watch] }]"]),
        ("writes", &[AS_THEY_ARE, "match: [{ verbs: [create, update, patch, delete] }]"]),
    ]);
    outputs.workdir.append(&lines);
    let daemon = outputs.start();
    let metrics = outputs.wait_until_settled(&daemon, lines.len());
    let mut arrived = 0;
    for output in ["reads", "writes"] {
        // Nobody can tell which of the two verbs it is.
        assert_eq!(of(&metrics, output, "set_aside"), 2, "{output}");
        let rejected = lines_of(&outputs.workdir.state().join(format!("{output}.rejected.ndjson")));
        assert!(rejected.iter().any(|entry| entry.contains(twice.trim_end())), "{rejected:?}");
        arrived += outputs.arrived(output).len();
    }
    assert_eq!(arrived, events.len());
}

#[test]
fn a_gap_is_told_to_every_output() {
    const GAP: &str = "\"audit-shipper.io/gap\":";
    let events = real_events(30);
    let outputs = Outputs::new(&[
        ("reads", &["match: [{ verbs: [get, list, watch] }]"]),
        ("writes", &["match: [{ verbs: [create, update, patch, delete] }]"]),
        ("quiet", &["match: [{ verbs: [create] }]", "gapRecords: false"]),
    ]);
    outputs.workdir.append(&events[..10]);
    let mut daemon = outputs.start();
    outputs.wait_until_settled(&daemon, 10);
    daemon.terminate();
    daemon.wait();
    // Ten more are deleted before anybody reads them.
    outputs.workdir.append(&events[10..20]);
    std::fs::remove_file(outputs.workdir.log()).unwrap();
    outputs.workdir.append(&events[20..]);
    let daemon = outputs.start();
    outputs.wait_until_settled(&daemon, 10);
    for (output, expected) in [("reads", 1), ("writes", 1), ("quiet", 0)] {
        let arrived = outputs.arrived(output);
        assert_eq!(arrived.iter().filter(|line| line.contains(GAP)).count(), expected, "{output}");
    }
}

#[test]
fn skip_sets_aside_what_the_output_would_send_next() {
    let lines = real_events(1250);
    let outputs = Outputs::new(&[("writes", &[AS_THEY_ARE, "match: [{ verbs: [create, delete] }]"])]);
    let (before, behind) = lines.split_at(29);
    outputs.workdir.append(before);
    let mut daemon = outputs.start();
    outputs.wait_until_settled(&daemon, before.len());
    daemon.terminate();
    daemon.wait();
    outputs.workdir.append(behind);
    let is_taken = |line: &&String| Event::read(line).is(&["create", "delete"]);
    let skipped = behind.iter().position(|line| is_taken(&line)).unwrap();
    assert!(skipped > 0);
    let config = format!("--config={}", outputs.config().display());
    audit_shipper(["cursor", "skip", "--output=writes", &config]).succeeded();
    let rejected = lines_of(&outputs.workdir.state().join("writes.rejected.ndjson"));
    assert_eq!(rejected.len(), 1);
    assert!(rejected[0].contains(behind[skipped].trim_end()), "{}", rejected[0]);
    // The daemon goes on behind it.
    let daemon = outputs.start();
    let metrics = outputs.wait_until_settled(&daemon, behind.len() - skipped - 1);
    let taken = before.iter().chain(&behind[skipped + 1..]).filter(is_taken);
    assert!(outputs.arrived("writes") == taken.cloned().collect());
    assert_eq!(of(&metrics, "writes", "set_aside"), 0);
}

#[test]
fn all_mistakes_are_told_each_with_its_place() {
    let outputs = Outputs::new(&[
        ("empty", &["match: []"]),
        (
            "wrong",
            &[
                "match:",
                "- verbs: get",
                "  groups: [a]",
                "- resources: [pods]",
                "- { responseCodes: [4XX], levels: [All] }",
            ],
        ),
        ("none", &["match: [{ exclude: true, verbs: [get] }]", "maxInFlight: 0"]),
    ]);
    for command in ["run", "check"] {
        let config = outputs.config();
        let ended = audit_shipper([command.to_owned(), format!("--config={}", config.display())]);
        let file = config.display();
        let expected = [
            format!("{file}:6: outputs[0].match: takes nothing; remove it or add a rule"),
            format!(
                "{file}:12: outputs[1].match[0].groups: is not a known field; did you mean `userGroups`? Groups of the API are in `resources`: [{{ group: apps }}]"
            ),
            format!("{file}:11: outputs[1].match[0].verbs: must be a list, not a string"),
            format!(
                "{file}:13: outputs[1].match[1].resources[0]: must be a mapping of group, resources, resourceNames, not a string"
            ),
            format!(
                "{file}:14: outputs[1].match[2].levels[0]: Unsupported value: \"All\": supported values: \"Metadata\", \"Request\", \"RequestResponse\""
            ),
            format!(
                "{file}:14: outputs[1].match[2].responseCodes[0]: Invalid value: \"4XX\": legal are numbers from 100 to 599, and classes such as \"4xx\""
            ),
            format!("{file}:19: outputs[2].maxInFlight: 0 is out of range; legal are numbers above 0"),
            format!(
                "{file}:18: outputs[2].match: takes nothing: all of its rules exclude, and what no rule matches is not taken; {{}} as the last rule takes the rest"
            ),
        ];
        assert_eq!(ended.mistakes(), expected, "{command}");
    }
}

#[test]
fn what_can_hardly_be_meant_is_a_warning() {
    let outputs = Outputs::new(&[("siem", &[AS_THEY_ARE, "match: [{ verbs: ['*'] }, {}, { users: [a] }]"])]);
    let config = outputs.config();
    let ended = audit_shipper(["check", "--node=false", "--config", config.to_str().unwrap()]);
    let file = config.display();
    assert_eq!(
        ended.stderr.lines().collect::<Vec<_>>(),
        [
            format!(
                "warning: {file}:7: outputs[0].match[0].verbs[0]: \"*\" is no wildcard here; leave the field out for all"
            ),
            format!(
                "warning: {file}:7: outputs[0].match[2]: is never asked: outputs[0].match[1] matches everything"
            ),
        ]
    );
    ended.succeeded();
}
