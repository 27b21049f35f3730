//! A cursor that cannot be read or written: duplicates before loss, loss before downtime, and never the end of the log.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use audit_shipper::fingerprint;

use crate::support::cli::flags;
use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::workdir::{Workdir, real_events};
use crate::support::writer::assert_each_once;

/// Events that were shipped when the cursor is spoilt: half of them in a backup.
const SHIPPED: usize = 6;

struct World {
    workdir: Workdir,
    endpoint: Endpoint,
    start_at: &'static str,
    events: Vec<String>,
}

impl World {
    /// An output that has shipped everything, each event in a batch of its own.
    fn shipped(start_at: &'static str) -> Self {
        let (workdir, endpoint) = (Workdir::new(), Endpoint::start(|_, _| Answer::ok()));
        workdir.kubeconfig(&endpoint.url());
        let events = real_events(12);
        let backup = workdir.log_dir().join("audit-2026-11-22T01-02-03.456.log");
        fs::write(backup, events[..SHIPPED / 2].concat()).unwrap();
        workdir.append(&events[SHIPPED / 2..SHIPPED]);
        let world = Self { workdir, endpoint, start_at: "oldest", events };
        world.run(SHIPPED);
        Self { start_at, ..world }
    }

    fn start(&self) -> Daemon {
        let config = self.workdir.path("f.yaml");
        fs::write(&config, format!("source: {{ startAt: {} }}\n", self.start_at)).unwrap();
        let mut args = flags("run", &self.workdir);
        args.push(format!("--config={}", config.display()));
        args.push("--audit-webhook-batch-max-size=1".to_owned());
        args.push("--audit-webhook-batch-throttle-enable=false".to_owned());
        Daemon::start(args)
    }

    /// Runs until so many items have arrived in all, and stops. Returns what was logged.
    fn run(&self, items: usize) -> String {
        let daemon = self.start();
        self.endpoint.wait_for_items(items);
        stop(daemon)
    }

    fn cursor(&self) -> PathBuf {
        self.workdir.state().join("webhook.cursor.json")
    }

    /// The items that arrived after the first `count`.
    fn arrived(&self, count: usize) -> Vec<String> {
        self.endpoint.items().split_off(count)
    }

    /// The cursor is whole: a further event arrives, and nothing else.
    fn goes_on(&self, event: usize) {
        let count = self.endpoint.items().len();
        self.workdir.append(&self.events[event..=event]);
        let log = self.run(count + 1);
        assert!(!log.contains("the cursor cannot be"), "{log}");
        assert_eq!(self.arrived(count), self.events[event..=event]);
    }
}

fn stop(mut daemon: Daemon) -> String {
    daemon.terminate();
    assert_eq!(daemon.wait().code(), Some(0));
    daemon.log()
}

/// Whatever `startAt` says: everything that is still there arrives again, and the reason is said.
fn everything_comes_again(spoil: impl Fn(&Path), reason: &str) {
    for start_at in ["oldest", "newest"] {
        let world = World::shipped(start_at);
        spoil(&world.cursor());
        let log = world.run(2 * SHIPPED);
        let said = log.lines().find(|line| line.contains("the cursor cannot be read")).unwrap_or_default();
        assert!(said.contains("ERROR") && said.contains(reason), "{reason} in {log}");
        assert_each_once(world.events[..SHIPPED].to_vec(), world.arrived(SHIPPED));
        world.goes_on(SHIPPED);
    }
}

/// One of the two slots is spoilt: the other holds the batch before, so at most one event arrives again.
fn one_batch_comes_again_at_most(spoil: impl Fn(&Path)) {
    for start_at in ["oldest", "newest"] {
        let world = World::shipped(start_at);
        spoil(&world.cursor());
        world.workdir.append(&world.events[SHIPPED..=SHIPPED]);
        let daemon = world.start();
        let last = &world.events[SHIPPED];
        world.endpoint.wait_for("the event behind the cursor", |requests| {
            requests.iter().any(|request| request.holds(last.trim_end().split_once("\"level\"").unwrap().1))
        });
        let log = stop(daemon);
        assert!(!log.contains("the cursor cannot be read"), "{log}");
        let again = world.arrived(SHIPPED);
        let expected = &world.events[SHIPPED - 1..=SHIPPED];
        assert!(again.contains(&expected[1]) && again.len() <= 2, "{} events", again.len());
        // Of two requests at a time, either may arrive first.
        assert!(again.len() == 1 || again.contains(&expected[0]));
    }
}

/// The cursor as another version would have written it.
fn with_version(path: &Path, version: &str) {
    let text = fs::read_to_string(path).unwrap();
    let rewritten = text.lines().map(|line| {
        let (_, json) = line.trim_end().split_once(' ').unwrap();
        let json = json.replace("\"version\":1,", &format!("\"version\":{version},"));
        format!("{:016x} {json}\n", fingerprint::short(json.as_bytes()))
    });
    fs::write(path, rewritten.collect::<String>()).unwrap();
}

fn flip_a_bit(path: &Path, slots: &[usize]) {
    let mut bytes = fs::read(path).unwrap();
    let slot_bytes = bytes.len() / 2;
    for slot in slots {
        bytes[slot * slot_bytes + 60] ^= 4;
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn checkpoint_corrupt_empty() {
    everything_comes_again(|cursor| fs::write(cursor, "").unwrap(), "the file is empty");
    everything_comes_again(|cursor| fs::write(cursor, [0; 8192]).unwrap(), "no checksum");
}

#[test]
fn checkpoint_corrupt_torn() {
    let cut = |cursor: &Path, bytes: u64| {
        fs::File::options().write(true).open(cursor).unwrap().set_len(bytes).unwrap();
    };
    everything_comes_again(|cursor| cut(cursor, 100), "the checksum does not fit");
    one_batch_comes_again_at_most(|cursor| cut(cursor, fs::metadata(cursor).unwrap().len() / 2 + 100));
}

#[test]
fn checkpoint_corrupt_flipped_bit() {
    everything_comes_again(|cursor| flip_a_bit(cursor, &[0, 1]), "the checksum does not fit");
    for slot in [0, 1] {
        one_batch_comes_again_at_most(|cursor| flip_a_bit(cursor, &[slot]));
    }
}

#[test]
fn checkpoint_corrupt_wrong_version() {
    everything_comes_again(|cursor| with_version(cursor, "0"), "another version of audit-shipper (format 0)");
    everything_comes_again(|cursor| with_version(cursor, "\"one\""), "not a cursor");
}

#[test]
fn checkpoint_corrupt_future_version() {
    everything_comes_again(|cursor| with_version(cursor, "2"), "another version of audit-shipper (format 2)");
}

/// A directory in its place is what neither root nor anybody else can read or write.
#[test]
fn checkpoint_corrupt_read_only() {
    for start_at in ["oldest", "newest"] {
        let world = World::shipped(start_at);
        fs::remove_file(world.cursor()).unwrap();
        fs::create_dir(world.cursor()).unwrap();
        let daemon = world.start();
        daemon.wait_for_line("the cursor cannot be read");
        daemon.wait_for_line("the cursor cannot be written");
        world.endpoint.wait_for_items(2 * SHIPPED);
        assert_each_once(world.events[..SHIPPED].to_vec(), world.arrived(SHIPPED));
        // It goes on shipping, and keeps the cursor as soon as it can.
        world.workdir.append(&world.events[SHIPPED..=SHIPPED]);
        world.endpoint.wait_for_items(2 * SHIPPED + 1);
        fs::remove_dir(world.cursor()).unwrap();
        daemon.wait_for_line("the cursor can be written again");
        let log = stop(daemon);
        assert_eq!(log.matches("the cursor cannot be written").count(), 1, "said once:\n{log}");
        world.goes_on(SHIPPED + 1);
    }
}

#[test]
fn checkpoint_corrupt_disk_full() {
    let world = World::shipped("newest");
    let full = world.workdir.state().join("webhook.cursor.json.new");
    // Where it is laid out nothing can be written.
    fs::create_dir(&full).unwrap();
    symlink("/dev/full", world.workdir.state().join("daemon.pid")).unwrap();
    let before = fs::read(world.cursor()).unwrap();
    world.workdir.append(&world.events[SHIPPED..SHIPPED + 2]);
    let mut daemon = world.start();
    daemon.wait_for_line("the cursor cannot be written");
    world.endpoint.wait_for_items(SHIPPED + 2);
    assert_eq!(fs::read(world.cursor()).unwrap(), before, "the old one is in force");
    daemon.kill9();

    // What was not noted arrives again, and no more than that.
    let daemon = world.start();
    daemon.wait_for_line("the cursor cannot be written");
    world.endpoint.wait_for_items(SHIPPED + 4);
    fs::remove_dir(&full).unwrap();
    daemon.wait_for_line("the cursor can be written again");
    stop(daemon);
    let twice = [&world.events[SHIPPED..SHIPPED + 2], &world.events[SHIPPED..SHIPPED + 2]].concat();
    assert_each_once(twice, world.arrived(SHIPPED));
    world.goes_on(SHIPPED + 2);
}
