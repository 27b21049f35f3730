//! JSON of any shape, and what a test may change in it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Any JSON.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    pub(super) fn read(text: impl AsRef<[u8]>) -> Self {
        serde_json::from_slice(text.as_ref()).unwrap()
    }

    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |json, key| match json {
            Self::Object(members) => members.get(*key),
            _ => None,
        })
    }

    pub(super) fn member_mut(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => members.get_mut(key),
            _ => None,
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Self::Object(members) = self {
            members.remove(key);
        }
    }

    /// All keys in it, renamed.
    pub(super) fn renamed(self, name: &impl Fn(&str) -> String) -> Self {
        match self {
            Self::List(items) => Self::List(items.into_iter().map(|item| item.renamed(name)).collect()),
            Self::Object(members) => Self::Object(
                members.into_iter().map(|(key, value)| (name(&key), value.renamed(name))).collect(),
            ),
            other => other,
        }
    }

    pub(super) fn rename_in(&mut self, key: &str, name: &impl Fn(&str) -> String) {
        if let Some(value) = self.member_mut(key) {
            *value = std::mem::replace(value, Self::Null).renamed(name);
        }
    }
}
