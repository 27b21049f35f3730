//! What is written, under which names, and what is never touched.

use super::*;

#[test]
fn lines_are_as_kube_apiserver_wrote_them() {
    let place = Place::new();
    let mut writer = place.writer();
    assert_eq!(place.names(), [""; 0], "nothing is made before there is something to write");
    let ((first, events), (second, more)) = (batch(0..50), batch(50..60));
    let bytes = first.len() as u64;
    assert_eq!(writer.write(&events).unwrap(), Size { body_bytes: bytes, sent_bytes: bytes });
    writer.write(&more).unwrap();
    assert!(place.content() == [first, second].concat());
    let bits = |place: &Place| fs::metadata(&place.config.path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(bits(&place), 0o600);
    let mut readable = Place::new();
    readable.config.mode = 0o664;
    readable.writer().write(&events).unwrap();
    assert_eq!(bits(&readable), 0o664, "whatever the umask is");
}

#[test]
fn a_full_file_becomes_a_backup_and_no_batch_is_divided() {
    let mut place = Place::new();
    let batches: Vec<_> = (0..8).map(|number| batch(number * 10..number * 10 + 10)).collect();
    place.config.max_size = batches.iter().map(|(lines, _)| lines.len() as u64).max().unwrap() * 2;
    let mut writer = place.writer();
    for (_, events) in &batches {
        writer.write(events).unwrap();
    }
    let files: Vec<Vec<u8>> =
        place.backups().iter().map(|name| place.read(name)).chain([place.content()]).collect();
    assert!(files.len() >= 3, "{:?}", place.names());
    assert_eq!(place.names().len(), files.len(), "nothing else is left");
    assert!(files.iter().all(|file| file.len() as u64 <= place.config.max_size));
    assert!(files.concat() == batches.iter().flat_map(|(lines, _)| lines.clone()).collect::<Vec<_>>());
    // Larger than a file may be: it has one of its own.
    let (large, events) = batch(0..200);
    writer.write(&events).unwrap();
    assert!(large.len() as u64 > place.config.max_size && place.content() == large);
}

#[test]
fn backups_are_compressed_and_the_oldest_deleted() {
    let mut place = Place::new();
    (place.config.max_size, place.config.max_backups, place.config.compress) = (1, 3, true);
    place.config.mode = 0o640;
    // Left by a process that died while it compressed.
    let (interrupted, _) = batch(90..92);
    fs::write(place.path("events-2020-01-01T00-00-00.000.log"), &interrupted).unwrap();
    fs::write(place.path("events-2020-01-01T00-00-00.000.log.gz.new"), b"\x1f\x8b").unwrap();
    fs::write(place.path("events-2020-01-01T00-00-00.000.log.1"), b"another's").unwrap();
    let mut writer = place.writer();
    let batches: Vec<_> = (0..3).map(|number| batch(number..number + 1)).collect();
    for (_, events) in &batches {
        writer.write(events).unwrap();
    }
    let all_compressed = || place.backups().iter().all(|name| is_compressed(name));
    wait_until("three compressed backups", || place.backups().len() == 3 && all_compressed());
    let backups = place.backups();
    assert!(place.read(&backups[0]) == interrupted);
    assert!(place.read(&backups[1]) == batches[0].0 && place.read(&backups[2]) == batches[1].0);
    let mode = fs::metadata(place.path(&backups[2])).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o640);
    writer.write(&batch(5..6).1).unwrap();
    wait_until("the oldest to go", || place.backups().len() == 3 && all_compressed());
    wait_until("nothing unfinished", || place.names().len() == 5);
    assert!(place.read(&place.backups()[0]) == batches[0].0);
    assert_eq!(place.read("events-2020-01-01T00-00-00.000.log.1"), b"another's");
}

#[test]
fn a_backup_is_younger_than_all_others_whatever_the_clock_says() {
    let mut place = Place::new();
    place.config.max_size = 1;
    let future = "events-2999-12-31T23-59-59.999.log.gz";
    fs::write(place.path(future), b"x").unwrap();
    fs::write(place.path("events-9999-99-99T99-99-99.999.log"), b"no time at all").unwrap();
    let mut writer = place.writer();
    let batches: Vec<_> = (0..3).map(|number| batch(number..number + 1)).collect();
    for (_, events) in &batches {
        writer.write(events).unwrap();
    }
    assert_eq!(place.read("events-3000-01-01T00-00-00.000.log"), batches[0].0);
    assert_eq!(place.read("events-3000-01-01T00-00-00.001.log"), batches[1].0);
    assert_eq!(place.names().len(), 5);
}

#[test]
fn what_a_crash_has_torn_is_cut_off() {
    let (whole, _) = batch(0..3);
    let (lines, events) = batch(3..5);
    let half_line = lines.split(|byte| *byte == b'\n').next().unwrap();
    let padding = vec![b'x'; 600 << 10];
    for torn in [
        &b""[..],
        b"{",
        half_line,
        b"\0\0\0\0",
        b"{\"kind\":\"Ev\0\0\0\0",
        b"\0\0\0\"}\n{\"kind\":\"Event\"}\n",
        b"{\"a\0b\":1}\n{}\n{",
        &padding,
        &[&padding[..], b"\0", &padding, b"\n{}\n"].concat(),
    ] {
        let place = Place::new();
        fs::write(&place.config.path, [&whole, torn].concat()).unwrap();
        place.writer().write(&events).unwrap();
        assert!(
            place.content() == [&whole[..], &lines].concat(),
            "{}",
            torn[..torn.len().min(30)].escape_ascii()
        );
    }
}

type Prepare = fn(&Place);

#[test]
fn only_a_file_of_ours_is_ever_touched() {
    let (_, events) = batch(0..1);
    let cases: [(&str, Prepare); 8] = [
        ("directory does not exist", |place| fs::remove_dir(place.directory.path()).unwrap()),
        ("is a directory", |place| fs::create_dir(&place.config.path).unwrap()),
        ("symbolic link", |place| {
            fs::write(place.path("target"), "{}\n{").unwrap();
            symlink(place.path("target"), &place.config.path).unwrap();
        }),
        ("no regular file", |place| {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, &place.config.path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        }),
        ("something else than events", |place| fs::write(&place.config.path, "root:x:0:0").unwrap()),
        ("something else than events", |place| fs::write(&place.config.path, "\0\0\0").unwrap()),
        ("is the log that is tailed", |place| {
            fs::write(place.path("audit.log"), "{}\n{").unwrap();
            fs::hard_link(place.path("audit.log"), &place.config.path).unwrap();
        }),
        ("another process writes to it", |place| {
            let file = File::create(&place.config.path).unwrap();
            file.lock().unwrap();
            // Held until the process ends.
            std::mem::forget(file);
        }),
    ];
    for (expect, prepare) in cases {
        let place = Place::new();
        prepare(&place);
        let files = ["target", "audit.log", "events.log"];
        let before = files.map(|name| {
            fs::metadata(place.path(name)).ok().filter(fs::Metadata::is_file).map(|_| place.read(name))
        });
        let mut writer = place.writer();
        if !expect.contains("another process") {
            let error = writer.probe().unwrap_err();
            assert!(what_is_wrong(&error).contains(expect), "{error}");
        }
        for _ in 0..2 {
            let error = writer.write(&events).unwrap_err();
            assert!(what_is_wrong(&error).contains(expect), "{error}");
            assert!(error.to_string().starts_with(place.config.path.to_str().unwrap()), "{error}");
        }
        let after = files.map(|name| {
            fs::metadata(place.path(name)).ok().filter(fs::Metadata::is_file).map(|_| place.read(name))
        });
        assert!(before == after, "{expect}");
    }
}

#[test]
fn a_probe_changes_nothing() {
    let place = Place::new();
    place.writer().probe().unwrap();
    assert_eq!(place.names(), [""; 0]);
    fs::write(&place.config.path, "{}\n{").unwrap();
    place.writer().probe().unwrap();
    assert_eq!(place.content(), b"{}\n{");
}

#[test]
fn what_others_do_to_the_file_is_seen_before_each_batch() {
    let place = Place::new();
    let batches: Vec<_> = (0..5).map(|number| batch(number..number + 1)).collect();
    let mut writer = place.writer();
    writer.write(&batches[0].1).unwrap();
    fs::rename(&place.config.path, place.path("events.log.1")).unwrap();
    writer.write(&batches[1].1).unwrap();
    assert!(place.read("events.log.1") == batches[0].0 && place.content() == batches[1].0);
    fs::remove_file(&place.config.path).unwrap();
    writer.write(&batches[2].1).unwrap();
    assert!(place.content() == batches[2].0);
    // As logrotate's copytruncate does it.
    File::options().write(true).open(&place.config.path).unwrap().set_len(0).unwrap();
    writer.write(&batches[3].1).unwrap();
    assert!(place.content() == batches[3].0);
    // Somebody's half line would be glued to ours.
    fs::write(&place.config.path, [&batches[3].0[..], b"{\"half"].concat()).unwrap();
    writer.write(&batches[4].1).unwrap();
    assert!(place.content() == [&batches[3].0[..], &batches[4].0].concat());
}

#[test]
fn a_file_has_one_writer() {
    let place = Place::new();
    let (lines, events) = batch(0..1);
    let (mut first, mut second) = (place.writer(), place.writer());
    first.write(&events).unwrap();
    assert!(what_is_wrong(&second.write(&events).unwrap_err()).contains("another process"));
    drop(first);
    second.write(&events).unwrap();
    assert!(place.content() == [&lines[..], &lines].concat());
}
