use super::*;

fn contents(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn mode_and_owner(path: &Path) -> (u32, u32) {
    let metadata = std::fs::metadata(path).unwrap();
    (metadata.permissions().mode() & 0o777, metadata.uid())
}

#[test]
fn whoever_waited_for_a_file_that_was_replaced_gets_the_one_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("siem.rejected.ndjson");
    std::fs::write(&path, "old\nkept\n").unwrap();
    let late = File::options().append(true).open(&path).unwrap();
    let held = Held::take(&path).unwrap();
    assert!(Held::try_hold(late.try_clone().unwrap(), &path).unwrap().is_none(), "it is held");
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| Held::take(&path).unwrap().append(b"new\n"));
        let (held, removed) = held.rewrite(|line| line != b"old", b"").unwrap();
        assert_eq!(removed, 1);
        // What was put in its place is held as well.
        assert!(File::open(&path).unwrap().try_lock().is_err());
        assert_eq!(contents(&path), "kept\n");
        drop(held);
        assert!(Held::try_hold(late, &path).unwrap().is_none(), "it was replaced");
        appending.join().unwrap().unwrap();
    });
    assert_eq!(contents(&path), "kept\nnew\n");
}

#[test]
fn a_rewrite_is_the_owners_alone_and_survives_what_a_killed_one_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("siem.rejected.ndjson");
    std::fs::write(&path, "a\nb\ntorn").unwrap();
    std::fs::write(dir.path().join("siem.rejected.ndjson.new"), "half of a rewr").unwrap();
    let user = if fchown(File::open(&path).unwrap(), Some(12_345), None).is_ok() {
        12_345
    } else {
        mode_and_owner(&path).1
    };
    Held::take(&path).unwrap().rewrite(|line| line != b"a", b"").unwrap();
    assert_eq!(contents(&path), "b\ntorn\n");
    assert_eq!(mode_and_owner(&path), (0o600, user));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_new_file_is_the_directorys_owners() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("siem.rejected.ndjson");
    let _ = fchown(File::open(dir.path()).unwrap(), Some(12_345), None);
    Held::take(&path).unwrap().append(b"a\n").unwrap();
    assert_eq!(mode_and_owner(&path), (0o600, std::fs::metadata(dir.path()).unwrap().uid()));
}

#[test]
fn a_file_that_was_moved_away_is_not_put_back_and_what_came_in_its_place_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("siem.rejected.ndjson");
    std::fs::write(&path, "a\nb\n").unwrap();
    let held = Held::take(&path).unwrap();
    std::fs::rename(&path, dir.path().join("moved")).unwrap();
    std::fs::write(&path, "later\n").unwrap();
    let error = held.rewrite(|line| line != b"a", b"").unwrap_err();
    assert_eq!(error.to_string(), "it was moved away meanwhile");
    assert_eq!(contents(&path), "later\n");
    assert_eq!(contents(&dir.path().join("moved")), "a\nb\n");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn lines_that_were_looked_at_stay_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("siem.rejected.ndjson");
    assert!(Held::look(&path).unwrap().is_none());
    std::fs::write(&path, "a\nb\n").unwrap();
    let mut lines = Held::look(&path).unwrap().unwrap();
    Held::take(&path).unwrap().append(b"c\n").unwrap();
    assert_eq!(lines.next_line().unwrap(), Some(b"a".as_slice()));
    Held::take(&path).unwrap().rewrite(|line| line == b"c", b"").unwrap();
    assert_eq!(lines.next_line().unwrap(), Some(b"b".as_slice()));
    assert_eq!(lines.next_line().unwrap(), None);
}

#[test]
fn what_was_written_to_a_file_that_was_moved_away_meanwhile_is_not_taken_for_written() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("siem.rejected.ndjson"), dir.path().join("moved"));
    std::fs::write(&path, "a\n").unwrap();
    let mut held = Held::take(&path).unwrap();
    std::fs::rename(&path, &moved).unwrap();
    assert_eq!(held.append(b"b\n").unwrap_err().to_string(), "it was moved away meanwhile");
    assert_eq!(contents(&moved), "a\n");
    Held::take(&path).unwrap().append(b"b\n").unwrap();
    assert_eq!(contents(&path), "b\n");
}

#[test]
fn a_link_leads_nobody_to_a_file_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (dir.path().join("siem.rejected.ndjson"), dir.path().join("elsewhere"));
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    for there in [false, true] {
        assert!(Held::take(&path).is_err() && Held::look(&path).is_err());
        assert!(Held::take_existing(&path).is_err());
        assert_eq!(elsewhere.exists(), there);
        std::fs::write(&elsewhere, "").unwrap();
    }
}

#[test]
fn a_fifo_holds_nobody_up_and_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("siem.rejected.ndjson");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    // Either may have no place for a reader or a writer; what counts is that both return, and nothing counts as kept.
    drop(Held::look(&path));
    assert!(Held::take(&path).and_then(|mut held| held.append(b"{}\n")).is_err());
}
