//! The files of a rotated log: their names and their order.
//!
//! kube-apiserver writes the *live* file. A *backup* is what a rotator made of an earlier one, beside it:
//!
//! | name | rotator |
//! |---|---|
//! | `STEM-2026-07-18T04-24-44.123EXT` | lumberjack; the stamp is the time of the rotation, EXT begins at the last dot |
//! | `NAME-20260723`, `NAME-20260723-1784831532` | logrotate with dateext |
//! | `NAME.1`, `NAME.2` | logrotate, docker; a higher number is older |
//! | `NAME.20260723-184532` | kubelet |
//! | `STEM-2026-07-18T04-24-44.123EXT.1`, `...EXT-20260723` | logrotate on top of lumberjack |
//!
//! each also with `.gz`. While `x` and `x.gz` both exist, `x` is the truth: the other is being written.
//! Other files in the directory are not ours. If the live name is a symbolic link, backups may also lie around the file
//! that it leads to, under that file's name.
//!
//! A log may consist of several *strands*: where the path has a `*`, each name that fits is the log of one container, with
//! backups of its own. The one whose name was made last is live. The others are *former* ones: each is read with its
//! backups before the next. Their names are no names on the disk but unambiguous: a backup is called as the container's
//! log, with what the rotator put behind the name; around the files that two containers wrote there may be two `0.log.1`.

mod entry;
mod names;
mod pattern;
mod strand;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::keep;
use names::Order;
use pattern::Pattern;
use strand::Strand;

pub use entry::Entry;
pub use names::Names;
pub use pattern::problem_of_pattern;

/// The directory that holds `log`.
#[must_use]
pub fn directory_of(log: &Path) -> PathBuf {
    match log.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The names of one rotated log.
#[derive(Debug)]
pub struct Series {
    /// The live name, or the pattern of live names.
    names: Names,
    pattern: Option<Pattern>,
    seen: Mutex<Seen>,
}

/// What the last listing showed of a pattern.
#[derive(Debug, Default)]
struct Seen {
    strands: Option<Arc<[Strand]>>,
    /// Directories of former containers that could not be read.
    unreadable: HashSet<PathBuf>,
}

impl Series {
    /// The series whose live file is `log`, or, where that has a `*` in its name, of all files with such names.
    #[must_use]
    pub fn new(log: &Path) -> Self {
        let names = Names::new(log);
        Self { pattern: Pattern::of(&names.live), names, seen: Mutex::default() }
    }

    /// Path of the live file, as of the last listing.
    #[must_use]
    pub fn live_path(&self) -> PathBuf {
        let newest =
            self.pattern.as_ref().and_then(|_| self.seen_strands().last().map(|one| one.name.clone()));
        newest.map_or_else(|| self.names.live_path(), |name| self.names.directory.join(name))
    }

    /// Whether a file of this name is the live one of its container.
    #[must_use]
    pub fn is_live_name(&self, base: &str) -> bool {
        match &self.pattern {
            None => base == self.names.live,
            Some(pattern) => pattern.is_live(base),
        }
    }

    /// The directory of the live file's name.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.names.directory
    }

    /// Whether the live name is a link that leads to a file.
    #[must_use]
    pub fn is_link(&self) -> bool {
        let path = self.live_path();
        path.is_symlink() && path.exists()
    }

    /// What to configure in place of a path that is the log of a container which has a successor.
    #[must_use]
    pub fn outdated_by(&self) -> Option<String> {
        if self.pattern.is_some() { None } else { pattern::instead_of(&self.names.live_path()) }
    }

    /// Those that are there now, the live one at the end.
    fn strands(&self) -> io::Result<Vec<Strand>> {
        match &self.pattern {
            None => Ok(vec![Strand::single(&self.names)]),
            Some(pattern) => Strand::all(&self.names.directory, pattern),
        }
    }

    /// The same as of the last listing, where it takes more than a look at one name.
    fn seen_strands(&self) -> Arc<[Strand]> {
        let seen = self.pattern.as_ref().and_then(|_| self.seen().strands.clone());
        seen.unwrap_or_else(|| self.strands().unwrap_or_default().into())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files that exist now, oldest first, one for each generation. A directory that does not exist holds none.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let mut strands = self.strands()?;
        let live = strands.pop();
        let mut entries = Vec::new();
        for former in &strands {
            entries.extend(self.list_former(former));
        }
        if let Some(live) = &live {
            entries
                .extend(self.list_strand(live, true).map_err(|(path, error)| self.in_words(&path, error))?);
        }
        strands.extend(live);
        if self.pattern.is_some() {
            self.seen().strands = Some(strands.into());
        }
        Ok(entries)
    }

    /// A directory that cannot be read holds up nothing but what is in it.
    fn list_former(&self, former: &Strand) -> Vec<Entry> {
        match self.list_strand(former, false) {
            Ok(entries) => {
                let mut seen = self.seen();
                for place in &former.places {
                    if seen.unreadable.remove(&place.directory) {
                        tracing::warn!(directory = %place.directory.display(), "the directory can be read again");
                    }
                }
                entries
            }
            Err((directory, error)) => {
                if self.seen().unreadable.insert(directory.clone()) {
                    tracing::error!(
                        directory = %directory.display(), %error,
                        "the directory of a former container's log cannot be read; trying again until it can"
                    );
                }
                self.end_of(&former.name, false).into_iter().collect()
            }
        }
    }

    fn list_strand(&self, strand: &Strand, is_newest: bool) -> Result<Vec<Entry>, (PathBuf, io::Error)> {
        let mut generations = HashMap::new();
        for place in &strand.places {
            self.collect(strand, place, &mut generations)
                .map_err(|error| (place.directory.clone(), error))?;
        }
        let mut entries: Vec<Entry> = generations.into_values().collect();
        entries.sort_by(|one, other| one.order.cmp(&other.order).then_with(|| one.base.cmp(&other.base)));
        let end = self.end_of(&strand.name, is_newest);
        entries.extend(end.filter(|end| end.path.symlink_metadata().is_ok()));
        Ok(entries)
    }

    /// Says which directory it is, where nobody would think of it.
    fn in_words(&self, directory: &Path, error: io::Error) -> io::Error {
        if directory == self.directory() {
            return error;
        }
        io::Error::new(error.kind(), format!("{}: {error}", directory.display()))
    }

    /// The backups in one place.
    fn collect(
        &self,
        strand: &Strand,
        place: &Names,
        generations: &mut HashMap<PathBuf, Entry>,
    ) -> io::Result<()> {
        let names = match std::fs::read_dir(&place.directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for name in names {
            let found = name?;
            let Ok(name) = found.file_name().into_string() else { continue };
            let Some(entry) = self.backup(strand, place, &name) else { continue };
            // No rotator makes a directory or a pipe; reading one would fail, or wait, for ever.
            if found.file_type().is_ok_and(|kind| !kind.is_file() && !kind.is_symlink()) {
                continue;
            }
            let generation = entry.uncompressed().path;
            if generations.get(&generation).is_none_or(|other: &Entry| other.gz) {
                generations.insert(generation, entry);
            }
        }
        Ok(())
    }

    /// What `name` is in one place of a strand, if it is one of its backups.
    fn backup(&self, strand: &Strand, place: &Names, name: &str) -> Option<Entry> {
        if name == place.live {
            return None;
        }
        let (base, gz) = name.strip_suffix(".gz").map_or((name, false), |base| (base, true));
        let order = place.order(base).filter(|order| *order != Order::Live)?;
        let base = match &self.pattern {
            None => base.to_owned(),
            Some(_) => format!("{}{}", strand.name, base.strip_prefix(&place.live)?),
        };
        Some(Entry { path: place.directory.join(name), base, gz, order })
    }

    /// The file under the live name of a strand.
    fn end_of(&self, name: &str, is_newest: bool) -> Option<Entry> {
        let order = if is_newest { Order::Live } else { Order::Former };
        Some(Entry { path: self.names.directory.join(name), base: name.to_owned(), gz: false, order })
    }

    /// The directories in which names of it may come and go.
    #[must_use]
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut directories = vec![self.names.directory.clone()];
        for place in self.strands().unwrap_or_default().into_iter().flat_map(|strand| strand.places) {
            if !directories.contains(&place.directory) {
                directories.push(place.directory);
            }
        }
        directories
    }

    /// When names in its directories last changed.
    #[must_use]
    pub fn modified(&self) -> Vec<Option<SystemTime>> {
        let strands = self.seen_strands();
        let places = strands.iter().flat_map(|strand| &strand.places).map(Names::directory);
        let modified =
            |directory: &Path| std::fs::metadata(directory).and_then(|found| found.modified()).ok();
        std::iter::once(self.directory()).chain(places).map(modified).collect()
    }

    /// What the file at `path` is in this series, if it belongs to it.
    #[must_use]
    pub fn entry_at(&self, path: &Path) -> Option<Entry> {
        let (name, parent) = (path.file_name()?.to_str()?, path.parent()?);
        if let Some(pattern) = self.pattern.as_ref().filter(|_| parent == self.directory()) {
            // Others have their names there too.
            pattern.split(name.strip_suffix(".gz").unwrap_or(name))?;
        }
        let strands = self.strands().ok()?;
        let is_newest = |name: &str| strands.last().is_some_and(|newest| newest.name == name);
        if parent == self.directory() && self.is_live_name(name) {
            return self.end_of(name, is_newest(name));
        }
        strands.iter().find_map(|strand| {
            let mut places = strand.places.iter().filter(|place| parent == place.directory);
            places.find_map(|place| {
                // Where a live name leads to is the live file, under that name.
                let end = || self.end_of(&strand.name, is_newest(&strand.name));
                if name == place.live { end() } else { self.backup(strand, place, name) }
            })
        })
    }

    /// What a file was that was kept over a restart under this base, if it belongs to the series. Neither its name nor
    /// that of its container need be there any more.
    #[must_use]
    pub fn kept(&self, base: &str, gz: bool) -> Option<Entry> {
        let strands = self.strands().unwrap_or_default();
        let Some(pattern) = &self.pattern else {
            let order = |place: &Names| Some((place.directory.clone(), place.order(base)?));
            let (directory, order) = strands.iter().flat_map(|strand| &strand.places).find_map(order)?;
            return Some(Entry::of(&directory, base, base, gz, order));
        };
        let split_end = || pattern.split_end(base).filter(|_| keep::may_be_cut(base));
        let (live, order) = pattern.split(base).or_else(split_end)?;
        let suffix = &base[live.len()..];
        let Some(at) = strands.iter().position(|strand| strand.name.ends_with(live)) else {
            return Some(Entry::of(self.directory(), base, base, gz, former_if_live(order)));
        };
        let (strand, is_newest) = (&strands[at], at + 1 == strands.len());
        if order == Order::Live {
            return self.end_of(&strand.name, is_newest);
        }
        let base = format!("{}{suffix}", strand.name);
        let place = strand.places.last()?;
        Some(Entry::of(&place.directory, &format!("{}{suffix}", place.live), &base, gz, order))
    }

    /// Whether lumberjack gave this name.
    fn has_lumberjack_name(&self, base: &str) -> bool {
        let names = || Strand::single(&self.names).places;
        self.pattern.is_none() && names().iter().any(|names| names.lumberjack_stamp(base).is_some())
    }

    /// Whether a file that was called `before` can be called `after` now.
    #[must_use]
    pub fn may_be_renamed(&self, before: &str, after: &str) -> bool {
        if before == after {
            return true;
        }
        let orders = match &self.pattern {
            Some(pattern) => match (pattern.split(before), pattern.split(after)) {
                (Some((one, before)), Some((other, after))) if one == other => Some((before, after)),
                // It was called so when the log had another path.
                (None, Some(_)) => return true,
                _ => None,
            },
            None => {
                let places = Strand::single(&self.names).places;
                let order = |name: &str| places.iter().find_map(|names| names.order(name));
                order(before).zip(order(after))
            }
        };
        orders.is_some_and(|(before, after)| before.may_become(&after))
    }
}

/// A container without a name has no more to come.
fn former_if_live(order: Order) -> Order {
    if order == Order::Live { Order::Former } else { order }
}

#[cfg(test)]
mod tests;
