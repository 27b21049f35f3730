//! Names with a `*`: the logs of containers, one after the other.
//!
//! kubelet calls a container's log `POD_NAMESPACE_CONTAINER-ID.log` in `/var/log/containers`, where ID are 64 hexadecimal
//! digits that no other container ever gets. So a restart is a new name, and one fixed name is that of a container that
//! will end.

use std::path::Path;

use super::names::{Order, order_of_suffix};
use super::{Series, directory_of};

/// A name in which each `*` stands for any text.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
}

impl Pattern {
    /// The pattern that `name` is, if it is one.
    pub(super) fn of(name: &str) -> Option<Self> {
        name.contains('*').then(|| Self { text: name.to_owned() })
    }

    fn matches(&self, name: &str) -> bool {
        let (first, rest) = self.text.split_once('*').unwrap_or((&self.text, ""));
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let inner = name.strip_prefix(first).and_then(|name| name.strip_suffix(last));
        let behind = |text: &mut &str, part: &str| text.find(part).map(|at| *text = &text[at + part.len()..]);
        inner.is_some_and(|mut rest| middle.split('*').all(|part| behind(&mut rest, part).is_some()))
    }

    /// The live name that `base` belongs to, and what it is of it. A name that is a backup's by its form is none of a
    /// container, though a pattern with a `*` at its end may match it.
    pub(super) fn split<'a>(&self, base: &'a str) -> Option<(&'a str, Order)> {
        split(base, |live| self.matches(live))
    }

    /// The same of a base that has lost its beginning.
    pub(super) fn split_end<'a>(&self, base: &'a str) -> Option<(&'a str, Order)> {
        let last = self.text.rsplit('*').next().unwrap_or_default();
        split(base, |live| live.ends_with(last))
    }

    pub(super) fn is_live(&self, name: &str) -> bool {
        name.strip_suffix(".gz").is_none() && matches!(self.split(name), Some((_, Order::Live)))
    }
}

fn split(base: &str, is_live: impl Fn(&str) -> bool) -> Option<(&str, Order)> {
    let backup = |(at, _): (usize, &str)| {
        let (live, suffix) = base.split_at(at);
        Some((live, order_of_suffix(suffix)?)).filter(|_| is_live(live))
    };
    let live = || is_live(base).then_some((base, Order::Live));
    base.match_indices(['.', '-']).find_map(backup).or_else(live)
}

impl Series {
    /// Whether files of these names may have been written by one container, so that a line goes on from one to the other.
    #[must_use]
    pub fn are_of_one_writer(&self, one: &str, other: &str) -> bool {
        let Some(pattern) = &self.pattern else { return true };
        // Of a name that has lost its beginning nobody knows.
        pattern.split(one).zip(pattern.split(other)).is_none_or(|((one, _), (other, _))| one == other)
    }
}

/// What is wrong with the path of a log that may be a pattern.
#[must_use]
pub fn problem_of_pattern(path: &str) -> Option<&'static str> {
    if path.contains(['?', '[']) {
        return Some("has a `?` or a `[`; of patterns only `*` is known, which stands for any text");
    }
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    directory.contains('*').then_some(
        "has a `*` in the name of a directory; it may stand only behind the last `/`, such as in \
         /var/log/containers/kube-apiserver-*_kube-system_kube-apiserver-*.log",
    )
}

/// What kubelet calls the logs of all containers that come one after the other in the place of the one whose log is
/// `name`.
pub(super) fn of_successors(name: &str) -> Option<Pattern> {
    const ID_DIGITS: usize = 64;
    let stem = name.strip_suffix(".log")?;
    let (container, id) = stem.split_at_checked(stem.len().checked_sub(ID_DIGITS)?)?;
    let is_id = id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let is_container = container.ends_with('-') && container.matches('_').count() == 2;
    (is_id && is_container).then(|| Pattern { text: format!("{container}*.log") })
}

/// The pattern that has to be configured in place of `log`, if that is the log of a container that has a successor.
#[must_use]
pub(super) fn instead_of(log: &Path) -> Option<String> {
    let name = log.file_name()?.to_str()?;
    let pattern = of_successors(name)?;
    let directory = directory_of(log);
    let newest = super::strand::Strand::all(&directory, &pattern).ok()?.pop()?;
    (newest.name != name).then(|| directory.join(pattern.text).display().to_string())
}
