//! Rules that are asked in their order, until one matches: those of a policy, and those of an output's `match`.

use super::index::Index;
use super::request::{Request, Scratch};
use super::rule::Conditions;
use super::user::Users;
use crate::event::{Field, Parts};

/// Rules, and what saves looking at most of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules<R> {
    all: Vec<R>,
    index: Index,
    /// Whether a rule asks for the names of objects: only then they are looked for in queries.
    pub(super) asks_for_names: bool,
}

/// What is kept from one event to the next, for one list of rules: users whom we have seen, and memory to be used again.
#[derive(Debug, Default)]
pub(super) struct Memory {
    users: Users,
    scratch: Scratch,
}

impl<R: AsRef<Conditions>> Rules<R> {
    pub(super) fn new(rules: Vec<R>) -> Self {
        let mut resources = rules.iter().flat_map(|rule| &rule.as_ref().resources);
        let asks_for_names = resources.any(|resources| !resources.resource_names.is_empty());
        Self { index: Index::of(&rules), all: rules, asks_for_names }
    }

    /// All of them, in their order.
    pub(super) fn all(&self) -> &[R] {
        &self.all
    }

    /// The first that matches the request whose event is `line`, of those for which `holds` what they ask for besides.
    pub(super) fn first(
        &self,
        line: &[u8],
        parts: &Parts,
        memory: &mut Memory,
        holds: impl Fn(&R) -> bool,
    ) -> Option<&R> {
        let Memory { users, scratch } = memory;
        let user = parts.value(line, Field::User).unwrap_or_default();
        let of_user = users.rules(user, |user, out| self.index.add_masks_of(user, &self.all, out));
        let request = Request::of(line, parts, self.asks_for_names, scratch);
        let matches =
            |number: usize| self.all.get(number).is_some_and(|rule| rule.as_ref().matches(&request));
        let holds = |number: usize| self.all.get(number).is_some_and(&holds);
        self.index.first(&request, of_user, matches, holds).and_then(|number| self.all.get(number))
    }
}
