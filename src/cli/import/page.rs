//! The configuration while it is written: lines, comments that are wrapped, and what is to be told beside it.

use crate::config::FILL_IN;
use crate::shown::printable;

/// No line is longer, unless a single word is.
const COLUMNS: usize = 120;

/// What is printed, and what is said beside it.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    findings: Vec<String>,
}

impl Page {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn findings(&self) -> &[String] {
        &self.findings
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn line(&mut self, indent: usize, line: &str) {
        self.text += &" ".repeat(indent);
        self.text += line;
        self.text.push('\n');
    }

    /// A comment, which may take several lines.
    pub(super) fn comment(&mut self, indent: usize, words: &str) {
        self.wrapped(indent, "# ", "# ", words);
    }

    /// An item of a list within a comment.
    pub(super) fn item(&mut self, indent: usize, words: &str) {
        self.wrapped(indent, "#   - ", "#     ", words);
    }

    fn wrapped(&mut self, indent: usize, first: &str, other: &str, words: &str) {
        let mut line = String::new();
        let mut prefix = first;
        for word in words.split(' ') {
            let is_full = indent + prefix.len() + line.chars().count() + 1 + word.chars().count() > COLUMNS;
            if is_full && !line.is_empty() {
                self.line(indent, &format!("{prefix}{line}"));
                (line, prefix) = (String::new(), other);
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        self.line(indent, &format!("{prefix}{line}"));
    }

    /// Somebody has to act on it; it goes to the standard error.
    pub(super) fn finding(&mut self, finding: String) {
        self.findings.push(finding);
    }

    /// A field whose value only the administrator knows.
    pub(super) fn placeholder(&mut self, indent: usize, field: &str, path: &str, what: &str) {
        self.line(indent, &format!("{field}: \"{FILL_IN}: {what}>\""));
        self.finding(format!("{path}.{field} has to be filled in: {what}"));
    }
}

/// `line 31: --audit-log-path=/var/log/audit.log`
pub(super) fn flag_at(line: u64, flag: &str, value: &str) -> String {
    format!("line {line}: --{flag}={}", printable(value))
}
