//! One value as it was given, and its conversion to the type that is expected.
//!
//! A flag or variable is text and follows pflag. A field of the file has a YAML type, and only its own: `"400"` is no
//! number and `yes` is no boolean, as with Kubernetes' own manifests.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::MinFree;
use super::quantity;
use super::report::{Located, Origin, Report};
use super::section::closest;
use crate::yaml::Value;

/// How a text begins that `import` could not know; what is to stand there follows, and then a `>`.
pub(crate) const FILL_IN: &str = "<FILL IN";

/// A value that nobody has looked at yet.
pub(super) struct Given<'a> {
    pub(super) report: &'a Report,
    pub(super) origin: Origin,
    pub(super) raw: Raw<'a>,
}

/// The value itself.
pub(super) enum Raw<'a> {
    Absent,
    Text(&'a str),
    Yaml(&'a Value),
}

impl Given<'_> {
    pub(super) fn is_given(&self) -> bool {
        !matches!(self.raw, Raw::Absent)
    }

    pub(super) fn boolean(self, default: bool) -> Located<bool> {
        self.read(default, quantity::boolean, |value| match value {
            Value::Bool(value) => Ok(*value),
            other => Err(format!("must be true or false, not {}", other.kind())),
        })
    }

    pub(super) fn int(self, default: i64) -> Located<i64> {
        self.read(default, quantity::int, |value| match value {
            Value::Int(value) => narrow(*value),
            Value::Float(value) => Err(format!("must be a whole number, not {value}")),
            other => Err(format!("must be a whole number, not {}", other.kind())),
        })
    }

    /// A number of bytes; units are for the file only, since kube-apiserver's flags have none.
    pub(super) fn size(self, default: i64) -> Located<i64> {
        self.read(default, quantity::int, |value| match value {
            Value::Int(value) => narrow(*value),
            Value::Text(text) => quantity::size(text),
            other => Err(format!("must be a size such as 16MiB, 100KiB or plain bytes, not {}", show(other))),
        })
    }

    /// The same, of what must not be 0.
    pub(super) fn size_above_zero(self, default: u64) -> u64 {
        let report = self.report;
        self.size(default.cast_signed()).positive(report, not_positive).get() as u64
    }

    /// Free space of a file system: a share or a number of bytes.
    pub(super) fn free_space(self, default: MinFree) -> Located<MinFree> {
        self.read(default, quantity::free_space, |value| match value {
            Value::Int(value) => quantity::free_space(&value.to_string()),
            Value::Text(text) => quantity::free_space(text),
            other => Err(format!("must be a share such as 10% or a size such as 10GiB, not {}", show(other))),
        })
    }

    pub(super) fn float(self, default: f64) -> Located<f64> {
        self.read(default, quantity::float, |value| match value {
            Value::Int(value) => quantity::float(&value.to_string()),
            Value::Float(value) => quantity::float(&value.to_string()),
            other => Err(format!("must be a number, not {}", other.kind())),
        })
    }

    pub(super) fn duration(self, default: Duration) -> Located<Duration> {
        self.read(default, quantity::duration, |value| match value {
            Value::Text(text) => quantity::duration(text),
            Value::Int(value) => quantity::duration(&value.to_string()),
            other => Err(format!("must be a duration such as 30s, 1m30s or 1.5h, not {}", show(other))),
        })
    }

    pub(super) fn text(self) -> Located<Option<String>> {
        self.read(
            None,
            |text| Ok(Some(text.to_owned())),
            |value| match value {
                Value::Text(text) => Ok(Some(text.clone())),
                other => Err(format!("must be a string, not {}; put it in quotes", show(other))),
            },
        )
    }

    /// Text that must not be empty and must not hold control characters: a path or a name.
    pub(super) fn line(self) -> Located<Option<String>> {
        let report = self.report;
        let located = self.line_or_empty();
        if located.value.as_deref() != Some("") {
            return located;
        }
        report.mistake(&located.origin, "must not be empty");
        Located { value: None, origin: Origin::Mistaken }
    }

    /// The same, of what may be empty.
    pub(super) fn line_or_empty(self) -> Located<Option<String>> {
        let report = self.report;
        let located = self.text();
        let text = located.value.as_deref().unwrap_or_default();
        if let Some(what) = text.strip_prefix(FILL_IN) {
            let what = what.trim_start_matches([':', ' ']).trim_end_matches('>');
            report.mistake(&located.origin, format_args!("is still to be filled in: {what}"));
        } else if text.chars().any(char::is_control) {
            report.mistake(&located.origin, "must not hold control characters");
        } else {
            return located;
        }
        Located { value: None, origin: Origin::Mistaken }
    }

    /// One of a few words; what is wrong with any other is for `invalid` to say.
    pub(super) fn choice<T: Copy>(
        self,
        default: T,
        legal: &[(&'static str, T)],
        invalid: impl Fn(&str) -> String,
    ) -> Located<T> {
        let report = self.report;
        let text = self.text();
        let found = match &text.value {
            Some(word) => legal.iter().find(|(name, _)| name == word).map(|(_, value)| *value),
            None => return Located { value: default, origin: text.origin },
        };
        match (found, text.value) {
            (Some(value), _) => Located { value, origin: text.origin },
            (None, word) => {
                report.mistake(&text.origin, invalid(&word.unwrap_or_default()));
                Located { value: default, origin: Origin::Mistaken }
            }
        }
    }

    fn read<T>(
        self,
        default: T,
        from_text: impl Fn(&str) -> Result<T, String>,
        from_yaml: impl Fn(&Value) -> Result<T, String>,
    ) -> Located<T> {
        let read = match self.raw {
            Raw::Absent => return Located { value: default, origin: Origin::Default },
            Raw::Text(text) => from_text(text),
            Raw::Yaml(value) => from_yaml(value),
        };
        match read {
            Ok(value) => Located { value, origin: self.origin },
            Err(what) => {
                self.report.mistake(&self.origin, what);
                Located { value: default, origin: Origin::Mistaken }
            }
        }
    }
}

/// For [`Given::choice`]: the legal words, and the one that was probably meant.
pub(super) fn not_among<T>(word: &str, legal: &[(&'static str, T)]) -> String {
    let names: Vec<_> = legal.iter().map(|(name, _)| *name).collect();
    let hint = closest(word, &names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let legal = match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    };
    format!("{word:?} is not known; legal are {legal}{hint}")
}

fn narrow(value: i128) -> Result<i64, String> {
    i64::try_from(value).map_err(|_| format!("{value} is out of range; legal are 64 bits"))
}

/// A value in a message: numbers and booleans as written, the rest by kind.
fn show(value: &Value) -> String {
    match value {
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Int(value) => format!("the number {value}"),
        Value::Float(value) => format!("the number {value}"),
        other => other.kind().to_owned(),
    }
}

impl Located<i64> {
    /// The number as a size or count that must not be 0; `what` says what is wrong with any other.
    pub(super) fn positive(&self, report: &Report, what: impl FnOnce(i64) -> String) -> NonZeroUsize {
        let positive = usize::try_from(self.value).ok().and_then(NonZeroUsize::new);
        positive.unwrap_or_else(|| {
            report.mistake(&self.origin, what(self.value));
            NonZeroUsize::MIN
        })
    }
}

/// For [`Located::positive`], where kube-apiserver has no words of its own.
pub(super) fn not_positive(value: i64) -> String {
    format!("{value} is out of range; legal are numbers above 0")
}
