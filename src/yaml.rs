//! A YAML file as a tree in which every node and every key knows its line.
//!
//! serde's derive stops at the first mistake and forgets where a value stood. Mistakes must be shown all at once, each
//! with its line, so a file is first read into this tree, whatever it holds, and [`crate::config`] or [`crate::policy`]
//! then asks the tree for typed values. Only what is no YAML at all ends here; the parser's own limits against alias
//! bombs stay on.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, NonFiniteFloatPolicy, Spanned};

/// A value of the file and the line where it begins.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) line: u64,
    pub(crate) value: Value,
}

/// What stands in the file, not yet checked against what is expected there.
#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the file's order, repeated keys included.
    Map(Vec<Entry>),
}

/// One `key: value` of a mapping.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// The key's line; a value that is a mapping itself begins below.
    pub(crate) line: u64,
    pub(crate) node: Node,
}

/// Text that is not YAML, or more than the parser is willing to expand.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// Reads one document. An empty file is [`Value::Null`].
pub(crate) fn parse(text: &str) -> Result<Node, Unreadable> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options).map(Node::from).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line().max(1));
        Unreadable { line, reason: error.without_snippet().to_string() }
    })
}

/// More documents than this are no file that somebody wrote.
const MOST_DOCUMENTS: usize = 64;

/// Reads all documents of a file; each node has its line in the file.
pub(crate) fn parse_all(text: &str) -> Result<Vec<Node>, Unreadable> {
    // A line that begins so ends a document wherever it stands (YAML 1.2, 9.1.2).
    let is_mark = |line: &str| {
        line.strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
    };
    let mut documents = vec![(0, String::new())];
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if is_mark(line) {
            if documents.len() == MOST_DOCUMENTS {
                let reason = format!("there are more than {MOST_DOCUMENTS} documents in it");
                return Err(Unreadable { line: number as u64 + 1, reason });
            }
            documents.push((number, String::new()));
        }
        if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
        }
    }
    // Blank lines in place of what is before it give each document its own lines.
    let read = |(before, document): (usize, String)| parse(&("\n".repeat(before) + &document));
    documents.into_iter().map(read).collect()
}

impl Value {
    /// What the value is, for "must be ..., not ...".
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self { line: spanned.referenced.line(), value: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element::<Spanned<Value>>()? {
            nodes.push(Node::from(node));
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let node = Node::from(map.next_value::<Spanned<Value>>()?);
            entries.push(Entry { key: key.value, line: key.referenced.line(), node });
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests;
