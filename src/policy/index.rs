//! Which rules can match a request at all, found without a look at any of them.
//!
//! A request is compared with the texts of all rules at once: each text that rules ask for leads to a *mask* of these rules,
//! one bit for each. Of a long policy one or two rules are left, and only these are compared in full. A mask may hold a
//! rule too many, never one too few.

use super::request::{Request, Target, Text};
use super::rule::Rule;
use crate::json;

/// Rules of one mask.
const MASK_RULES: usize = u64::BITS as usize;
const ALL: u64 = u64::MAX;

/// The rules of a policy by what they ask for.
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
}

/// What rules ask for of one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Texts {
    /// Rules that take any.
    any: u64,
    /// Sorted by the head.
    asked: Vec<Asked>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    head: Head,
    text: Box<[u8]>,
    rules: u64,
}

/// Length and first bytes of a text, kept beside each other: most texts that differ differ here.
type Head = (usize, u64);

impl Index {
    pub(super) fn of(rules: &[Rule]) -> Self {
        Self(rules.chunks(MASK_RULES).map(Masks::of).collect())
    }

    /// The numbers of the rules that may match, in their order.
    pub(super) fn candidates(&self, request: &Request<'_>) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(block, masks)| {
            let mut mask = masks.candidates(request);
            std::iter::from_fn(move || {
                let bit = mask.trailing_zeros() as usize;
                mask &= mask.checked_sub(1)?;
                Some(block * MASK_RULES + bit)
            })
        })
    }
}

impl Masks {
    fn of(rules: &[Rule]) -> Self {
        let texts = |of: fn(&Rule) -> Vec<&str>| Texts::of(rules.iter().map(of));
        let mask = |has: fn(&Rule) -> bool| {
            rules.iter().enumerate().filter(|(_, rule)| has(rule)).fold(0, |mask, (bit, _)| mask | 1 << bit)
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
        }
    }

    fn candidates(&self, request: &Request<'_>) -> u64 {
        let target = match &request.target {
            Target::Path(_) => self.of_paths,
            Target::Resource(resource) => {
                self.of_resources
                    & self.namespaces.rules(resource.namespace)
                    & self.api_groups.rules(resource.group)
                    & self.resources.rules(resource.resource)
            }
        };
        let of = |texts: &Texts, text: Option<Text<'_>>| match text.and_then(Text::plain) {
            Some(plain) => texts.rules(plain),
            // Whoever compares it in full knows.
            None => ALL,
        };
        target & of(&self.verbs, request.verb) & of(&self.users, request.username) & self.members(request)
    }

    /// The rules that take one of the user's groups.
    fn members(&self, request: &Request<'_>) -> u64 {
        let groups = &self.user_groups;
        if groups.asked.is_empty() {
            return groups.any;
        }
        json::items(request.groups, 0).fold(groups.any, |mask, group| {
            let plain = Text::of(&request.groups[group]).and_then(Text::plain);
            mask | plain.map_or(ALL, |plain| groups.rules(plain))
        })
    }
}

impl Texts {
    /// Of rules that ask for these texts; for none is for any.
    fn of<'a>(rules: impl Iterator<Item = Vec<&'a str>>) -> Self {
        let mut texts = Self::default();
        for (bit, wanted) in rules.enumerate() {
            if wanted.is_empty() {
                texts.any |= 1 << bit;
            }
            for text in wanted {
                texts.note(text.as_bytes(), 1 << bit);
            }
        }
        texts.asked.sort_by_key(|asked| asked.head);
        texts
    }

    fn note(&mut self, text: &[u8], rule: u64) {
        match self.asked.iter_mut().find(|asked| *asked.text == *text) {
            Some(asked) => asked.rules |= rule,
            None => self.asked.push(Asked { head: head(text), text: text.into(), rules: rule }),
        }
    }

    /// The rules that take `text`.
    fn rules(&self, text: &[u8]) -> u64 {
        let head = head(text);
        let first = self.asked.partition_point(|asked| asked.head < head);
        let same_head = self.asked[first..].iter().take_while(|asked| asked.head == head);
        // A text that is no longer than its head is the same.
        let mut same = same_head.filter(|asked| text.len() <= size_of::<u64>() || *asked.text == *text);
        self.any | same.next().map_or(0, |asked| asked.rules)
    }
}

fn head(text: &[u8]) -> Head {
    let mut bytes = [0; size_of::<u64>()];
    for (to, from) in bytes.iter_mut().zip(text) {
        *to = *from;
    }
    (text.len(), u64::from_le_bytes(bytes))
}

fn all(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// The resources that a rule asks for, whatever of them; none for any.
fn resources_of(rule: &Rule) -> Vec<&str> {
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

fn asks_for_resources(rule: &Rule) -> bool {
    !rule.namespaces.is_empty() || !rule.resources.is_empty()
}
