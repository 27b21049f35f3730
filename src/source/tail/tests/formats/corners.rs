//! What a crash, an endless line, another format or another container leaves.

use super::*;

fn log_of(lines: &[Vec<u8>]) -> Log {
    let mut log = Log::new();
    log.file.write_all(&lines.concat()).unwrap();
    log
}

fn numbers(outcome: &Outcome) -> Vec<usize> {
    outcome.events.iter().map(|event| number_of(event)).collect()
}

#[test]
fn a_line_whose_end_never_comes_swallows_nothing() {
    for format in [Format::Cri, Format::Docker] {
        let line = |number| physical(format, Stream::Stdout, event(number).as_bytes(), true);
        // Of the other stream, with events behind it.
        let mut lines = vec![physical(format, Stream::Stderr, b"I1122 torn ", false)];
        lines.extend((0..100).map(line));
        // Of the same: nothing but parts, far more than a line may have.
        lines.push(physical(format, Stream::Stderr, b"its end", true));
        lines.extend(vec![physical(format, Stream::Stdout, &[b'x'; 500], false); 100]);
        lines.push(physical(format, Stream::Stderr, KLOG.as_bytes(), true));
        lines.extend((100..110).map(line));
        let log = log_of(&lines);
        let mut reading = Reading::new(&log, format, 7, 4000);
        reading.read(usize::MAX);
        assert_eq!(numbers(&reading.outcome), (0..110).collect::<Vec<_>>(), "{format:?}");
        let [(Reason::TooLarge, prefix, bytes)] = reading.outcome.asides.as_slice() else {
            panic!("{:?}", reading.outcome.asides)
        };
        assert!(*bytes > 50_000 && prefix.len() == 4096, "{bytes}");
    }
}

#[test]
fn an_event_in_many_parts_is_set_aside_whole_if_it_is_too_long() {
    let large = event(0).replace("\"verb\"", &format!("\"x\":\"{}\",\"verb\"", "y".repeat(9000)));
    for (format, max_line_bytes, is_read) in [(Format::Cri, 12_000, true), (Format::Cri, 9000, false)] {
        let parts: Vec<_> = large.as_bytes().chunks(1000).collect();
        let count = parts.len();
        let lines = parts.into_iter().enumerate();
        let mut lines: Vec<_> =
            lines.map(|(n, part)| physical(format, Stream::Stdout, part, n + 1 == count)).collect();
        lines.push(physical(format, Stream::Stdout, event(1).as_bytes(), true));
        let bytes = lines[..count].iter().map(Vec::len).sum::<usize>() as u64 - 1;
        let log = log_of(&lines);
        let mut reading = Reading::new(&log, format, 7, max_line_bytes);
        reading.read(usize::MAX);
        assert_eq!(numbers(&reading.outcome), if is_read { vec![0, 1] } else { vec![1] });
        let asides: Vec<_> =
            reading.outcome.asides.iter().map(|(reason, _, bytes)| (*reason, *bytes)).collect();
        assert_eq!(asides, if is_read { vec![] } else { vec![(Reason::TooLarge, bytes)] });
    }
}

/// kubelet makes a new file for each life of a container: what one left open the next does not go on with.
#[test]
fn what_the_next_file_does_not_go_on_with_is_set_aside() {
    let mut log = Log::new();
    let (format, torn) = (Format::Cri, event(0));
    log.file.write_all(&physical(format, Stream::Stdout, &torn.as_bytes()[..60], false)).unwrap();
    let mut reading = Reading::new(&log, format, 7, 1 << 20);
    reading.read(usize::MAX);
    log.rotate();
    reading.read(usize::MAX);
    assert!(reading.outcome == Outcome::default() && reading.tail.unread_bytes().unwrap() > 0);
    log.file.write_all(&physical(format, Stream::Stdout, event(1).as_bytes(), true)).unwrap();
    reading.read(usize::MAX);
    assert_eq!(numbers(&reading.outcome), [1]);
    let asides: Vec<_> =
        reading.outcome.asides.iter().map(|(reason, text, _)| (*reason, text.clone())).collect();
    assert_eq!(asides, [(Reason::Malformed, torn.as_bytes()[..60].to_vec())]);
    assert_eq!(reading.tail.unread_bytes().unwrap(), 0);
}

/// An event whose body holds what looks like another one, up to the end of that.
fn torn_behind_a_forged_one(number: usize) -> String {
    let whole = event(number);
    format!("{},\"requestObject\":{{\"items\":[{}", whole.strip_suffix('}').unwrap(), event(999_999))
}

/// Where the runtime cuts a long line is known, and so is where we do: nobody may put an event of his own there.
#[test]
fn what_ends_where_a_line_is_cut_is_no_event() {
    for format in [Format::Cri, Format::Docker] {
        let begin = torn_behind_a_forged_one(0);
        let rest = format!(",{}]}}}}", event(999_999));
        let mut lines = vec![physical(format, Stream::Stdout, begin.as_bytes(), false)];
        lines.extend(vec![physical(format, Stream::Stderr, &[b'x'; 1500], true); 3]);
        lines.push(physical(format, Stream::Stdout, rest.as_bytes(), true));
        lines.push(physical(format, Stream::Stdout, event(1).as_bytes(), true));
        let log = log_of(&lines);
        // All of it is one event; with lines of so many bytes it is cut in front of klog's line.
        for (max_line_bytes, expected) in
            [(1 << 20, vec![begin.clone() + &rest, event(1)]), (4100, vec![event(1)])]
        {
            let mut reading = Reading::new(&log, format, 7, max_line_bytes);
            reading.read(usize::MAX);
            let events: Vec<_> =
                reading.outcome.events.iter().map(|one| str::from_utf8(one).unwrap()).collect();
            assert_eq!(events, expected, "{format:?}");
            let set_aside: Vec<u8> =
                reading.outcome.asides.iter().flat_map(|(_, text, _)| text.clone()).collect();
            let torn = if events.len() == 2 { String::new() } else { begin.clone() + &rest };
            assert_eq!(String::from_utf8(set_aside).unwrap(), torn);
        }
    }
}

/// The successor of a container writes on a line of its own.
#[test]
fn what_one_container_left_open_is_not_glued_to_what_the_next_one_writes() {
    let directory = tempfile::tempdir().unwrap();
    let torn = torn_behind_a_forged_one(0);
    let part = |text: &str, is_last| physical(Format::Cri, Stream::Stdout, text.as_bytes(), is_last);
    let open_on_stderr = physical(Format::Cri, Stream::Stderr, b"I1122 torn", false);
    let of_container = |number: usize, lines: &[Vec<u8>]| {
        append(&directory.path().join(format!("kube-apiserver-{number}.log")))
            .write_all(&lines.concat())
            .unwrap();
    };
    of_container(1, &[open_on_stderr, part(&event(1), true), part(&torn, false)]);
    let pins = PinSet::of_one(&directory.path().join("kube-apiserver-*.log"));
    let mut tail = Tail::new(pins, 0, None, StartAt::Oldest, 1 << 20).in_format(Format::Cri);
    assert_eq!(read_all(&mut tail).0, [1]);
    // Whatever it writes first.
    of_container(2, &[physical(Format::Cri, Stream::Stderr, KLOG.as_bytes(), true)]);
    let mut batch = Batch::new(Buffers::default());
    tail.looked = None;
    while tail.fill(&mut batch, &LIMITS).unwrap() != Progress::AtEnd {}
    batch.seal();
    assert_eq!((batch.events(), batch.skipped().lines), (0, 1));
    let set_aside: Vec<u8> = batch.take_asides().into_iter().flat_map(|aside| aside.line).collect();
    assert_eq!(String::from_utf8(set_aside).unwrap(), torn);
    assert_eq!(tail.unread_bytes().unwrap(), 0);
    of_container(2, &[part(&event(2), true)]);
    tail.looked = None;
    assert_eq!(read_all(&mut tail).0, [2]);
}

/// Its end may be long in coming, or its writer dead.
#[test]
fn a_line_of_klog_that_is_left_open_holds_up_no_event() {
    for format in [Format::Cri, Format::Docker] {
        let klog = |text: &str, is_last| physical(format, Stream::Stderr, text.as_bytes(), is_last);
        let whole = |number| physical(format, Stream::Stdout, event(number).as_bytes(), true);
        let mut log = log_of(&[klog("I1122 a long ", false), whole(0), klog("line", false), whole(1)]);
        let mut reading = Reading::new(&log, format, 1, 1 << 20);
        reading.read(usize::MAX);
        assert_eq!((numbers(&reading.outcome), reading.outcome.skipped), (vec![0, 1], 0));
        assert_eq!(reading.tail.unread_bytes().unwrap(), 0);
        // Each of these is a position.
        reading.kill(&log);
        log.rotate();
        log.file.write_all(&[klog(" of it", true), whole(2)].concat()).unwrap();
        reading.read(usize::MAX);
        assert_eq!((numbers(&reading.outcome), reading.outcome.skipped), (vec![0, 1, 2], 1));
        assert_eq!(reading.outcome.asides, []);
    }
}

/// Two that write to one stream stand in each other's lines.
#[test]
fn a_line_of_the_legacy_form_behind_something_else_is_not_skipped() {
    let line =
        "I1122 torn2026-11-22T02:16:03.680582541Z AUDIT: id=\"1\" stage=\"ResponseComplete\"".to_owned();
    let log = log_of(&[physical(Format::Cri, Stream::Stdout, line.as_bytes(), true)]);
    let mut reading = Reading::new(&log, Format::Cri, 7, 1 << 20);
    reading.read(usize::MAX);
    let asides: Vec<_> = reading.outcome.asides.iter().map(|(_, text, _)| text.clone()).collect();
    assert_eq!((asides, reading.outcome.skipped), (vec![line.into_bytes()], 0));
}

#[test]
fn what_a_crash_of_the_runtime_has_torn_costs_no_other_event() {
    for format in [Format::Cri, Format::Docker] {
        let line = |number| physical(format, Stream::Stdout, event(number).as_bytes(), true);
        let torn = line(0);
        let log = log_of(&[torn[..torn.len() / 2].to_vec(), line(1), line(2)]);
        let mut reading = Reading::new(&log, format, 1, 1 << 20);
        reading.read(usize::MAX);
        assert_eq!(numbers(&reading.outcome), [1, 2], "{format:?}");
        assert_eq!(reading.outcome.asides.len(), 1, "{:?}", reading.outcome.asides);
    }
}

#[test]
fn in_the_middle_of_a_file_a_line_of_another_format_is_set_aside_and_names_the_setting() {
    let cri = physical(Format::Cri, Stream::Stdout, event(0).as_bytes(), true);
    let json = [event(1).as_bytes(), b"\n"].concat();
    let log = log_of(&[cri.clone(), json.clone(), cri]);
    let mut tail = Reading::tail(&log, Format::Cri, None, 1 << 20);
    let mut batch = Batch::new(Buffers::default());
    while tail.fill(&mut batch, &LIMITS).unwrap() != Progress::AtEnd {}
    batch.seal();
    assert_eq!(batch.events(), 2);
    let asides = batch.take_asides();
    assert!(
        asides.len() == 1 && asides[0].detail.contains("set source.format: json (or auto)"),
        "{asides:?}"
    );
    // With the format that fits each line, all are taken.
    let mut reading = Reading::new(&log, Format::Auto, 7, 1 << 20);
    reading.read(usize::MAX);
    assert_eq!(numbers(&reading.outcome), [0, 1, 0]);
}

#[test]
fn nothing_is_taken_of_a_file_in_another_format() {
    let klog = physical(Format::Cri, Stream::Stderr, KLOG.as_bytes(), true);
    let log =
        log_of(&[b"\n".to_vec(), klog, physical(Format::Cri, Stream::Stdout, event(0).as_bytes(), true)]);
    let mut cursor = None;
    for format in [Format::Json, Format::Docker, Format::Legacy, Format::Json] {
        let mut tail = Reading::tail(&log, format, cursor.as_ref(), 1 << 20);
        let mut batch = Batch::new(Buffers::default());
        for _ in 0..3 {
            match tail.fill(&mut batch, &LIMITS) {
                Ok(progress) => assert_eq!(progress, Progress::Full, "its beginning is a position"),
                Err(error) => {
                    assert!(error.to_string().ends_with("set source.format: cri (or auto)"), "{error}");
                }
            }
        }
        batch.seal();
        assert!(batch.is_empty());
        cursor = batch.end().cloned().or(cursor);
    }
    let mut tail = Reading::tail(&log, Format::Cri, cursor.as_ref(), 1 << 20);
    assert_eq!(read_all(&mut tail).0, [0]);
}
