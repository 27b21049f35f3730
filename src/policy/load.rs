//! From a file to a [`Policy`], or a part of our own to a [`Match`](super::Match): everything that is wrong with it, each
//! with its line.
//!
//! What kube-apiserver refuses is a mistake here, in its words. What it passes over (fields that it does not know, and of a
//! field that is there twice all but the last) is a warning, since a rule that has lost a condition to a typing mistake
//! matches more than was meant. In our own file, [`matching`] refuses these as well.

mod check;
mod fields;
mod matching;

use std::io::Read as _;
use std::path::Path;

use super::rule::{Conditions, GroupResources, Rule};
use super::{Decision, Loaded, Policy, Stages};
use crate::event::Level;
use crate::yaml::{self, Node, Unreadable};
use fields::{Fields, Findings, Known, Text};

/// Far more than a policy needs.
const LONGEST_FILE_BYTES: u64 = 1 << 20;

/// The only version that kube-apiserver still reads.
const VERSION: &str = "audit.k8s.io/v1";
/// Those that it read before 1.24. Their policies have the same fields.
const OLD_VERSIONS: [&str; 2] = ["audit.k8s.io/v1beta1", "audit.k8s.io/v1alpha1"];

const KIND: &str = "Policy";

const POLICY: Known = Known {
    fields: &["apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"],
    meant: &[],
};
const RULE: Known = Known {
    fields: &[
        "level",
        "users",
        "userGroups",
        "verbs",
        "resources",
        "namespaces",
        "nonResourceURLs",
        "omitStages",
        "omitManagedFields",
    ],
    meant: &[],
};
const GROUP: Known = Known { fields: &["group", "resources", "resourceNames"], meant: &[] };

impl Policy {
    /// Reads the policy in a file.
    ///
    /// # Errors
    /// It cannot be read, or is no policy: everything that is wrong, one mistake a line.
    pub fn load(path: &Path) -> Result<Loaded, Vec<String>> {
        let name = path.display().to_string();
        let read = || {
            let mut text = String::new();
            std::fs::File::open(path)?.take(LONGEST_FILE_BYTES + 1).read_to_string(&mut text)?;
            Ok::<_, std::io::Error>(text)
        };
        match read() {
            Ok(text) if text.len() as u64 <= LONGEST_FILE_BYTES => Self::parse(&text, &name),
            Ok(_) => Err(vec![format!("{name}: is longer than 1 MiB")]),
            Err(error) => Err(vec![format!("cannot read {name}: {error}")]),
        }
    }

    /// Reads a policy; `file` is what messages call it.
    ///
    /// # Errors
    /// It is no policy: everything that is wrong, one mistake a line.
    pub fn parse(text: &str, file: &str) -> Result<Loaded, Vec<String>> {
        let document = yaml::parse(text)
            .map_err(|Unreadable { line, reason }| vec![format!("{file}:{line}: {reason}")])?;
        let findings = Findings::new(file);
        let policy = policy(&document, &findings);
        findings.finish().map(|warnings| Loaded { policy, warnings })
    }
}

fn policy(document: &Node, findings: &Findings<'_>) -> Policy {
    let fields = Fields::new(document, String::new(), &POLICY, findings);
    let mut default = Decision {
        level: Level::None,
        rule: None,
        omit_stages: Stages::default(),
        omit_managed_fields: false,
    };
    if !fields.is_mapping() {
        return Policy::new(Vec::new(), default);
    }
    check_version(&fields, findings);
    fields.expect_mapping("metadata");
    default.omit_stages = stages(&fields, "omitStages", findings);
    default.omit_managed_fields = fields.boolean("omitManagedFields").unwrap_or_default();
    let nodes = fields.list("rules");
    if nodes.is_some_and(<[Node]>::is_empty) {
        findings.mistake(fields.line_of("rules"), "rules", "loaded illegal policy with 0 rules");
    }
    let nodes = nodes.unwrap_or_default().iter().enumerate();
    Policy::new(nodes.map(|(index, node)| rule(node, index, default, findings)).collect(), default)
}

fn check_version(fields: &Fields<'_>, findings: &Findings<'_>) {
    let (version, kind) = (fields.text("apiVersion"), fields.text("kind"));
    let kind_or = kind.text.filter(|kind| !kind.is_empty()).unwrap_or(KIND);
    match version.text {
        None | Some(VERSION) => {}
        Some("") => {
            let what =
                format_args!("unknown group version field in policy: none is given; legal is {VERSION}");
            findings.mistake(version.line, "apiVersion", what);
        }
        Some(old) if OLD_VERSIONS.contains(&old) => {
            let what = format_args!(
                "{old:?} is deprecated and refused by kube-apiserver since 1.24, use {VERSION:?}"
            );
            findings.warn(version.line, "apiVersion", what);
        }
        Some(other) => {
            let what = format_args!(
                "unknown group version field {}, Kind={} in policy; legal is {VERSION}",
                other.escape_debug(),
                kind_or.escape_debug()
            );
            findings.mistake(version.line, "apiVersion", what);
        }
    }
    if kind_or != KIND {
        let version = version.text.filter(|version| !version.is_empty()).unwrap_or(VERSION);
        let what = format_args!("no kind {kind_or:?} is registered for version {version:?}; legal is {KIND}");
        findings.mistake(kind.line, "kind", what);
    }
}

fn rule(node: &Node, index: usize, default: Decision, findings: &Findings<'_>) -> Rule {
    let fields = Fields::new(node, format!("rules[{index}]"), &RULE, findings);
    let level = check::level(fields.text("level"), &fields.path_of("level"), findings);
    let conditions = conditions(&fields, findings);
    let omit_stages = stages(&fields, "omitStages", findings).union(default.omit_stages);
    let omit_managed_fields = fields.boolean("omitManagedFields").unwrap_or(default.omit_managed_fields);
    let decision = Decision { level, rule: Some(index), omit_stages, omit_managed_fields };
    Rule { line: node.line, decision, conditions }
}

fn conditions(fields: &Fields<'_>, findings: &Findings<'_>) -> Conditions {
    let urls = fields.texts("nonResourceURLs");
    let path = fields.path_of("nonResourceURLs");
    for (index, url) in urls.iter().enumerate() {
        check::non_resource_url(*url, &format!("{path}[{index}]"), findings);
    }
    let resources = group_resources(fields, findings);
    let namespaces = owned(&fields.texts("namespaces"));
    if !urls.is_empty() && (!resources.is_empty() || !namespaces.is_empty()) {
        let what = format_args!(
            "Invalid value: {}: rules cannot apply to both regular resources and non-resource URLs",
            check::show_list(&urls)
        );
        findings.mistake(fields.line_of("nonResourceURLs"), &path, what);
    }
    Conditions {
        users: owned(&fields.texts("users")),
        user_groups: owned(&fields.texts("userGroups")),
        verbs: owned(&fields.texts("verbs")),
        namespaces,
        resources,
        non_resource_urls: owned(&urls),
    }
}

fn group_resources(rule: &Fields<'_>, findings: &Findings<'_>) -> Vec<GroupResources> {
    let list = rule.path_of("resources");
    let read = |(index, node)| {
        let path = findings.path_of_item(&list, index);
        let fields = Fields::new(node, format!("{list}[{index}]"), &GROUP, findings);
        let (group, names) = (fields.text("group"), fields.texts("resourceNames"));
        let resources = owned(&fields.texts("resources"));
        check::group(group, &format!("{path}.group"), findings);
        if !names.is_empty() && resources.is_empty() {
            let what = format_args!(
                "Invalid value: {}: using resourceNames requires at least one resource",
                check::show_list(&names)
            );
            findings.mistake(fields.line_of("resourceNames"), &format!("{path}.resourceNames"), what);
        }
        let group = group.text.unwrap_or_default().to_owned();
        GroupResources { group, resources, resource_names: owned(&names) }
    };
    rule.list("resources").unwrap_or_default().iter().enumerate().map(read).collect()
}

fn stages(fields: &Fields<'_>, field: &str, findings: &Findings<'_>) -> Stages {
    let path = fields.path_of(field);
    let stage = |(index, stage)| check::stage(stage, &format!("{path}[{index}]"), findings);
    fields.texts(field).into_iter().enumerate().map(stage).fold(Stages::default(), Stages::union)
}

fn owned(texts: &[Text<'_>]) -> Vec<String> {
    texts.iter().map(|text| text.text.unwrap_or_default().to_owned()).collect()
}

#[cfg(test)]
mod tests;
