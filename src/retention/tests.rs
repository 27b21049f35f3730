//! What is foreseen of logs by tables, and that it comes to pass.

use proptest::prelude::*;

use super::*;

const FILE_BYTES: u64 = 1000;
const NOW: u64 = 100_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

fn told(max_size: u64, max_backups: u64, max_age_seconds: u64) -> Rotation {
    Rotation {
        max_size: Some(max_size),
        max_backups: Some(max_backups),
        max_age: Some(Duration::from_secs(max_age_seconds)),
    }
}

fn file(sequence: u64, place: Place, content_bytes: u64, modified: SystemTime) -> LogFile {
    LogFile { sequence, place, compressed: false, content_bytes, unread_bytes: 0, modified }
}

/// Backups of 1000 bytes each, of which the last one has just ended after 100 s each, and a live file of so many bytes.
fn log(backups: u64, live_bytes: u64) -> Look {
    let backup = |number| file(number, Place::Backup, FILE_BYTES, at(NOW - 100 * (backups - 1 - number)));
    let live = file(backups, Place::Live, live_bytes, at(NOW));
    let files = (0..backups).map(backup).chain([live]).collect();
    Look { at: at(NOW), files, in_memory_bytes: 0 }
}

impl Look {
    /// The same, of which nothing was read from this file on.
    fn unread_from(mut self, index: usize) -> Self {
        for file in &mut self.files[index..] {
            file.unread_bytes = file.content_bytes;
        }
        self
    }

    fn in_memory(mut self, bytes: u64) -> Self {
        self.in_memory_bytes = bytes;
        self
    }

    fn with(mut self, index: usize, change: impl FnOnce(&mut LogFile)) -> Self {
        change(&mut self.files[index]);
        self
    }
}

fn grace(told: &Rotation, look: &Look) -> f64 {
    Forecast::new(told, false).grace_seconds(look)
}

#[track_caller]
fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= expected.abs() / 1000.0, "{found}, not {expected}");
}

#[test]
fn the_grace_is_what_is_left_to_be_written_before_the_oldest_unsettled_file_goes() {
    // 1000 bytes in 100 s, a file of which is rotated at 1000 bytes and has none yet.
    let five = told(FILE_BYTES, 5, 0);
    for (look, expected, why) in [
        (log(5, 0), 600.0, "level: the live file is to be full, and five more"),
        (log(5, 0).unread_from(5), 600.0, "the live file is empty"),
        (log(5, 0).unread_from(4), 500.0, "the newest backup goes one rotation earlier"),
        (log(5, 0).unread_from(1), 200.0, "the one before the last to be deleted"),
        (log(5, 0).unread_from(0), 100.0, "the next to be deleted"),
        (log(5, 0).in_memory(1), 500.0, "what is in memory is not settled"),
        (log(5, 0).unread_from(4).in_memory(1), 400.0, "nor is it when there is more to be read"),
        (log(5, 0).in_memory(2001), 300.0, "over several files"),
        (log(5, 0).in_memory(1 << 40), 100.0, "more than there is"),
        (log(3, 0).unread_from(0), 300.0, "room for more backups"),
        (log(7, 0).unread_from(0), 0.0, "more than there may be"),
    ] {
        let found = grace(&five, &look);
        assert!((found - expected).abs() < 0.1, "{why}: {found}, not {expected}");
    }
    // The rest of a live file that is half full is written in half the time; 500 bytes more were written in the same time.
    let rate = 1500.0 / 100.0;
    let half = log(2, 500);
    assert_near(grace(&told(FILE_BYTES, 5, 0), &half), (500.0 + 5000.0) / rate);
    // Larger than it should be.
    assert_near(grace(&told(400, 1, 0), &half), 400.0 / rate);
}

#[test]
fn what_is_deleted_already_has_no_grace() {
    let deleted = |file: &mut LogFile| file.place = Place::Deleted;
    let five = told(FILE_BYTES, 5, 0);
    assert_near(grace(&five, &log(5, 0).unread_from(0).with(0, deleted)), 0.0);
    assert_near(grace(&five, &log(5, 0).unread_from(1).with(0, deleted)), 200.0);
    let former = |file: &mut LogFile| file.place = Place::Former;
    assert_near(grace(&five, &log(5, 0).unread_from(0).with(0, former)), 0.0);
}

#[test]
fn without_retention_or_without_writing_the_grace_is_infinite() {
    for rotation in [told(FILE_BYTES, 0, 0), told(0, 0, 0)] {
        assert!(grace(&rotation, &log(5, 0).unread_from(0)).is_infinite());
    }
    let idle = Look { at: at(NOW + 3601), ..log(5, 0).unread_from(0) };
    assert!(grace(&told(FILE_BYTES, 5, 3600), &idle).is_infinite());
    // The rate of a single look is not known.
    assert!(grace(&told(FILE_BYTES, 5, 0), &log(0, 700)).is_infinite());
    let nothing = Look { at: at(0), files: Vec::new(), in_memory_bytes: 7 };
    assert!(grace(&told(FILE_BYTES, 5, 0), &nothing).is_infinite());
}

#[test]
fn backups_that_are_too_old_go_when_the_next_one_is_made() {
    // Backups of the ages 0, 100, ... 400 s.
    for (max_age_seconds, look, expected) in [
        (1000, log(5, 0).unread_from(0), 600.0),
        (450, log(5, 0).unread_from(0), 100.0),
        (1000, log(5, 0), 1100.0),
        (1000, log(5, 0).unread_from(4), 1000.0),
    ] {
        assert_near(grace(&told(FILE_BYTES, 0, max_age_seconds), &look), expected);
        assert_near(grace(&told(FILE_BYTES, 100, max_age_seconds), &look), expected);
    }
    assert_near(grace(&told(FILE_BYTES, 2, 1000), &log(2, 0)), 300.0);
}

#[test]
fn what_nobody_tells_is_taken_from_the_log_or_else_from_the_defaults() {
    let nobody = Rotation::default();
    let mebibyte = f64::from(1 << 20);
    let rate = 10.0;
    // The size is seen; how many backups stay is not yet.
    assert_near(grace(&nobody, &log(2, 0)), 101.0 * 100.0);
    assert_near(grace(&nobody, &log(102, 0)), 103.0 * 100.0);
    let none = |file: &mut LogFile| file.content_bytes = 0;
    let small = Look { files: log(2, 0).with(0, none).files, ..log(2, 0) };
    assert_near(
        grace(&Rotation { max_size: Some(100 << 20), ..nobody.clone() }, &small),
        101.0 * 100.0 * mebibyte / rate,
    );
    // A second look at a live file alone gives a rate, and no size of a backup.
    let second = |of_container| {
        let mut forecast = Forecast::new(&nobody, of_container);
        let live = |bytes, seconds| Look {
            files: vec![file(0, Place::Live, bytes, at(seconds))],
            at: at(seconds),
            in_memory_bytes: 0,
        };
        assert!(forecast.grace_seconds(&live(0, 0)).is_infinite());
        forecast.grace_seconds(&live(100, 10))
    };
    assert_near(second(false), 101.0 * 100.0 * mebibyte / rate);
    assert_near(second(true), 5.0 * 10.0 * mebibyte / rate);
}

#[test]
fn a_deletion_shows_how_many_backups_stay() {
    let mut forecast = Forecast::new(&Rotation { max_size: Some(FILE_BYTES), ..Rotation::default() }, false);
    let mut look = log(3, 0);
    let mut rotated = |deletes: bool, forecast: &mut Forecast| {
        let next = look.files.last().unwrap().sequence + 1;
        let at = look.at + Duration::from_secs(100);
        let live = look.files.last_mut().unwrap();
        (live.place, live.content_bytes, live.modified) = (Place::Backup, FILE_BYTES, at);
        look.files.push(file(next, Place::Live, 0, at));
        if deletes {
            look.files.remove(0);
        }
        look.at = at;
        forecast.grace_seconds(&look)
    };
    for _ in 0..3 {
        assert_near(rotated(false, &mut forecast), 10_100.0);
    }
    // Six are there, and one of them goes for each new one.
    assert_near(rotated(true, &mut forecast), 600.0 + 100.0);
    assert_near(rotated(true, &mut forecast), 600.0 + 100.0);
    // They are more again: somebody had deleted one by hand.
    assert_near(rotated(false, &mut forecast), 700.0 + 100.0);
}

#[test]
fn a_rotator_that_copies_and_truncates_writes_nothing_twice() {
    let mut forecast = Forecast::new(&told(FILE_BYTES, 3, 0), false);
    let mut files = vec![file(0, Place::Live, 0, at(0))];
    for seconds in 0..1000 {
        let index = files.iter().position(|file| file.place == Place::Live).unwrap();
        if files[index].content_bytes == FILE_BYTES {
            files.insert(index, file(seconds, Place::Backup, FILE_BYTES, at(seconds)));
            files[index + 1].content_bytes = 0;
        }
        files.last_mut().unwrap().content_bytes += 10;
        let look = Look { at: at(seconds), files: files.clone(), in_memory_bytes: 0 };
        forecast.grace_seconds(&look);
        if seconds > 10 {
            assert_near(forecast.bytes_per_second(), 10.0);
        }
    }
    assert_eq!(files.len(), 10);
}

#[test]
fn a_burst_is_seen_and_forgotten_and_a_quiet_time_is_not_the_end() {
    let mut forecast = Forecast::new(&told(1 << 40, 3, 0), false);
    let mut bytes = 0;
    let mut after = |seconds: std::ops::Range<u64>, per_second: u64| {
        for second in seconds {
            bytes += per_second;
            let files = vec![file(0, Place::Live, bytes, at(second))];
            forecast.grace_seconds(&Look { at: at(second), files, in_memory_bytes: 0 });
        }
        forecast.bytes_per_second()
    };
    assert_near(after(0..7200, 100), 100.0);
    let burst = after(7200..7260, 10_000);
    assert!((2000.0..2200.0).contains(&burst), "a minute of five: {burst}");
    let gone = after(7260..7800, 100);
    assert!((260.0..270.0).contains(&gone), "a minute of the hour: {gone}");
    let quiet = after(7800..8700, 0);
    assert!(quiet > 200.0, "{quiet}");
    assert_near(after(8700..12_400, 0), 0.0);
}

proptest! {
    #![proptest_config(crate::properties::cases(256))]

    /// At a constant rate, a rotator that keeps what it was told to keep deletes a file when it was foreseen, whichever file
    /// it is.
    #[test]
    fn what_is_foreseen_comes_to_pass(
        backups in 1..6u64,
        steps_of_file in 1..40u64,
        bytes_per_step in 1..1000u64,
        steps_before in 0..300u64,
        read_to in 0..8usize,
    ) {
        const STEP: u64 = 7;
        let file_bytes = steps_of_file * bytes_per_step;
        let mut files = vec![file(0, Place::Live, 0, at(0))];
        let step = |files: &mut Vec<LogFile>, number: u64| {
            let now = at(number * STEP);
            let live = files.last_mut().unwrap();
            if live.content_bytes == file_bytes {
                live.place = Place::Backup;
                let sequence = live.sequence + 1;
                files.push(file(sequence, Place::Live, 0, now));
                if files.len() as u64 > backups + 1 {
                    files.remove(0);
                }
            }
            let live = files.last_mut().unwrap();
            live.content_bytes += bytes_per_step;
            live.modified = now;
            now
        };
        let mut forecast = Forecast::new(&told(file_bytes, backups, 0), false);
        let mut foreseen = f64::INFINITY;
        let mut watched = 0;
        for number in 0..=steps_before {
            let now = step(&mut files, number);
            let read_to = read_to.min(files.len() - 1);
            watched = files[read_to].sequence;
            let look = Look { at: now, files: files.clone(), in_memory_bytes: 0 }.unread_from(read_to);
            foreseen = forecast.grace_seconds(&look);
        }
        if steps_before == 0 {
            prop_assert!(foreseen.is_infinite());
            return Ok(());
        }
        let mut steps = 0;
        while files.iter().any(|file| file.sequence == watched) {
            steps += 1;
            step(&mut files, steps_before + steps);
        }
        let passed = float(steps * STEP);
        // A file that is full is rotated by the next write.
        let step = float(STEP);
        prop_assert!((passed - foreseen - step).abs() < 0.01 * passed, "{foreseen} s foreseen, {passed} s passed");
    }

    /// Nobody who has less unsettled has less time, the level one has most, and no number is no time.
    #[test]
    fn more_behind_is_less_grace(
        backups in 0..8u64,
        live_bytes in 0..2000u64,
        in_memory in 0..4000u64,
        (max_size, max_backups, max_age) in (0..3000u64, 0..9u64, 0..2000u64),
        gone in 0..4usize,
    ) {
        let told = told(max_size, max_backups, max_age);
        let mut look = log(backups, live_bytes);
        for file in look.files.iter_mut().take(gone.min(usize::try_from(backups).unwrap())) {
            file.place = Place::Deleted;
        }
        let mut before = grace(&told, &look);
        prop_assert!(before >= 0.0);
        for index in (0..look.files.len()).rev() {
            for look in [look.clone().unread_from(index), look.clone().unread_from(index).in_memory(in_memory)] {
                let grace = grace(&told, &look);
                prop_assert!(grace >= 0.0 && grace <= before, "{} then {}", before, grace);
                if look.in_memory_bytes == 0 {
                    before = grace;
                }
            }
        }
    }
}
