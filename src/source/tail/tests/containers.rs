//! The logs of containers, one after the other, as kubelet keeps them: random schedules of it, of a watcher and a reader.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// Cursors that a restart may go on from.
const REMEMBERED: usize = 4;
const LINKS: &str = "kube-apiserver-*_kube-system_kube-apiserver-*.log";

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    /// The container's log is renamed and begun anew.
    Rotate,
    GzipOldest,
    /// The next container, of the same pod or of another.
    Restart {
        new_pod: bool,
    },
    /// The oldest backup goes, if it was read before the oldest cursor that a restart may go on from.
    DeleteRead,
    /// A former container goes, if it was read so.
    RemoveRead,
    Tell(usize),
    Read(usize),
    /// The same; and between the end of the live file and the look at its name there are more lines, and then the next
    /// container.
    ReadMeanwhile(usize, usize),
    /// A line of the container before the last.
    Late,
    Settle,
    Kill(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..30_usize).prop_map(Step::Write),
        3 => Just(Step::Rotate),
        2 => Just(Step::GzipOldest),
        2 => any::<bool>().prop_map(|new_pod| Step::Restart { new_pod }),
        2 => Just(Step::DeleteRead),
        2 => Just(Step::RemoveRead),
        3 => (1..6_usize).prop_map(Step::Tell),
        5 => (1..6_usize).prop_map(Step::Read),
        2 => (3..9_usize, 0..5_usize).prop_map(|(batches, lines)| Step::ReadMeanwhile(batches, lines)),
        2 => Just(Step::Settle),
        1 => Just(Step::Kill(0)),
        1 => (1..REMEMBERED).prop_map(Step::Kill),
    ];
    prop::collection::vec(step, 1..80)
}

enum Change {
    Appeared(PathBuf),
    Disappeared(PathBuf),
    Renamed(PathBuf, PathBuf),
}

struct Container {
    link: PathBuf,
    log: PathBuf,
    file: fs::File,
    /// Oldest first, with the number of lines written until their rotation.
    backups: VecDeque<(PathBuf, usize)>,
    /// Lines written until it ended.
    written: usize,
}

struct World {
    dir: tempfile::TempDir,
    containers: Vec<Container>,
    started: u32,
    pod: u32,
    rotations: u32,
    written: usize,
    pins: Arc<PinSet>,
    tail: Tail,
    watched: bool,
    changes: VecDeque<Change>,
    seen: Vec<usize>,
    gaps: Vec<Gap>,
    cursors: VecDeque<(usize, Option<Cursor>)>,
    finished: Vec<u64>,
    down: bool,
    deleted_while_down: bool,
}

impl World {
    fn new(watched: bool) -> Self {
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

    fn take(&mut self, step: &Step) {
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

    fn last(&mut self) -> &mut Container {
        self.containers.last_mut().unwrap()
    }

    fn write(&mut self, count: usize) {
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
        // Each container begins again with the same stamps.
        let stamp = format!("20261122-{:06}", self.last().backups.len() + 1);
        let (rotations, written, container) = (self.rotations, self.written, self.last());
        let mut backup = container.log.clone().into_os_string();
        backup.push(format!(".{stamp}"));
        let mut backup = PathBuf::from(backup);
        if container.backups.iter().any(|(path, _)| *path == backup) {
            backup.set_extension(format!("20261123-{rotations:06}"));
        }
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

    fn restart(&mut self, new_pod: bool) {
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

    fn remove(&mut self, path: &Path) {
        if fs::remove_file(path).is_ok() {
            self.deleted_while_down |= self.down;
            self.changes.push_back(Change::Disappeared(path.to_owned()));
        }
    }

    fn tell(&mut self, count: usize) {
        for _ in 0..count {
            match self.changes.pop_front().filter(|_| self.watched && !self.down) {
                Some(Change::Appeared(path)) => self.pins.appeared(&path),
                Some(Change::Disappeared(path)) => self.pins.disappeared(&path),
                Some(Change::Renamed(from, to)) => self.pins.renamed(&from, &to),
                None => return,
            }
        }
    }

    fn read(&mut self, batches: usize) {
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

    fn finish(&mut self) {
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
    Container { link, log, file, backups: VecDeque::new(), written: 0 }
}

fn run(watched: bool, steps: &[Step]) -> World {
    let mut world = World::new(watched);
    for step in steps {
        world.take(step);
    }
    world.finish();
    world
}

proptest! {
    #![proptest_config(crate::properties::cases(200))]

    /// Whatever the order of writes, rotations, compressions, restarts of the container and of the daemon, removals of what
    /// was read, and however late changes are told: after the cursor that a restart goes on from, each line arrives exactly
    /// once, in the order in which it was written, and no gap is reported.
    #[test]
    fn every_line_of_every_container_arrives_once_and_in_order(steps in steps()) {
        let mut world = run(true, &steps);
        prop_assert!(world.gaps.is_empty() || world.deleted_while_down, "{:?}", world.gaps);
        prop_assert!(world.gaps.iter().all(|gap| !gap.certain), "{:?}", world.gaps);
        prop_assert_eq!(world.seen, (0..world.written).collect::<Vec<_>>());
        prop_assert_eq!(world.tail.unread_bytes().unwrap(), 0);
    }

    /// The same where nobody tells of changes.
    #[test]
    fn every_line_of_every_container_arrives_by_looking_alone(steps in steps()) {
        let world = run(false, &steps);
        prop_assert!(world.gaps.iter().all(|gap| !gap.certain), "{:?}", world.gaps);
        prop_assert_eq!(world.seen, (0..world.written).collect::<Vec<_>>());
    }

    /// What a container wrote after the next one had begun arrives too, once, and later than in its turn.
    #[test]
    fn late_lines_of_a_former_container_arrive_once(
        steps in prop::collection::vec(prop_oneof![9 => steps().prop_map(|mut steps| steps.remove(0)), 1 => Just(Step::Late)], 1..80)
    ) {
        let keeps = |step: &&Step| !matches!(step, Step::DeleteRead | Step::RemoveRead);
        let steps: Vec<Step> = steps.iter().filter(keeps).cloned().collect();
        let mut world = run(true, &steps);
        prop_assert!(world.gaps.is_empty(), "{:?}", world.gaps);
        world.seen.sort_unstable();
        prop_assert_eq!(world.seen, (0..world.written).collect::<Vec<_>>());
    }
}

#[test]
fn newest_begins_behind_all_containers_that_are_there() {
    let mut world = World::new(true);
    world.write(5);
    world.restart(false);
    world.write(5);
    let links = world.dir.path().join("containers").join(LINKS);
    let mut tail = tail_of(&links, None, StartAt::Newest);
    assert!(read_all(&mut tail).0.is_empty());
    world.write(2);
    world.restart(true);
    world.write(2);
    assert_eq!(read_all(&mut tail).0, [10, 11, 12, 13]);
    assert_eq!(tail.take_observed().rotations, 1);
}

#[test]
fn a_container_whose_link_is_gone_is_read_from_its_handle() {
    let mut world = World::new(true);
    world.write(20);
    world.read(1);
    world.restart(true);
    world.write(3);
    world.tell(usize::MAX);
    let former = world.containers.remove(0);
    fs::remove_file(&former.log).unwrap();
    fs::remove_file(&former.link).unwrap();
    world.pins.disappeared(&former.log);
    world.pins.disappeared(&former.link);
    world.finish();
    assert_eq!(world.seen, (0..23).collect::<Vec<_>>());
    assert!(world.gaps.is_empty(), "{:?}", world.gaps);
}

/// Somebody removes the link alone, and makes it again: the container writes on meanwhile.
#[test]
fn a_link_that_is_gone_for_a_while_costs_nothing() {
    let mut world = World::new(true);
    world.write(20);
    world.read(usize::MAX);
    let (link, log) = (world.last().link.clone(), world.last().log.clone());
    fs::remove_file(&link).unwrap();
    world.pins.disappeared(&link);
    for _ in 0..2 {
        world.tail.looked = None;
        world.write(3);
        world.read(usize::MAX);
        world.take(&Step::Settle);
    }
    world.write(3);
    std::os::unix::fs::symlink(&log, &link).unwrap();
    world.pins.appeared(&link);
    world.write(3);
    world.finish();
    assert_eq!(world.seen, (0..32).collect::<Vec<_>>());
    assert!(world.gaps.is_empty(), "{:?}", world.gaps);
}
