//! The fields of one mapping of rules, and what is found to be wrong.
//!
//! A wrong type is reported where it is read, and what stands in its place is then `None`, so that nobody also reports
//! that something is missing. As in Go, `null` is the same as nothing. A policy's file is read as kube-apiserver reads it,
//! our own file strictly: there, a field that nobody knows or that is there twice is a mistake, and in a list stands no
//! `null`, which would be the empty string or a mapping without fields.

use std::cell::RefCell;
use std::fmt;

use crate::config::closest;
use crate::yaml::{Entry, Node, Value};

/// Mistakes and warnings, in the order in which they were found.
pub(super) struct Findings<'a> {
    file: &'a str,
    is_strict: bool,
    mistakes: RefCell<Vec<String>>,
    warnings: RefCell<Vec<String>>,
}

impl<'a> Findings<'a> {
    /// Of a policy's file.
    pub(super) fn new(file: &'a str) -> Self {
        Self { file, is_strict: false, mistakes: RefCell::default(), warnings: RefCell::default() }
    }

    /// Of our own file.
    pub(super) fn strict(file: &'a str) -> Self {
        Self { is_strict: true, ..Self::new(file) }
    }

    /// The path of an item of the list at `list`, a mapping. kube-apiserver's paths have no index there; the line tells
    /// which one is meant.
    pub(super) fn path_of_item(&self, list: &str, index: usize) -> String {
        if self.is_strict { format!("{list}[{index}]") } else { list.to_owned() }
    }

    /// `path` is that of a field, or empty.
    pub(super) fn mistake(&self, line: u64, path: &str, what: impl fmt::Display) {
        self.mistakes.borrow_mut().push(self.message(line, path, what));
    }

    pub(super) fn warn(&self, line: u64, path: &str, what: impl fmt::Display) {
        self.warnings.borrow_mut().push(self.message(line, path, what));
    }

    fn message(&self, line: u64, path: &str, what: impl fmt::Display) -> String {
        let colon = if path.is_empty() { "" } else { ": " };
        format!("{}:{line}: {path}{colon}{what}", self.file)
    }

    /// The warnings, or the mistakes if there are any.
    pub(super) fn finish(self) -> Result<Vec<String>, Vec<String>> {
        let mistakes = self.mistakes.into_inner();
        if mistakes.is_empty() { Ok(self.warnings.into_inner()) } else { Err(mistakes) }
    }
}

/// What a mapping may hold.
pub(super) struct Known {
    pub(super) fields: &'static [&'static str],
    /// What others are probably meant to be, if their names do not tell.
    pub(super) meant: &'static [(&'static str, &'static str)],
}

/// A string of the file; empty if it is not there, `None` if something else is.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) line: u64,
    pub(super) text: Option<&'a str>,
}

/// One mapping.
pub(super) struct Fields<'a> {
    entries: &'a [Entry],
    line: u64,
    path: String,
    findings: &'a Findings<'a>,
    is_mapping: bool,
}

impl<'a> Fields<'a> {
    /// The mapping at `node`. Fields that are not in `known` are told.
    pub(super) fn new(node: &'a Node, path: String, known: &Known, findings: &'a Findings<'a>) -> Self {
        let entries: Option<&[Entry]> = match &node.value {
            Value::Map(entries) => Some(entries),
            Value::Null if !findings.is_strict => Some(&[]),
            other if findings.is_strict => {
                let what = format!("must be a mapping of {}, not {}", known.fields.join(", "), other.kind());
                findings.mistake(node.line, &path, what);
                None
            }
            other => {
                findings.mistake(node.line, &path, format_args!("must be a mapping, not {}", other.kind()));
                None
            }
        };
        let is_mapping = entries.is_some();
        let fields =
            Self { entries: entries.unwrap_or_default(), line: node.line, path, findings, is_mapping };
        fields.tell_unknown_and_repeated(known);
        fields
    }

    /// Whether there is a mapping at all, or nothing in its place.
    pub(super) fn is_mapping(&self) -> bool {
        self.is_mapping
    }

    /// The path of a field.
    pub(super) fn path_of(&self, field: &str) -> String {
        // A key may hold anything, also a line break; a message is one line.
        let field = field.escape_debug();
        if self.path.is_empty() { field.to_string() } else { format!("{}.{field}", self.path) }
    }

    /// Whether a field is there, and says nothing.
    pub(super) fn is_given_empty(&self, field: &str) -> bool {
        self.find(field).is_some_and(|entry| match &entry.node.value {
            Value::Null => true,
            Value::List(nodes) => nodes.is_empty(),
            _ => false,
        })
    }

    /// The line of a field, or that of the mapping if it does not have it.
    pub(super) fn line_of(&self, field: &str) -> u64 {
        self.find(field).map_or(self.line, |entry| entry.line)
    }

    pub(super) fn text(&self, field: &str) -> Text<'a> {
        let line = self.line_of(field);
        let text = match self.value(field) {
            None => Some(""),
            Some(Value::Text(text)) => Some(text.as_str()),
            Some(other) => self.wrong_type(field, "a string", other),
        };
        Text { line, text }
    }

    pub(super) fn boolean(&self, field: &str) -> Option<bool> {
        match self.value(field)? {
            Value::Bool(value) => Some(*value),
            other => self.wrong_type(field, "true or false", other),
        }
    }

    /// The items of a list.
    pub(super) fn list(&self, field: &str) -> Option<&'a [Node]> {
        match self.value(field) {
            None => Some(&[]),
            Some(Value::List(nodes)) => Some(nodes),
            Some(other) => self.wrong_type(field, "a list", other),
        }
    }

    /// The strings of a list.
    pub(super) fn texts(&self, field: &str) -> Vec<Text<'a>> {
        let text = |(index, node): (usize, &'a Node)| {
            let text = match &node.value {
                Value::Text(text) => Some(text.as_str()),
                Value::Null if !self.findings.is_strict => Some(""),
                other => self.wrong_type(&format!("{field}[{index}]"), "a string", other),
            };
            Text { line: node.line, text }
        };
        self.list(field).unwrap_or_default().iter().enumerate().map(text).collect()
    }

    /// Those of them that are strings, each with its number; of the others nothing is said.
    pub(super) fn right_texts(&self, field: &str) -> impl Iterator<Item = (usize, u64, &'a str)> {
        let nodes = match self.value(field) {
            Some(Value::List(nodes)) => nodes.as_slice(),
            _ => &[],
        };
        nodes.iter().enumerate().filter_map(|(index, node)| match &node.value {
            Value::Text(text) => Some((index, node.line, text.as_str())),
            _ => None,
        })
    }

    /// Nothing else but a mapping may be there; what is in it does not matter.
    pub(super) fn expect_mapping(&self, field: &str) {
        if let Some(other) = self.value(field).filter(|value| !matches!(value, Value::Map(_))) {
            self.wrong_type::<()>(field, "a mapping", other);
        }
    }

    fn wrong_type<T>(&self, field: &str, wanted: &str, found: &Value) -> Option<T> {
        let line = self.line_of(field.split('[').next().unwrap_or_default());
        let what = format_args!("must be {wanted}, not {}", found.kind());
        self.findings.mistake(line, &self.path_of(field), what);
        None
    }

    fn value(&self, field: &str) -> Option<&'a Value> {
        self.find(field).map(|entry| &entry.node.value).filter(|value| !matches!(value, Value::Null))
    }

    /// The last of them counts, as in kube-apiserver.
    fn find(&self, field: &str) -> Option<&'a Entry> {
        self.entries.iter().rfind(|entry| entry.key == field)
    }

    fn tell_unknown_and_repeated(&self, known: &Known) {
        for (index, entry) in self.entries.iter().enumerate() {
            let (path, key) = (self.path_of(&entry.key), entry.key.as_str());
            let (findings, line) = (self.findings, entry.line);
            if !known.fields.contains(&key) {
                let hint = known.hint(key);
                if findings.is_strict {
                    findings.mistake(line, &path, format_args!("is not a known field; {hint}"));
                } else {
                    let what =
                        format_args!("unknown field {path:?} is ignored, as kube-apiserver does; {hint}");
                    findings.warn(line, "", what);
                }
            } else if let Some(earlier) = self.entries[..index].iter().rfind(|other| other.key == key) {
                let earlier = earlier.line;
                if findings.is_strict {
                    let what = format_args!("is given twice; the first is on line {earlier}, keep one");
                    findings.mistake(line, &path, what);
                } else {
                    let what = format_args!(
                        "duplicate field {path:?}: this one counts, as with kube-apiserver, not that of line {earlier}"
                    );
                    findings.warn(line, "", what);
                }
            }
        }
    }
}

impl Known {
    fn hint(&self, field: &str) -> String {
        match (self.meant.iter().find(|(name, _)| *name == field), closest(field, self.fields)) {
            (Some((_, meant)), _) => (*meant).to_owned(),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => format!("legal are {}", self.fields.join(", ")),
        }
    }
}
