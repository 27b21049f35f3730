//! Who asks: what the rules look at of a user, and which rules each of the users takes whom we have seen.
//!
//! A few users make nearly all requests, and kube-apiserver writes each of them the same way every time. So the rules are
//! compared with a user once, and after that the bytes of `user` lead to the rules that take them.

use foldhash::fast::FixedState;
use std::hash::BuildHasher as _;

use super::request::Text;
use crate::json;

/// So many users are remembered, fewer if two of them fall on the same place: the later one has it then.
const PLACES: usize = 256;
/// A user that is longer is compared every time, so that what is remembered is bounded.
const LONGEST_BYTES: usize = 2048;

/// What the rules look at.
#[derive(Debug, Default)]
pub(super) struct User<'a> {
    /// Whether anybody was authenticated.
    pub(super) is_somebody: bool,
    pub(super) name: Option<Text<'a>>,
    /// A JSON list of strings, or anything else for none.
    pub(super) groups: &'a [u8],
}

/// Users, and masks of the rules that take them, of one policy.
#[derive(Debug, Default)]
pub(super) struct Users {
    /// The user who has a place; empty for none.
    known: Vec<Vec<u8>>,
    /// The masks of each place, one after the other. They are not kept with the user, so that the processor fetches both
    /// at once.
    rules: Vec<u64>,
    asked: Vec<u64>,
    hasher: FixedState,
}

impl<'a> User<'a> {
    /// The value of an event's `user`. Without a name, an ID and groups there is nobody.
    pub(super) fn of(value: &'a [u8]) -> Self {
        let mut user = Self::default();
        for member in json::members(value, 0) {
            let (key, value) = (&value[member.key], &value[member.value]);
            if json::is_text(key, "username") {
                user.name = Text::of(value);
                user.is_somebody |= value != b"\"\"" && user.name.is_some();
            } else if json::is_text(key, "uid") {
                user.is_somebody |= Text::of(value).is_some_and(|uid| !uid.is_empty());
            } else if json::is_text(key, "groups") {
                user.groups = value;
                user.is_somebody |= json::items(value, 0).next().is_some();
            }
        }
        user
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = Text<'a>> {
        json::items(self.groups, 0).filter_map(|group| Text::of(&self.groups[group]))
    }
}

impl Users {
    /// The masks of the rules that take the user with this value, as `ask` adds them.
    pub(super) fn rules(&mut self, user: &[u8], ask: impl FnOnce(&User<'_>, &mut Vec<u64>)) -> &[u64] {
        #[expect(clippy::cast_possible_truncation, reason = "it is below the number of places")]
        let place = (self.hasher.hash_one(user) % PLACES as u64) as usize;
        let masks = self.asked.len();
        if !user.is_empty() && self.known.get(place).is_some_and(|known| known == user) {
            return &self.rules[place * masks..][..masks];
        }
        self.asked.clear();
        ask(&User::of(user), &mut self.asked);
        // Their number is that of the policy, and so always the same.
        let masks = self.asked.len();
        if user.len() <= LONGEST_BYTES {
            self.known.resize_with(PLACES, Vec::default);
            self.rules.resize(PLACES * masks, 0);
            self.known[place].clear();
            self.known[place].extend_from_slice(user);
            self.rules[place * masks..][..masks].copy_from_slice(&self.asked);
        }
        &self.asked
    }
}
