//! The fields of one mapping of a policy's file, and what is found to be wrong.
//!
//! A wrong type is reported where it is read, and what stands in its place is then `None`, so that nobody also reports
//! that something is missing. As in Go, `null` is the same as nothing, and in a list of strings the empty one.

use std::cell::RefCell;
use std::fmt;

use crate::config::closest;
use crate::yaml::{Entry, Node, Value};

/// Mistakes and warnings, in the order in which they were found.
pub(super) struct Findings<'a> {
    file: &'a str,
    mistakes: RefCell<Vec<String>>,
    warnings: RefCell<Vec<String>>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Self { file, mistakes: RefCell::default(), warnings: RefCell::default() }
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
    /// The mapping at `node`. Fields that are not in `known` are warned about.
    pub(super) fn new(node: &'a Node, path: String, known: &[&str], findings: &'a Findings<'a>) -> Self {
        let entries: Option<&[Entry]> = match &node.value {
            Value::Map(entries) => Some(entries),
            Value::Null => Some(&[]),
            other => {
                findings.mistake(node.line, &path, format_args!("must be a mapping, not {}", other.kind()));
                None
            }
        };
        let is_mapping = entries.is_some();
        let fields =
            Self { entries: entries.unwrap_or_default(), line: node.line, path, findings, is_mapping };
        fields.warn_about_unknown_and_repeated(known);
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
                Value::Null => Some(""),
                other => self.wrong_type(&format!("{field}[{index}]"), "a string", other),
            };
            Text { line: node.line, text }
        };
        self.list(field).unwrap_or_default().iter().enumerate().map(text).collect()
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

    fn warn_about_unknown_and_repeated(&self, known: &[&str]) {
        for (index, entry) in self.entries.iter().enumerate() {
            let path = self.path_of(&entry.key);
            if !known.contains(&entry.key.as_str()) {
                let hint = match closest(&entry.key, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("legal are {}", known.join(", ")),
                };
                let what = format_args!("unknown field {path:?} is ignored, as kube-apiserver does; {hint}");
                self.findings.warn(entry.line, "", what);
            } else if let Some(earlier) = self.entries[..index].iter().rfind(|other| other.key == entry.key) {
                let what = format_args!(
                    "duplicate field {path:?}: this one counts, as with kube-apiserver, not that of line {}",
                    earlier.line
                );
                self.findings.warn(entry.line, "", what);
            }
        }
    }
}
