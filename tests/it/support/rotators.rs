//! What other rotators than lumberjack do to a log, one step at a time: logrotate with numbers, with dates and with
//! `copytruncate`, gzip, and kubelet with the logs of containers.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// `path` with `suffix` behind its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// `audit.log.N`
pub(crate) fn numbered(log: &Path, number: u32) -> PathBuf {
    with_suffix(log, &format!(".{number}"))
}

/// `audit.log-YYYYMMDD-SECONDS`, logrotate's dateext with `dateformat -%Y%m%d-%s`; `n` seconds after the first one.
pub(crate) fn dated(log: &Path, n: u32) -> PathBuf {
    with_suffix(log, &format!("-20260723-{}", 1_784_831_532 + n))
}

/// Each `log.N`, compressed or not, becomes `log.N+1`; the highest number first.
pub(crate) fn shift(log: &Path) {
    let exists = |number: u32| ["", ".gz"].map(|end| with_suffix(&numbered(log, number), end));
    let mut last = 0;
    while exists(last + 1).iter().any(|path| path.exists()) {
        last += 1;
    }
    for number in (1..=last).rev() {
        for (from, to) in exists(number).iter().zip(exists(number + 1)) {
            if from.exists() {
                fs::rename(from, to).unwrap();
            }
        }
    }
}

/// One turn of logrotate with numbers: `log` becomes `log.1`. A new log is the writer's affair.
pub(crate) fn rotate_numbered(log: &Path) {
    shift(log);
    fs::rename(log, numbered(log, 1)).unwrap();
}

/// logrotate's `copytruncate`: the log is copied, then emptied in place. What is written in between is lost, so a test
/// writes nothing then.
pub(crate) fn copytruncate(log: &Path, copy: &Path) {
    fs::copy(log, copy).unwrap();
    truncate(log);
}

/// Empties the file in place.
pub(crate) fn truncate(log: &Path) {
    OpenOptions::new().write(true).open(log).unwrap().set_len(0).unwrap();
}

/// As gzip does it: `x.gz` grows under its final name, then `x` is deleted. Returns the new path.
pub(crate) fn gzip(path: &Path) -> PathBuf {
    let compressed = with_suffix(path, ".gz");
    fs::write(&compressed, gzipped(&fs::read(path).unwrap())).unwrap();
    fs::remove_file(path).unwrap();
    compressed
}

/// One member of a compressed file.
pub(crate) fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Opens a log as most writers do, with O_APPEND.
pub(crate) fn appending(log: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(log).unwrap()
}

/// Opens a new log as lumberjack does after a rotation: it is written at the writer's own offset, so that a truncation
/// by somebody else leaves a hole.
pub(crate) fn at_own_offset(log: &Path) -> File {
    OpenOptions::new().create(true).write(true).truncate(true).open(log).unwrap()
}

/// Writes lines, each with one write.
pub(crate) fn write_lines(log: &mut File, lines: &[String]) {
    for line in lines {
        log.write_all(line.as_bytes()).unwrap();
    }
}

/// Bytes of these lines together.
pub(crate) fn bytes_of(lines: &[String]) -> usize {
    lines.iter().map(String::len).sum()
}

/// A node on which kubelet and the container runtime keep the logs of kube-apiserver, one container after the other.
pub(crate) struct Kubelet {
    root: PathBuf,
    /// All that were ever started, the last one at the end.
    containers: Vec<Container>,
    pods: u32,
    rotations: u32,
}

/// Where the log of a container is.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    /// In the directory of all containers.
    pub(crate) link: PathBuf,
    /// In that of its pod.
    pub(crate) log: PathBuf,
}

impl Kubelet {
    /// Below `root`; there is no container yet.
    pub(crate) fn new(root: &Path) -> Self {
        let root = root.canonicalize().unwrap();
        fs::create_dir_all(root.join("containers")).unwrap();
        Self { root, containers: Vec::new(), pods: 0, rotations: 0 }
    }

    /// The path of all logs.
    pub(crate) fn pattern(&self) -> PathBuf {
        self.root.join("containers/kube-apiserver-*_kube-system_kube-apiserver-*.log")
    }

    /// The container that runs.
    pub(crate) fn container(&self) -> &Container {
        self.containers.last().unwrap()
    }

    /// Starts the first container of a new pod.
    pub(crate) fn start_pod(&mut self) -> File {
        self.pods += 1;
        self.start(0)
    }

    /// Starts the next container of the same pod.
    pub(crate) fn restart(&mut self) -> File {
        let last = self.container().log.file_stem().unwrap().to_str().unwrap().parse::<u32>().unwrap();
        self.start(last + 1)
    }

    /// The runtime opens the log before it starts the container; then kubelet makes the link.
    fn start(&mut self, restarts: u32) -> File {
        let pod = format!("pods/kube-system_kube-apiserver-n1_{:032x}/kube-apiserver", self.pods);
        let pod = self.root.join(pod);
        fs::create_dir_all(&pod).unwrap();
        let log = pod.join(format!("{restarts}.log"));
        let file = appending(&log);
        // An id says nothing of the order.
        let id = format!("{:064x}", u64::MAX - self.containers.len() as u64);
        let link =
            self.root.join(format!("containers/kube-apiserver-n1_kube-system_kube-apiserver-{id}.log"));
        if let Some(former) = self.containers.last() {
            // The clock of a file system ticks, and containers are started seconds apart.
            let made = |path: &Path| path.symlink_metadata().and_then(|metadata| metadata.modified());
            let before = made(&former.link).ok();
            let probe = self.root.join("probe");
            while before.is_some_and(|before| {
                fs::write(&probe, "x").unwrap();
                made(&probe).unwrap() <= before
            }) {}
        }
        symlink(&log, &link).unwrap();
        self.containers.push(Container { link, log });
        file
    }

    /// Renames the log, and has the runtime open it anew. Returns what it was renamed to, and the new file.
    pub(crate) fn rotate(&mut self) -> (PathBuf, File) {
        self.rotations += 1;
        let log = &self.container().log;
        let backup = with_suffix(log, &format!(".20260723-{:06}", 184_500 + self.rotations));
        fs::rename(log, &backup).unwrap();
        (backup, appending(log))
    }

    /// Removes a container, as kubelet does some time after it has ended: its files, then the link.
    pub(crate) fn remove(container: &Container) {
        let log = container.log.file_name().unwrap().to_str().unwrap();
        for entry in fs::read_dir(container.log.parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name == log || name.starts_with(&format!("{log}.")) {
                fs::remove_file(&path).unwrap();
            }
        }
        fs::remove_file(&container.link).unwrap();
    }
}

/// As kubelet does it: into another file, which is renamed when it is whole; then `x` is deleted. Returns the new path.
pub(crate) fn compress_as_kubelet(path: &Path) -> PathBuf {
    let (temporary, compressed) = (with_suffix(path, ".tmp"), with_suffix(path, ".gz"));
    fs::write(&temporary, gzipped(&fs::read(path).unwrap())).unwrap();
    fs::rename(temporary, &compressed).unwrap();
    fs::remove_file(path).unwrap();
    compressed
}

#[test]
fn containers_have_links_of_their_own_and_pods_directories() {
    let directory = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::new(directory.path());
    kubelet.start_pod();
    let (backup, _) = kubelet.rotate();
    let first = kubelet.container().clone();
    assert!(backup.starts_with(first.log.parent().unwrap()) && compress_as_kubelet(&backup).exists());
    kubelet.restart();
    let second = kubelet.container().clone();
    assert!(second.link < first.link && second.log.ends_with("kube-apiserver/1.log"));
    assert_eq!(fs::read_link(&second.link).unwrap(), second.log);
    kubelet.start_pod();
    assert_ne!(kubelet.container().log.parent(), first.log.parent());
    Kubelet::remove(&first);
    assert_eq!(fs::read_dir(first.log.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn numbers_go_up_and_a_copy_leaves_the_log_empty() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("audit.log");
    for content in ["a", "b", "c"] {
        fs::write(&log, content).unwrap();
        rotate_numbered(&log);
        if content == "b" {
            gzip(&numbered(&log, 2));
        }
    }
    let read = |number| fs::read(numbered(&log, number)).unwrap();
    assert_eq!((read(1), read(2)), (b"c".to_vec(), b"b".to_vec()));
    assert!(with_suffix(&numbered(&log, 3), ".gz").exists() && !log.exists());
    fs::write(&log, "d").unwrap();
    copytruncate(&log, &dated(&log, 0));
    assert_eq!((fs::read(&log).unwrap(), fs::read(dated(&log, 0)).unwrap()), (vec![], b"d".to_vec()));
    assert!(dated(&log, 0).ends_with("audit.log-20260723-1784831532"));
}
