//! Containers, one after the other, with a watcher and a reader, who do as they are told.

use std::collections::VecDeque;

use super::*;

/// Cursors that a restart may go on from.
pub(super) const REMEMBERED: usize = 4;
pub(super) const LINKS: &str = "kube-apiserver-*_kube-system_kube-apiserver-*.log";

enum Change {
    Appeared(PathBuf),
    Disappeared(PathBuf),
    Renamed(PathBuf, PathBuf),
}

pub(super) struct Container {
    pub(super) link: PathBuf,
    pub(super) log: PathBuf,
    file: fs::File,
    /// Oldest first, with the number of lines written until their rotation.
    backups: VecDeque<(PathBuf, usize)>,
    rotations: u32,
    /// Lines written until it ended.
    pub(super) written: usize,
}

pub(super) struct World {
    pub(super) dir: tempfile::TempDir,
    pub(super) containers: Vec<Container>,
    started: u32,
    pod: u32,
    pub(super) rotations: u32,
    pub(super) written: usize,
    pub(super) pins: Arc<PinSet>,
    pub(super) tail: Tail,
    watched: bool,
    changes: VecDeque<Change>,
    pub(super) seen: Vec<usize>,
    pub(super) gaps: Vec<Gap>,
    cursors: VecDeque<(usize, Option<Cursor>)>,
    finished: Vec<u64>,
    down: bool,
    pub(super) deleted_while_down: bool,
}

impl World {
    pub(super) fn new(watched: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("containers")).unwrap();
        let pins = PinSet::of_one(&dir.path().join("containers").join(LINKS));
        let tail = Tail::new(Arc::clone(&pins), 0, None, StartAt::Oldest, 1 << 20);
        let mut world = Self {
            dir,
            containers: Vec::new(),
            started: 0,
            pod: 0,
            rotations: 0,
            written: 0,
            pins,
            tail,
            watched,
            changes: VecDeque::new(),
            seen: Vec::new(),
            gaps: Vec::new(),
            cursors: [(0, None)].into(),
            finished: Vec::new(),
            down: true,
            deleted_while_down: false,
        };
        world.restart(true);
        world.start();
        world
    }

    fn new_daemon(&mut self) {
        let (_, cursor) = self.cursors[0].clone();
        self.pins = PinSet::of_one(&self.dir.path().join("containers").join(LINKS));
        self.tail = Tail::new(Arc::clone(&self.pins), 0, cursor.as_ref(), StartAt::Oldest, 1 << 20);
        self.finished.clear();
    }

    fn start(&mut self) {
        if std::mem::take(&mut self.down) {
            self.new_daemon();
            self.pins.watched(self.watched);
            self.changes.clear();
            if self.cursors[0].1.is_none() {
                self.read(1);
            }
        }
    }

    pub(super) fn take(&mut self, step: &Step) {
        match step {
            Step::Write(count) => self.write(*count),
            Step::Rotate => self.rotate(),
            Step::GzipOldest => self.gzip_oldest(),
            Step::Restart { new_pod } => self.restart(*new_pod),
            Step::DeleteRead => self.delete_read(),
            Step::RemoveRead => self.remove_read(),
            Step::Tell(count) => self.tell(*count),
            Step::Read(batches) => {
                self.start();
                self.read(*batches);
            }
            Step::ReadMeanwhile(batches, lines) => self.read_meanwhile(*batches, *lines),
            Step::Late => self.write_late(),
            Step::Settle => self.pins.settled(0, &std::mem::take(&mut self.finished)),
            Step::Kill(back) => {
                self.tell(usize::MAX);
                let committed = self.cursors.iter().filter(|(_, cursor)| cursor.is_some()).count();
                self.cursors.drain(..(*back).min(committed.saturating_sub(1)));
                self.seen.truncate(self.cursors[0].0);
                self.new_daemon();
                self.down = true;
            }
        }
    }

    pub(super) fn last(&mut self) -> &mut Container {
        self.containers.last_mut().unwrap()
    }

    pub(super) fn write(&mut self, count: usize) {
        for _ in 0..count {
            let line = event(self.written) + "\n";
            self.last().file.write_all(line.as_bytes()).unwrap();
            self.written += 1;
        }
    }

    fn write_late(&mut self) {
        if self.containers.len() > 1 {
            let before = self.containers.len() - 2;
            let line = event(self.written) + "\n";
            self.containers[before].file.write_all(line.as_bytes()).unwrap();
            self.written += 1;
        }
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        let written = self.written;
        let container = self.last();
        // Each container begins again with the same stamps, and has none twice.
        container.rotations += 1;
        let mut backup = container.log.clone().into_os_string();
        backup.push(format!(".20261122-{:06}", container.rotations));
        let backup = PathBuf::from(backup);
        fs::rename(&container.log, &backup).unwrap();
        container.file = append(&container.log);
        container.backups.push_back((backup.clone(), written));
        let log = container.log.clone();
        self.changes.push_back(Change::Appeared(backup.clone()));
        self.changes.push_back(Change::Renamed(log.clone(), backup));
        self.changes.push_back(Change::Appeared(log));
    }

    fn gzip_oldest(&mut self) {
        let mut backups = self.containers.iter().flat_map(|container| &container.backups);
        let Some((path, _)) = backups.find(|(path, _)| path.exists()) else { return };
        let compressed = compressed(path);
        let temporary = path.with_extension("tmp");
        fs::write(&temporary, gz(&fs::read(path).unwrap())).unwrap();
        fs::rename(temporary, &compressed).unwrap();
        fs::remove_file(path).unwrap();
        self.changes.push_back(Change::Appeared(compressed));
        self.changes.push_back(Change::Disappeared(path.clone()));
    }

    pub(super) fn restart(&mut self, new_pod: bool) {
        self.pod += u32::from(new_pod);
        let (containers, number) = (self.dir.path().join("containers"), self.started);
        let pod = self.dir.path().canonicalize().unwrap().join(format!("pods/{}", self.pod));
        let container = begin(&containers, &pod, number);
        self.changes.push_back(Change::Appeared(container.link.clone()));
        let written = self.written;
        if let Some(former) = self.containers.last_mut() {
            former.written = written;
        }
        self.containers.push(container);
        self.started += 1;
    }

    /// Lines that were read before the oldest cursor that a restart may go on from.
    fn settled(&self) -> usize {
        let (settled, _) = self.cursors[self.cursors.len() - 1];
        let mut known: Vec<usize> = self.seen[..settled].to_vec();
        known.sort_unstable();
        known.iter().enumerate().take_while(|(index, line)| index == *line).count()
    }

    fn delete_read(&mut self) {
        let settled = self.settled();
        let Some(oldest) = self.containers.iter_mut().find(|one| !one.backups.is_empty()) else { return };
        if oldest.backups[0].1 >= settled {
            return;
        }
        let (path, _) = oldest.backups.pop_front().unwrap();
        self.remove(&path);
        self.remove(&compressed(&path));
    }

    fn remove_read(&mut self) {
        if self.containers.len() > 1 && self.containers[0].written < self.settled() {
            let Container { link, log, backups, .. } = self.containers.remove(0);
            for (path, _) in &backups {
                self.remove(path);
                self.remove(&compressed(path));
            }
            self.remove(&log);
            self.remove(&link);
        }
    }

    pub(super) fn remove(&mut self, path: &Path) {
        if fs::remove_file(path).is_ok() {
            self.deleted_while_down |= self.down;
            self.changes.push_back(Change::Disappeared(path.to_owned()));
        }
    }

    pub(super) fn tell(&mut self, count: usize) {
        for _ in 0..count {
            match self.changes.pop_front().filter(|_| self.watched && !self.down) {
                Some(Change::Appeared(path)) => self.pins.appeared(&path),
                Some(Change::Disappeared(path)) => self.pins.disappeared(&path),
                Some(Change::Renamed(from, to)) => self.pins.renamed(&from, &to),
                None => return,
            }
        }
    }

    pub(super) fn read(&mut self, batches: usize) {
        let Read { numbers, end, finished, gaps } = read(&mut self.tail, batches);
        self.seen.extend(numbers);
        self.finished.extend(finished);
        self.gaps.extend(gaps);
        if end.is_some() {
            self.cursors.push_front((self.seen.len(), end));
            self.cursors.truncate(REMEMBERED);
        }
    }

    fn read_meanwhile(&mut self, batches: usize, lines: usize) {
        self.start();
        let rest: String = (0..lines).map(|n| event(self.written + n) + "\n").collect();
        let mut file = self.last().file.try_clone().unwrap();
        let (containers, number) = (self.dir.path().join("containers"), self.started);
        let pod = self.last().log.parent().unwrap().to_owned();
        let (began, container) = std::sync::mpsc::channel();
        self.tail.at_end_of_live = Some(Box::new(move || {
            file.write_all(rest.as_bytes()).unwrap();
            began.send(begin(&containers, &pod, number)).unwrap();
        }));
        self.read(batches);
        self.tail.at_end_of_live = None;
        if let Ok(container) = container.try_recv() {
            self.written += lines;
            let written = self.written;
            self.last().written = written;
            self.changes.push_back(Change::Appeared(container.link.clone()));
            self.containers.push(container);
            self.started += 1;
        }
    }

    pub(super) fn finish(&mut self) {
        self.start();
        self.tell(usize::MAX);
        self.tail.looked = None;
        self.read(usize::MAX);
        // Late lines are looked for once the live file is at its end.
        self.tail.looked = None;
        self.read(usize::MAX);
    }
}

fn compressed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

/// The next container: first its log, then the link to it. Its identity is lower than those before.
fn begin(containers: &Path, pod: &Path, number: u32) -> Container {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    fs::create_dir_all(pod).unwrap();
    let log = pod.join(format!("{number}.log"));
    let file = append(&log);
    let name = format!("kube-apiserver-n1_kube-system_kube-apiserver-{:064x}.log", u32::MAX - number);
    let (link, new) = (containers.join(name), containers.join("new-link"));
    std::os::unix::fs::symlink(&log, &new).unwrap();
    let at = Timespec { tv_sec: 1_784_831_532 + i64::from(number), tv_nsec: 0 };
    let times = Timestamps { last_access: at, last_modification: at };
    utimensat(CWD, &new, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    fs::rename(new, &link).unwrap();
    Container { link, log, file, backups: VecDeque::new(), rotations: 0, written: 0 }
}
