//! From a part of our own file to a [`Match`].
//!
//! Its rules are a policy's, and so are the words for what is wrong in them. But nobody else reads this file, so what
//! kube-apiserver would pass over is a mistake here, and what it takes although nobody can mean it is a warning.

use super::fields::{Fields, Findings, Known};
use super::{check, conditions, stages};
use crate::policy::{Match, MatchRule};
use crate::yaml::{Node, Value};

const MATCH_RULE: Known = Known {
    fields: &[
        "users",
        "userGroups",
        "verbs",
        "resources",
        "namespaces",
        "nonResourceURLs",
        "stages",
        "levels",
        "responseCodes",
        "exclude",
    ],
    meant: &[
        ("groups", "did you mean `userGroups`? Groups of the API are in `resources`: [{ group: apps }]"),
        ("group", "groups of the API are in `resources`: [{ group: apps }]; those of users are `userGroups`"),
        ("apiGroups", "groups of the API are in `resources`: [{ group: apps }]"),
        (
            "resourceNames",
            "it belongs to a group in `resources`: [{ group: apps, resources: [...], resourceNames: [...] }]",
        ),
        (
            "level",
            "did you mean `levels`, the recorded ones? What is left of an event is said by a policyFile",
        ),
        (
            "omitStages",
            "`stages` names those that are taken; a rule of its own with `exclude: true` passes others over",
        ),
        ("omitManagedFields", "a match changes no event; redact.managedFields does that"),
        ("codes", "did you mean `responseCodes`?"),
        ("code", "did you mean `responseCodes`?"),
        ("status", "did you mean `responseCodes`?"),
        ("statusCodes", "did you mean `responseCodes`?"),
        ("not", "a rule with `exclude: true` passes over what it matches"),
        ("action", "a rule takes what it matches, with `exclude: true` it passes that over"),
        ("drop", "did you mean `exclude: true`?"),
        ("include", "a rule takes what it matches unless it says `exclude: true`"),
    ],
};

/// Fields that hold lists in which `*` is a text as any other.
const PLAIN_LISTS: [&str; 4] = ["users", "userGroups", "verbs", "namespaces"];

impl Match {
    /// Reads the list at `node`, which stands at `path` of `file`; warnings come with it.
    ///
    /// # Errors
    /// Everything that is wrong, one mistake a line.
    pub(crate) fn read(node: &Node, path: &str, file: &str) -> Result<(Self, Vec<String>), Vec<String>> {
        let findings = Findings::strict(file);
        let rules = rules(node, path, &findings);
        findings.finish().map(|warnings| (Self::new(rules), warnings))
    }
}

fn rules(node: &Node, path: &str, findings: &Findings<'_>) -> Vec<MatchRule> {
    let Value::List(nodes) = &node.value else {
        let what = format_args!("must be a list of rules, not {}", node.value.kind());
        findings.mistake(node.line, path, what);
        return Vec::new();
    };
    let path_of = |index: usize| format!("{path}[{index}]");
    let read = |(index, node)| rule(node, path_of(index), findings);
    let rules: Vec<MatchRule> = nodes.iter().enumerate().map(read).collect();
    let last_asked = rules.iter().position(MatchRule::matches_all);
    if rules.is_empty() {
        findings.mistake(node.line, path, "takes nothing; remove it or add a rule");
    } else if rules.iter().all(|rule| rule.exclude) {
        let what = "takes nothing: all of its rules exclude, and what no rule matches is not taken; \
                    {} as the last rule takes the rest";
        findings.mistake(node.line, path, what);
    } else if let Some(last) = last_asked.filter(|last| rules[..=*last].iter().all(|rule| rule.exclude)) {
        let what = "excludes everything, and no rule before it takes anything: it has no condition, and an \
                    empty list is none";
        findings.mistake(nodes[last].line, &path_of(last), what);
    }
    if let Some(last) = last_asked
        && let Some(next) = nodes.get(last + 1)
    {
        let what = format_args!("is never asked: {} matches everything", path_of(last));
        findings.warn(next.line, &path_of(last + 1), what);
    }
    rules
}

fn rule(node: &Node, path: String, findings: &Findings<'_>) -> MatchRule {
    let fields = Fields::new(node, path, &MATCH_RULE, findings);
    let conditions = conditions(&fields, findings);
    warn_of_what_nobody_means(&fields, findings);
    let stages = stages(&fields, "stages", findings);
    let path = fields.path_of("levels");
    let level = |(index, level)| check::recorded_level(level, &format!("{path}[{index}]"), findings);
    let levels = fields.texts("levels").into_iter().enumerate().map(level).collect();
    let path = fields.path_of("responseCodes");
    let code = |(index, code)| check::response_code(code, &format!("{path}[{index}]"), findings);
    let codes = fields.list("responseCodes").unwrap_or_default().iter().enumerate();
    let response_codes = codes.filter_map(code).collect();
    let exclude = fields.boolean("exclude").unwrap_or_default();
    MatchRule { conditions, stages, levels, response_codes, exclude }
}

fn warn_of_what_nobody_means(fields: &Fields<'_>, findings: &Findings<'_>) {
    // `exclude` alone is no list.
    let lists = MATCH_RULE.fields.iter().filter(|field| **field != "exclude");
    for field in lists.filter(|field| fields.is_given_empty(field)) {
        let what = "is empty, and so it is no condition; remove it";
        findings.warn(fields.line_of(field), &fields.path_of(field), what);
    }
    for field in PLAIN_LISTS {
        for (index, line, text) in fields.right_texts(field) {
            let path = format!("{}[{index}]", fields.path_of(field));
            if text == "*" {
                findings.warn(line, &path, "\"*\" is no wildcard here; leave the field out for all");
            } else if field == "verbs" && text.contains(|c: char| c.is_ascii_uppercase()) {
                findings.warn(line, &path, "verbs are recorded in lower case, so it matches nothing");
            }
        }
    }
}

#[cfg(test)]
mod tests;
