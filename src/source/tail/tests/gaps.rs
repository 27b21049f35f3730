//! Gaps: the batch ends before one, the next begins behind it, and no cursor passes it on the way.

use super::*;

/// A backup of `lines` lines that was compressed, cut short, and left alone since.
fn spoilt_backup(log: &mut Log, lines: usize) -> String {
    log.write(lines);
    let backup = log.rotate();
    log.gzip(&backup);
    let path = log.path(&format!("{backup}.gz"));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..4]).unwrap();
    let old = SystemTime::now() - 2 * GZ_SETTLES_AFTER;
    fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    backup
}

/// One call: how far it got, the events, the end of the batch, and the gaps that were seen.
fn fill(tail: &mut Tail) -> (Progress, Vec<usize>, Option<Cursor>, Vec<Gap>) {
    let mut batch = Batch::new(Buffers::default());
    let mut progress = tail.fill(&mut batch, &LIMITS).unwrap();
    if progress == Progress::Full && batch.is_empty() {
        // The first position of all.
        progress = tail.fill(&mut batch, &LIMITS).unwrap();
    }
    batch.seal();
    let numbers = (0..batch.events()).map(|index| number_of(&batch.line(index))).collect();
    (progress, numbers, batch.end().cloned(), tail.take_observed().gaps)
}

#[test]
fn a_cursor_passes_a_gap_only_after_the_batch_that_ends_before_it() {
    let mut log = Log::new();
    log.write(3);
    log.rotate();
    let spoilt = [spoilt_backup(&mut log, 10), spoilt_backup(&mut log, 10)];
    log.write(4);
    let mut tail = log.tail(None);
    let (progress, numbers, before, first) = fill(&mut tail);
    assert_eq!((progress, numbers), (Progress::Gap, vec![0, 1, 2]));
    let (progress, numbers, end, second) = fill(&mut tail);
    assert_eq!((progress, numbers.len(), end), (Progress::Gap, 0, None), "each is one");
    for (gaps, file) in [&first, &second].into_iter().zip(&spoilt) {
        assert!(
            gaps.len() == 1 && !gaps[0].certain && gaps[0].from == 0 && gaps[0].file == *file,
            "{gaps:?}"
        );
    }
    assert_eq!(fill(&mut tail).1, [23, 24, 25, 26]);
    // From the end of the first batch they are found again, and they are the same.
    let mut again = log.tail(before.as_ref());
    let (progress, numbers, end, found) = fill(&mut again);
    assert_eq!((progress, numbers, found), (Progress::Gap, vec![], first));
    assert!(end.is_none() || end == before, "no cursor passes it");
    assert_eq!(fill(&mut again), (Progress::Gap, vec![], None, second));
    assert_eq!(fill(&mut again).1, [23, 24, 25, 26]);
}

#[test]
fn a_gap_of_the_time_before_the_restart_is_passed_once_and_for_all() {
    let mut log = Log::new();
    log.write(30);
    let (_, cursor) = read_some(&mut log.tail(None), 2);
    let backup = log.rotate();
    fs::remove_file(log.path(&backup)).unwrap();
    let mut tail = log.tail(cursor.as_ref());
    let (progress, numbers, end, gaps) = fill(&mut tail);
    assert_eq!((progress, numbers.len(), end), (Progress::Gap, 0, None));
    assert_eq!(gaps[0].from, cursor.as_ref().unwrap().last.as_ref().unwrap().offset);
    assert_eq!(fill(&mut log.tail(cursor.as_ref())).3, gaps, "the same after a crash");
    // Nothing was read behind it yet, and still it is behind us.
    let past = tail.cursor();
    log.write(2);
    let mut after = log.tail(Some(&past));
    assert_eq!(fill(&mut after), (Progress::AtEnd, vec![30, 31], Some(after.cursor()), vec![]));
    assert_eq!(fill(&mut tail).1, [30, 31]);
}

#[test]
fn a_gap_has_its_place_in_time() {
    let timed = |number: usize| {
        let time = format!(r#""stageTimestamp":"2026-11-22T02:00:{number:02}.000001Z","#);
        event(number).replace("\"verb\"", &format!("{time}\"verb\"")) + "\n"
    };
    let time_of = |number: usize| Some(format!("2026-11-22T02:00:{number:02}.000001Z").parse().unwrap());
    let mut log = Log::new();
    (0..10).for_each(|number| log.file.write_all(timed(number).as_bytes()).unwrap());
    let (_, cursor) = read_some(&mut log.tail(None), 1);
    assert_eq!(cursor.as_ref().unwrap().time, time_of(6));
    let backup = log.rotate();
    fs::remove_file(log.path(&backup)).unwrap();
    (20..23).for_each(|number| log.file.write_all(timed(number).as_bytes()).unwrap());
    let mut tail = log.tail(cursor.as_ref());
    let gap = fill(&mut tail).3.remove(0);
    assert_eq!((gap.after, gap.before), (time_of(6), time_of(20)));
    assert_eq!(fill(&mut tail).1, [20, 21, 22], "to look at an event is not to take it");

    // Cut short in place while it is open.
    let file = fs::File::options().append(true).open(log.path("audit.log")).unwrap();
    file.set_len(0).unwrap();
    let gap = fill(&mut tail).3.remove(0);
    assert_eq!((gap.certain, gap.after, gap.before), (false, time_of(22), None));
}
