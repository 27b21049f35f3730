use super::*;

fn names(log: &str, files: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        std::fs::write(dir.path().join(file), "").unwrap();
    }
    let series = Series::new(&dir.path().join(log));
    let name = |entry: Entry| entry.path.file_name().unwrap().to_str().unwrap().to_owned();
    series.list().unwrap().into_iter().map(name).collect()
}

#[test]
fn lists_lumberjacks_backups_by_stamp_and_the_live_file_last() {
    let files = [
        "audit.log",
        "audit-2026-11-22T02-09-49.460.log.gz",
        "audit-2026-11-22T02-09-48.548.log.gz",
        "audit-2026-11-22T02-10-07.370.log",
        "audit-2026-11-22T02-10-07.370.log.gz",
        "audit-2026-11-22T02-10-07.log",
        "audit-policy.log",
        "audit.log.bak",
        "audit.log.gz.tmp",
        "other.log",
    ];
    assert_eq!(
        names("audit.log", &files),
        [
            "audit-2026-11-22T02-09-48.548.log.gz",
            "audit-2026-11-22T02-09-49.460.log.gz",
            "audit-2026-11-22T02-10-07.370.log",
            "audit.log"
        ]
    );
}

#[test]
fn any_extension_works_and_none_too() {
    let stamp = "2026-11-22T02-09-48.548";
    for (live, backup) in [
        ("kubernetes.audit", format!("kubernetes-{stamp}.audit")),
        ("audit", format!("audit-{stamp}")),
        ("kube.apiserver.audit.log", format!("kube.apiserver.audit-{stamp}.log.gz")),
        (".audit", format!("-{stamp}.audit")),
    ] {
        assert_eq!(names(live, &[live, &backup]), [backup.as_str(), live]);
    }
}

#[test]
fn logrotates_numbers_go_down_and_its_dates_up() {
    let live = "a.log";
    assert_eq!(
        names(live, &["a.log", "a.log.1", "a.log.10.gz", "a.log.2.gz"]),
        ["a.log.10.gz", "a.log.2.gz", "a.log.1", "a.log"]
    );
    assert_eq!(
        names(live, &["a.log-20260723-1784831532.gz", "a.log-20260722", "a.log", "a.log-2026"]),
        ["a.log-20260722", "a.log-20260723-1784831532.gz", "a.log"]
    );
}

#[test]
fn a_second_rotator_renames_backups_once_more() {
    let stamp = "a-2026-11-22T02-09-48.548.log";
    let later = "a-2026-11-22T02-09-49.548.log";
    let files = [&format!("{stamp}.1.gz"), &format!("{stamp}.2"), later, &format!("{stamp}x"), "a.log"];
    assert_eq!(names("a.log", &files), [files[1], files[0], later, "a.log"]);
}

#[test]
fn backups_around_the_target_of_a_link_belong_to_the_series() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    for (directory, names) in [(&here, ["a.log.1", "real.log.1"]), (&there, ["real.log", "real.log.1"])] {
        std::fs::create_dir(directory).unwrap();
        for name in names {
            std::fs::write(directory.join(name), "").unwrap();
        }
    }
    std::os::unix::fs::symlink(there.join("real.log"), here.join("a.log")).unwrap();
    let series = Series::new(&here.join("a.log"));
    let paths: Vec<_> = series.list().unwrap().into_iter().map(|entry| entry.path).collect();
    assert_eq!(paths, [here.join("a.log.1"), there.join("real.log.1"), here.join("a.log")]);
    assert!(series.entry_at(&there.join("real.log")).unwrap().is_live());
    assert_eq!(series.entry_at(&there.join("real.log.1")).unwrap().base, "real.log.1");
    assert!(series.may_be_renamed("a.log", "real.log.1"));
}

#[test]
fn a_directory_that_does_not_exist_holds_nothing() {
    assert!(Series::new(Path::new("/nonexistent/audit.log")).list().unwrap().is_empty());
}

#[test]
fn knows_which_renames_are_possible() {
    let series = Series::new(Path::new("a.log"));
    let stamped = "a-2026-11-22T02-09-48.548.log";
    for (before, after, possible) in [
        ("a.log", stamped, true),
        ("a.log", "a.log.1", true),
        ("a.log.1", "a.log.2", true),
        ("a.log.2", "a.log.1", false),
        (stamped, "a-2026-11-22T02-09-49.548.log", false),
        (stamped, "a.log", false),
        (stamped, stamped, true),
        (stamped, "a-2026-11-22T02-09-48.548.log.1", true),
        ("a-2026-11-22T02-09-48.548.log.1", "a-2026-11-22T02-09-48.548.log.2", true),
        ("a-2026-11-22T02-09-48.548.log.2", "a-2026-11-22T02-09-48.548.log.1", false),
        ("a-2026-11-22T02-09-48.548.log.1", "a-2026-11-22T02-09-49.548.log.2", false),
    ] {
        assert_eq!(series.may_be_renamed(before, after), possible, "{before} -> {after}");
    }
}
