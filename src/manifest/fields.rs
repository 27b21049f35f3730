//! The mappings of a manifest, asked field by field. What is not asked for is kubelet's concern.

use std::cell::RefCell;

use super::Told;
use crate::yaml::{Entry, Node, Value};

/// Collects what is wrong.
pub(super) struct Reader<'a> {
    file: &'a str,
    mistakes: RefCell<Vec<String>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Self { file, mistakes: RefCell::default() }
    }

    pub(super) fn file(&self) -> &str {
        self.file
    }

    pub(super) fn mistake(&self, line: u64, what: &str) {
        let mistake = format!("{}:{line}: {what}", self.file);
        let mut mistakes = self.mistakes.borrow_mut();
        // A container is looked at more than once until it is found.
        if !mistakes.contains(&mistake) {
            mistakes.push(mistake);
        }
    }

    pub(super) fn is_content(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    pub(super) fn into_mistakes(self) -> Vec<String> {
        self.mistakes.into_inner()
    }
}

/// One mapping.
pub(super) struct Fields<'a> {
    pub(super) reader: &'a Reader<'a>,
    entries: &'a [Entry],
    path: String,
    pub(super) line: u64,
}

impl<'a> Fields<'a> {
    /// A document, if it is a mapping.
    pub(super) fn of(reader: &'a Reader<'a>, node: &'a Node) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self { reader, entries, path: String::new(), line: node.line }),
            _ => None,
        }
    }

    /// The path of a field, such as `spec.containers[0].image`.
    pub(super) fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// Something is wrong with this mapping, or at a line of it.
    pub(super) fn mistake(&self, line: u64, what: &str) {
        self.reader.mistake(line, &format!("{}: {what}", self.path));
    }

    /// The text of a field, whatever else it may hold.
    pub(super) fn text_silently(&self, field: &str) -> Option<&'a str> {
        match &self.find(field)?.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn text(&self, field: &str) -> Option<Told> {
        let Entry { line, node, .. } = self.find(field)?;
        self.told(&node.value, *line, &self.path_of(field))
    }

    /// Whether the field holds anything, and where.
    pub(super) fn place_of(&self, field: &str) -> Option<u64> {
        self.find(field).map(|entry| entry.line)
    }

    pub(super) fn section(&self, field: &str) -> Option<Self> {
        let Entry { line, node, .. } = self.find(field)?;
        self.mapping(node, *line, self.path_of(field))
    }

    /// The mappings of a list; none if there is no such field.
    pub(super) fn list(&self, field: &str) -> Vec<Self> {
        let nodes = self.nodes(field).into_iter();
        nodes.filter_map(|(node, path)| self.mapping(node, node.line, path)).collect()
    }

    /// The texts of a list.
    pub(super) fn texts(&self, field: &str) -> Vec<Told> {
        let nodes = self.nodes(field).into_iter();
        nodes.filter_map(|(node, path)| self.told(&node.value, node.line, &path)).collect()
    }

    fn nodes(&self, field: &str) -> Vec<(&'a Node, String)> {
        let Some(Entry { line, node, .. }) = self.find(field) else { return Vec::new() };
        let path = self.path_of(field);
        match &node.value {
            Value::List(nodes) => {
                nodes.iter().enumerate().map(|(index, node)| (node, format!("{path}[{index}]"))).collect()
            }
            other => {
                self.reader.mistake(*line, &format!("{path}: must be a list, not {}", other.kind()));
                Vec::new()
            }
        }
    }

    fn mapping(&self, node: &'a Node, line: u64, path: String) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self { reader: self.reader, entries, path, line }),
            other => {
                self.reader.mistake(line, &format!("{path}: must be a mapping, not {}", other.kind()));
                None
            }
        }
    }

    fn told(&self, value: &Value, line: u64, path: &str) -> Option<Told> {
        match value {
            Value::Text(text) => Some(Told { text: text.clone(), line, unseen: None }),
            other => {
                let what = format!("{path}: must be a string, not {}; put it in quotes", other.kind());
                self.reader.mistake(line, &what);
                None
            }
        }
    }

    /// The last field of this name counts, and one that holds nothing is none.
    fn find(&self, field: &str) -> Option<&'a Entry> {
        let found = self.entries.iter().rfind(|entry| entry.key == field);
        found.filter(|entry| !matches!(entry.node.value, Value::Null))
    }
}
