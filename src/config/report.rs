//! Where a value came from, and the list of what is wrong.
//!
//! An *origin* is what an administrator has to edit: a flag, a variable, or a field at a line of the file. Every mistake
//! begins with its origin. Reading goes on after a mistake with a stand-in value, whose origin is [`Origin::Mistaken`]: what
//! does not fit together with a stand-in is not reported, since the administrator never wrote it.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Output;
use super::redact::key_files;

/// Everything that is wrong with the configuration, one mistake a line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Errors {
    mistakes: Vec<String>,
    kubeconfigs: Vec<PathBuf>,
    policies: Vec<PathBuf>,
    key_files: Vec<(String, PathBuf)>,
    missing: Option<Missing>,
}

/// A file that the configuration is read from, and that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// kubelet's users may be about to write it.
    Manifest,
    /// The configuration file itself.
    File,
}

impl Errors {
    /// Adds a mistake: `where: what is wrong; what is legal`.
    pub fn push(&mut self, mistake: impl Into<String>) {
        self.mistakes.push(mistake.into());
    }

    /// Remembers the files that the outputs name in spite of all that is wrong.
    pub(crate) fn note_files(&mut self, outputs: &[Output]) {
        self.key_files = key_files(outputs).map(|(field, path)| (field, path.to_owned())).collect();
        for output in outputs {
            output.destination.kubeconfig().into_iter().for_each(|path| note(&mut self.kubeconfigs, path));
            output.policy_file.iter().for_each(|path| note(&mut self.policies, path));
        }
    }

    /// The kubeconfigs that are named nevertheless: what is wrong with them can be told in the same go.
    pub fn kubeconfigs(&self) -> impl Iterator<Item = &Path> {
        self.kubeconfigs.iter().map(PathBuf::as_path)
    }

    /// The same of policies.
    pub fn policies(&self) -> impl Iterator<Item = &Path> {
        self.policies.iter().map(PathBuf::as_path)
    }

    /// The key files that are named nevertheless, each with its field.
    pub(crate) fn key_files(&self) -> impl Iterator<Item = (String, &Path)> {
        self.key_files.iter().map(|(field, path)| (field.clone(), path.as_path()))
    }

    /// Whether nothing is wrong but that the manifest is not there yet.
    #[must_use]
    pub fn is_manifest_awaited(&self) -> bool {
        self.missing == Some(Missing::Manifest) && self.mistakes.len() == 1
    }

    /// Whether nothing is wrong but that the configuration file or the manifest is not there: it may be about to be replaced.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.missing.is_some() && self.mistakes.len() == 1
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// The mistakes alone.
    #[must_use]
    pub fn into_mistakes(self) -> Vec<String> {
        self.mistakes
    }

    /// The mistakes in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.mistakes.iter().map(String::as_str)
    }
}

fn note(paths: &mut Vec<PathBuf>, path: &Path) {
    if !path.as_os_str().is_empty() && !paths.iter().any(|known| known == path) {
        paths.push(path.to_owned());
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mistakes.join("\n"))
    }
}

impl std::error::Error for Errors {}

/// What an administrator has to edit to change a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag of the command line, by its name without dashes.
    Flag(&'static str),
    /// An environment variable.
    Variable(String),
    /// A field of the file, as `FILE:LINE: path.to.field`.
    Field(String),
    /// Nobody gave a value.
    Default,
    /// The value given was reported as wrong already, and this one only stands in.
    Mistaken,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
            Self::Field(place) => f.write_str(place),
            Self::Default | Self::Mistaken => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

impl<T> Located<T> {
    /// Whether nobody gave this value; one that was given wrongly is not missing.
    pub(super) fn is_default(&self) -> bool {
        self.origin == Origin::Default
    }
}

/// Collects mistakes and warnings while the configuration is read.
///
/// Readers of nested sections hold it at the same time, hence the cells.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: RefCell<Errors>,
    warnings: RefCell<Vec<String>>,
}

impl Report {
    /// A mistake in the value from `origin`; said once, although several outputs may read a variable.
    pub(super) fn mistake(&self, origin: &Origin, what: impl fmt::Display) {
        let mistake = format!("{origin}: {what}");
        let mut errors = self.errors.borrow_mut();
        if *origin != Origin::Mistaken && !errors.iter().any(|told| told == mistake) {
            errors.push(mistake);
        }
    }

    /// A file that the configuration is read from is not there, which is the mistake that was told last.
    pub(super) fn is_away(&self, missing: Missing) {
        self.errors.borrow_mut().missing = Some(missing);
    }

    /// A mistake that no single value is to blame for, such as a missing one.
    pub(super) fn general(&self, what: impl Into<String>) {
        self.errors.borrow_mut().push(what);
    }

    /// Two values that do not fit together; `first` is blamed unless only `second` was given.
    pub(super) fn misfit(&self, first: &Origin, second: &Origin, what: impl fmt::Display) {
        if *second != Origin::Mistaken {
            self.mistake(if *first == Origin::Default { second } else { first }, what);
        }
    }

    /// Something that is legal, and yet the administrator should know.
    pub(super) fn warn(&self, origin: &Origin, what: impl fmt::Display) {
        self.warnings.borrow_mut().push(format!("{origin}: {what}"));
    }

    /// The same of what somebody else has found and says with its place.
    pub(super) fn general_warning(&self, what: impl Into<String>) {
        self.warnings.borrow_mut().push(what.into());
    }

    /// The warnings, or the mistakes if there were any.
    pub(super) fn finish(self) -> Result<Vec<String>, Errors> {
        let errors = self.errors.into_inner();
        if errors.is_empty() { Ok(self.warnings.into_inner()) } else { Err(errors) }
    }
}
