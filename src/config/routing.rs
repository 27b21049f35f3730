//! An output's `match`: which events it takes. What is in it is read by [`crate::policy`], whose words it has.

use std::sync::Arc;

use super::print::quoted;
use super::section::Section;
use crate::event::Level;
use crate::policy::{Conditions, GroupResources, Match, MatchRule, ResponseCode};

/// Reads the field `match` of an output; `None` for all events.
pub(super) fn read(section: &mut Section<'_>) -> Option<Arc<Match>> {
    let path = section.path_of("match");
    let (node, file) = section.node("match")?;
    let report = section.sources.report;
    match Match::read(node, &path, file) {
        Ok((found, warnings)) => {
            for warning in warnings {
                report.general_warning(warning);
            }
            Some(Arc::new(found))
        }
        Err(mistakes) => {
            for mistake in mistakes {
                report.general(mistake);
            }
            None
        }
    }
}

/// As YAML behind `match:` of an output, a rule a line.
pub(super) fn show(takes: Option<&Match>) -> String {
    let Some(takes) = takes else { return " ~".to_owned() };
    let rules = takes.rules().iter().map(show_rule);
    rules.flat_map(|rule| ["\n      - ".to_owned(), rule]).collect()
}

fn show_rule(rule: &MatchRule) -> String {
    let MatchRule { conditions, stages, levels, response_codes, exclude } = rule;
    let Conditions { users, user_groups, verbs, namespaces, resources, non_resource_urls } = conditions;
    let resources: Vec<String> = resources.iter().map(show_group).collect();
    let levels = levels.iter().map(|level| Level::as_str(*level).to_owned());
    let codes = response_codes.iter().map(|code| match code {
        ResponseCode::One(code) => code.to_string(),
        ResponseCode::Class(digit) => format!("{digit}xx"),
    });
    let fields = [
        ("users", quoted_all(users)),
        ("userGroups", quoted_all(user_groups)),
        ("verbs", quoted_all(verbs)),
        ("namespaces", quoted_all(namespaces)),
        ("resources", resources),
        ("nonResourceURLs", quoted_all(non_resource_urls)),
        ("stages", stages.names().map(str::to_owned).collect()),
        ("levels", levels.collect()),
        ("responseCodes", codes.collect()),
    ];
    let exclude = exclude.then(|| "exclude: true".to_owned());
    show_mapping(show_lists(&fields).chain(exclude))
}

fn show_group(group: &GroupResources) -> String {
    let GroupResources { group, resources, resource_names } = group;
    let lists = [("resources", quoted_all(resources)), ("resourceNames", quoted_all(resource_names))];
    show_mapping(std::iter::once(format!("group: {}", quoted(group))).chain(show_lists(&lists)))
}

/// An empty list is as none at all.
fn show_lists(lists: &[(&str, Vec<String>)]) -> impl Iterator<Item = String> {
    let given = lists.iter().filter(|(_, items)| !items.is_empty());
    given.map(|(name, items)| format!("{name}: [{}]", items.join(", ")))
}

fn show_mapping(fields: impl Iterator<Item = String>) -> String {
    let fields = fields.collect::<Vec<_>>().join(", ");
    if fields.is_empty() { "{}".to_owned() } else { format!("{{ {fields} }}") }
}

fn quoted_all(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| quoted(text)).collect()
}
