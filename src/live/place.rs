//! The place of an output in the rotated series: the files that are there, and how far each is settled.
//!
//! The cursor on disk says what is settled; it is as new as the last settled batch. A mark is known by the content of its file
//! (invariant I10), so the heads of files are read to find it; mostly the name is right and one is enough.
//!
//! Blocking code.

use std::path::Path;

use super::status::{File, Position, Progress};
use crate::checkpoint::{Cursor, HEAD_BYTES, Loaded, Mark, Store};
use crate::health::Course;
use crate::source::pins::Listed;
use crate::source::reader;

/// Files that are told of at most.
const MOST_FILES: usize = 60;

/// The place of `output` on its course.
pub(super) fn position(course: &Course, state_dir: &Path, output: &str) -> Position {
    let cursor = match Store::open(state_dir, output).1 {
        Loaded::Cursor(cursor) => cursor,
        Loaded::Never => Cursor::default(),
        Loaded::Unreadable(reason) => {
            return unknown(&format!("the cursor cannot be read: {reason}"));
        }
    };
    match course.pins.list(course.number) {
        Ok(listed) => of_files(&listed, &cursor),
        Err(error) => unknown(&format!("the log's directory cannot be read: {error}")),
    }
}

pub(super) fn unknown(problem: &str) -> Position {
    Position { problem: Some(problem.to_owned()), ..Position::default() }
}

fn of_files(listed: &[Listed], cursor: &Cursor) -> Position {
    let marks: Vec<(&Mark, usize)> =
        cursor.marks().filter_map(|mark| Some((mark, file_of(mark, listed)?))).collect();
    let offset_in = |index| marks.iter().rev().find(|(_, of)| *of == index).map(|(mark, _)| mark.offset);
    let files = listed.iter().enumerate().map(|(index, listed)| shown(listed, offset_in(index)));
    without_the_most(files.collect())
}

/// The file that a mark is of.
fn file_of(mark: &Mark, listed: &[Listed]) -> Option<usize> {
    let is_it = |index: &usize| {
        let listed = &listed[*index];
        let head = listed.open().and_then(|held| reader::head_of(&held, listed.entry.gz, HEAD_BYTES));
        mark.head.len > 0 && head.is_ok_and(|head| mark.head.matches(&head))
    };
    let named = (0..listed.len()).find(|index| *listed[*index].entry.base == *mark.name);
    named.filter(is_it).or_else(|| (0..listed.len()).filter(|index| Some(*index) != named).find(is_it))
}

fn shown(listed: &Listed, settled: Option<u64>) -> File {
    let progress = match settled {
        _ if !listed.waiting => Progress::Settled,
        // There is nothing to be read in an empty one.
        Some(settled) if settled > 0 || listed.size == 0 => Progress::Reading,
        _ => Progress::Unread,
    };
    let name = listed.entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    File {
        name,
        size_bytes: listed.size,
        is_compressed: listed.entry.gz,
        // Of what was settled before its mark was dropped, all is.
        settled_bytes: settled.unwrap_or(if listed.waiting { 0 } else { listed.size }),
        progress,
        is_live: listed.live,
        is_held: listed.is_held(),
        is_nameless: !listed.named,
    }
}

/// Of too many files, those that are settled go first, then those in the middle.
fn without_the_most(mut files: Vec<File>) -> Position {
    let all = files.len();
    let mut surplus = all.saturating_sub(MOST_FILES);
    files.retain(|file| {
        let goes = surplus > 0 && file.progress == Progress::Settled;
        surplus -= usize::from(goes);
        !goes
    });
    let middle = (MOST_FILES / 2).min(files.len());
    files.drain(middle..middle + surplus);
    Position { left_out: all - files.len(), files, problem: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: usize, progress: Progress) -> File {
        File {
            name: number.to_string(),
            size_bytes: 1,
            is_compressed: false,
            settled_bytes: 0,
            progress,
            is_live: false,
            is_held: true,
            is_nameless: false,
        }
    }

    #[test]
    fn of_too_many_files_the_ends_are_shown() {
        let settled_first = |settled: usize, all: usize| {
            (0..all)
                .map(move |number| {
                    if number < settled {
                        file(number, Progress::Settled)
                    } else {
                        file(number, Progress::Unread)
                    }
                })
                .collect()
        };
        let few = without_the_most(settled_first(3, MOST_FILES));
        assert_eq!((few.files.len(), few.left_out), (MOST_FILES, 0));
        assert_eq!(without_the_most(settled_first(1, 2)).files.len(), 2);
        let settled = without_the_most(settled_first(10, MOST_FILES + 4));
        assert_eq!((settled.files.len(), settled.left_out, &*settled.files[0].name), (MOST_FILES, 4, "4"));
        let many = without_the_most(settled_first(10, 1000));
        let names: Vec<&str> = many.files.iter().map(|file| &*file.name).collect();
        assert_eq!((names[0], names[29], names[30], names[59]), ("10", "39", "970", "999"));
        assert_eq!(many.left_out, 940);
    }
}
