//! When the log is looked at and when a batch goes, under a paused clock; and what goes with a gap.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::StartAt;
use crate::deliver::tests::event;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::source::pins::PinSet;

const MAX_WAIT: Duration = Duration::from_secs(30);
/// How exact the clock is.
const TICK: Duration = Duration::from_millis(2);
const LIMITS: Limits =
    Limits { max_lines: 100_000, max_bytes: 1 << 30, max_first_line_bytes: 1 << 20, max_event_size: None };

fn reading(log: &Path, max_wait: Duration) -> Reading {
    let pins = PinSet::of_one(log);
    let watch = Arc::new(Watch::new(Arc::clone(&pins)));
    let metrics = Arc::new(Metrics::new().route("siem"));
    Reading {
        tail: Some(Tail::new(pins, 0, None, StartAt::Oldest, 1 << 20)),
        wake: watch.wake(),
        watch,
        max_wait,
        throttle: Throttle::new(None),
        buffers: Buffers::default(),
        treatment: watch::channel(Treatment::default()).1,
        treating: None,
        health: Arc::new(Health::new("siem", Duration::MAX, Arc::clone(&metrics))),
        metrics,
        output: "siem".to_owned(),
        gap_records: true,
        records: VecDeque::new(),
        measured_at: None,
        grace: Grace::new(Forecast::new(&config::Rotation::default(), false)),
        active_at: Instant::now(),
        filled_at: Instant::now(),
        at_end: false,
        failing: false,
        leaves_out: false,
        drained: false,
        looks: Vec::new(),
    }
}

/// A log that is written to, and who says so: the hints of the system know nothing of our clock.
struct Writer {
    directory: tempfile::TempDir,
    log: File,
    hints: watch::Sender<u64>,
    written: u64,
}

impl Writer {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = File::options().append(true).create(true).open(directory.path().join("audit.log")).unwrap();
        Self { directory, log, hints: watch::Sender::new(0), written: 0 }
    }

    fn reading(&self, max_wait: Duration) -> Reading {
        let wake = Wake::of(&self.hints);
        Reading { wake, ..reading(&self.directory.path().join("audit.log"), max_wait) }
    }

    fn write(&mut self, lines: u64) {
        self.write_unseen(lines);
        self.hints.send_modify(|count| *count += 1);
    }

    /// Without a hint: it may be lost.
    fn write_unseen(&mut self, lines: u64) {
        for id in self.written..self.written + lines {
            writeln!(self.log, "{}", event(id)).unwrap();
        }
        self.written += lines;
    }

    /// Writes a line each millisecond, for ever.
    async fn write_on(mut self) {
        loop {
            self.write(1);
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The events of the next batch that has any, and how long that took.
async fn next(reading: Reading, limits: Limits) -> (Reading, Vec<u64>, Duration) {
    let (began, mut reading) = (Instant::now(), reading);
    loop {
        let (again, batch) = reading.batch(limits, Ends::default()).await;
        reading = again;
        if let Some(batch) = batch.filter(|batch| batch.events() > 0) {
            let id = |index| {
                let line = String::from_utf8(batch.line(index)).unwrap();
                line.split("auditID\":\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
            };
            return (reading, (0..batch.events()).map(id).collect(), began.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_waits_as_long_as_it_may_and_takes_with_it_what_has_come_by_then() {
    let mut writer = Writer::new();
    let reading = writer.reading(MAX_WAIT);
    writer.write(1);
    let batch = tokio::spawn(next(reading, LIMITS));
    sleep(MAX_WAIT.saturating_sub(2 * TICK)).await;
    assert!(!batch.is_finished());
    writer.write_unseen(1);
    let (reading, ids, took) = batch.await.unwrap();
    assert_eq!(ids, [0, 1]);
    assert!(took >= MAX_WAIT && took <= MAX_WAIT + TICK, "{took:?}");
    // The last look found nothing behind them, so there is none at once.
    let looks = reading.looks.len();
    let batch = tokio::spawn(next(reading, LIMITS));
    sleep(Duration::from_millis(500)).await;
    writer.write(1);
    let (reading, ids, took) = batch.await.unwrap();
    assert_eq!(ids, [2]);
    assert!(took.abs_diff(MAX_WAIT + Duration::from_millis(500)) <= TICK, "{took:?}");
    let first = reading.looks[looks];
    assert!(first.elapsed().abs_diff(MAX_WAIT) <= TICK, "{:?} ago", first.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_written_to_is_looked_at_every_50_ms_whatever_a_batch_may_wait() {
    for max_wait in [MAX_WAIT, Duration::from_secs(1)] {
        let writer = Writer::new();
        let reading = writer.reading(max_wait);
        let writing = tokio::spawn(writer.write_on());
        let (reading, ids, _) = next(reading, LIMITS).await;
        writing.abort();
        assert!(ids.len() > 900, "{} events", ids.len());
        let pauses: Vec<Duration> = reading.looks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // The first ones find the beginning of the file, the last one is that of a batch that is due.
        let between = &pauses[2..pauses.len() - 1];
        let pace = LONGEST_PACE..=LONGEST_PACE + TICK;
        assert!(between.len() > 15 && between.iter().all(|pause| pace.contains(pause)), "{between:?}");
    }
}

/// With a short wait a first line is looked for more often, or it would wait longer than it may.
#[tokio::test(start_paused = true)]
async fn no_batch_waits_longer_than_it_may_though_the_writing_never_ends() {
    for (max_wait, late) in [(10, 2), (100, 10), (1000, 50)] {
        let (max_wait, late) = (Duration::from_millis(max_wait), Duration::from_millis(late));
        let writer = Writer::new();
        let mut reading = writer.reading(max_wait);
        let writing = tokio::spawn(writer.write_on());
        let mut seen = Vec::new();
        for _ in 0..5 {
            let (again, ids, took) = next(reading, LIMITS).await;
            reading = again;
            assert!(took <= max_wait + late + 2 * TICK, "{took:?} for {max_wait:?}");
            seen.extend(ids);
        }
        writing.abort();
        assert_eq!(seen, (0..seen.len() as u64).collect::<Vec<_>>());
        let least = 4 * max_wait.as_millis();
        assert!(seen.len() as u128 > least, "{} events in five batches of {max_wait:?}", seen.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_full_goes_at_once() {
    let mut writer = Writer::new();
    let reading = writer.reading(MAX_WAIT);
    let limits = Limits { max_lines: 5, ..LIMITS };
    writer.write(12);
    let (reading, first, took) = next(reading, limits).await;
    assert_eq!((first, took), (vec![0, 1, 2, 3, 4], Duration::ZERO));
    let (reading, second, took) = next(reading, limits).await;
    assert_eq!((second, took), (vec![5, 6, 7, 8, 9], Duration::ZERO));
    // Two are left; three more fill it.
    let batch = tokio::spawn(next(reading, limits));
    sleep(Duration::from_secs(7)).await;
    writer.write(3);
    let (_, third, took) = batch.await.unwrap();
    assert_eq!(third, [10, 11, 12, 13, 14]);
    assert!(took <= Duration::from_secs(7) + LONGEST_PACE + TICK, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_policy_counts_from_the_next_event_on_and_no_batch_sees_two() {
    let treated_by = |rules: &str| {
        let text = format!("{{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{rules}]}}");
        let policy = Policy::parse(&text, "policy.yaml").unwrap().policy;
        Treatment { policy: Some(Arc::new(policy)), ..Treatment::default() }
    };
    let mut writer = Writer::new();
    let mut reading = writer.reading(MAX_WAIT);
    let policies = watch::Sender::new(treated_by("{level: RequestResponse}"));
    reading.treatment = policies.subscribe();
    writer.write(1);
    let batch = tokio::spawn(next(reading, LIMITS));
    sleep(Duration::from_secs(1)).await;
    assert!(!batch.is_finished());
    // What it holds goes as it was treated.
    policies.send_replace(treated_by("{level: None}"));
    let (reading, ids, took) = batch.await.unwrap();
    assert_eq!(ids, [0]);
    assert!(took <= Duration::from_secs(1) + TICK, "{took:?}");
    // While it waits for a first event, it learns of the next policy too.
    let stop = CancellationToken::new();
    let batch = tokio::spawn(reading.batch(LIMITS, Ends { now: stop.clone(), ..Ends::default() }));
    sleep(Duration::from_secs(1)).await;
    policies.send_replace(treated_by("{level: RequestResponse}"));
    sleep(Duration::from_secs(1)).await;
    writer.write(1);
    let (_, batch) = batch.await.unwrap();
    assert_eq!(batch.unwrap().events(), 1);
}

#[tokio::test]
async fn what_was_finished_before_a_gap_is_settled_though_no_line_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let event = "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"auditID\":\"1\"}\n";
    std::fs::write(path("audit.log"), event).unwrap();
    let mut reading = reading(&path("audit.log"), Duration::from_millis(10));
    let limits =
        Limits { max_lines: 9, max_bytes: 1 << 20, max_first_line_bytes: 1 << 20, max_event_size: None };
    let (mut events, mut finished, mut records) = (0, Vec::new(), 0);
    for round in 0..5 {
        if events == 1 && round < 3 {
            std::fs::rename(path("audit.log"), path("audit-2026-11-22T02-09-48.001.log")).unwrap();
            let spoilt = path("audit-2026-11-22T02-09-48.002.log.gz");
            std::fs::write(&spoilt, b"\x1f\x8b").unwrap();
            let old = std::time::SystemTime::now() - Duration::from_secs(3600);
            File::options().write(true).open(&spoilt).unwrap().set_modified(old).unwrap();
            std::fs::write(path("audit.log"), event).unwrap();
        }
        let (again, batch) = reading.batch(limits, Ends::default()).await;
        reading = again;
        let Some(batch) = batch else { continue };
        records += usize::from(batch.is_gap_record());
        events += if batch.is_gap_record() { 0 } else { batch.events() };
        finished.extend_from_slice(batch.finished());
        if events == 2 {
            break;
        }
    }
    assert_eq!((events, records), (2, 1));
    assert!(finished.contains(&0), "the first file would be held for ever: {finished:?}");
}
