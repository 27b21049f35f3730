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

#[test]
fn kubelets_stamps_order_by_time_and_what_it_is_still_writing_is_none() {
    let files = [
        "0.log",
        "0.log.20260723-184532.gz",
        "0.log.20260724-000001",
        "0.log.20260723-235959",
        "0.log.20260723-235959.tmp",
        "0.log.20260723-235959.gz.tmp",
        "0.log.20260723-1845",
        "0.log.2026-07-23",
        "00.log.20260723-184532",
        "1.log.20260723-184532",
    ];
    assert_eq!(
        names("0.log", &files),
        ["0.log.20260723-184532.gz", "0.log.20260723-235959", "0.log.20260724-000001", "0.log"]
    );
}

/// A directory of links, and directories of pods beside it.
struct Node(tempfile::TempDir);

const LINKS: &str = "kube-apiserver-*_kube-system_kube-apiserver-*.log";

fn link_of(id: u64) -> String {
    format!("kube-apiserver-n1_kube-system_kube-apiserver-{id:064x}.log")
}

impl Node {
    fn new() -> Self {
        let node = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(node.path("containers")).unwrap();
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        path
    }

    /// The link of a container that began at this second.
    fn link(&self, id: u64, target: &str, second: i64) -> PathBuf {
        let link = self.path("containers").join(link_of(id));
        link_to(&self.path(target), &link, second);
        link
    }

    fn series(&self) -> Series {
        Series::new(&self.path("containers").join(LINKS))
    }

    /// What is listed, by path below this directory, and by base.
    fn listed(&self, series: &Series) -> Vec<(String, String)> {
        let entries = series.list().unwrap();
        let short = |path: &Path| path.strip_prefix(self.path("")).unwrap().display().to_string();
        entries.into_iter().map(|entry| (short(&entry.path), entry.base)).collect()
    }
}

/// A link that was made at this second, which takes the place of one that may be there.
fn link_to(target: &Path, link: &Path, second: i64) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let new = link.with_file_name("new-link");
    std::os::unix::fs::symlink(target, &new).unwrap();
    let at = Timespec { tv_sec: 1_784_831_532 + second, tv_nsec: 0 };
    let times = Timestamps { last_access: at, last_modification: at };
    utimensat(CWD, &new, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    std::fs::rename(new, link).unwrap();
}

#[test]
fn containers_follow_one_another_by_the_time_of_their_links_each_behind_its_backups() {
    let node = Node::new();
    for file in [
        "pods/a/0.log",
        "pods/a/0.log.20260723-100000",
        "pods/a/1.log",
        "pods/a/1.log.20260723-120000.gz",
        "pods/a/1.log.20260723-110000",
        "pods/a/10.log",
        "pods/b/0.log.20260723-100000",
        "pods/b/0.log",
    ] {
        node.file(file);
    }
    node.link(9, "pods/a/0.log", 1);
    node.link(3, "pods/a/1.log", 2);
    node.link(5, "pods/b/0.log", 3);
    std::os::unix::fs::symlink(
        node.path("pods/b/0.log"),
        node.path("containers/etcd-n1_kube-system_etcd-0.log"),
    )
    .unwrap();
    let series = node.series();
    let (first, second, third) = (link_of(9), link_of(3), link_of(5));
    let expected = [
        ("pods/a/0.log.20260723-100000".to_owned(), format!("{first}.20260723-100000")),
        (format!("containers/{first}"), first.clone()),
        ("pods/a/1.log.20260723-110000".to_owned(), format!("{second}.20260723-110000")),
        ("pods/a/1.log.20260723-120000.gz".to_owned(), format!("{second}.20260723-120000")),
        (format!("containers/{second}"), second.clone()),
        ("pods/b/0.log.20260723-100000".to_owned(), format!("{third}.20260723-100000")),
        (format!("containers/{third}"), third.clone()),
    ];
    assert_eq!(node.listed(&series), expected);
    let live: Vec<Entry> = series.list().unwrap().into_iter().filter(Entry::is_live).collect();
    assert!(live.len() == 1 && live[0].base == third, "{live:?}");
    assert_eq!(series.live_path(), node.path("containers").join(&third));
    assert_eq!(
        series.directories(),
        [node.path("containers"), node.path("pods/a"), node.path("pods/b")],
        "each once"
    );
    for (path, base) in expected.iter().filter(|(path, _)| path.strip_suffix(".gz").is_none()) {
        let entry = series.entry_at(&node.path(path)).unwrap();
        assert_eq!((&entry.base, entry.is_live()), (base, *base == third), "{path}");
    }
    let file = series.entry_at(&node.path("pods/b/0.log")).unwrap();
    assert!(file.is_live() && file.path == node.path("containers").join(&third));
    assert!(!series.entry_at(&node.path("pods/a/0.log")).unwrap().is_live());
    for other in ["pods/a/10.log", "pods/c/0.log", "containers/etcd-n1_kube-system_etcd-0.log"] {
        assert_eq!(series.entry_at(&node.path(other)), None, "{other}");
    }
}

#[test]
fn dockers_files_lie_behind_two_links_and_are_numbered() {
    let node = Node::new();
    for file in ["docker/1/1-json.log", "docker/1/1-json.log.1", "docker/1/1-json.log.2.gz"] {
        node.file(file);
    }
    std::fs::create_dir_all(node.path("pods/a")).unwrap();
    std::os::unix::fs::symlink("../../docker/1/1-json.log", node.path("pods/a/0.log")).unwrap();
    let link = node.link(1, "pods/a/0.log", 1);
    let base = link_of(1);
    let expected = [format!("{base}.2"), format!("{base}.1"), base.clone()].map(|base| (base.clone(), base));
    let bases = |series: &Series| -> Vec<(String, String)> {
        node.listed(series).into_iter().map(|(_, base)| (base.clone(), base)).collect()
    };
    assert_eq!(bases(&node.series()), expected);
    assert_eq!(node.series().directories()[1..], [node.path("pods/a"), node.path("docker/1")]);
    assert!(node.series().entry_at(&node.path("docker/1/1-json.log")).unwrap().is_live());
    // The same by the one name.
    let single = Series::new(&link);
    let paths: Vec<PathBuf> = single.list().unwrap().into_iter().map(|entry| entry.path).collect();
    assert_eq!(paths, [node.path("docker/1/1-json.log.2.gz"), node.path("docker/1/1-json.log.1"), link]);
}

#[test]
fn links_that_lead_nowhere_and_links_that_are_led_elsewhere() {
    let node = Node::new();
    assert!(node.series().list().unwrap().is_empty());
    assert_eq!(node.series().live_path(), node.path("containers").join(LINKS));
    node.link(1, "pods/a/0.log", 1);
    let series = node.series();
    let base = link_of(1);
    assert_eq!(node.listed(&series), [(format!("containers/{base}"), base.clone())]);
    // As in the instant in which kubelet rotates it.
    node.file("pods/a/0.log.20260723-100000");
    assert_eq!(node.listed(&series).len(), 2);
    let backup = series.entry_at(&node.path("pods/a/0.log.20260723-100000")).unwrap();
    assert_eq!(backup.base, format!("{base}.20260723-100000"));
    node.link(1, "pods/b/3.log", 2);
    node.file("pods/b/3.log.1");
    assert_eq!(
        node.listed(&series),
        [("pods/b/3.log.1".to_owned(), format!("{base}.1")), (format!("containers/{base}"), base.clone())]
    );
    std::fs::remove_file(node.path("containers").join(&base)).unwrap();
    let gone = series.entry_at(&node.path("containers").join(&base)).unwrap();
    assert!(gone.base == base && !gone.is_live());
    std::os::unix::fs::symlink("loop", node.path("containers/loop")).unwrap();
    assert_eq!(Series::new(&node.path("containers/loop")).directories(), [node.path("containers")]);
}

#[test]
fn plain_files_that_fit_a_pattern_have_their_backups_beside_them() {
    let node = Node::new();
    for file in ["x-1.log", "x-1.log.1", "x-1.log.20260723-100000.gz", "x.log.gz", "y-1.log"] {
        node.file(file);
    }
    for pattern in ["x-*.log", "x*", "*-1.log*"] {
        let bases: Vec<_> =
            node.listed(&Series::new(&node.path(pattern))).into_iter().map(|listed| listed.1).collect();
        let expected = ["x-1.log.20260723-100000", "x-1.log.1", "x-1.log"];
        assert!(bases.starts_with(&expected.map(str::to_owned)), "{pattern}: {bases:?}");
        assert_eq!(bases.len(), 3 + usize::from(pattern.starts_with('*')), "{pattern}: {bases:?}");
    }
}

#[test]
fn a_star_stands_for_any_text() {
    for (pattern, name, fits) in [
        ("a*.log", "a.log", true),
        ("a*.log", "abc.log", true),
        ("a*.log", "abc.logs", false),
        ("ab*b.log", "ab.log", false),
        ("a*_b*_c*.log", "a1_b2_c3.log", true),
        ("a*_b*_c*.log", "a_c_b.log", false),
        ("*", "anything", true),
        ("a**b", "ab", true),
    ] {
        let found = Series::new(Path::new(pattern)).is_live_name(name);
        assert_eq!(found, fits, "{pattern} {name}");
    }
    for (path, is_right) in [
        ("/var/log/audit.log", true),
        ("/var/log/containers/kube-apiserver-*_kube-system_kube-apiserver-*.log", true),
        ("/var/log/pods/*/kube-apiserver/0.log", false),
        ("/var/log/audit?.log", false),
        ("/var/log/audit[0-9].log", false),
    ] {
        assert_eq!(problem_of_pattern(path).is_none(), is_right, "{path}");
    }
}

#[test]
fn a_container_only_becomes_what_has_its_name() {
    let series = Series::new(&Path::new("/c").join(LINKS));
    let (one, other) = (link_of(1), link_of(2));
    for (before, after, possible) in [
        (one.clone(), format!("{one}.20260723-100000"), true),
        (one.clone(), format!("{other}.20260723-100000"), false),
        (one.clone(), other.clone(), false),
        (format!("{one}.1"), format!("{one}.2"), true),
        (format!("{one}.20260723-100000"), one.clone(), false),
        ("0.log.20260723-100000".to_owned(), format!("{one}.20260723-100000"), true),
    ] {
        assert_eq!(series.may_be_renamed(&before, &after), possible, "{before} -> {after}");
    }
}

#[test]
fn what_was_kept_finds_its_entry_though_its_container_is_gone() {
    let node = Node::new();
    node.file("pods/a/0.log");
    node.link(1, "pods/a/0.log", 1);
    let series = node.series();
    let (there, gone) = (link_of(1), link_of(2));
    let entry = |base: &str| series.kept(base, false).map(|entry| (entry.path.clone(), entry.is_live()));
    let in_pod = node.path("pods/a/0.log.20260723-100000");
    assert_eq!(entry(&there), Some((node.path("containers").join(&there), true)));
    assert_eq!(entry(&format!("{there}.20260723-100000")), Some((in_pod, false)));
    assert_eq!(entry(&gone), Some((node.path("containers").join(&gone), false)));
    assert!(entry(&format!("{gone}.1")).is_some());
    assert_eq!(entry("audit.log"), None, "of another log");
    // A very long name comes back without its beginning.
    let long = format!("kube-apiserver-{}_kube-system_kube-apiserver-{:064x}.log", "n".repeat(120), 3);
    let of_log = keep::LogId::of(&node.path("containers"));
    let key = keep::Key { log: of_log, sequence: 0, name: format!("{long}.20260723-100000"), gz: true };
    let cut = keep::Key::decode(&key.encode()).unwrap().name;
    assert!(cut.len() < key.name.len());
    assert!(series.kept(&cut, true).is_some());
    link_to(&node.path("pods/a/0.log"), &node.path("containers").join(&long), 2);
    assert_eq!(series.kept(&cut, true).unwrap().base, key.name);
}

#[test]
fn a_fixed_name_is_outdated_once_there_is_a_younger_container() {
    let node = Node::new();
    let first = node.link(9, "pods/a/0.log", 1);
    let series = Series::new(&first);
    assert_eq!(series.outdated_by(), None);
    let pattern = node.path("containers/kube-apiserver-n1_kube-system_kube-apiserver-*.log");
    node.link(3, "pods/a/1.log", 2);
    assert_eq!(series.outdated_by(), Some(pattern.display().to_string()));
    assert_eq!(Series::new(&node.path("containers").join(link_of(3))).outdated_by(), None);
    std::fs::remove_file(&first).unwrap();
    assert!(series.outdated_by().is_some());
    assert_eq!(Series::new(&node.path("containers/audit.log")).outdated_by(), None);
}
