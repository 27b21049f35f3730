//! Which rules can match a request at all, found without a look at any of them.
//!
//! A request is compared with the texts of all rules at once: each text that rules ask for leads to a *mask* of these rules,
//! one bit for each. Of a long policy one or two rules are left, and only these are compared in full, unless masks say all
//! of what they ask for. A mask may hold a rule too many, never one too few.

use super::request::{Request, Target, Text};
use super::rule::Conditions;
use super::texts::Texts;
use super::user::User;

/// Rules of one mask.
const MASK_RULES: usize = u64::BITS as usize;
const ALL: u64 = u64::MAX;

/// Rules by what they ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index(Vec<Masks>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Masks {
    users: Texts,
    user_groups: Texts,
    verbs: Texts,
    namespaces: Texts,
    api_groups: Texts,
    resources: Texts,
    of_resources: u64,
    of_paths: u64,
    /// Those of them that no look at the rule is needed for.
    exact_of_resources: u64,
    exact_of_paths: u64,
}

impl Index {
    pub(super) fn of(rules: &[impl AsRef<Conditions>]) -> Self {
        Self(rules.chunks(MASK_RULES).map(Masks::of).collect())
    }

    /// Adds the masks of the rules that take `user`, and of no others.
    pub(super) fn add_masks_of(&self, user: &User<'_>, rules: &[impl AsRef<Conditions>], out: &mut Vec<u64>) {
        for (masks, rules) in self.0.iter().zip(rules.chunks(MASK_RULES)) {
            let takes = |bit: usize| rules.get(bit).is_some_and(|rule| rule.as_ref().takes(user));
            out.push(
                bits(masks.of_user(user)).filter(|bit| takes(*bit)).fold(0, |mask, bit| mask | 1 << bit),
            );
        }
    }

    /// The number of the first rule that `matches`, of those that may match, and take the user who has these masks. What
    /// rules ask for besides must `hold`, also where no look at the rule is needed to know that it matches.
    pub(super) fn first(
        &self,
        request: &Request<'_>,
        user: &[u64],
        matches: impl Fn(usize) -> bool,
        holds: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut blocks = self.0.iter().zip(user).enumerate();
        blocks.find_map(|(block, (masks, user))| {
            let (candidates, exact) = masks.candidates(request);
            let is_first = |number: &usize| {
                (exact >> (number % MASK_RULES) & 1 == 1 || matches(*number)) && holds(*number)
            };
            bits(candidates & user).map(|bit| block * MASK_RULES + bit).find(is_first)
        })
    }
}

impl Masks {
    fn of(rules: &[impl AsRef<Conditions>]) -> Self {
        let texts = |of: fn(&Conditions) -> Vec<&str>| Texts::of(rules.iter().map(|rule| of(rule.as_ref())));
        let mask = |has: fn(&Conditions) -> bool| {
            let rules = rules.iter().enumerate().filter(|(_, rule)| has(rule.as_ref()));
            rules.fold(0, |mask, (bit, _)| mask | 1 << bit)
        };
        Self {
            users: texts(|rule| all(&rule.users)),
            user_groups: texts(|rule| all(&rule.user_groups)),
            verbs: texts(|rule| all(&rule.verbs)),
            namespaces: texts(|rule| all(&rule.namespaces)),
            api_groups: texts(|rule| {
                let groups: Vec<&str> = rule.resources.iter().map(|wanted| wanted.group.as_str()).collect();
                if groups.contains(&"*") { Vec::new() } else { groups }
            }),
            resources: texts(resources_of),
            of_resources: mask(|rule| asks_for_resources(rule) || rule.non_resource_urls.is_empty()),
            of_paths: mask(|rule| !asks_for_resources(rule)),
            // Of each group they ask for all, and so for all of one of the groups.
            exact_of_resources: mask(|rule| rule.resources.iter().all(|wanted| wanted.resources.is_empty())),
            exact_of_paths: mask(|rule| rule.non_resource_urls.is_empty()),
        }
    }

    /// The rules that may match, and which of them do.
    fn candidates(&self, request: &Request<'_>) -> (u64, u64) {
        let (target, exact) = match &request.target {
            Target::Path(_) => (self.of_paths, self.exact_of_paths),
            Target::Resource(resource) => {
                let resources = self.of_resources
                    & self.namespaces.rules(resource.namespace)
                    & self.api_groups.rules(resource.group)
                    & self.resources.rules(resource.resource);
                (resources, self.exact_of_resources)
            }
        };
        match request.verb.and_then(Text::plain) {
            Some(verb) => (target & self.verbs.rules(verb), exact),
            // Whoever compares it in full knows.
            None => (target, 0),
        }
    }

    /// The rules that may take `user`.
    fn of_user(&self, user: &User<'_>) -> u64 {
        let rules_of = |texts: &Texts, text: Text<'_>| text.plain().map_or(ALL, |plain| texts.rules(plain));
        let any = self.user_groups.any();
        let of_groups = user.groups().fold(any, |mask, group| mask | rules_of(&self.user_groups, group));
        of_groups & user.name.map_or(ALL, |name| rules_of(&self.users, name))
    }
}

/// The numbers of the bits that are set, in their order.
pub(super) fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = mask.trailing_zeros() as usize;
        mask &= mask.checked_sub(1)?;
        Some(bit)
    })
}

fn all(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// The resources that a rule asks for, whatever of them; none for any.
fn resources_of(rule: &Conditions) -> Vec<&str> {
    let mut resources = Vec::new();
    for wanted in &rule.resources {
        let names = wanted.resources.iter().map(|pattern| pattern.split('/').next().unwrap_or_default());
        if wanted.resources.is_empty() || names.clone().any(|name| name == "*") {
            return Vec::new();
        }
        resources.extend(names);
    }
    resources
}

fn asks_for_resources(rule: &Conditions) -> bool {
    !rule.namespaces.is_empty() || !rule.resources.is_empty()
}
