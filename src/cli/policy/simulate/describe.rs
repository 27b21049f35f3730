//! What a rule is about, in one line, as its author wrote it.

use crate::policy::{Conditions, GroupResources, Rule};

/// Everything that the rule asks for, without its level.
pub(super) fn describe(rule: &Rule) -> String {
    let Conditions { users, user_groups, verbs, namespaces, resources, non_resource_urls } = &rule.conditions;
    let resources: Vec<String> = resources.iter().map(group_resources).collect();
    let namespaces: Vec<String> =
        namespaces.iter().map(|name| if name.is_empty() { "(none)".into() } else { name.clone() }).collect();
    let wanted = [
        ("users", users),
        ("groups", user_groups),
        ("verbs", verbs),
        ("namespaces", &namespaces),
        ("resources", &resources),
        ("urls", non_resource_urls),
    ];
    let wanted = wanted.into_iter().filter(|(_, values)| !values.is_empty());
    let wanted: Vec<String> = wanted.map(|(name, values)| format!("{name} {}", values.join(","))).collect();
    if wanted.is_empty() { "everything".to_owned() } else { wanted.join("; ") }
}

/// `secrets`, `deployments.apps`, `*.apps`, `configmaps[name,...]`.
fn group_resources(wanted: &GroupResources) -> String {
    let group = |resource: &str| match wanted.group.as_str() {
        "" => resource.to_owned(),
        group => match resource.split_once('/') {
            Some((resource, subresource)) => format!("{resource}.{group}/{subresource}"),
            None => format!("{resource}.{group}"),
        },
    };
    let all = match wanted.resources.as_slice() {
        [] if wanted.group.is_empty() => "*.core".to_owned(),
        [] => group("*"),
        resources => resources.iter().map(|resource| group(resource)).collect::<Vec<_>>().join(","),
    };
    if wanted.resource_names.is_empty() { all } else { format!("{all}[{}]", wanted.resource_names.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    #[test]
    fn a_rule_is_described_as_it_was_written() {
        let text = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- { level: None, users: [a, b], userGroups: [g], verbs: [get], namespaces: ["", n] }
- { level: Metadata, resources: [{ resources: [pods, pods/log] }, { group: apps, resources: [deployments/scale] }, { group: batch }, {}] }
- { level: Request, resources: [{ resources: [configmaps], resourceNames: [x, y] }] }
- { level: None, nonResourceURLs: [/healthz*] }
- { level: Metadata }
"#;
        let policy = Policy::parse(text, "test").unwrap().policy;
        let described: Vec<String> = policy.rules().iter().map(describe).collect();
        assert_eq!(
            described,
            [
                "users a,b; groups g; verbs get; namespaces (none),n",
                "resources pods,pods/log,deployments.apps/scale,*.batch,*.core",
                "resources configmaps[x,y]",
                "urls /healthz*",
                "everything",
            ]
        );
    }
}
