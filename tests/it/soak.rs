//! Everything at once, at random, for as long as one likes: `AUDIT_SHIPPER_SOAK_SECONDS` says how long.
//!
//! A *round* writes, rotates, compresses, stops, kills, freezes and cuts off the endpoint in any order. At its end all of
//! it must have arrived; then old backups are deleted and what arrived is forgotten, so that neither disk nor memory
//! grows with the length of the run. Backups are kept as long as a round lasts: nothing may be missing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::daemon::Daemon;
use crate::support::endpoint::{Answer, Endpoint};
use crate::support::shipper::Shipper;
use crate::support::wait_until;
use crate::support::writer::Writer;

/// Long enough in every test run to notice that this rots.
const SECONDS: u64 = 5;
const ROUND: Duration = Duration::from_secs(30);
/// Backups that stay from one round to the next.
const KEPT: usize = 5;

/// What the world does to a daemon.
struct World {
    shipper: Shipper,
    endpoint: Endpoint,
    endpoint_is_up: Arc<AtomicBool>,
    writer: Writer,
    daemon: Daemon,
    figures: Figures,
}

#[derive(Debug, Default)]
struct Figures {
    rounds: u32,
    events: usize,
    doubled: usize,
    kills: u32,
    stops: u32,
    outages: u32,
    freezes: u32,
    most_rss_kib: u64,
}

impl World {
    fn new() -> Self {
        let endpoint_is_up = Arc::new(AtomicBool::new(true));
        let up = Arc::clone(&endpoint_is_up);
        let endpoint =
            Endpoint::start(
                move |_, _| {
                    if up.load(Ordering::Relaxed) { Answer::ok() } else { Answer::status(503) }
                },
            );
        let shipper = Shipper::new(&endpoint)
            .batches_of(50)
            .flag("shutdown-grace", "200ms")
            .flag("audit-webhook-batch-throttle-enable", false);
        let (writer, daemon) = (Writer::new(shipper.workdir.log(), 1 << 20), shipper.start());
        Self { shipper, endpoint, endpoint_is_up, writer, daemon, figures: Figures::default() }
    }

    /// Ends this life of the daemon, which must not have missed anything.
    fn end_life(&mut self, end: impl FnOnce(&mut Daemon)) {
        self.figures.most_rss_kib = self.figures.most_rss_kib.max(self.daemon.peak_rss() >> 10);
        end(&mut self.daemon);
        assert!(!self.daemon.log().contains(" missing: "), "{}", self.daemon.log());
    }

    /// Ends this life and begins the next, perhaps with a rotation in between.
    fn next_life(&mut self, end: impl FnOnce(&mut Daemon)) {
        self.end_life(end);
        if fastrand::bool() {
            self.writer.write(fastrand::u64(0..300));
            self.writer.rotate();
        }
        self.daemon = self.shipper.start();
    }

    fn act(&mut self) {
        match fastrand::u8(0..100) {
            0..12 => self.writer.rotate(),
            12..17 => {
                self.figures.kills += 1;
                self.next_life(Daemon::kill9);
            }
            17..20 => {
                self.figures.stops += 1;
                self.next_life(|daemon| {
                    daemon.terminate();
                    daemon.wait();
                });
            }
            20..25 => {
                let was_up = self.endpoint_is_up.fetch_xor(true, Ordering::Relaxed);
                self.figures.outages += u32::from(was_up);
            }
            25..28 => {
                self.figures.freezes += 1;
                self.daemon.pause();
                for _ in 0..fastrand::u8(1..4) {
                    self.writer.write(fastrand::u64(0..100));
                    self.writer.rotate();
                }
                self.daemon.resume();
            }
            _ => {
                self.writer.write(fastrand::u64(1..40));
                // The writer's pace.
                std::thread::sleep(Duration::from_millis(fastrand::u64(0..20)));
            }
        }
    }

    fn round(&mut self, length: Duration) {
        let (started, first) = (Instant::now(), self.writer.written());
        while started.elapsed() < length {
            self.act();
        }
        self.endpoint_is_up.store(true, Ordering::Relaxed);
        let written = self.writer.lines_from(first);
        let arrived = wait_until("all events of this round", || {
            let mut arrived: HashMap<String, usize> = HashMap::new();
            self.endpoint.items().into_iter().for_each(|line| *arrived.entry(line).or_default() += 1);
            (written.iter().all(|line| arrived.contains_key(line))).then_some(arrived)
        });
        self.figures.rounds += 1;
        self.figures.events += written.len();
        self.figures.doubled += arrived.values().sum::<usize>() - arrived.len();
        self.end_life(|daemon| {
            // All of it may have arrived in the life before, and a signal that comes before it listens ends it at once.
            daemon.address();
            daemon.terminate();
            assert!(daemon.wait().success());
        });
        self.endpoint.forget();
        self.delete_old_backups();
        self.daemon = self.shipper.start();
        eprintln!("{:?}", self.figures);
    }

    /// All of them were read; those that a compression is busy with are among the youngest.
    fn delete_old_backups(&self) {
        let files = std::fs::read_dir(self.shipper.workdir.log_dir()).unwrap();
        let mut backups: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        backups.retain(|path| path.extension().is_some_and(|extension| extension == "gz"));
        backups.sort();
        let old = backups.len().saturating_sub(KEPT);
        backups[..old].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
}

#[test]
fn soak_of_everything_at_once() {
    let seconds = std::env::var("AUDIT_SHIPPER_SOAK_SECONDS").ok();
    let length = Duration::from_secs(seconds.map_or(SECONDS, |seconds| seconds.parse().unwrap()));
    let mut world = World::new();
    let started = Instant::now();
    while started.elapsed() < length {
        world.round(ROUND.min(length));
    }
    assert!(world.figures.most_rss_kib < 64 << 10, "{:?}", world.figures);
}
