//! One file of a series, by its name.

use std::cmp::{Ordering, Reverse};
use std::path::{Path, PathBuf};

use super::Series;
use super::names::{Order, Suffix};

/// One file of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: PathBuf,
    /// Its name without `.gz`: the name of the generation.
    pub base: String,
    /// Whether it is compressed.
    pub gz: bool,
    pub(super) order: Order,
}

impl Entry {
    /// Whether kube-apiserver writes to it.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.order == Order::Live
    }

    /// Whether its name has a stamp, which no other file ever gets.
    #[must_use]
    pub fn has_own_name(&self) -> bool {
        matches!(self.order, Order::Stamped(_, Reverse(Suffix::None | Suffix::Date)))
    }

    /// The plain file of the same generation.
    #[must_use]
    pub fn uncompressed(&self) -> Self {
        let path = if self.gz { self.path.with_extension("") } else { self.path.clone() };
        Self { path, gz: false, ..self.clone() }
    }

    /// Whether a rotator that copies and truncates gives such names.
    #[must_use]
    pub fn may_be_copy(&self, series: &Series) -> bool {
        matches!(self.order, Order::Stamped(..) | Order::Numbered(_))
            && !series.has_lumberjack_name(&self.base)
    }

    /// Which of two files of one strand was written first, by their names.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        (&self.order, &self.base).cmp(&(&other.order, &other.base))
    }

    /// A file of this name on the disk.
    pub(super) fn of(directory: &Path, name: &str, base: &str, gz: bool, order: Order) -> Self {
        let name = if gz { format!("{name}.gz") } else { name.to_owned() };
        Self { path: directory.join(name), base: base.to_owned(), gz, order }
    }
}

impl Series {
    /// Whether a file is of a container that has a successor, whose live file is `live`.
    #[must_use]
    pub fn is_of_former(&self, entry: &Entry, live: Option<&Entry>) -> bool {
        self.pattern.is_some() && live.is_some_and(|live| !entry.base.starts_with(&live.base))
    }
}
