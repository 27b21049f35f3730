//! Each sentence of kubernetes-audit.md, section 11, that an implementation could get wrong.

use super::*;

/// A request as kube-apiserver would record it: of a resource if the URL says so.
struct Asked {
    user: &'static str,
    verb: &'static str,
    uri: &'static str,
    stage: &'static str,
}

const ANYBODY: &str = r#"{"username":"alice","groups":["devs","system:authenticated"]}"#;

fn asked(verb: &'static str, uri: &'static str) -> Asked {
    Asked { user: ANYBODY, verb, uri, stage: "ResponseComplete" }
}

fn by(user: &'static str) -> Asked {
    Asked { user, ..asked("get", "/api/v1/nodes/n") }
}

impl Asked {
    fn line(&self) -> String {
        let Self { user, verb, uri, stage } = self;
        let is_resource = request::means_resource(uri.as_bytes());
        let reference = if is_resource { r#","objectRef":{"name":"not looked at"}"# } else { "" };
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"1","stage":"{stage}","requestURI":"{uri}","verb":"{verb}","user":{user}{reference}}}"#
        )
    }
}

/// Which rule decides; the rules are in YAML's flow style, one a line, without their levels. A match of the same rules
/// decides the same.
fn decides(rules: &[&str], asked: &Asked) -> Option<usize> {
    let list =
        |head: &str| -> String { rules.iter().flat_map(|rule| ["- { ", head, rule, " }\n"]).collect() };
    let policy = policy(&format!("apiVersion: audit.k8s.io/v1\nrules:\n{}", list("level: Metadata, ")));
    let line = asked.line();
    let rule = applied(&policy, line.as_bytes()).0.rule;
    assert_eq!(is_taken(&match_of(&list("")), line.as_bytes()), rule.is_some(), "{rules:?}: {line}");
    rule
}

fn matches(rule: &str, asked: &Asked) -> bool {
    decides(&[rule], asked).is_some()
}

/// Checks one rule: what it matches, and what it does not.
fn check(rule: &str, matched: &[Asked], unmatched: &[Asked]) {
    for asked in matched {
        assert!(matches(rule, asked), "{rule} matches {}", asked.line());
    }
    for asked in unmatched {
        assert!(!matches(rule, asked), "{rule} does not match {}", asked.line());
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = ["verbs: [list]", "verbs: [get]", "users: [alice]"];
    assert_eq!(decides(&rules, &asked("get", "/api/v1/pods/p")), Some(1));
    assert_eq!(decides(&rules, &asked("update", "/api/v1/pods/p")), Some(2));
    assert_eq!(decides(&rules[..2], &asked("update", "/api/v1/pods/p")), None);
    // Nothing is asked.
    check("", &[asked("get", "/api/v1/pods/p"), asked("get", "/healthz"), by("{}")], &[]);
    check("users: [], verbs: [], resources: [], namespaces: ~, nonResourceURLs: []", &[by("{}")], &[]);
}

#[test]
fn level_none_decides_as_any_level_does() {
    let policy = policy(
        "apiVersion: audit.k8s.io/v1\nrules:\n- { level: None, verbs: [get] }\n- { level: Request }\n",
    );
    let (decision, effect, _) = applied(&policy, asked("get", "/healthz").line().as_bytes());
    assert_eq!((decision.level, decision.rule, effect), (Level::None, Some(0), Effect::Dropped));
}

#[test]
fn users_and_groups() {
    let node = || by(r#"{"username":"system:node:n","groups":["system:nodes","system:authenticated"]}"#);
    let nobody = || by("{}");
    check("users: [bob, alice]", &[by(ANYBODY)], &[node(), nobody()]);
    check("users: [Alice]", &[], &[by(ANYBODY)]);
    check("users: ['*']", &[], &[by(ANYBODY)]);
    check("userGroups: [system:nodes]", &[node()], &[by(ANYBODY), nobody()]);
    check("userGroups: ['*', system:node]", &[], &[node()]);
    check("users: [alice], userGroups: [system:nodes]", &[], &[by(ANYBODY), node()]);
    // A name that is empty is one, if anything else tells that there is somebody.
    check(
        "users: ['']",
        &[by(r#"{"uid":"7"}"#), by(r#"{"groups":["g"]}"#)],
        &[nobody(), by(r#"{"username":"","uid":"","groups":[]}"#), by(r#"{"extra":{"a":["b"]}}"#)],
    );
    check("userGroups: [g]", &[by(r#"{"groups":["f","g"]}"#)], &[by(r#"{"groups":null}"#)]);
    // Written otherwise, and the same.
    let escaped = r#"{"\u0075sername":"a\u006cice","groups":["d\u0065vs","\u003cg\u003e"]}"#;
    check("users: [alice]", &[by(escaped)], &[]);
    check("userGroups: ['<g>']", &[by(escaped)], &[by(r#"{"groups":["\\u003cg>"]}"#)]);
}

#[test]
fn who_is_impersonated_does_not_count() {
    let line = asked("get", "/healthz").line();
    let line = line.replacen(r#""user":"#, r#""impersonatedUser":{"username":"bob"},"user":"#, 1);
    let policy = policy("apiVersion: audit.k8s.io/v1\nrules:\n- { level: Metadata, users: [bob] }\n");
    assert_eq!(applied(&policy, line.as_bytes()).0.rule, None);
}

#[test]
fn verbs() {
    let rule = "verbs: [get, post]";
    check(
        rule,
        &[asked("get", "/api/v1/pods/p"), asked("post", "/healthz")],
        &[asked("list", "/api/v1/pods"), asked("GET", "/api/v1/pods/p"), asked("", "/api/v1/pods/p")],
    );
    check("verbs: ['*']", &[], &[asked("get", "/api/v1/pods/p")]);
    check("verbs: ['']", &[asked("", "/api/v1/pods/p")], &[asked("get", "/api/v1/pods/p")]);
}

#[test]
fn namespaces() {
    check(
        "namespaces: [kube-system]",
        &[
            asked("get", "/api/v1/namespaces/kube-system/pods/p"),
            asked("get", "/api/v1/namespaces/kube-system"),
            asked("update", "/api/v1/namespaces/kube-system/finalize"),
        ],
        &[asked("get", "/api/v1/namespaces/default/pods/p"), asked("get", "/healthz")],
    );
    // All namespaces, or none.
    check(
        "namespaces: ['']",
        &[
            asked("list", "/api/v1/pods"),
            asked("get", "/api/v1/nodes/n"),
            asked("list", "/api/v1/namespaces"),
        ],
        &[asked("get", "/api/v1/namespaces/foo"), asked("get", "/")],
    );
    check("namespaces: ['*']", &[], &[asked("get", "/api/v1/namespaces/foo/pods/p")]);
    check(
        "namespaces: [foo], resources: [{ group: '', resources: [pods] }]",
        &[asked("get", "/api/v1/namespaces/foo/pods/p")],
        &[asked("get", "/api/v1/namespaces/foo/secrets/s"), asked("get", "/api/v1/namespaces/bar/pods/p")],
    );
}

#[test]
fn groups_of_resources() {
    let core = || asked("get", "/api/v1/namespaces/n/pods/p");
    let apps = || asked("get", "/apis/apps/v1/namespaces/n/deployments/d");
    check("resources: [{ group: '' }]", &[core()], &[apps(), asked("get", "/healthz")]);
    check("resources: [{ group: apps }]", &[apps()], &[core()]);
    check("resources: [{ group: '*' }]", &[core(), apps()], &[asked("get", "/apis/apps/v1")]);
    check("resources: [{}]", &[core()], &[apps()]);
    check("resources: [{ group: '*', resources: [pods] }]", &[core()], &[apps()]);
    check(
        "resources: [{ group: apps, resources: [pods] }, { group: '', resources: [pods] }]",
        &[core()],
        &[],
    );
    check("resources: [{ group: app }, { group: apps.k8s.io }]", &[], &[apps(), core()]);
}

#[test]
fn resources_and_subresources() {
    let pod = || asked("get", "/api/v1/namespaces/n/pods/p");
    let log = || asked("get", "/api/v1/namespaces/n/pods/p/log");
    let proxy = || asked("get", "/api/v1/namespaces/n/pods/p/proxy/more/parts");
    let scale = || asked("get", "/apis/apps/v1/namespaces/n/deployments/d/scale");
    let of = |text: &str| format!("resources: [{{ group: '*', resources: ['{text}'] }}]");
    check(&of("pods"), &[pod()], &[log(), proxy(), scale()]);
    check(&of("pods/log"), &[log()], &[pod(), proxy()]);
    check(&of("pods/proxy"), &[proxy()], &[log()]);
    check(&of("pods/proxy/more"), &[], &[proxy()]);
    check(&of("*"), &[pod(), log(), scale()], &[asked("get", "/version")]);
    check(&of("*/log"), &[log()], &[pod(), scale()]);
    check(&of("pods/*"), &[log(), proxy(), pod()], &[scale()]);
    // What looks like a pattern and is none.
    for pattern in ["*/*", "pods*", "", "*/", "pods/", "Pods", "pod", "/log"] {
        check(&of(pattern), &[], &[pod(), log(), scale()]);
    }
    let subject = asked("create", "/apis/authorization.k8s.io/v1/subjectaccessreviews");
    check(&of("subjectaccessreviews"), &[subject], &[]);
}

#[test]
fn names_of_resources() {
    let rule = "resources: [{ group: '', resources: [configmaps], resourceNames: [a, b] }]";
    check(
        rule,
        &[
            asked("get", "/api/v1/namespaces/n/configmaps/a"),
            asked("delete", "/api/v1/namespaces/n/configmaps/b"),
            asked("list", r"/api/v1/namespaces/n/configmaps?limit=5\u0026fieldSelector=metadata.name%3Da"),
            asked("watch", "/api/v1/configmaps?fieldSelector=metadata.name=b&watch=true"),
            asked("watch", "/api/v1/watch/namespaces/n/configmaps/a"),
        ],
        &[
            asked("get", "/api/v1/namespaces/n/configmaps/c"),
            asked("get", "/api/v1/namespaces/n/secrets/a"),
            asked("list", "/api/v1/namespaces/n/configmaps"),
            // The name is in the body, and objectRef has it from there.
            asked("create", "/api/v1/namespaces/n/configmaps"),
            // The query is looked at for lists only, and not if the path names the verb.
            asked("deletecollection", "/api/v1/namespaces/n/configmaps?fieldSelector=metadata.name=a"),
            asked("watch", "/api/v1/watch/namespaces/n/configmaps?fieldSelector=metadata.name=a"),
            asked("get", "/api/v1/namespaces/n/configmaps/c?fieldSelector=metadata.name=a"),
        ],
    );
    let empty = "resources: [{ group: '', resources: [configmaps], resourceNames: [''] }]";
    check(
        empty,
        &[asked("create", "/api/v1/namespaces/n/configmaps")],
        &[asked("get", "/api/v1/configmaps/a")],
    );
}

#[test]
fn urls_that_mean_no_resource() {
    check(
        "nonResourceURLs: ['/healthz*', /version, '/logs/*']",
        &[
            asked("get", "/healthz"),
            asked("get", "/healthzz"),
            asked("get", "/healthz/etcd?verbose"),
            asked("get", "/version?x=/y"),
            asked("get", "/logs/a/b"),
            asked("get", "/%76ersion"),
            asked("get", "/\\u0076ersion"),
        ],
        &[
            asked("get", "/logs"),
            asked("get", "/versions"),
            asked("get", "/version/"),
            asked("get", "/Version"),
            asked("get", "/api/v1/namespaces/n/pods/p"),
            asked("get", "/"),
        ],
    );
    check(
        "nonResourceURLs: ['*']",
        &[asked("get", "/"), asked("get", "/api/v1")],
        &[asked("get", "/api/v1/pods")],
    );
    check("nonResourceURLs: ['/*']", &[asked("get", "/openapi/v2")], &[asked("get", "/api/v1/pods")]);
    // Discovery.
    check(
        "nonResourceURLs: [/api/v1, '/apis/*']",
        &[asked("get", "/api/v1"), asked("get", "/apis/apps/v1")],
        &[],
    );
    check("nonResourceURLs: [/a b], verbs: [get]", &[asked("get", "/a%20b")], &[asked("get", "/a+b")]);
}

#[test]
fn a_url_that_means_nothing_to_us_leaves_what_was_recorded() {
    let line = asked("get", "/oapi/v1/namespaces/n/routes/r").line();
    let reference = r#","objectRef":{"resource":"rou\u0074es","namespace":"n","name":"r","apiGroup":"g.io","subresource":"s"}"#;
    let line = format!("{}{reference}}}", line.strip_suffix('}').unwrap());
    for (rule, expected) in [
        ("resources: [{ group: g.io, resources: [routes/s], resourceNames: [r] }], namespaces: [n]", Some(0)),
        ("resources: [{ group: g.io, resources: [routes] }]", None),
        ("nonResourceURLs: ['*']", None),
    ] {
        let policy =
            policy(&format!("apiVersion: audit.k8s.io/v1\nrules:\n- {{ level: Metadata, {rule} }}\n"));
        assert_eq!(applied(&policy, line.as_bytes()).0.rule, expected, "{rule}");
    }
    // It is told by `objectRef` whether there is a resource.
    let line = asked("get", "/api/v1/pods").line().replace(r#","objectRef":{"name":"not looked at"}"#, "");
    let policy =
        policy("apiVersion: audit.k8s.io/v1\nrules:\n- { level: Metadata, nonResourceURLs: [/api/*] }\n");
    assert_eq!(applied(&policy, line.as_bytes()).0.rule, Some(0));
}

#[test]
fn stages_are_omitted_by_the_policy_and_by_the_rule() {
    let policy = policy(
        "apiVersion: audit.k8s.io/v1\nomitStages: [Panic]\nrules:\n\
         - { level: Metadata, verbs: [get], omitStages: [RequestReceived, Panic] }\n- { level: Metadata, verbs: [list] }\n",
    );
    let names = |decision: Decision| decision.omit_stages.names().collect::<Vec<_>>();
    for (verb, stage, omitted, effect) in [
        ("get", "RequestReceived", &["RequestReceived", "Panic"][..], Effect::Dropped),
        ("get", "Panic", &["RequestReceived", "Panic"], Effect::Dropped),
        ("get", "ResponseComplete", &["RequestReceived", "Panic"], Effect::Changed),
        ("list", "RequestReceived", &["Panic"], Effect::Changed),
        ("list", "P\\u0061nic", &["Panic"], Effect::Dropped),
        // No rule matches.
        ("watch", "ResponseStarted", &["Panic"], Effect::Dropped),
    ] {
        let asked = Asked { stage, ..asked(verb, "/api/v1/pods") };
        let (decision, done, _) = applied(&policy, asked.line().as_bytes());
        assert_eq!((names(decision), done), (omitted.to_vec(), effect), "{verb} {stage}");
    }
}

#[test]
fn managed_fields_are_omitted_by_the_rule_or_else_by_the_policy() {
    let of = |top: &str, rule: &str| {
        let policy =
            policy(&format!("apiVersion: audit.k8s.io/v1\n{top}\nrules:\n- {{ level: Request, {rule} }}\n"));
        let (decision, ..) = applied(&policy, asked("get", "/healthz").line().as_bytes());
        decision.omit_managed_fields
    };
    assert!(!of("", ""));
    assert!(of("omitManagedFields: true", ""));
    assert!(of("omitManagedFields: true", "omitManagedFields: ~"));
    assert!(!of("omitManagedFields: true", "omitManagedFields: false"));
    assert!(of("omitManagedFields: false", "omitManagedFields: true"));
}
