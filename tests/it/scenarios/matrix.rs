//! Scenario 24, `rotation_matrix`: how a file is rotated, how it is then named, and what becomes of it.

use std::path::{Path, PathBuf};

use super::{assert_in_order, assert_once, shipper, taking_everything};
use crate::support::rotators::{
    appending, copytruncate, dated, numbered, rotate_numbered, shift, write_lines,
};
use crate::support::workdir::real_events;

const ROUNDS: usize = 8;
const LINES: usize = 25;
const KEPT: u32 = 2;

#[derive(Clone, Copy, PartialEq)]
enum Rotation {
    Move,
    CopyTruncate,
}

#[derive(Clone, Copy)]
enum Names {
    Timestamped,
    Sequential,
}

/// How close the daemon follows, and whether old backups are deleted.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    /// Each round has arrived before the rotation; two backups are kept.
    Deletion,
    /// The same, and all are kept.
    NoDeletion,
    /// All rotations happen between two looks; all are kept.
    Exceed,
}

fn rotate(log: &Path, rotation: Rotation, names: Names, round: u32) {
    match (rotation, names) {
        (Rotation::Move, Names::Timestamped) => std::fs::rename(log, dated(log, round)).unwrap(),
        (Rotation::Move, Names::Sequential) => rotate_numbered(log),
        (Rotation::CopyTruncate, Names::Timestamped) => copytruncate(log, &dated(log, round)),
        (Rotation::CopyTruncate, Names::Sequential) => {
            shift(log);
            copytruncate(log, &numbered(log, 1));
        }
    }
}

fn oldest(log: &Path, names: Names, round: u32) -> Option<PathBuf> {
    match names {
        Names::Timestamped => round.checked_sub(KEPT).map(|old| dated(log, old)),
        Names::Sequential => Some(numbered(log, KEPT + 1)),
    }
}

fn run(rotation: Rotation, names: Names, pace: Pace) {
    let endpoint = taking_everything();
    let shipper = shipper(&endpoint);
    let log = shipper.workdir.log();
    let events = real_events((ROUNDS + 1) * LINES);
    let mut rounds = events.chunks(LINES);
    write_lines(&mut appending(&log), rounds.next().unwrap());
    let daemon = shipper.start();
    endpoint.wait_for_items(LINES);
    if pace == Pace::Exceed {
        daemon.pause();
    }
    for (round, lines) in (0..).zip(rounds) {
        rotate(&log, rotation, names, round);
        if let Some(oldest) = oldest(&log, names, round).filter(|_| pace == Pace::Deletion) {
            let _ = std::fs::remove_file(&oldest);
        }
        write_lines(&mut appending(&log), lines);
        if pace != Pace::Exceed {
            endpoint.wait_for_items((round as usize + 2) * LINES);
        }
    }
    if pace == Pace::Exceed {
        daemon.resume();
    }
    // Of several copies that came between two looks, the one that the daemon stood in cannot be told by its name.
    if rotation == Rotation::CopyTruncate && pace == Pace::Exceed {
        assert_once(&daemon, &endpoint, &events);
    } else {
        assert_in_order(&daemon, &endpoint, &events);
    }
}

#[test]
fn rotation_matrix_move_timestamped() {
    for pace in [Pace::Deletion, Pace::NoDeletion, Pace::Exceed] {
        run(Rotation::Move, Names::Timestamped, pace);
    }
}

#[test]
fn rotation_matrix_move_sequential() {
    for pace in [Pace::Deletion, Pace::NoDeletion, Pace::Exceed] {
        run(Rotation::Move, Names::Sequential, pace);
    }
}

#[test]
fn rotation_matrix_copytruncate_timestamped() {
    for pace in [Pace::Deletion, Pace::NoDeletion, Pace::Exceed] {
        run(Rotation::CopyTruncate, Names::Timestamped, pace);
    }
}

#[test]
fn rotation_matrix_copytruncate_sequential() {
    for pace in [Pace::Deletion, Pace::NoDeletion, Pace::Exceed] {
        run(Rotation::CopyTruncate, Names::Sequential, pace);
    }
}
