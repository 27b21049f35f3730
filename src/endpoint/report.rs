//! What is wrong with an endpoint's files, and what is worth a word about them.

use std::fmt;
use std::path::{Path, PathBuf};

use super::source::Source;
use super::{Subject, configured, kubeconfig};

/// A mistake that is in the report already: the reader of the field has nothing to return.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reported;

/// Collects what is wrong and what is worth a word, each with its place in the kubeconfig.
pub(super) struct Report<'a> {
    pub(super) subject: &'a Subject,
    /// Whether nothing is in use yet that could stay in use.
    pub(super) is_first: bool,
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(subject: &'a Subject, is_first: bool) -> Report<'a> {
        Report { subject, is_first, errors: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn kubeconfig(&self) -> Option<&'a Path> {
        match self.subject {
            Subject::Kubeconfig(path) => Some(path),
            Subject::Server(_) => None,
        }
    }

    /// What the endpoint is made of.
    pub(super) fn source(&mut self) -> Result<Source, Reported> {
        match self.subject {
            Subject::Kubeconfig(path) => kubeconfig::read(path, self),
            Subject::Server(server) => Ok(configured::source(server)),
        }
    }

    /// Returns the proof that there is something to say, for the caller to return.
    pub(super) fn error(&mut self, line: u64, field: &str, message: impl fmt::Display) -> Reported {
        self.errors.push(self.place(line, field, message));
        Reported
    }

    pub(super) fn warn(&mut self, line: u64, field: &str, message: impl fmt::Display) {
        self.warnings.push(self.place(line, field, message));
    }

    /// `file:line: field: message`; line 0 and an empty field are left out.
    fn place(&self, line: u64, field: &str, message: impl fmt::Display) -> String {
        if let Subject::Server(server) = self.subject {
            let message = configured::in_our_words(&format!("{field}: {message}"));
            return format!("{}.{message}", server.place);
        }
        let line = if line > 0 { format!(":{line}") } else { String::new() };
        let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
        format!("{}{line}: {field}{message}", self.subject)
    }

    /// A path of the kubeconfig: relative ones start at the kubeconfig's directory.
    pub(super) fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        let directory = self.kubeconfig().and_then(Path::parent).unwrap_or(Path::new(""));
        directory.join(path)
    }
}
