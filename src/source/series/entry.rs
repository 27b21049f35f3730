//! One file of a series, by its name.

use std::cmp::Reverse;
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

    /// A file of this name on the disk.
    pub(super) fn of(directory: &Path, name: &str, base: &str, gz: bool, order: Order) -> Self {
        let name = if gz { format!("{name}.gz") } else { name.to_owned() };
        Self { path: directory.join(name), base: base.to_owned(), gz, order }
    }
}
