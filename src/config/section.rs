//! Reading one mapping of the file, field by field, with flags and variables on top.
//!
//! Which fields a section knows is not listed anywhere: it is those that were asked for. [`Section::finish`] reports the
//! others, so that a field can neither be forgotten in a list nor be ignored in silence.

use super::manifest::Layer;
use super::report::{Located, Origin, Report};
use super::settings::{Setting, Settings};
use super::value::{Given, Raw};
use crate::yaml::{Entry, Node, Value};

/// What every reader needs: the sources and the list of mistakes.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// The file's name for messages; `None` without a file.
    pub(super) file: Option<&'a str>,
    /// False when the file could not be read at all: what it seems to lack may well be in it.
    pub(super) complete: bool,
    pub(super) settings: &'a Settings,
    /// What the manifest says by the names of flags, for what the file leaves open.
    pub(super) below: &'a Settings,
    /// All that the manifest says.
    pub(super) manifest: &'a Layer,
    pub(super) report: &'a Report,
}

impl<'a> Sources<'a> {
    /// The value of a flag that has no field in the file.
    pub(super) fn flag(&self, flag: &str) -> Given<'a> {
        let (origin, raw) = match self.settings.get(flag) {
            Some(setting) => (setting.origin.clone(), Raw::Text(&setting.text)),
            None => (Origin::Default, Raw::Absent),
        };
        Given { report: self.report, origin, raw }
    }

    fn place(&self, line: u64, path: &str) -> Origin {
        let file = self.file.unwrap_or("configuration");
        Origin::Field(if path.is_empty() {
            format!("{file}:{line}")
        } else {
            format!("{file}:{line}: {path}")
        })
    }
}

/// Where a section stands in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Line(u64),
    Absent,
    /// Something else stands in its place, which has been reported; nothing can be said to lack in it.
    Mistaken,
}

/// One mapping of the file, or the absence of it.
pub(super) struct Section<'a> {
    pub(super) sources: Sources<'a>,
    entries: &'a [Entry],
    path: String,
    presence: Presence,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The section at `node`, or an empty one in its place.
    pub(super) fn new(sources: Sources<'a>, node: Option<&'a Node>, path: String) -> Self {
        let (entries, presence): (&[Entry], _) = match node {
            None => (&[], Presence::Absent),
            Some(Node { line, value: Value::Map(entries) }) => (entries, Presence::Line(*line)),
            Some(Node { line, value: Value::Null }) => (&[], Presence::Line(*line)),
            Some(Node { line, value }) => {
                let what = format!("must be a mapping of fields, not {}", value.kind());
                sources.report.mistake(&sources.place(*line, &path), what);
                (&[], Presence::Mistaken)
            }
        };
        let section = Self { sources, entries, path, presence, known: Vec::new() };
        section.report_repeated_fields();
        section
    }

    /// The section below `field`.
    pub(super) fn section(&mut self, field: &'static str) -> Self {
        self.known.push(field);
        self.below(self.find(field).map(|entry| &entry.node), self.path_of(field))
    }

    /// The sections of the list below `field`; none if the file has no such field.
    pub(super) fn list(&mut self, field: &'static str) -> Vec<Self> {
        self.known.push(field);
        let path = self.path_of(field);
        let at = |index| format!("{path}[{index}]");
        let stand_in = || vec![Self { presence: Presence::Mistaken, ..self.below(None, at(0)) }];
        let Some(entry) = self.find(field) else {
            return if self.presence == Presence::Mistaken { stand_in() } else { Vec::new() };
        };
        match &entry.node.value {
            Value::Null => Vec::new(),
            Value::List(nodes) => {
                nodes.iter().enumerate().map(|(index, node)| self.below(Some(node), at(index))).collect()
            }
            other => {
                let what = format!("must be a list, not {}", other.kind());
                self.sources.report.mistake(&self.sources.place(entry.line, &path), what);
                stand_in()
            }
        }
    }

    fn below(&self, node: Option<&'a Node>, path: String) -> Self {
        let section = Self::new(self.sources, node, path);
        match self.presence {
            Presence::Mistaken => Self { presence: Presence::Mistaken, ..section },
            _ => section,
        }
    }

    /// The value of `field`; `flag` and its variable win over the file, whose value is then not looked at. What neither
    /// has may be in the manifest.
    pub(super) fn value(&mut self, field: &'static str, flag: Option<&str>) -> Given<'a> {
        if let Some(given) = flag.map(|flag| self.sources.flag(flag)).filter(Given::is_given) {
            self.known.push(field);
            return given;
        }
        self.value_or(field, flag.and_then(|flag| self.sources.below.get(flag)))
    }

    /// The value of `field`, or what the manifest says in its place.
    pub(super) fn value_or(&mut self, field: &'static str, below: Option<&'a Setting>) -> Given<'a> {
        self.known.push(field);
        let (origin, raw) = match self.find(field) {
            Some(entry) if !matches!(entry.node.value, Value::Null) => {
                (self.sources.place(entry.line, &self.path_of(field)), Raw::Yaml(&entry.node.value))
            }
            _ => match below {
                Some(setting) => (setting.origin.clone(), Raw::Text(&setting.text)),
                None => (Origin::Default, Raw::Absent),
            },
        };
        Given { report: self.sources.report, origin, raw }
    }

    /// The texts of the mapping below `field`, by their keys.
    pub(super) fn texts(&mut self, field: &'static str) -> Vec<(String, Located<Option<String>>)> {
        let below = self.section(field);
        let text = |entry: &'a Entry| {
            let origin = below.sources.place(entry.line, &below.path_of(&entry.key));
            let given = Given { report: below.sources.report, origin, raw: Raw::Yaml(&entry.node.value) };
            (entry.key.clone(), given.line_or_empty())
        };
        below.entries.iter().map(text).collect()
    }

    /// The file and the path of this section, for messages of later on.
    pub(super) fn place(&self) -> String {
        self.sources.file.map_or_else(|| self.path.clone(), |file| format!("{file}: {}", self.path))
    }

    /// Fields that may stand here, and that somebody else reads.
    pub(super) fn knows(&mut self, fields: &[&'static str]) {
        self.known.extend(fields);
    }

    /// What stands at `field`, for a reader of its own, and the name of the file.
    pub(super) fn node(&mut self, field: &'static str) -> Option<(&'a Node, &'a str)> {
        self.known.push(field);
        let node = self.find(field).map(|entry| &entry.node);
        node.filter(|node| !matches!(node.value, Value::Null)).zip(self.sources.file)
    }

    /// Where `field` stands, if the file has it.
    pub(super) fn place_of(&self, field: &str) -> Option<Origin> {
        self.find(field).map(|entry| self.sources.place(entry.line, &self.path_of(field)))
    }

    /// Whether the file says something else of `field` than nothing.
    pub(super) fn has_value(&self, field: &str) -> bool {
        self.find(field).is_some_and(|entry| !matches!(entry.node.value, Value::Null))
    }

    /// Whether the file has this section.
    pub(super) fn is_present(&self) -> bool {
        matches!(self.presence, Presence::Line(_))
    }

    /// The path of a field of this section, such as `outputs[1].batch.maxSize`.
    pub(super) fn path_of(&self, field: &str) -> String {
        // An unknown key may hold anything, also a line break; a mistake is one line.
        let field = field.escape_debug();
        if self.path.is_empty() { field.to_string() } else { format!("{}.{field}", self.path) }
    }

    /// Reports that `field` has no value, in the form of the source it would have come from.
    pub(super) fn missing(&self, field: &str, flag: Option<&str>) {
        let Sources { file, complete, report, .. } = self.sources;
        if !complete {
            return;
        }
        let path = self.path_of(field);
        let or_flag = flag.map(|flag| format!(", here or as --{flag}")).unwrap_or_default();
        report.general(match (self.presence, file, flag) {
            (Presence::Mistaken, ..) => return,
            (Presence::Line(line), Some(file), _) => format!("{file}:{line}: {path}: must be given{or_flag}"),
            (_, Some(file), _) => format!("{file}: {path}: must be given{or_flag}"),
            (_, None, Some(flag)) => {
                format!("--{flag}: must be given, here or as {path} in the file that --config names")
            }
            (_, None, None) => format!("{path}: must be given"),
        });
    }

    /// Reports the fields that nobody asked for.
    pub(super) fn finish(self) {
        for entry in self.entries {
            let name = entry.key.as_str();
            if self.known.contains(&name) {
                continue;
            }
            let hint = match closest(name, &self.known) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("legal are {}", self.known.join(", ")),
            };
            let place = self.sources.place(entry.line, &self.path_of(name));
            self.sources.report.mistake(&place, format_args!("is not a known field; {hint}"));
        }
    }

    fn find(&self, field: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == field)
    }

    fn report_repeated_fields(&self) {
        for (index, entry) in self.entries.iter().enumerate() {
            if let Some(first) = self.entries[..index].iter().find(|other| other.key == entry.key) {
                let place = self.sources.place(entry.line, &self.path_of(&entry.key));
                let what = format!("is given twice; the first is on line {}, keep one", first.line);
                self.sources.report.mistake(&place, what);
            }
        }
    }
}

/// The known word that `word` is most likely meant to be, if any is near.
///
/// `max_size`, `max-size` and `MaxSize` are habits of other tools, no typos, and always near.
pub(crate) fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |word: &str| word.replace(['-', '_'], "").to_lowercase();
    let word = plain(word);
    let scored = known.iter().map(|known| (*known, strsim::jaro_winkler(&word, &plain(known))));
    scored.filter(|(_, score)| *score > 0.8).max_by(|a, b| a.1.total_cmp(&b.1)).map(|(known, _)| known)
}
