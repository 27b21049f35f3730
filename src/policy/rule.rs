//! Which requests a rule is about (kubernetes-audit.md, section 11).
//!
//! Texts are compared as they are: case counts, and `*` means something in few places only. An empty list is no list.

use super::Decision;
use super::request::{Request, Requested, Target};
use super::user::User;

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where it begins in its file.
    pub line: u64,
    /// What is done to what it matches; the policy's own `omitStages` and `omitManagedFields` are in it.
    pub decision: Decision,
    /// What it matches.
    pub conditions: Conditions,
}

/// What is asked of a request, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the fields of the file")]
pub struct Conditions {
    pub users: Vec<String>,
    pub user_groups: Vec<String>,
    pub verbs: Vec<String>,
    pub namespaces: Vec<String>,
    pub resources: Vec<GroupResources>,
    pub non_resource_urls: Vec<String>,
}

/// Resources of one API group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the fields of the file")]
pub struct GroupResources {
    pub group: String,
    pub resources: Vec<String>,
    pub resource_names: Vec<String>,
}

impl AsRef<Conditions> for Rule {
    fn as_ref(&self) -> &Conditions {
        &self.conditions
    }
}

impl Conditions {
    /// Whether they hold of requests of `user`.
    pub(super) fn takes(&self, user: &User<'_>) -> bool {
        let is = |wanted: &String| user.name.map_or(wanted.is_empty(), |name| name.is(wanted));
        let is_member = || user.groups().any(|group| self.user_groups.iter().any(|wanted| group.is(wanted)));
        (self.users.is_empty() || user.is_somebody && self.users.iter().any(is))
            && (self.user_groups.is_empty() || is_member())
    }

    /// Whether they hold of `request`, if they do of the user.
    pub(super) fn matches(&self, request: &Request<'_>) -> bool {
        let is_verb =
            || self.verbs.iter().any(|verb| request.verb.map_or(verb.is_empty(), |text| text.is(verb)));
        (self.verbs.is_empty() || is_verb()) && self.matches_target(&request.target)
    }

    fn matches_target(&self, target: &Target<'_>) -> bool {
        if self.namespaces.is_empty() && self.resources.is_empty() {
            let is_path = |path| self.non_resource_urls.iter().any(|url| is_path(url.as_bytes(), path));
            return match target {
                _ if self.non_resource_urls.is_empty() => true,
                Target::Path(path) => is_path(path),
                Target::Resource(_) => false,
            };
        }
        let Target::Resource(resource) = target else { return false };
        (self.namespaces.is_empty() || contains(&self.namespaces, resource.namespace))
            && (self.resources.is_empty() || self.resources.iter().any(|wanted| wanted.matches(resource)))
    }
}

impl GroupResources {
    fn matches(&self, resource: &Requested<'_>) -> bool {
        (self.group.as_bytes() == resource.group || self.group == "*")
            && (self.resources.is_empty()
                || (self.resource_names.is_empty() || contains(&self.resource_names, resource.name))
                    && self.resources.iter().any(|pattern| is_resource(pattern.as_bytes(), resource)))
    }
}

fn contains(texts: &[String], text: &[u8]) -> bool {
    texts.iter().any(|other| other.as_bytes() == text)
}

/// `*`, `RESOURCE`, `RESOURCE/SUBRESOURCE`, `*/SUBRESOURCE`, or `RESOURCE/*`, which is also the resource itself.
fn is_resource(pattern: &[u8], wanted: &Requested<'_>) -> bool {
    let is_exact = match (pattern.strip_prefix(wanted.resource), wanted.subresource) {
        (Some(rest), b"") => rest.is_empty(),
        (Some(rest), subresource) => rest.strip_prefix(b"/") == Some(subresource),
        (None, _) => false,
    };
    is_exact
        || pattern == b"*"
        || !wanted.subresource.is_empty() && pattern.strip_prefix(b"*/") == Some(wanted.subresource)
        || pattern.strip_suffix(b"/*") == Some(wanted.resource)
}

/// `*`, the path itself, or what it begins with before a `*` at the end.
fn is_path(url: &[u8], path: &[u8]) -> bool {
    url == b"*" || url == path || url.strip_suffix(b"*").is_some_and(|prefix| path.starts_with(prefix))
}
